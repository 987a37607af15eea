"""Steps that repeat: a recurrent layer that was unrolled is the same operators again and again.

A :class:`Repeat` is a run of operators that is periodic in everything but where its values come from: the operators,
their options, shapes and weights are those one period before, and each reads what corresponds to what the one before
it read. Biases are not compared, as their codes follow from scales that may differ.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qedge.graph.view import Graph, Operator, Tensor

MAX_PERIOD = 96
LEAST = 4
"""Periods that a run must have to count as one."""


@dataclass(frozen=True)
class Repeat:
    """Operators that are alike at a distance of ``period``, by their positions in ``Repeats.order``.

    The last period need not be complete.
    """

    start: int
    period: int
    length: int


@dataclass(frozen=True)
class Repeats:
    """An order in which a graph's operators may run, and the runs in it, which do not overlap."""

    order: tuple[int, ...]
    runs: tuple[Repeat, ...]

    def steps(self, graph: Graph, run: Repeat, place: int) -> list[Operator]:
        """Return the operators at one place of the period, first step first."""
        chosen = self.order[run.start + place : run.start + run.length : run.period]
        return [graph.operators[i] for i in chosen]


def find_repeats(graph: Graph, after: Mapping[int, Iterable[int]] | None = None) -> Repeats:
    """Return the runs of the graph's own order, or of that from inputs to outputs where it has more.

    Converters sort the operators of one step as they like, and otherwise in the next.

    Args:
        after: by operator, those that must have run for another reason than data.
    """
    needs = _needs(graph, after or {})
    orders = (tuple(_own_order(needs)), tuple(_depth_first(needs)))
    kinds = [_kind(graph, op) for op in graph]
    found = [Repeats(order, tuple(_runs(graph, order, kinds))) for order in orders]
    return max(found, key=lambda r: sum(run.length for run in r.runs))


def _needs(graph: Graph, after: Mapping[int, Iterable[int]]) -> list[list[int]]:
    """Return by operator those that must have run before it, those that make its inputs first."""
    return [
        [
            *(graph.producer[t].index for t in op.inputs if t in graph.producer),
            *sorted(after.get(op.index, ())),
        ]
        for op in graph
    ]


def _own_order(needs: Sequence[Sequence[int]]) -> list[int]:
    """Return the operators in the graph's order, but for those that must wait for later ones."""
    waits = [set(found) for found in needs]
    followers: list[list[int]] = [[] for _ in needs]
    for op, found in enumerate(waits):
        for other in found:
            followers[other].append(op)
    ready = [op for op, found in enumerate(waits) if not found]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for op in followers[order[-1]]:
            waits[op].discard(order[-1])
            if not waits[op]:
                heapq.heappush(ready, op)
    return order


def _depth_first(needs: Sequence[Sequence[int]]) -> list[int]:
    """Return the operators so that each comes right behind the last of those that it needs, first input first."""
    read = {n for found in needs for n in found}
    done: dict[int, None] = {}
    for last in range(len(needs)):
        waiting = [last] if last not in read else []
        while waiting:
            op = waiting[-1]
            missing = [n for n in needs[op] if n not in done]
            if op in done or not missing:
                done.setdefault(waiting.pop())
            else:
                waiting.append(missing[0])
    return list(done)


def _runs(graph: Graph, order: Sequence[int], by_operator: Sequence[str]) -> Iterator[Repeat]:
    kinds = [by_operator[i] for i in order]
    place = {op: k for k, op in enumerate(order)}
    at = 0
    while at < len(kinds):
        best: Repeat | None = None
        for period in _periods(kinds, at):
            length = _run(kinds, at, period)
            if length >= LEAST * period and (best is None or length > best.length):
                length = _consistent(graph, order, place, Repeat(at, period, length))
                if length >= LEAST * period and (best is None or length > best.length):
                    best = Repeat(at, period, length)
        if best is not None:
            yield best
        at = best.start + best.length if best is not None else at + 1


def alike(graph: Graph) -> list[list[int]]:
    """Return groups of activations that are one value at different steps.

    These are the outputs at one place of a period, what enters the first step in their stead, and what operators
    ahead of it, which begin the sequence without a state, have in common with a whole step.
    """
    groups: list[list[int]] = []
    repeats = find_repeats(graph)
    for run in repeats.runs:
        entering = _entering(graph, repeats, run)
        ahead = _ahead(graph, repeats, run, set(entering.values()))
        for place in range(run.period):
            steps = repeats.steps(graph, run, place)
            first = ahead.get(place)
            for k in range(len(steps[0].outputs)):
                before = [] if first is None else [first.outputs[k]]
                before += [entering[place, k]] if (place, k) in entering else []
                groups.append([*before, *(op.outputs[k] for op in steps)])
    return groups


