"""What quantisation did to one output: noise, noise about the mean, agreement, and the metric of its task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.outputs import OutputInfo
from qedge.quantize.columns import groups_of, spelled
from qedge.quantize.intervals import (
    Interval,
    f1,
    f1_drop_interval,
    f1_interval,
    mean_interval,
    paired_drop,
    wilson,
)
from qedge.quantize.sums import Sums
from qedge.quantize.tasks import Kind, Task, decisions

Array = npt.NDArray[Any]

# Beyond this many values the moments are kept a column (last axis), not a value.
MOST_VALUES = 1 << 21


@dataclass(frozen=True)
class Part:
    """Columns of an output whose values are of one size, where others of the same output are of another.

    Args:
        columns: which, along the axis that tells them apart: ``0-3``.
        sqnr_db, centred_db: as in :class:`OutputFigures`.
    """

    columns: str
    sqnr_db: float
    centred_db: float | None


@dataclass(frozen=True)
class OutputFigures:
    """One output of a quantised model beside the float model's, on the same samples.

    Args:
        name: of the output.
        task: what it is asked for, see :class:`qedge.quantize.tasks.Task`.
        samples: number of them.
        sqnr_db: signal to noise over all its values; ``inf`` without noise and for whole numbers.
        centred_db: the same with the signal about its mean over the samples, each value its own; None where
            nothing varies, or for whole numbers.
        parts: where its columns are of unlike size, each size apart; else empty.
        agreement: share of equal answers; of many labels the F1 of the decisions against the float model's.
            None where the answer is a number.
        agreement_interval: 95 %.
        overlap: of a map, F1 of all its answers but the commonest (Dice), against the float model's: a background
            that fills the map hides nothing. None where the float model gives one answer alone.
        answers: how many different answers the float model gives, where an output is classes, yes or no, or a map.
        metric: ``accuracy``, ``f1``, ``map`` (mAP50-95) or ``mae`` (mean absolute error), None without labels.
        float_metric, quantized_metric: the metric of both models.
        float_interval, quantized_interval: 95 %.
        drop: what is lost: accuracy or F1 that falls, error that rises.
        drop_interval: 95 %, both models on the same samples.
        float_r2, quantized_r2: share of the labels' variance that is explained, for numbers.
        float_recall: share of each class that the float model has right, mean over the classes, where a sample is
            of one class.
        classes_seen: how many classes the labels hold there.
        constant: whether the float model says the same for every sample.
        boxes: of a detector's objects: agreement at overlaps of 0.5 to 0.95 and of scores, and with labels the
            average precision of both models by overlap, size and class.
    """

    name: str
    task: Kind
    samples: int
    sqnr_db: float
    centred_db: float | None
    parts: tuple[Part, ...] = ()
    agreement: float | None = None
    agreement_interval: Interval | None = None
    overlap: float | None = None
    answers: int = 0
    metric: str | None = None
    float_metric: float | None = None
    quantized_metric: float | None = None
    float_interval: Interval | None = None
    quantized_interval: Interval | None = None
    drop: float | None = None
    drop_interval: Interval | None = None
    float_r2: float | None = None
    quantized_r2: float | None = None
    float_recall: float | None = None
    classes_seen: int = 0
    constant: bool = False
    boxes: Mapping[str, Any] | None = None

    @property
    def worst_db(self) -> float:
        """The SQNR of its worst part, or its own."""
        return min((part.sqnr_db for part in self.parts), default=self.sqnr_db)

    @property
    def worst_part(self) -> Part | None:
        """The part of lowest SQNR, where its columns count apart."""
        return min(self.parts, key=lambda p: p.sqnr_db, default=None)

    @property
    def is_share(self) -> bool:
        """Whether the metric is a share that falls when the model gets worse."""
        return self.metric in ("accuracy", "f1", "map")

    def to_json(self) -> dict[str, Any]:
        """Return all fields for JSON: rounded to 4 decimals, None for what is not finite."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


