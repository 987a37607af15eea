"""``monitor``: a model that is watched while it works."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from qedge.drift.judge import MAX_WINDOW, check_rate, check_window, distance, limits, shares
from qedge.drift.sketch import DRIFT, Histogram, Sketch
from qedge.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.bundle.read import Bundle
    from qedge.runtime.model import Model

    Array = npt.NDArray[Any]

WINDOW, FALSE_ALARMS = 50, 0.01


class Verdict(NamedTuple):
    """What one window says: apart, whether inputs and predictions are no longer as in calibration.

    ``distances`` and ``limits`` hold one number a histogram, those of the inputs first; a distance above its limit is
    an alarm.
    """

    inputs_changed: bool
    predictions_changed: bool
    distances: tuple[int, ...]
    limits: tuple[int, ...]


class Counts:
    """Histograms of what was seen, beside a sketch's own."""

    def __init__(self, sketch: Sketch) -> None:
        self.samples = 0
        self.inputs = [[0] * len(h.counts) for h in sketch.inputs]
        self.outputs = [[0] * len(h.counts) for h in sketch.outputs]

    def add(self, input_bins: Sequence[int], output_bins: Sequence[int]) -> None:
        """Take in one sample."""
        self.samples += 1
        for counts, k in zip((*self.inputs, *self.outputs), (*input_bins, *output_bins)):
            counts[k] += 1

    def judged(self, sketch: Sketch, false_alarms: float) -> Verdict:
        """Return what these samples say as one window; more than a window takes are scaled down to one."""
        window = min(self.samples, MAX_WINDOW)
        bounds = limits(sketch, window, false_alarms)
        found = self._distances(self.inputs, sketch.inputs, window)
        said = self._distances(self.outputs, sketch.outputs, window)
        return Verdict(
            any(d > limit for d, limit in zip(found, bounds.inputs)),
            any(d > limit for d, limit in zip(said, bounds.outputs)),
            (*found, *said),
            (*bounds.inputs, *bounds.outputs),
        )

    def _distances(self, rows: list[list[int]], histograms: Sequence[Histogram], window: int) -> list[int]:
        pairs = zip(rows, histograms)
        return [distance(row, shares(h), self.samples) * window // self.samples for row, h in pairs]


class Monitor:
    """Windows of what a model saw and said, one after the other; use it in a ``with``, or :meth:`close` it.

    Several threads may run the model.

    Args:
        sketch: of the bundle.
        window: samples that are judged together, 10 to 4096.
        false_alarms: share of windows that may alarm although nothing changed, 0.001 to 0.2, for each of the alarms.
        on_window: called with the verdict of each window, in the thread that completed it.
    """

    def __init__(
        self,
        sketch: Sketch,
        *,
        digest: str = "",
        window: int = WINDOW,
        false_alarms: float = FALSE_ALARMS,
        on_window: Callable[[Verdict], object] | None = None,
    ) -> None:
        check_window(window)
        check_rate(false_alarms)
        self.sketch = sketch
        self.digest = digest
        self.window = window
        self.false_alarms = false_alarms
        self.last: Verdict | None = None
        self.windows = self.input_alarms = self.prediction_alarms = 0
        self.total = Counts(sketch)
        self._now = Counts(sketch)
        self._on_window = on_window
        self._lock = threading.Lock()
        self._detach: Callable[[], None] | None = None
        limits(sketch, window, false_alarms)  # worked out now, and kept: the first window waits for nothing

    @property
    def inputs_changed(self) -> bool:
        """Whether the last whole window had other inputs than calibration."""
        return self.last is not None and self.last.inputs_changed

    @property
    def predictions_changed(self) -> bool:
        """Whether the last whole window had other predictions than calibration."""
        return self.last is not None and self.last.predictions_changed

    def add(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> Verdict | None:
        """Take in one inference, arrays in the model's own types; return the verdict when it completes a window."""
        return self._take(self.sketch.input_bins(inputs), self.sketch.output_bins(outputs))

    def _take(self, seen: Sequence[int], said: Sequence[int]) -> Verdict | None:
        with self._lock:
            self._now.add(seen, said)
            self.total.add(seen, said)
            if self._now.samples < self.window:
                return None
            verdict = self._now.judged(self.sketch, self.false_alarms)
            self._now = Counts(self.sketch)
            self.last = verdict
            self.windows += 1
            self.input_alarms += verdict.inputs_changed
            self.prediction_alarms += verdict.predictions_changed
        if self._on_window is not None:
            self._on_window(verdict)
        return verdict

    def dump(self) -> dict[str, Any]:
        """Return what was seen so far, as JSON that :func:`qedge.drift.merge` takes: counts, no samples."""
        with self._lock:
            return {
                "format": "qedge-drift",
                "version": 1,
                "digest": self.digest,
                "windows": self.windows,
                "input_alarms": self.input_alarms,
                "prediction_alarms": self.prediction_alarms,
                "samples": self.total.samples,
                "inputs": [list(c) for c in self.total.inputs],
                "outputs": [list(c) for c in self.total.outputs],
            }

    @property
    def changed(self) -> list[str]:
        """What is no longer as in calibration, by the last whole window: ``inputs``, ``predictions``, both or none."""
        found = {"inputs": self.inputs_changed, "predictions": self.predictions_changed}
        return [word for word, yes in found.items() if yes]

    def attach(self, model: Model, every_s: float = 0.0) -> None:
        """Watch every inference of ``model``, whoever asks for it, until :meth:`close`.

        Args:
            every_s: seconds from one inference that counts to the next.
        """
        run, due = model._run, -math.inf

        def watched(arrays: Sequence[Array]) -> list[Array]:
            nonlocal due
            outputs = run(arrays)  # raises for arrays that are not the model's
            now = time.monotonic()
            if now >= due:
                due = now + every_s
                self.add(arrays, outputs)
            return outputs

        model._run = watched
        self._detach = lambda: setattr(model, "_run", run)

    def close(self) -> None:
        """Watch no longer."""
        if self._detach is not None:
            self._detach()
            self._detach = None

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def monitor(
    model: Model,
    *,
    window: int = WINDOW,
    false_alarms: float = FALSE_ALARMS,
    on_window: Callable[[Verdict], object] | None = None,
    every_s: float | None = 0.0,
) -> Monitor:
    """Return a monitor that watches every inference of ``model``; the other arguments are :class:`Monitor`'s.

    Args:
        every_s: seconds from one inference that counts to the next, for those that depend on each other: frames of
            a camera. None counts only what :meth:`Monitor.add` is given.

    Raises:
        UsageError: the bundle has no sketch, as it was built without data, or an argument is out of range.
        IntegrityError: the sketch is damaged or of another model.
    """
    watch = Monitor(
        read_sketch(model.bundle),
        digest=str(model.provenance["digest"]),
        window=window,
        false_alarms=false_alarms,
        on_window=on_window,
    )
    if every_s is not None:
        watch.attach(model, every_s)
    return watch


def read_sketch(bundle: Bundle) -> Sketch:
    """Return the sketch of a bundle.

    Raises:
        UsageError: it has none.
        IntegrityError: it is damaged, or of another model.
    """
    manifest = bundle.manifest
    if DRIFT not in manifest.files:
        raise UsageError(
            f"{bundle.root}: has no {DRIFT}, which says what calibration looked like",
            hint="build it again with --data, 20 samples or more",
        )
    where = f"{bundle.root}/{DRIFT}"
    sketch = Sketch.decoded(bundle.read(DRIFT), where)
    sketch.check_fits(manifest.inputs, manifest.outputs, where)
    return sketch
