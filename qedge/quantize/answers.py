"""What both models answered for each sample, where an output is asked for one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.outputs import OutputInfo
from qedge.quantize.tasks import Task, decisions

Array = npt.NDArray[Any]
Classes = npt.NDArray[np.int64]
Row = tuple[int, int, int]  # index of the sample, answers of both models


@dataclass(frozen=True)
class Answers:
    """The class that each model gave to each sample; ``(n,)`` int64, a yes being 1 and a no 0.

    Args:
        output: index of the output.
        classes: how many it tells apart.
        samples: index of each sample in the dataset that was compared on.
        truth: what is right, or None without labels.
        real, quantized: what the float model and the quantised one said.
    """

    output: int
    classes: int
    samples: Classes
    truth: Classes | None
    real: Classes
    quantized: Classes


class AnswerLog:
    """Notes the answers of the first output that gives one class a sample, if any does.

    Args:
        infos, tasks, truths: of every output; ``truths[k]`` has an entry a sample of the dataset, or is None.
    """

    def __init__(
        self, infos: Sequence[OutputInfo], tasks: Sequence[Task], truths: Sequence[Array | None]
    ) -> None:
        each = zip(range(len(infos)), infos, tasks, truths)
        self._of = next(((k, i, t, y) for k, i, t, y in each if t.kind in ("classes", "yes_no")), None)
        self._rows: list[Row] = []

    def add(self, i: int, real: Sequence[Array], quantised: Sequence[Array]) -> None:
        """Take in the outputs of both models for sample ``i``."""
        if self._of is not None:
            k, info, task, _ = self._of
            first, second = (int(decisions(outputs[k], task, info)[0]) for outputs in (real, quantised))
            self._rows.append((i, first, second))

    def take(self) -> list[Row]:
        """Return what was noted, and begin anew."""
        found, self._rows = self._rows, []
        return found

    def merge(self, later: list[Row]) -> None:
        """Take in what another log noted of later samples."""
        self._rows += later

    def result(self) -> Answers | None:
        """Return the answers so far; None where no output gives one class."""
        if self._of is None or not self._rows:
            return None
        k, info, _, right = self._of
        samples, first, second = np.array(self._rows, np.int64).T
        truth = None if right is None else np.asarray(right)[samples].astype(np.int64).reshape(-1)
        if truth is not None and truth.shape != samples.shape:
            truth = None
        return Answers(k, max(info.size, 2), samples, truth, first, second)