class OutputTally:
    """Adds up :class:`OutputFigures`, one sample at a time, or several that others added up.

    Args:
        info: the output.
        task: what it is asked for.
    """

    def __init__(self, info: OutputInfo, task: Task) -> None:
        self.info, self.task = info, task
        self._wide = info.size > MOST_VALUES
        self._sums = self._nothing()

    def _nothing(self) -> Sums:
        return Sums(self.info.shape[-1] if self._wide else self.info.size)

    @property
    def samples(self) -> int:
        """How many were taken in."""
        return self._sums.samples

    def take(self) -> Sums:
        """Return what was added up, and begin anew."""
        found, self._sums = self._sums, self._nothing()
        return found

    def merge(self, later: Sums) -> None:
        """Take in what another tally of this output gave for later samples."""
        self._sums.merge(later)

    def add(self, real: Array, quantised: Array, truth: Array | None) -> None:
        """Take in the output of both models for one sample, and what it should have been."""
        self._sums.samples += 1
        if self.task.kind != "index":
            self._measure(real, quantised)
        said, found = decisions(real, self.task, self.info), decisions(quantised, self.task, self.info)
        if self.task.kind == "many_labels":
            self._sums.same.append(0.0)
            self._sums.scores.append((said, found))
        elif self.task.kind != "values":
            self._sums.same.append(float((said == found).mean()) if said.size else 1.0)
        if self.task.kind in ("places", "classes", "yes_no"):
            self._sums.place(said, found)
        if truth is None:
            return
        label = np.asarray(truth).reshape(-1)
        self._sums.labels.append(label)
        if self.task.kind == "values":
            self._sums.scores.append(
                (real.astype(np.float64).reshape(-1), quantised.astype(np.float64).reshape(-1))
            )
        elif self.task.kind != "many_labels":
            self._sums.scores.append((float((said == label).mean()), float((found == label).mean())))

    def _measure(self, real: Array, quantised: Array) -> None:
        wide = real.astype(np.float64)
        error = np.square(wide - quantised.astype(np.float64))
        if self._wide:
            wide, error = wide.reshape(-1, self.info.shape[-1]), error.reshape(-1, self.info.shape[-1])
            self._sums.sum += wide.sum(axis=0)
            self._sums.square += np.square(wide).sum(axis=0)
            self._sums.noise += error.sum(axis=0)
            self._sums.seen += len(wide)
            low, high = wide.min(axis=0), wide.max(axis=0)
        else:
            low = high = wide = wide.reshape(-1)
            self._sums.sum += wide
            self._sums.square += np.square(wide)
            self._sums.noise += error.reshape(-1)
            self._sums.seen += 1
        np.minimum(self._sums.low, low, out=self._sums.low)
        np.maximum(self._sums.high, high, out=self._sums.high)

    def result(self) -> OutputFigures:
        """Return the figures of what was added so far."""
        whole = self.task.kind == "index"
        signal, noise = float(self._sums.square.sum()), float(self._sums.noise.sum())
        varied = self._varied()
        return OutputFigures(
            name=self.info.name,
            task=self.task.kind,
            samples=self.samples,
            sqnr_db=math.inf if whole else decibels(signal, noise),
            centred_db=None if whole else _centred(float(varied.sum()), noise),
            parts=self._parts(varied),
            constant=not whole and self.samples > 1 and bool((self._sums.low == self._sums.high).all()),
            **self._agreement(),
            overlap=_overlap(self._sums.placed) if self.task.kind == "places" else None,
            answers=int((self._sums.placed[1] > 0).sum()),
            **self._metric(),
        )

    def _varied(self) -> npt.NDArray[np.float64]:
        """Return the energy of each value about its mean over the samples."""
        if not self._sums.seen:
            return np.zeros(1)
        varied = self._sums.square - np.square(self._sums.sum) / self._sums.seen
        # What is left of a constant are rounding errors of the subtraction.
        varied[self._sums.low == self._sums.high] = 0.0
        return np.maximum(varied, 0.0)

    def _parts(self, varied: npt.NDArray[np.float64]) -> tuple[Part, ...]:
        if self.task.kind not in ("values", "vector") or not self.samples:
            return ()
        shape = self.info.shape[-1:] if self._wide else self.info.shape
        axis, groups = groups_of(self._sums.square.reshape(shape))
        if len(groups) < 2:
            return ()
        energy = [
            np.moveaxis(v.reshape(shape), axis, 0).reshape(shape[axis], -1).sum(axis=1)
            for v in (self._sums.square, self._sums.noise, varied)
        ]
        return tuple(
            Part(
                spelled(columns),
                decibels(float(energy[0][columns].sum()), float(energy[1][columns].sum())),
                _centred(float(energy[2][columns].sum()), float(energy[1][columns].sum())),
            )
            for columns in groups
        )

    def _agreement(self) -> dict[str, Any]:
        if not self._sums.same:
            return {}
        if self.task.kind == "many_labels":
            counts = np.stack([_counts(found, said) for said, found in self._sums.scores])
            if not counts[:, [0, 2]].any():  # the float model never says yes: there is nothing to agree on
                return {}
            return {"agreement": f1(counts), "agreement_interval": f1_interval(counts)}
        if self.task.kind == "places" and (self._sums.placed[1] > 0).sum() == 1:
            return {}  # it says one thing everywhere: there is nothing to agree on
        share = float(np.mean(self._sums.same))
        if all(v in (0.0, 1.0) for v in self._sums.same):
            return {
                "agreement": share,
                "agreement_interval": wilson(sum(self._sums.same), len(self._sums.same)),
            }
        low, high = mean_interval(self._sums.same)
        return {"agreement": share, "agreement_interval": (max(low, 0.0), min(high, 1.0))}

    def _metric(self) -> dict[str, Any]:
        if not self._sums.labels:
            return {}
        if self.task.kind == "values":
            return _error(np.stack(self._sums.labels), *(np.stack(v) for v in zip(*self._sums.scores)))
        if self.task.kind == "many_labels":
            pairs = list(zip(self._sums.scores, self._sums.labels))
            first = np.stack([_counts(said, label) for (said, _), label in pairs])
            second = np.stack([_counts(found, label) for (_, found), label in pairs])
            return {
                "metric": "f1",
                "float_metric": f1(first),
                "quantized_metric": f1(second),
                "float_interval": f1_interval(first),
                "quantized_interval": f1_interval(second),
                "drop": f1(first) - f1(second),
                "drop_interval": f1_drop_interval(first, second),
            }
        first, second = (np.array(v) for v in zip(*self._sums.scores))
        found = _accuracy(first, second)
        if self.task.kind in ("classes", "yes_no"):
            labels = np.concatenate(self._sums.labels)
            seen = np.unique(labels)
            found["float_recall"] = float(np.mean([first[labels == c].mean() for c in seen]))
            found["classes_seen"] = len(seen)
        return found


