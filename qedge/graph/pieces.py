"""Cutting a model into pieces that run one after the other, for instance on different kernels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple

from qedge.errors import ModelError
from qedge.graph.edit import Editor, Node


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
    editor = Editor.from_bytes(data)
    kinds = {editor.op(node) for node in editor.operators}
    groups = [(kind, list(run)) for kind, run in groupby(editor.operators, lambda o: apart(editor.op(o)))]
    if len(groups) < 2:
        return [Piece(bool(groups and groups[0][0]), data, editor.inputs, editor.outputs)]
    if len(editor.model.subgraphs) > 1 or "VAR_HANDLE" in kinds:
        raise ModelError("a model with several subgraphs or resources cannot be cut into pieces")
    found: list[Piece] = []
    wanted = set(editor.outputs)
    for kind, nodes in reversed(groups):
        piece = _piece(editor, kind, nodes, wanted)
        if piece.outputs:
            found.insert(0, piece)
            wanted |= set(piece.inputs)
    return found


def _piece(editor: Editor, apart: bool, nodes: list[Node], wanted: set[int]) -> Piece:
    """Return some operators as a model; ``wanted`` are the tensors that later ones or the caller need."""
    made = {int(t) for node in nodes for t in node.outputs}
    # What is neither made nor constant comes from outside; an operator's own state and inner tensors do not.
    read = {int(t) for node in nodes for t in node.inputs if t >= 0} - made
    inner = {int(t) for node in nodes if node.intermediates is not None for t in node.intermediates}
    inputs = [
        t
        for t in sorted(read - inner)
        if not editor.is_constant(t) and not editor.graph.tensors[t].isVariable
    ]
    outputs = sorted(made & wanted)
    return Piece(apart, editor.part(nodes, inputs, outputs).pack(), tuple(inputs), tuple(outputs))
