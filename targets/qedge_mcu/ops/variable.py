"""VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE, CALL_ONCE: state that a streaming model keeps between runs; exact.

A variable is memory in the caller's context. What CALL_ONCE assigns is there from ``init`` on, so its
subgraph makes no code; it may only assign constants, each of them one repeated byte.
"""

from __future__ import annotations

import re

import numpy as np

from qedge.graph import Graph, Operator, Tensor
from qedge_mcu.ops.base import Emitted, OpContext, Reason, State

NAMES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: an initialiser that does more than assign constants of one byte."""
    if c.op.op == "CALL_ONCE":
        return _check_initializer(c.graph.subgraphs[int(c.option("init_subgraph_index"))])
    if c.op.op != "VAR_HANDLE" and c.op.inputs[0] not in c.graph.producer:
        return [Reason("the variable's handle comes from outside the graph")]
    return []


def emit(c: OpContext) -> Emitted:
    """Return a copy into or out of the variable; handles and CALL_ONCE make no code."""
    if c.op.op in ("VAR_HANDLE", "CALL_ONCE"):
        return Emitted(note="")
    read = c.op.op == "READ_VARIABLE"
    value = c.output if read else c.input(1)
    name = _shared_name(c.graph, c.op)
    state = State(c_name(name), value.nbytes, _initial(c.graph, name))
    place = f"{{state:{state.name}}}"
    return Emitted(
        function="memcpy",
        args=("{out0}", place, str(value.nbytes)) if read else (place, "{in1}", str(value.nbytes)),
        states=(state,),
        note=f"variable {name}",
    )


def c_name(shared_name: str) -> str:
    """Return the C identifier of a variable.

    >>> c_name("stream/conv_1")
    'variable_stream_conv_1'
    """
    return "variable_" + re.sub(r"[^a-z0-9]+", "_", shared_name.lower()).strip("_")


def _shared_name(graph: Graph, op: Operator) -> str:
    return str(graph.producer[op.inputs[0]].options.get("shared_name") or "")


def _assignments(graph: Graph) -> list[tuple[str, Tensor]]:
    """Return (variable, value) of every assignment in an initialiser."""
    return [
        (_shared_name(graph, op), graph.tensors[op.inputs[1]])
        for op in graph
        if op.op == "ASSIGN_VARIABLE" and op.inputs[0] in graph.producer
    ]


def _check_initializer(graph: Graph) -> list[Reason]:
    reasons = [
        Reason(f"the initialiser runs {op.op}, expected VAR_HANDLE and ASSIGN_VARIABLE only")
        for op in graph
        if op.op not in ("VAR_HANDLE", "ASSIGN_VARIABLE")
    ]
    for name, value in _assignments(graph):
        if value.data is None or len(set(value.data.tobytes())) > 1:
            reasons.append(Reason(f"variable {name!r} starts with other than one repeated byte"))
    return reasons


def _initial(graph: Graph, name: str) -> int:
    """Return the byte that fills a variable at first; 0 where nothing is assigned."""
    for op in graph:
        if op.op == "CALL_ONCE":
            for assigned, value in _assignments(graph.subgraphs[int(op.options["init_subgraph_index"])]):
                if assigned == name and value.data is not None and value.data.size:
                    return int(np.frombuffer(value.data.tobytes(), np.int8)[0])
    return 0