def decibels(signal: float, noise: float) -> float:
    """Return ``10*log10(signal / noise)``; ``inf`` without noise, ``-inf`` with noise alone.

    >>> decibels(100.0, 1.0)
    20.0
    """
    if noise == 0.0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def _centred(varied: float, noise: float) -> float | None:
    return None if varied <= 0.0 else decibels(varied, noise)


def _overlap(placed: npt.NDArray[np.int64]) -> float | None:
    """Return F1 of all answers but the float model's commonest one; None where it gives no other."""
    if not placed.shape[1]:
        return None
    both, said, found = np.delete(placed, int(placed[1].argmax()), axis=1).sum(axis=1).tolist()
    return 2 * both / (said + found) if said else None


def _counts(decided: Array, truth: Array) -> npt.NDArray[np.int64]:
    """Return true positives, false positives and false negatives of one sample."""
    yes, real = np.asarray(decided, bool), np.asarray(truth, bool)
    return np.array([(yes & real).sum(), (yes & ~real).sum(), (~yes & real).sum()], np.int64)


def _accuracy(first: Array, second: Array) -> dict[str, Any]:
    """Return the accuracy of both models from the share that each has right, sample by sample."""
    n = len(first)
    before, after = float(first.mean()), float(second.mean())
    found: dict[str, Any] = {"metric": "accuracy", "float_metric": before, "quantized_metric": after}
    found["drop"] = before - after
    if np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all():
        lost, won = int(((first == 1) & (second == 0)).sum()), int(((first == 0) & (second == 1)).sum())
        intervals = wilson(float(first.sum()), n), wilson(float(second.sum()), n), paired_drop(lost, won, n)
    else:
        intervals = mean_interval(first), mean_interval(second), mean_interval(first - second)
    return found | dict(zip(("float_interval", "quantized_interval", "drop_interval"), intervals))


def _error(truth: Array, first: Array, second: Array) -> dict[str, Any]:
    """Return the mean absolute error of both models and the share of the labels' variance that they explain."""
    before, after = (np.abs(v - truth).mean(axis=1) for v in (first, second))
    spread = float(np.square(truth - truth.mean(axis=0)).sum())
    r2 = [1 - float(np.square(v - truth).sum()) / spread if spread else None for v in (first, second)]
    return {
        "metric": "mae",
        "float_metric": float(before.mean()),
        "quantized_metric": float(after.mean()),
        "float_interval": mean_interval(before),
        "quantized_interval": mean_interval(after),
        "drop": float((after - before).mean()),
        "drop_interval": mean_interval(after - before),
        "float_r2": r2[0],
        "quantized_r2": r2[1],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
