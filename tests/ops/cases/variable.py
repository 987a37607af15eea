"""VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE, CALL_ONCE: what one run leaves behind, the next one finds."""

from __future__ import annotations

from typing import Any

import numpy as np

from qedge.testing.cases import Case
from qedge.testing.opmodels import ModelBuilder, Spec, SubgraphBuilder, constant
from tests.ops.building import ints, q


def handle(graph: SubgraphBuilder, name: str) -> int:
    """Add the handle of a variable and return its tensor."""
    tensor = graph.tensor(Spec((), "resource"))
    graph.operator("VAR_HANDLE", [], [tensor], {"shared_name": name.encode(), "container": b""})
    return tensor


def delay(name: str, shape: tuple[int, ...], zero: int, initial: Any) -> Case:
    """Return a case whose output is its input of the run before, at first ``initial`` (one value, or all)."""

    def build(model: ModelBuilder, graph: SubgraphBuilder) -> None:
        if initial is not None:
            start = model.subgraph(f"init_{name}")
            value = start.tensor(constant(np.broadcast_to(initial, shape), "int8", 0.1, zero))
            start.operator("ASSIGN_VARIABLE", [handle(start, name), value], [])
            graph.operator("CALL_ONCE", [], [], {"init_subgraph_index": model.subgraph_count - 1})
        x = graph.input(q(shape, 0.1, zero))
        variable = handle(graph, name)
        before = graph.tensor(q(shape, 0.1, zero))
        graph.operator("READ_VARIABLE", [variable], [before])
        graph.operator("ASSIGN_VARIABLE", [variable, x], [])
        graph.output(before)

    return Case(name, "READ_VARIABLE", build=build)


def ring(name: str, zero: int) -> Case:
    """Return a case that keeps the last four rows: concatenate, cut, assign, as streaming models do."""

    def build(model: ModelBuilder, graph: SubgraphBuilder) -> None:
        start = model.subgraph(f"init_{name}")
        value = start.tensor(constant(np.full((1, 4, 3), zero), "int8", 0.1, zero))
        start.operator("ASSIGN_VARIABLE", [handle(start, name), value], [])
        graph.operator("CALL_ONCE", [], [], {"init_subgraph_index": model.subgraph_count - 1})
        x = graph.input(q((1, 1, 3), 0.1, zero))
        variable = handle(graph, name)
        kept = graph.tensor(q((1, 4, 3), 0.1, zero))
        joined = graph.tensor(q((1, 5, 3), 0.1, zero))
        last = graph.tensor(q((1, 4, 3), 0.1, zero))
        graph.operator("READ_VARIABLE", [variable], [kept])
        graph.operator("CONCATENATION", [kept, x], [joined], {"axis": 1})
        cut = [graph.tensor(ints(0, 1, 0)), graph.tensor(ints(1, 4, 3))]
        graph.operator("SLICE", [joined, *cut], [last])
        graph.operator("ASSIGN_VARIABLE", [variable, last], [])
        graph.output(joined)

    return Case(name, "READ_VARIABLE", build=build)


def stream(name: str, rows: int, new: int, keep: slice, *, first: bool = False, later: bool = False) -> Case:
    """Return a case of a streaming layer: the variable joined with ``new`` rows, used, and cut to ``keep``.

    Args:
        first: the new rows come first.
        later: the new rows are read once more by a later operator.
    """
    depth, kept = 4, rows

    def build(model: ModelBuilder, graph: SubgraphBuilder) -> None:
        start = model.subgraph(f"init_{name}")
        initial = np.arange(kept * depth).reshape(1, kept, depth) % 200 - 100
        value = start.tensor(constant(initial, "int8", 0.1, 3))
        start.operator("ASSIGN_VARIABLE", [handle(start, name), value], [])
        graph.operator("CALL_ONCE", [], [], {"init_subgraph_index": model.subgraph_count - 1})
        x = graph.input(q((1, new, depth), 0.1, 3))
        made = graph.tensor(q((1, new, depth), 0.1, 3))
        graph.operator("RELU", [x], [made])
        variable = handle(graph, name)
        before = graph.tensor(q((1, kept, depth), 0.1, 3))
        joined = graph.tensor(q((1, kept + new, depth), 0.1, 3))
        last = graph.tensor(q((1, kept, depth), 0.1, 3))
        graph.operator("READ_VARIABLE", [variable], [before])
        graph.operator("CONCATENATION", [made, before] if first else [before, made], [joined], {"axis": 1})
        cut = [graph.tensor(ints(0, keep.start, 0)), graph.tensor(ints(1, kept, depth))]
        graph.operator("SLICE", [joined, *cut], [last])
        graph.operator("ASSIGN_VARIABLE", [variable, last], [])
        mean = graph.tensor(q((1, depth), 0.1, 3))
        graph.operator("MEAN", [joined, graph.tensor(ints(1))], [mean], {"keep_dims": False})
        graph.output(mean)
        if later:
            again = graph.tensor(q((1, new, depth), 0.1, 3))
            graph.operator("ADD", [made, made], [again])
            graph.output(again)

    return Case(name, "READ_VARIABLE", build=build)


