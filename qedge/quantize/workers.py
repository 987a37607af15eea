"""Both models' answers to many samples by several processes, in the samples' order: whoever adds them up gets the same
sums, to the last bit, however many there are.

Each worker holds both models and the dataset (a list of files, or arrays); indices go out in portions, answers come
back. A portion whose worker dies is done again.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.errors import ToolError, UsageError
from qedge.quantize.interpreter import Runner

Array = npt.NDArray[Any]
Answers = tuple[list[Array], list[Array]]
PORTION = 128
MAX_WORKERS = 256
# Portions that are out at a time, for each worker: one at work, one waiting.
AHEAD = 2
MOST_DEATHS = 3

_here: dict[str, Any] = {}


def answers_by(
    workers: int, float_model: bytes, int8_model: bytes, dataset: Dataset, indices: Sequence[int]
) -> Iterator[tuple[int, Answers]]:
    """Yield (index, answers of both models) for every index, in order.

    Raises:
        UsageError: a number of workers that makes no sense.
        ToolError: workers die again and again on the same portion.
        QedgeError: whatever a sample or a model raises in a worker.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"--workers: found {workers}, expected 1 to {MAX_WORKERS}")
    left = deque(list(indices[at : at + PORTION]) for at in range(0, len(indices), PORTION))
    deaths = 0
    while left:
        before = len(left)
        try:
            # Not by fork: the threads of this process would not be in the children, but what they hold locked would.
            with ProcessPoolExecutor(
                workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(float_model, int8_model, dataset),
            ) as pool:
                yield from _through(pool, left, workers * AHEAD)
        except BrokenProcessPool:
            deaths = deaths + 1 if len(left) == before else 1
            if deaths >= MOST_DEATHS:
                raise ToolError(
                    f"a worker died {deaths} times on the samples from {left[0][0]} on",
                    hint="is there memory for so many? try fewer --workers, or 1, which says more",
                ) from None


def _through(pool: ProcessPoolExecutor, left: deque[list[int]], ahead: int) -> Iterator[tuple[int, Answers]]:
    """Yield the answers of all portions in order; what was yielded is gone from ``left``."""
    out: deque[Future[list[Answers]]] = deque()
    try:
        while left:
            while len(out) < min(ahead, len(left)):
                out.append(pool.submit(_work, left[len(out)]))
            found = out.popleft().result()
            yield from zip(left.popleft(), found)
    finally:
        for future in out:
            future.cancel()


def _begin(float_model: bytes, int8_model: bytes, dataset: Dataset) -> None:
    """Load what a worker keeps."""
    _here["dataset"] = dataset
    _here["models"] = Runner(float_model, threads=1), Runner(int8_model, threads=1)


def _work(indices: Sequence[int]) -> list[Answers]:
    """Return both models' answers to a portion."""
    real, quantised = _here["models"]
    found = []
    for i in indices:
        sample = _here["dataset"][i]
        found.append((real.predict(sample), quantised.predict(sample)))
    return found
