"""Where every tensor lies in the arena, and proof that no two live ones overlap.

A *buffer* is a piece of memory with a lifetime counted in steps (one step an operator). Two buffers that
live at the same time lie apart, except for the output of an operator over an input that dies there: the
operator's *lead* (``ops/overlap.py``) says how far the output must start before it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

ALIGN = 4


@dataclass(frozen=True)
class Buffer:
    """A piece of arena memory.

    Args:
        name: unique; the tensor's index as text, or ``scratch<step>``.
        nbytes: size, at least 1.
        first: step that writes it; -1 for a model input.
        last: last step that reads it; the number of steps for a model output.
    """

    name: str
    nbytes: int
    first: int
    last: int

    def lives_with(self, other: Buffer) -> bool:
        """Whether both are alive in some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Sharing:
    """``output`` may share memory with ``input`` when ``output_offset <= input_offset - lead``.

    With ``exact`` only when ``output_offset == input_offset``.
    """

    input: str
    output: str
    lead: int
    exact: bool = False

    def allows(self, input_offset: int, output_offset: int) -> bool:
        """Whether the two may lie so although they overlap."""
        if self.exact:
            return output_offset == input_offset
        return output_offset <= input_offset - self.lead


@dataclass(frozen=True)
class Problem:
    """What to place."""

    buffers: tuple[Buffer, ...]
    sharings: tuple[Sharing, ...] = ()

    @property
    def steps(self) -> int:
        """Number of steps that buffers live in, model inputs' step -1 excluded."""
        return max((b.last for b in self.buffers), default=0) + 1


@dataclass(frozen=True)
class Plan:
    """Offsets in bytes by buffer name, and the arena's size."""

    problem: Problem
    offsets: Mapping[str, int] = field(default_factory=dict)
    arena_bytes: int = 0


def lower_bound(problem: Problem) -> int:
    """Return the most bytes alive in one step, were nothing shared."""
    steps = range(-1, problem.steps)
    return max((sum(b.nbytes for b in problem.buffers if b.first <= s <= b.last) for s in steps), default=0)


def conflicts(plan: Plan) -> list[str]:
    """Return every pair of buffers that live together and overlap against the rules; empty is right."""
    found = []
    sharings = {(s.input, s.output): s for s in plan.problem.sharings}
    buffers = plan.problem.buffers
    for i, a in enumerate(buffers):
        start_a = plan.offsets[a.name]
        if start_a < 0 or start_a + a.nbytes > plan.arena_bytes or start_a % ALIGN:
            found.append(f"{a.name} at {start_a} is outside the arena or not aligned")
        for b in buffers[i + 1 :]:
            start_b = plan.offsets[b.name]
            apart = start_a + a.nbytes <= start_b or start_b + b.nbytes <= start_a
            if apart or not a.lives_with(b):
                continue
            if (a.name, b.name) in sharings and sharings[a.name, b.name].allows(start_a, start_b):
                continue
            if (b.name, a.name) in sharings and sharings[b.name, a.name].allows(start_b, start_a):
                continue
            found.append(f"{a.name} at {start_a} and {b.name} at {start_b} overlap")
    return found


def plan(problem: Problem, *, tries: int = 300) -> Plan:
    """Return the smallest plan found by placing in several orders, then by swapping neighbours.

    The same problem gives the same plan.
    """
    neighbours = _neighbours(problem)
    best: Plan | None = None
    best_order: list[Buffer] = []
    for key in _ORDERS:
        order = sorted(problem.buffers, key=key)
        candidate = _place(problem, order, neighbours)
        if best is None or candidate.arena_bytes < best.arena_bytes:
            best, best_order = candidate, order
    assert best is not None
    generator = random.Random(1)
    for _ in range(tries if len(best_order) > 2 else 0):
        order = list(best_order)
        i, j = generator.randrange(len(order)), generator.randrange(len(order))
        order.insert(j, order.pop(i))
        candidate = _place(problem, order, neighbours)
        if candidate.arena_bytes <= best.arena_bytes:
            best, best_order = candidate, order
    return best


def _by_size(b: Buffer) -> tuple[int, ...]:
    return (-b.nbytes, b.first, b.last)


def _by_end(b: Buffer) -> tuple[int, ...]:
    return (-b.last, -b.first, -b.nbytes)


def _by_start(b: Buffer) -> tuple[int, ...]:
    return (b.first, -b.last, -b.nbytes)


def _by_area(b: Buffer) -> tuple[int, ...]:
    return (-b.nbytes * (b.last - b.first + 1), b.first)


_ORDERS: Sequence[Callable[[Buffer], tuple[int, ...]]] = (_by_end, _by_size, _by_area, _by_start)


def _align(value: int) -> int:
    return (value + ALIGN - 1) // ALIGN * ALIGN


def _place(problem: Problem, order: Iterable[Buffer], neighbours: Mapping[str, tuple[Buffer, ...]]) -> Plan:
    """Return the plan that gives each buffer in turn the lowest offset that is free."""
    sharings = {(s.input, s.output): s for s in problem.sharings}
    offsets: dict[str, int] = {}
    arena = 0
    for b in order:
        forbidden = sorted(
            interval
            for other in neighbours[b.name]
            if other.name in offsets
            for interval in _forbidden(b, other, offsets[other.name], sharings)
        )
        offset = 0
        for low, high in forbidden:
            if low < offset < high:
                offset = _align(high)
        offsets[b.name] = offset
        arena = max(arena, offset + b.nbytes)
    return Plan(problem, offsets, _align(arena))


def _neighbours(problem: Problem) -> Mapping[str, tuple[Buffer, ...]]:
    """Return for each buffer those that live with it."""
    return {
        b.name: tuple(o for o in problem.buffers if o is not b and b.lives_with(o)) for b in problem.buffers
    }


def _forbidden(
    b: Buffer, other: Buffer, at: int, sharings: Mapping[tuple[str, str], Sharing]
) -> list[tuple[int, int]]:
    """Return the open intervals of offsets that ``b`` must avoid because ``other`` lies at ``at``."""
    low, high = at - b.nbytes, at + other.nbytes
    as_output = sharings.get((other.name, b.name))
    as_input = sharings.get((b.name, other.name))
    sharing = as_output or as_input
    if sharing is not None and sharing.exact:
        return [(low, at), (at, high)]
    if as_output is not None:
        return [(max(low, at - as_output.lead), high)]
    if as_input is not None:
        return [(low, min(high, at + as_input.lead))]
    return [(low, high)]
