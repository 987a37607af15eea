"""Cutting a model into pieces that run one after the other, for instance on different kernels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from qedge.errors import ModelError
from qedge.graph import schema


class Piece(NamedTuple):
    """Consecutive operators as a ``.tflite`` of their own.

    Args:
        apart: what the caller said about its operators.
        inputs, outputs: the whole model's numbers of the tensors that go in and come out, in order.
    """

    apart: bool
    data: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def pieces(data: bytes, apart: Callable[[str], bool]) -> list[Piece]:
    """Return a model as runs of operators for which ``apart`` (of the operator's name) says the same.

    Args:
        data: a static ``.tflite``.

    Raises:
        ModelError: damaged, or with operators to cut apart and several subgraphs or resources, which hold
            what no tensor carries over.
    """
    model = schema.unpack(data)
    names = schema.enum_names("BuiltinOperator")
    kinds = [names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]
    graph = model.subgraphs[0]
    groups = [
        (kind, list(run)) for kind, run in groupby(graph.operators, lambda op: apart(kinds[op.opcodeIndex]))
    ]
    if len(groups) < 2:
        whole = tuple(map(int, graph.inputs)), tuple(map(int, graph.outputs))
        return [Piece(bool(groups and groups[0][0]), data, *whole)]
    if len(model.subgraphs) > 1 or "VAR_HANDLE" in kinds:
        raise ModelError("a model with several subgraphs or resources cannot be cut into pieces")
    found: list[Piece] = []
    wanted = set(map(int, graph.outputs))
    for kind, operators in reversed(groups):
        piece = _piece(model, kind, operators, wanted)
        if piece.outputs:
            found.insert(0, piece)
            wanted |= set(piece.inputs)
    return found


def _piece(model: Any, apart: bool, operators: list[Any], wanted: set[int]) -> Piece:
    """Return some operators as a model; ``wanted`` are the tensors that later ones or the caller need."""
    tensors = model.subgraphs[0].tensors
    made = {int(t) for op in operators for t in op.outputs}
    used = sorted(made | {int(t) for op in operators for t in (*op.inputs, *_inner(op)) if t >= 0})
    # What is neither made nor constant comes from outside; an operator's own state and inner tensors do not.
    own = made | {int(t) for op in operators for t in _inner(op)}
    inputs = [t for t in used if t not in own and not _is_constant(model, t) and not tensors[t].isVariable]
    outputs = [t for t in used if t in made and t in wanted]
    place = {t: k for k, t in enumerate(used)} | {-1: -1}
    codes = sorted({op.opcodeIndex for op in operators})
    cut, graph = copy.copy(model), copy.copy(model.subgraphs[0])
    cut.subgraphs, cut.signatureDefs, cut.metadata, cut.metadataBuffer = [graph], None, None, None
    cut.operatorCodes = [model.operatorCodes[c] for c in codes]
    cut.buffers, graph.tensors = [model.buffers[0]], []
    for t in used:
        tensor = copy.copy(tensors[t])
        if _is_constant(model, t):
            cut.buffers.append(model.buffers[tensor.buffer])
        tensor.buffer = len(cut.buffers) - 1 if _is_constant(model, t) else 0
        graph.tensors.append(tensor)
    graph.operators = []
    for op in operators:
        moved = copy.copy(op)
        moved.opcodeIndex = codes.index(op.opcodeIndex)
        moved.inputs, moved.outputs = (
            np.array([place[int(t)] for t in side], np.int32) for side in (op.inputs, op.outputs)
        )
        moved.intermediates = np.array([place[int(t)] for t in _inner(op)], np.int32)
        graph.operators.append(moved)
    graph.inputs, graph.outputs = (np.array([place[t] for t in side], np.int32) for side in (inputs, outputs))
    return Piece(apart, schema.pack(cut), tuple(inputs), tuple(outputs))


def _inner(op: Any) -> Any:
    return () if op.intermediates is None else op.intermediates


def _is_constant(model: Any, tensor: int) -> bool:
    data = model.buffers[model.subgraphs[0].tensors[tensor].buffer].data
    return data is not None and len(data) > 0