def _kind(graph: Graph, op: Operator) -> str:
    """Return a digest of what two operators must have in common to be the same step."""
    digest = hashlib.sha256(repr((op.op, op.custom_name, sorted(op.options.items()))).encode())
    digest.update(op.custom_options)
    for t in (*graph.input_tensors(op), *graph.output_tensors(op)):
        digest.update(repr(None if t is None else (t.dtype, t.shape, t.is_constant)).encode())
        if t is not None and t.data is not None and not _is_bias(t):
            digest.update(t.data.tobytes())
    return digest.hexdigest()


def _is_bias(tensor: Tensor) -> bool:
    return tensor.dtype in ("int32", "int64") and tensor.quantization is not None


def _periods(kinds: Sequence[str], at: int) -> Iterator[int]:
    for period in range(1, min(MAX_PERIOD, (len(kinds) - at) // LEAST) + 1):
        if kinds[at + period] == kinds[at]:
            yield period


def _run(kinds: Sequence[str], at: int, period: int) -> int:
    """Return how many operators from ``at`` on are periodic."""
    end = at + period
    while end < len(kinds) and kinds[end] == kinds[end - period]:
        end += 1
    return end - at


def _consistent(graph: Graph, order: Sequence[int], place: Mapping[int, int], run: Repeat) -> int:
    """Return how many operators of a run read what corresponds to what was read one period before."""

    def made(tensor: int) -> tuple[int, int]:
        """Return where a tensor is made, counted from the start of the run, and as which output; -1 for outside."""
        maker = graph.producer.get(tensor)
        if maker is None or place[maker.index] < run.start:
            return -1, 0
        return place[maker.index] - run.start, maker.outputs.index(tensor)

    for i in range(run.period, run.length):
        op, before = (graph.operators[order[run.start + k]] for k in (i, i - run.period))
        for (now, output), (then, earlier) in zip(map(made, op.inputs), map(made, before.inputs)):
            if then < 0:  # the first step begins with what comes from outside
                fits = now < run.period
            else:
                fits = (now - run.period, output) == (then, earlier)
            if not fits:
                return i
    return run.length


def _entering(graph: Graph, repeats: Repeats, run: Repeat) -> dict[tuple[int, int], int]:
    """Return what the first step reads from outside where the second reads a result of the first."""
    first = {op: k for k, op in enumerate(repeats.order[run.start : run.start + run.period])}
    ahead = set(repeats.order[: run.start])
    found: dict[tuple[int, int], int] = {}
    for place in range(run.period):
        one, two = repeats.steps(graph, run, place)[:2]
        for t, u in zip(one.inputs, two.inputs):
            maker, source = graph.producer.get(u), graph.producer.get(t)
            outside = (
                t >= 0 and not graph.tensors[t].is_constant and (source is None or source.index in ahead)
            )
            if outside and maker is not None and maker.index in first:
                found[first[maker.index], maker.outputs.index(u)] = t
    return found


def _ahead(graph: Graph, repeats: Repeats, run: Repeat, taken: set[int]) -> dict[int, Operator]:
    """Return by place of the period the operator ahead of the run that does its work in the very first step.

    It is the longest common subsequence of operators and shapes of results.
    """

    def shape(op: Operator) -> tuple[object, ...]:
        return op.op, tuple(t.shape for t in graph.output_tensors(op))

    body, head = (
        [graph.operators[i] for i in repeats.order[max(start, 0) : start + run.period]]
        for start in (run.start, run.start - run.period)
    )
    best: list[list[list[tuple[int, Operator]]]] = [[[]] * (len(body) + 1) for _ in range(len(head) + 1)]
    for i, op in enumerate(head):
        for j, other in enumerate(body):
            longest = max(best[i][j + 1], best[i + 1][j], key=len)
            pair = shape(op) == shape(other) and not taken & set(op.outputs)
            if pair and len(best[i][j]) + 1 > len(longest):
                longest = [*best[i][j], (j, op)]
            best[i + 1][j + 1] = longest
    return dict(best[-1][-1])
