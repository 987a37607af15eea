"""What a job and those who do it agree on."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from qedge.errors import DataError

PORTION = 32
"""Samples of a portion: few enough that a slow model tells of its progress and many workers have something to do."""
Found = TypeVar("Found")
Found_co = TypeVar("Found_co", covariant=True)
Tick = Callable[[], None]
Work = Callable[[Sequence[int], Tick], Found]


class Job(Protocol[Found_co]):
    """What is done with each portion. It is pickled: data in it are names of files."""

    def begin(self) -> Callable[[Sequence[int], Tick], Found_co]:
        """Return what works on a portion; called once wherever portions are worked on.

        The function gets the indices of the portion's samples and a function to call after each of them; it is
        called by one thread at a time.
        """


class Executor(Protocol):
    """Who does the work."""

    def run(self, job: Job[Found], portions: Sequence[Sequence[int]], tick: Tick) -> Iterator[Found]:
        """Yield the result of every portion, in order.

        A portion whose worker dies is done again. ``tick`` is called once for every sample that is done.

        Raises:
            ToolError: workers cannot be had, or die again and again on the same portion.
            QedgeError: whatever the job raises.
        """


class Here:
    """This process, one portion after the other."""

    def run(self, job: Job[Found], portions: Sequence[Sequence[int]], tick: Tick) -> Iterator[Found]:
        """Yield the result of every portion, in order."""
        work = job.begin()
        for portion in portions:
            yield work(portion, tick)


def portions_of(indices: Sequence[int]) -> list[Sequence[int]]:
    """Return the indices in portions, the last one smaller.

    >>> [len(portion) for portion in portions_of(range(70))]
    [32, 32, 6]
    """
    return [indices[at : at + PORTION] for at in range(0, len(indices), PORTION)]


def bundled(portions: Sequence[Sequence[int]], workers: int, most: int) -> list[Sequence[Sequence[int]]]:
    """Return portions in bundles that go out together: large enough to be worth it, small enough for every worker.

    >>> [len(bundle) for bundle in bundled([[0]] * 40, 2, 8)]
    [5, 5, 5, 5, 5, 5, 5, 5]
    """
    each = max(1, min(most, len(portions) // (workers * 4)))
    return [portions[at : at + each] for at in range(0, len(portions), each)]


def packed(job: Job[Any], dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """Return a job as bytes for others.

    Raises:
        DataError: there is something in it that cannot be sent.
    """
    try:
        return dumps(job)
    except (pickle.PicklingError, TypeError, AttributeError) as problem:
        raise DataError(
            f"the data cannot be handed to other processes: {problem}",
            hint="give a file or a folder, or work with one process",
        ) from None


def silent() -> None:
    """Tell nobody."""
