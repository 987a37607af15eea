"""Keywords from a stream of sound: a sliding window, smoothed scores, one report a word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import qedge


@dataclass(frozen=True)
class Settings:
    """When a word counts as heard, and as which.

    Args:
        step_ms: the model runs once in so many milliseconds of sound.
        smooth: runs whose scores are averaged.
        threshold: average, of the scores of all keywords together, at which one was said.
        pause_ms: which one is decided when there was nothing but background for so long: the word is over.
        shortest_ms: from the threshold until then, at least: what is over as soon as it sounds like a keyword is none.
        longest_ms: or so long after the threshold, where the sound does not end.
        sure: average, of all keywords together, that it takes then for the best of them to be reported: what only
            sounded like a keyword for a while has less when it is over.
        release: average, of all keywords together, under which none is being said.
        patience_ms: what takes longer from ``release`` to ``threshold`` is not reported: it would come late.
        refractory_ms: no report for so long after a report.
        ignore: labels that are no keywords.
    """

    step_ms: int = 60
    smooth: int = 4
    threshold: float = 0.35
    pause_ms: int = 220
    shortest_ms: int = 60
    longest_ms: int = 420
    sure: float = 0.45
    release: float = 0.2
    patience_ms: int = 360
    refractory_ms: int = 960
    ignore: tuple[str, ...] = ("unknown", "silence")


@dataclass(frozen=True)
class Heard:
    """A keyword, when in the stream it was reported, and its average score then."""

    label: str
    seconds: float
    score: float


class Pause:
    """Tells for how many frames there has been nothing but background.

    Each feature has a floor that falls fast and rises slowly, so that it follows the background's quiet moments
    (after R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum statistics",
    IEEE Transactions on Speech and Audio Processing 9(5), 2001). What lies above the floors, added up, is compared
    with what usually does: 1.6 times as much is sound. Integers only, as in ``mcu/keyword.c``.
    """

    LEARN = 49  # frames from which the background is learned before anything counts as sound

    def __init__(self) -> None:
        self.frames = 0
        self._seen = 0
        self._usual = 0
        self._floor = np.zeros(0, np.int32)

    @property
    def told(self) -> bool:
        """Whether any frame was sound so far."""
        return self.frames < self._seen

    def push(self, features: npt.NDArray[np.generic]) -> None:
        """Take the next frame: ``(features,)`` whole numbers that grow with the loudness, about 8 bits each."""
        now = features.astype(np.int32) << 12
        if self._seen == 0:
            self._floor = now.copy()
        rise = now - self._floor
        self._floor += np.where(rise < 0, rise >> 3, rise >> 7)
        above = int(np.maximum(now - self._floor, 0).sum())
        learning = self._seen < self.LEARN
        loud = not learning and 5 * above > 8 * self._usual
        self._usual += (above - self._usual) >> (4 if learning else 9 if loud else 5)
        self.frames = 0 if loud else self.frames + 1
        self._seen += 1


class Spotter:
    """Feed it int16 samples of any length; it returns what it heard in them.

    ``scores`` are the smoothed scores of all labels, ``recent`` the last 1.5 s of sound, ``last`` the newest input and
    output of the model.
    """

    def __init__(self, model: qedge.Model, settings: Settings = Settings()) -> None:
        self.model, self.settings = model, settings
        self.labels = model.labels
        self.sample_rate: int = model.preprocess.sample_rate
        self.scores = np.zeros(len(self.labels), np.float32)
        self.recent = np.zeros(self.sample_rate * 3 // 2, np.int16)
        self.seconds = 0.0
        self.last: tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]] | None = None
        self._stream = model.preprocess.stream()
        self._input, self._output = model.inputs[0], model.outputs[0]
        self._step = self.sample_rate * settings.step_ms // 1000
        self._pending = np.zeros(0, np.int16)
        self._history = np.zeros((settings.smooth, len(self.labels)), np.float32)
        self._runs = 0
        self._keywords = [i for i, label in enumerate(self.labels) if label not in settings.ignore]
        # Before the window is full of sound, its scores mean nothing.
        self._full_run = -(-int(model.preprocess.samples) // self._step)
        self._hop_ms = 1000 * model.preprocess.hop / self.sample_rate
        self._pause = Pause()
        self._quiet_run = 0
        self._said_run: int | None = None
        self._reported_run = -(10**9)

    def push(self, pcm: npt.NDArray[np.int16]) -> list[Heard]:
        """Take ``(samples,)`` int16; return the keywords that they complete, oldest first."""
        self._pending = np.concatenate([self._pending, pcm])
        heard = []
        while self._pending.size >= self._step:
            block, self._pending = self._pending[: self._step], self._pending[self._step :]
            frames = self._stream.push(block)
            self.recent = np.concatenate([self.recent[block.size :], block])
            found = self._run(frames)
            if found is not None:
                heard.append(found)
        return heard

    def _run(self, frames: int) -> Heard | None:
        window = self._stream.encode(self._input.scale, self._input.zero_point, self._input.dtype)
        for features in window[0, window.shape[1] - frames :]:
            # A float32 input's features are a few units large.
            whole = features if self._input.scale is not None else np.rint(32 * features)
            self._pause.push(whole.ravel())
        self.last = window, self.model.run(window)
        raw = self.last[1][0]
        self._history[self._runs % self.settings.smooth] = self._real(raw)
        self._runs += 1
        self.seconds = self._runs * self._step / self.sample_rate
        self.scores = self._history.mean(axis=0)
        return self._decide()

    def _real(self, raw: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        if self._output.scale is None:
            return raw.astype(np.float32)
        return (raw.astype(np.float32) - self._output.zero_point) * np.float32(self._output.scale)

    def _decide(self) -> Heard | None:
        settings = self.settings
        if self._runs < self._full_run:
            self._quiet_run = self._runs
            return None
        said = float(self.scores[self._keywords].sum())
        if said < settings.release:
            self._quiet_run = self._runs
        rising_ms = (self._runs - self._quiet_run) * settings.step_ms
        rested_ms = (self._runs - self._reported_run) * settings.step_ms
        in_time = rising_ms <= settings.patience_ms and rested_ms >= settings.refractory_ms
        if self._said_run is None and said >= settings.threshold and in_time:
            self._said_run = self._runs
        if self._said_run is None:
            return None
        waited_ms = (self._runs - self._said_run) * settings.step_ms
        if self._pause.frames * self._hop_ms < settings.pause_ms and waited_ms < settings.longest_ms:
            return None
        # Until a sound has been told from the background, nobody knows when a word was over.
        shortest_ms = settings.shortest_ms if self._pause.told else 0
        self._said_run = None
        if said < settings.sure or waited_ms < shortest_ms:
            return None
        best = max(self._keywords, key=lambda i: self.scores[i])
        self._reported_run = self._runs
        return Heard(self.labels[best], round(self.seconds, 3), round(float(self.scores[best]), 3))
