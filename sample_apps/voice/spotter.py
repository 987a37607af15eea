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
        smooth: runs whose scores are averaged to tell that a keyword was said.
        threshold: average, of the scores of all keywords together, at which one was said.
        settle: runs from then on until it is decided which one: at first it may be heard in part.
        decide: last runs whose scores decide it, at most ``smooth``.
        release: average under which nothing is being said.
        patience_ms: what takes longer from ``release`` to ``threshold`` is not reported: it would come late.
        refractory_ms: no report for so long after a report.
        ignore: labels that are no keywords.
    """

    step_ms: int = 60
    smooth: int = 4
    threshold: float = 0.4
    settle: int = 2
    decide: int = 3
    release: float = 0.2
    patience_ms: int = 360
    refractory_ms: int = 960
    ignore: tuple[str, ...] = ("unknown", "silence")


@dataclass(frozen=True)
class Heard:
    """A keyword, when in the stream it was reported, and its average score in the runs that decided."""

    label: str
    seconds: float
    score: float


class Spotter:
    """Feed it int16 samples of any length; it returns what it heard in them.

    ``scores`` are the smoothed scores of all labels, ``recent`` the last 1.5 s of sound.
    """

    def __init__(self, model: qedge.Model, settings: Settings = Settings()) -> None:
        self.model, self.settings = model, settings
        self.labels = model.labels
        self.sample_rate: int = model.preprocess.sample_rate
        self.scores = np.zeros(len(self.labels), np.float32)
        self.recent = np.zeros(self.sample_rate * 3 // 2, np.int16)
        self.seconds = 0.0
        self._stream = model.preprocess.stream()
        self._input, self._output = model.inputs[0], model.outputs[0]
        self._step = self.sample_rate * settings.step_ms // 1000
        self._pending = np.zeros(0, np.int16)
        self._history = np.zeros((settings.smooth, len(self.labels)), np.float32)
        self._runs = 0
        self._keywords = [i for i, label in enumerate(self.labels) if label not in settings.ignore]
        # Before the window is full of sound, its scores mean nothing.
        self._full_run = -(-int(model.preprocess.samples) // self._step)
        self._quiet_run = 0
        self._due_run: int | None = None
        self._reported_run = -(10**9)

    def push(self, pcm: npt.NDArray[np.int16]) -> list[Heard]:
        """Take ``(samples,)`` int16; return the keywords that they complete, oldest first."""
        self._pending = np.concatenate([self._pending, pcm])
        heard = []
        while self._pending.size >= self._step:
            block, self._pending = self._pending[: self._step], self._pending[self._step :]
            self._stream.push(block)
            self.recent = np.concatenate([self.recent[block.size :], block])
            found = self._run()
            if found is not None:
                heard.append(found)
        return heard

    def _run(self) -> Heard | None:
        window = self._stream.encode(self._input.scale, self._input.zero_point, self._input.dtype)
        raw = self.model.run(window)[0]
        self._history = np.concatenate([self._history[1:], self._real(raw)[None]])
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
        if self._due_run is None and said >= settings.threshold and in_time:
            self._due_run = self._runs + settings.settle
        if self._due_run != self._runs:
            return None
        self._due_run, self._reported_run = None, self._runs
        scores = self._history[-settings.decide :].mean(axis=0)
        best = max(self._keywords, key=lambda i: scores[i])
        return Heard(self.labels[best], round(self.seconds, 3), round(float(scores[best]), 3))
