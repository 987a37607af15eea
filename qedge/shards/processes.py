"""Several processes of this machine.

Each has the job of its own; portions go out, results come back. A portion whose worker dies is done again.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from qedge.errors import ToolError, UsageError
from qedge.shards.protocol import Found, Job, Tick, bundled, packed, silent

MAX_WORKERS = 256
# Bundles of portions that are out at a time, for each worker: one at work, one waiting.
AHEAD = 2
MOST_PORTIONS = 8
MOST_DEATHS = 3

Bundle = Sequence[Sequence[int]]
_here: dict[str, Any] = {}


class Processes:
    """A number of processes.

    Raises:
        UsageError: a number that makes no sense.
    """

    def __init__(self, workers: int) -> None:
        if not 1 <= workers <= MAX_WORKERS:
            raise UsageError(f"--workers: found {workers}, expected 1 to {MAX_WORKERS}")
        self.workers = workers

    def run(self, job: Job[Found], portions: Sequence[Sequence[int]], tick: Tick) -> Iterator[Found]:
        """Yield the result of every portion, in order."""
        payload = packed(job)
        left = deque(bundled(portions, self.workers, MOST_PORTIONS))
        deaths = 0
        while left:
            before = len(left)
            try:
                # Not by fork: threads would not be in the children, but what they hold locked would.
                with ProcessPoolExecutor(
                    self.workers,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_begin,
                    initargs=(payload,),
                ) as pool:
                    for bundle, found in _through(pool, left, self.workers * AHEAD):
                        for _ in range(sum(map(len, bundle))):
                            tick()
                        yield from found
            except BrokenProcessPool:
                deaths = deaths + 1 if len(left) == before else 1
                if deaths >= MOST_DEATHS:
                    raise ToolError(
                        f"a worker died {deaths} times on the samples from {left[0][0][0]} on",
                        hint="is there memory for so many? try fewer --workers, or 1, which says more",
                    ) from None


def _through(
    pool: ProcessPoolExecutor, left: deque[Bundle], ahead: int
) -> Iterator[tuple[Bundle, list[Any]]]:
    """Yield every bundle and its results, in order; what was yielded is gone from ``left``."""
    out: deque[Future[list[Any]]] = deque()
    try:
        while left:
            while len(out) < min(ahead, len(left)):
                out.append(pool.submit(_work, left[len(out)]))
            found = out.popleft().result()
            yield left.popleft(), found
    finally:
        for future in out:
            future.cancel()


def _begin(payload: bytes) -> None:
    _here["payload"] = payload


def _work(bundle: Bundle) -> list[Any]:
    if "work" not in _here:  # not before: what it raises reaches the caller from here
        _here["work"] = pickle.loads(_here["payload"]).begin()
    return [_here["work"](portion, silent) for portion in bundle]
