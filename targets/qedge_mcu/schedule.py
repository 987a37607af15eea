"""In which order operators run: the order that keeps least memory alive.

A model with branches has many valid orders. A beam search over them compares the bytes that are alive at
their peak; what a plan then makes of an order decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

BEAM = 24
CANDIDATES = 12


@dataclass(frozen=True)
class Task:
    """One operator, by what it reads and writes.

    Args:
        reads, writes: names of buffers, aliases resolved.
        after: positions of tasks that must have run for another reason than data (shared state).
        scratch_bytes: working memory while it runs.
        leads: by input buffer, the distance at which output 0 may share its memory (``ops/overlap.py``).
    """

    reads: frozenset[str]
    writes: tuple[str, ...]
    after: frozenset[int]
    scratch_bytes: int
    leads: Mapping[str, int]


@dataclass(frozen=True)
class _State:
    peak: int
    live_bytes: int
    order: tuple[int, ...]
    done: int
    live: frozenset[str]

    @property
    def rank(self) -> tuple[int, int, tuple[int, ...]]:
        return self.peak, self.live_bytes, self.order


def best_order(
    tasks: Sequence[Task], sizes: Mapping[str, int], inputs: frozenset[str], outputs: frozenset[str]
) -> list[int]:
    """Return positions of ``tasks`` in an order that is valid and keeps little memory alive.

    Args:
        sizes: bytes by buffer; constants are not among them.
        inputs, outputs: buffers that are alive from the start, and until the end.
    """
    readers: dict[str, int] = {}
    maker: dict[str, int] = {}
    for i, task in enumerate(tasks):
        for name in task.reads:
            readers[name] = readers.get(name, 0) | 1 << i
        for name in task.writes:
            maker.setdefault(name, i)
    needs = [
        sum(1 << j for j in {maker[n] for n in task.reads if n in maker} - {i} | task.after)
        for i, task in enumerate(tasks)
    ]
    start = frozenset(n for n in inputs if n in sizes)
    size = sum(sizes[n] for n in start)
    beam = [_State(size, size, (), 0, start)]

    def dies(name: str, done: int) -> bool:
        return name not in outputs and readers.get(name, 0) & ~done == 0

    for _ in tasks:
        following: dict[int, _State] = {}
        for state in beam:
            ready = [i for i in range(len(tasks)) if not state.done >> i & 1 and not needs[i] & ~state.done]
            for i in ready[:CANDIDATES]:
                new = _run(state, i, tasks[i], sizes, dies)
                old = following.get(new.done)
                if old is None or new.rank < old.rank:
                    following[new.done] = new
        beam = sorted(following.values(), key=lambda s: s.rank)[:BEAM]
    return list(beam[0].order)


def _run(
    state: _State, i: int, task: Task, sizes: Mapping[str, int], dies: Callable[[str, int], bool]
) -> _State:
    done = state.done | 1 << i
    made = [n for n in dict.fromkeys(task.writes) if n in sizes and n not in state.live]
    dying = [n for n in state.live if (n in task.reads) and dies(n, done)]
    during = state.live_bytes + sum(sizes[n] for n in made) + task.scratch_bytes
    if made:
        during -= max(
            (_shared(sizes[n], sizes[made[0]], task.leads[n]) for n in dying if n in task.leads), default=0
        )
    live = (state.live | set(made)) - set(dying)
    live -= {n for n in made if dies(n, done)}
    return _State(
        max(state.peak, during), sum(sizes[n] for n in live), (*state.order, i), done, frozenset(live)
    )


def _shared(input_bytes: int, output_bytes: int, lead: int) -> int:
    """Return the bytes saved when an output lies ``lead`` bytes before its input.

    >>> _shared(100, 100, 8)
    92
    """
    together = max(input_bytes + max(lead, 0), output_bytes + max(-lead, 0))
    return max(input_bytes + output_bytes - together, 0)
