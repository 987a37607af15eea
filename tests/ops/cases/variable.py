"""VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE, CALL_ONCE: what one run leaves behind, the next one finds."""

from __future__ import annotations

import numpy as np

from qedge.testing.cases import Case
from qedge.testing.opmodels import ModelBuilder, Spec, SubgraphBuilder, constant
from tests.ops.building import ints, q


def handle(graph: SubgraphBuilder, name: str) -> int:
    """Add the handle of a variable and return its tensor."""
    tensor = graph.tensor(Spec((), "resource"))
    graph.operator("VAR_HANDLE", [], [tensor], {"shared_name": name.encode(), "container": b""})
    return tensor


def delay(name: str, shape: tuple[int, ...], zero: int, initial: int | None) -> Case:
    """Return a case whose output is its input of the run before, at first ``initial``."""

    def build(model: ModelBuilder, graph: SubgraphBuilder) -> None:
        if initial is not None:
            start = model.subgraph(f"init_{name}")
            value = start.tensor(constant(np.full(shape, initial), "int8", 0.1, zero))
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


CASES = [
    delay("delay", (1, 3, 5), 3, -7),
    delay("delay-low", (1, 9), -128, -128),
    delay("delay-high", (1, 1), 127, 127),
    ring("ring", -128),
    ring("ring-127", 127),
]