def cut_first(name: str, rows: int, new: int, *, early: bool = False) -> Case:
    """Return a case of a streaming layer that cuts its variable, joins what is left with new rows, and assigns it all.

    Args:
        early: the new rows are made before the cut.
    """
    depth, kept = 4, rows - new

    def build(model: ModelBuilder, graph: SubgraphBuilder) -> None:
        x = graph.input(q((1, new, depth)))
        variable, made = handle(graph, name), graph.tensor(q((1, new, depth)))
        before, joined = (graph.tensor(q((1, rows, depth))) for _ in range(2))
        left = graph.tensor(q((1, kept, depth)))
        if early:
            graph.operator("RELU", [x], [made])
        graph.operator("READ_VARIABLE", [variable], [before])
        cut = [graph.tensor(ints(0, new, 0)), graph.tensor(ints(1, kept, depth))]
        graph.operator("SLICE", [before, *cut], [left])
        if not early:
            graph.operator("RELU", [x], [made])
        graph.operator("CONCATENATION", [left, made], [joined], {"axis": 1})
        graph.operator("ASSIGN_VARIABLE", [variable, joined], [])
        mean, again = graph.tensor(q((1, depth))), graph.tensor(q((1, new, depth)))
        graph.operator("MEAN", [joined, graph.tensor(ints(1))], [mean], {"keep_dims": False})
        graph.operator("ADD", [made, made], [again])
        graph.output(mean)
        graph.output(again)

    return Case(name, "READ_VARIABLE", build=build)


def layers(name: str, count: int) -> Case:
    """Return a case of streaming layers whose variables are all read ahead of the first, as some converters sort it."""
    shapes = {"kept": (1, 2, 4), "joined": (1, 3, 4), "row": (1, 1, 4)}

    def build(model: ModelBuilder, graph: SubgraphBuilder) -> None:
        x = graph.input(q(shapes["row"]))
        variables = [handle(graph, f"{name}/{k}") for k in range(count)]
        before = [graph.tensor(q(shapes["kept"])) for _ in variables]
        for variable, kept in zip(variables, before):
            graph.operator("READ_VARIABLE", [variable], [kept])
        for variable, kept in zip(variables, before):
            joined, last, row = (graph.tensor(q(shapes[k])) for k in ("joined", "kept", "row"))
            graph.operator("CONCATENATION", [kept, x], [joined], {"axis": 1})
            graph.operator(
                "SLICE", [joined, graph.tensor(ints(0, 1, 0)), graph.tensor(ints(*shapes["kept"]))], [last]
            )
            graph.operator("ASSIGN_VARIABLE", [variable, last], [])
            graph.operator("MEAN", [joined, graph.tensor(ints(1))], [row], {"keep_dims": True})
            x = row
        graph.output(x)

    return Case(name, "READ_VARIABLE", build=build)


def recurrent(name: str) -> Case:
    """Return a case whose variable is half of itself plus the input, and is read twice."""

    def build(model: ModelBuilder, graph: SubgraphBuilder) -> None:
        x = graph.input(q((1, 6), 0.1, 0))
        variable = handle(graph, name)
        before, after = graph.tensor(q((1, 6), 0.1, 0)), graph.tensor(q((1, 6), 0.1, 0))
        double = graph.tensor(q((1, 6), 0.2, 0))
        graph.operator("READ_VARIABLE", [variable], [before])
        graph.operator("ADD", [before, x], [after])
        graph.operator("ASSIGN_VARIABLE", [variable, after], [])
        graph.operator("ADD", [before, before], [double])
        graph.output(double)

    return Case(name, "READ_VARIABLE", build=build)


def swap(name: str) -> Case:
    """Return a case of two variables whose names differ in what C does not allow, and that change places."""

    def build(model: ModelBuilder, graph: SubgraphBuilder) -> None:
        x = graph.input(q((1, 5), 0.1, 0))
        total = graph.tensor(q((1, 5), 0.1, 0))
        a, b = handle(graph, f"{name}/x"), handle(graph, f"{name}_x")
        was_a, was_b = graph.tensor(q((1, 5), 0.1, 0)), graph.tensor(q((1, 5), 0.1, 0))
        graph.operator("READ_VARIABLE", [a], [was_a])
        graph.operator("READ_VARIABLE", [b], [was_b])
        graph.operator("ADD", [was_b, x], [total])
        graph.operator("ASSIGN_VARIABLE", [a, total], [])
        graph.operator("ASSIGN_VARIABLE", [b, was_a], [])
        doubled = graph.tensor(q((1, 5), 0.2, 0))
        graph.operator("ADD", [total, was_a], [doubled])
        graph.output(doubled)

    return Case(name, "READ_VARIABLE", build=build)


CASES = [
    delay("delay", (1, 3, 5), 3, -7),
    delay("delay-low", (1, 9), -128, -128),
    delay("delay-high", (1, 1), 127, 127),
    delay("delay-of-many", (1, 2, 4), 3, [[-7, 8, 9, 100], [1, 2, 3, 4]]),
    stream("stream", 4, 1, slice(1, 5)),
    stream("stream-many", 3, 2, slice(2, 5), later=True),
    stream("stream-more-new-than-kept", 2, 5, slice(5, 7)),
    stream("stream-new-first", 4, 1, slice(0, 4), first=True),
    stream("stream-middle", 2, 3, slice(1, 3), later=True),
    cut_first("cut-first", 4, 1),
    cut_first("cut-first-many", 5, 3),
    cut_first("cut-first-early", 4, 2, early=True),
    layers("layers", 5),
    recurrent("recurrent"),
    swap("swap"),
    ring("ring", -128),
    ring("ring-127", 127),
]
