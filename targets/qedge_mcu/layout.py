"""In which order the steps of a program run, and where their tensors lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from qedge.graph import Graph, Operator, Tensor
from qedge.graph.repeats import Repeat, Repeats, find_repeats
from qedge_mcu.ops.base import Emitted
from qedge_mcu.planner import Buffer, Plan, Problem, Sharing, plan, tie, without
from qedge_mcu.schedule import Task, best_order
from qedge_mcu.streams import Streams
from qedge_mcu.views import Views, aliases, parts


@dataclass(frozen=True, eq=False)
class Step:
    """One operator of the program; ``emitted.alias`` steps make no code."""

    op: Operator
    emitted: Emitted


@dataclass(frozen=True, eq=False)
class Layout:
    """Steps in their order, the plan of their memory, and which of them repeat.

    Args:
        outside: the plan where the model's inputs lie elsewhere.
    """

    steps: tuple[Step, ...]
    views: Views
    plan: Plan
    runs: tuple[Repeat, ...] = ()
    outside: Plan = field(default_factory=lambda: Plan(Problem(())))


def lay_out(graph: Graph, streams: Streams, tries: int) -> Layout:
    """Return the layout that takes least memory; steps that repeat stay together.

    Args:
        tries: effort of the planner; with 0 operators keep their order.
    """
    found: Layout | None = None
    plain, cut = aliases(graph, streams.emitted), parts(graph, streams.emitted, streams.places)
    for views in (cut, plain) if len(cut.inside) > len(plain.inside) else (plain,):
        for layout in _layouts(graph, streams, views, tries):
            if found is None or layout.plan.arena_bytes < found.plan.arena_bytes:
                found = layout
        if found is not None and found.runs:
            break
    assert found is not None
    inputs = frozenset(str(found.views.place(t)[0]) for t in graph.inputs)
    # What repeats keeps its offsets: they advance evenly, and another plan's might not.
    return replace(found, outside=without(found.plan, inputs, tries=0 if found.runs else tries))


def _layouts(graph: Graph, streams: Streams, views: Views, tries: int) -> Iterator[Layout]:
    after = _after(graph, streams)
    repeats = find_repeats(graph, after)
    runs = tuple(run for run in repeats.runs if _has_code(graph, streams, repeats, run))
    order = repeats.order if runs else streams.order()
    steps = tuple(Step(graph.operators[i], views.emitted[i]) for i in order)
    problem = _problem(graph, steps, views, streams.places)
    if runs:
        tied = tie(problem, _together(steps, runs, views))
        yield Layout(steps, views, plan(tied, tries=tries), runs)
        return
    yield Layout(steps, views, plan(problem, tries=tries))
    if tries:
        reordered = tuple(steps[i] for i in _order(graph, steps, views, streams.places, after))
        if reordered != steps:
            yield Layout(
                reordered, views, plan(_problem(graph, reordered, views, streams.places), tries=tries)
            )


def _has_code(graph: Graph, streams: Streams, repeats: Repeats, run: Repeat) -> bool:
    """Whether a loop would hold a call: variables that are read in place repeat, and make no code."""
    return any(
        streams.emitted[repeats.steps(graph, run, place)[0].index].function for place in range(run.period)
    )


def in_arena(tensor: Tensor) -> bool:
    """Whether the tensor lives in the arena: neither a constant, nor a variable or the handle of one."""
    return (
        not tensor.is_constant and not tensor.is_variable and tensor.dtype != "resource" and tensor.nbytes > 0
    )


def _after(graph: Graph, streams: Streams) -> dict[int, set[int]]:
    """Return by operator those that must have run before it for another reason than what it reads."""
    found = {op: set(others) for op, others in streams.after.items()}
    last: dict[str, int] = {}
    for i in streams.order():
        for state in streams.emitted[i].states:
            if state.name in last:
                found.setdefault(i, set()).add(last[state.name])
            last[state.name] = i
    return found


def _together(steps: Sequence[Step], runs: Sequence[Repeat], views: Views) -> Iterator[list[str]]:
    """Yield the buffers that the same operator of each period writes or works in."""
    for run in runs:
        for place in range(run.period):
            positions = range(run.start + place, run.start + run.length, run.period)
            yield [f"scratch{i}" for i in positions]
            for made in zip(*(steps[i].op.outputs for i in positions)):
                yield [str(root) for root, start in map(views.place, made) if start == 0]


def _order(
    graph: Graph,
    steps: Sequence[Step],
    views: Views,
    places: Mapping[int, object],
    after: Mapping[int, set[int]],
) -> list[int]:
    """Return positions of steps in the order that keeps least memory alive; uses of one state keep theirs."""
    names = {t.index: str(views.place(t.index)[0]) for t in graph.tensors if in_arena(t)}
    position = {step.op.index: i for i, step in enumerate(steps)}
    tasks: list[Task] = []
    for step in steps:
        e, op = step.emitted, step.op
        makers = {graph.producer[t].index for t in op.inputs if t in graph.producer}
        leads = {names[op.inputs[k]]: lead for k, lead in e.overlap.items() if op.inputs[k] in names}
        tasks.append(
            Task(
                frozenset(names[t] for t in op.inputs if t in names),
                tuple(names[t] for t in op.outputs if t in names),
                frozenset(position[j] for j in makers | after.get(op.index, set())),
                e.scratch_bytes,
                leads,
            )
        )
    placed = {str(views.place(t)[0]) for t in places}
    sizes = {n: 0 if n in placed else graph.tensors[int(n)].nbytes for n in names.values()}
    return best_order(
        tasks,
        sizes,
        frozenset(names[t] for t in graph.inputs if t in names),
        frozenset(names[t] for t in graph.outputs if t in names),
    )


def _problem(graph: Graph, steps: Sequence[Step], views: Views, places: Mapping[int, object]) -> Problem:
    first: dict[int, int] = {}
    last: dict[int, int] = {}

    def use(tensor: int, step: int) -> None:
        if tensor >= 0 and tensor not in places and in_arena(graph.tensors[tensor]):
            root = views.place(tensor)[0]
            first[root] = min(first.get(root, step), step)
            last[root] = max(last.get(root, step), step)

    for t in graph.inputs:
        use(t, -1)
    for i, step in enumerate(steps):
        for t in (*step.op.inputs, *step.op.outputs):
            use(t, i)
    for t in graph.outputs:
        use(t, len(steps))
    buffers = [Buffer(str(r), graph.tensors[r].nbytes, first[r], last[r]) for r in sorted(first)]
    sharings = []
    for i, step in enumerate(steps):
        if step.emitted.scratch_bytes:
            buffers.append(Buffer(f"scratch{i}", step.emitted.scratch_bytes, i, i))
        for position, lead in step.emitted.overlap.items():
            source, begin = views.place(step.op.inputs[position])
            target, start = views.place(step.op.outputs[0])
            uses = [t for t in step.op.inputs if t >= 0 and views.place(t)[0] == source]
            apart = {*step.op.inputs, *step.op.outputs} & set(places)
            dies = last.get(source) == i and first.get(source, i) < i and first.get(target) == i and not apart
            if dies and source != target and len(uses) == 1:
                exact = position in step.emitted.in_place
                sharings.append(Sharing(str(source), str(target), lead + start - begin, exact))
    return Problem(tuple(buffers), tuple(sharings))
