"""Where every tensor lies in the arena, and proof that no two live ones overlap.

A *buffer* is a piece of memory with a lifetime counted in steps (one step an operator). Two buffers that
live at the same time lie apart, except for the output of an operator over an input that dies there: the
operator's *lead* (``ops/overlap.py``) says how far the output must start before it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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

    With ``exact`` only when the two are equal.
    """

    input: str
    output: str
    lead: int
    exact: bool = False

    def allows(self, input_offset: int, output_offset: int) -> bool:
        """Whether the two may lie so although they overlap."""
        if self.exact:
            return output_offset == input_offset - self.lead
        return output_offset <= input_offset - self.lead


@dataclass(frozen=True)
class Problem:
    """What to place.

    Args:
        tied: groups of buffers that get one offset, as the steps of a loop use them in turn.
    """

    buffers: tuple[Buffer, ...]
    sharings: tuple[Sharing, ...] = ()
    tied: tuple[tuple[str, ...], ...] = ()

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


def without(found: Plan, names: frozenset[str], *, tries: int) -> Plan:
    """Return a plan of the other buffers alone: the same offsets, unless others make the arena smaller.

    Args:
        names: buffers that lie elsewhere.
        tries: effort of the planner; with 0 the others stay where they are.
    """
    problem = found.problem
    rest = Problem(
        tuple(b for b in problem.buffers if b.name not in names),
        tuple(s for s in problem.sharings if not {s.input, s.output} & names),
        problem.tied,
    )
    offsets = {b.name: found.offsets[b.name] for b in rest.buffers}
    same = Plan(rest, offsets, _align(max((offsets[b.name] + b.nbytes for b in rest.buffers), default=0)))
    other = plan(rest, tries=tries) if tries else same
    return other if other.arena_bytes < same.arena_bytes else same


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


def tie(problem: Problem, wanted: Iterable[Sequence[str]]) -> Problem:
    """Return the problem with buffers tied that may have one offset; a group that may not is divided."""
    buffers = {b.name: b for b in problem.buffers}
    sharings = {(s.input, s.output): s for s in problem.sharings}
    taken: set[str] = set()
    tied: list[tuple[str, ...]] = []

    def fits(a: str, b: str) -> bool:
        both = [sharings[pair] for pair in ((a, b), (b, a)) if pair in sharings]
        return not buffers[a].lives_with(buffers[b]) or any(s.allows(0, 0) for s in both)

    for names in wanted:
        groups: list[list[str]] = []
        for name in dict.fromkeys(names):
            if name not in taken and name in buffers:
                place = next((g for g in groups if all(fits(name, other) for other in g)), None)
                if place is None:
                    groups.append([name])
                else:
                    place.append(name)
        found = [tuple(g) for g in groups if len(g) > 1]
        tied += found
        taken |= {name for g in found for name in g}
    return replace(problem, tied=(*problem.tied, *tied))


def plan(problem: Problem, *, tries: int = 300) -> Plan:
    """Return the smallest plan found by placing in several orders, then by swapping neighbours.

    The same problem gives the same plan.
    """
    groups = _groups(problem)
    neighbours = _neighbours(problem, groups)
    best: Plan | None = None
    best_order: list[_Group] = []
    for key in _ORDERS:
        order = sorted(groups, key=lambda g: key(g.whole))
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


@dataclass(frozen=True)
class _Group:
    """Buffers with one offset, and one buffer that covers the sizes and lives of all."""

    members: tuple[Buffer, ...]
    whole: Buffer


def _groups(problem: Problem) -> list[_Group]:
    """Return the tied buffers as groups, and each other buffer as one of its own, in the buffers' order."""
    group_of = {name: names for names in problem.tied for name in names}
    members: dict[tuple[str, ...], list[Buffer]] = {}
    for b in problem.buffers:
        members.setdefault(group_of.get(b.name, (b.name,)), []).append(b)
    return [
        _Group(
            tuple(group),
            Buffer(
                group[0].name,
                max(b.nbytes for b in group),
                min(b.first for b in group),
                max(b.last for b in group),
            ),
        )
        for group in members.values()
    ]


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


_Neighbours = Mapping[str, tuple[tuple[str, tuple[tuple[int, int], ...]], ...]]
"""By group, those that live with it, and where it must not start as seen from where they do: open intervals."""


def _place(problem: Problem, order: Iterable[_Group], neighbours: _Neighbours) -> Plan:
    """Return the plan that gives each group in turn the lowest offset that is free."""
    offsets: dict[str, int] = {}
    arena = 0
    for group in order:
        forbidden = sorted(
            (at + low, at + high)
            for other, intervals in neighbours[group.whole.name]
            if (at := offsets.get(other)) is not None
            for low, high in intervals
        )
        offset = 0
        for low, high in forbidden:
            if low < offset < high:
                offset = _align(high)
        offsets.update({b.name: offset for b in group.members})
        arena = max(arena, offset + group.whole.nbytes)
    return Plan(problem, offsets, _align(arena))


def _neighbours(problem: Problem, groups: Sequence[_Group]) -> _Neighbours:
    sharings = {(s.input, s.output): s for s in problem.sharings}
    found: dict[str, list[tuple[str, tuple[tuple[int, int], ...]]]] = {g.whole.name: [] for g in groups}
    for g in groups:
        for h in groups:
            if g is not h and g.whole.lives_with(h.whole):
                pairs = ((a, b) for a in g.members for b in h.members if a.lives_with(b))
                intervals = dict.fromkeys(i for a, b in pairs for i in _forbidden(a, b, sharings))
                if intervals:
                    found[g.whole.name].append((h.whole.name, tuple(intervals)))
    return {name: tuple(others) for name, others in found.items()}


def _forbidden(
    b: Buffer, other: Buffer, sharings: Mapping[tuple[str, str], Sharing]
) -> list[tuple[int, int]]:
    """Return the open intervals that ``b`` must not start in, counted from where ``other`` does."""
    low, high = -b.nbytes, other.nbytes
    as_output = sharings.get((other.name, b.name))
    as_input = sharings.get((b.name, other.name))
    sharing = as_output or as_input
    if sharing is not None and sharing.exact:
        at = -sharing.lead if as_output is not None else sharing.lead
        return [(low, at), (at, high)] if low < at < high else [(low, high)]
    if as_output is not None:
        return [(max(low, -as_output.lead), high)]
    if as_input is not None:
        return [(low, min(high, as_input.lead))]
    return [(low, high)]
