"""VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE, CALL_ONCE: state that a streaming model keeps between runs; exact.

A variable is memory in the caller's context. What CALL_ONCE assigns is there from ``init`` on, so its
subgraph makes no code; it may only assign constants. ``qedge_mcu.streams`` then puts variables in place.
"""

from __future__ import annotations

import re

import numpy as np

from qedge.graph import Graph, Operator, Tensor
from qedge_mcu.ops.base import Emitted, OpContext, Reason, State

NAMES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: an initialiser that does more than assign constants."""
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
    state = _state(c.graph, name, value.nbytes)
    place = f"{{state:{state.name}}}"
    return Emitted(
        function="qe_move",
        args=("{out0}", place, str(value.nbytes)) if read else (place, "{in1}", str(value.nbytes)),
        kernels=("qe_move.c",),
        states=(state,),
        note=f"variable {name}",
    )


def _state(graph: Graph, name: str, nbytes: int) -> State:
    """Return the memory of a variable, with what CALL_ONCE assigns to it, else zeros as its type writes them."""
    names = sorted({_shared_name(graph, op) for op in graph if op.op in ("READ_VARIABLE", "ASSIGN_VARIABLE")})
    same = [n for n in names if c_name(n) == c_name(name)]
    identifier = c_name(name) + (f"_{same.index(name)}" if len(same) > 1 else "")
    contents = _contents(graph, name)
    if len(set(contents)) > 1:
        return State(identifier, nbytes, 0, contents)
    start = int(np.frombuffer(contents[:1], np.int8)[0]) if contents else _zero(graph, name)
    return State(identifier, nbytes, start)


def c_name(shared_name: str) -> str:
    """Return the C identifier of a variable.

    >>> c_name("stream/conv_1")
    'variable_stream_conv_1'
    """
    return "variable_" + re.sub(r"[^a-z0-9]+", "_", shared_name.lower()).strip("_")


def _shared_name(graph: Graph, op: Operator) -> str:
    """Return a variable's name, its container before it where there is one."""
    options = graph.producer[op.inputs[0]].options
    parts = (str(options.get("container") or ""), str(options.get("shared_name") or ""))
    return "/".join(p for p in parts if p)


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
    reasons += [
        Reason(f"variable {name!r} starts with a computed value, expected a constant")
        for name, value in _assignments(graph)
        if value.data is None
    ]
    return reasons


def _zero(graph: Graph, name: str) -> int:
    """Return the byte that TFLite Micro fills a variable with: the zero point of what is assigned to it first."""
    for assigned, value in _assignments(graph):
        if assigned == name:
            known = value.quantization
            return 0 if known is None else int(np.asarray(known.zero_point[0]).astype(np.int8))
    return 0


def _contents(graph: Graph, name: str) -> bytes:
    """Return what a variable holds at first; empty where nothing is assigned."""
    for op in graph:
        if op.op == "CALL_ONCE":
            for assigned, value in _assignments(graph.subgraphs[int(op.options["init_subgraph_index"])]):
                if assigned == name and value.data is not None:
                    return value.data.tobytes()
    return b""
