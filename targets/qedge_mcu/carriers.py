"""Operators that move values of types which TFLite Micro does not move there, for the oracle: as moves of float32.

The generated C moves bytes, of whatever type. TFLite Micro has, say, DEPTH_TO_SPACE of int8 and float32 alone. A float
holds every int16 and bool, and each half of an int32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor, Node
from qedge_mcu.ops import OpContext

_HALF = 1 << 16


@dataclass(frozen=True)
class _Mover:
    """Which inputs an operator moves, None for all, and the types that TFLite Micro lacks."""

    lacking: tuple[str, ...]
    moved: tuple[int, ...] | None = (0,)


_BOOL = ("bool",)
_WIDE = ("int16", "int32", "bool")
MOVERS: Mapping[str, _Mover] = {
    "BATCH_TO_SPACE_ND": _Mover(_WIDE),
    "DEPTH_TO_SPACE": _Mover(_WIDE),
    "DYNAMIC_UPDATE_SLICE": _Mover(_BOOL, (0, 1)),
    "EMBEDDING_LOOKUP": _Mover(_WIDE, (1,)),
    "EXPAND_DIMS": _Mover(("int32", "bool")),
    "FILL": _Mover(("int16", "bool"), (1,)),
    "GATHER": _Mover(_WIDE),
    "GATHER_ND": _Mover(_WIDE),
    "MIRROR_PAD": _Mover(_WIDE),
    "PACK": _Mover(_BOOL, None),
    "PAD": _Mover(_BOOL),
    "PADV2": _Mover(_BOOL, (0, 2)),
    "RESIZE_NEAREST_NEIGHBOR": _Mover(("int32", "bool")),
    "SELECT_V2": _Mover(_BOOL, (1, 2)),
    "SPACE_TO_BATCH_ND": _Mover(_WIDE),
    "SPACE_TO_DEPTH": _Mover(_WIDE),
    "SPLIT": _Mover(_BOOL, (1,)),
    "SPLIT_V": _Mover(_BOOL),
    "TRANSPOSE": _Mover(("int32", "bool")),
    "UNPACK": _Mover(_BOOL),
    "ZEROS_LIKE": _Mover(("int16",)),
}


def needs_carrier(graph: Graph, op: Operator) -> bool:
    """Return whether TFLite Micro lacks the operator for the type that it moves here."""
    return op.op in MOVERS and graph.tensors[op.outputs[0]].dtype in MOVERS[op.op].lacking


def carried(editor: Editor, c: OpContext) -> list[Node]:
    """Return the operator on float32, with the CASTs around it; twice for the two halves of an int32."""
    if c.output.dtype != "int32":
        return _moved(editor, c, list(c.op.inputs), list(c.op.outputs), "")
    half = editor.constant(np.array(_HALF, np.int32))
    upper, lower = list(c.op.inputs), list(c.op.inputs)
    nodes: list[Node] = []
    for place in _places(c):
        whole, shape = c.op.inputs[place], c.input(place).shape
        high, most, low = (
            editor.tensor(f"{c.op.label} {what} {place}", shape, "int32") for what in ("high", "most", "low")
        )
        nodes += [
            editor.operator("DIV", [whole, half], [high]),
            editor.operator("MUL", [high, half], [most]),
            editor.operator("SUB", [whole, most], [low]),
        ]
        upper[place], lower[place] = high, low
    halves = [
        [editor.tensor(f"{c.op.label} {what} of {k}", t.shape, "int32") for k, t in enumerate(c.outputs)]
        for what in ("high", "low", "most")
    ]
    nodes += _moved(editor, c, upper, halves[0], "high")
    nodes += _moved(editor, c, lower, halves[1], "low")
    for high, low, most, result in zip(*halves, c.op.outputs):
        nodes += [
            editor.operator("MUL", [high, half], [most]),
            editor.operator("ADD", [most, low], [result]),
        ]
    return nodes


def _places(c: OpContext) -> Sequence[int]:
    moved = MOVERS[c.op.op].moved
    return range(len(c.op.inputs)) if moved is None else moved


def _moved(editor: Editor, c: OpContext, inputs: list[int], outputs: list[int], what: str) -> list[Node]:
    before, after, label = [], [], f"{c.op.label} {what} as float"
    for place in _places(c):
        real = editor.tensor(f"{label} {place}", c.input(place).shape, "float32")
        before.append(editor.operator("CAST", [inputs[place]], [real]))
        inputs[place] = real
    reals = [editor.tensor(f"{label} output {k}", t.shape, "float32") for k, t in enumerate(c.outputs)]
    for real, result in zip(reals, outputs):
        after.append(editor.operator("CAST", [real], [result]))
    made = copy(editor.node(c.op.index))
    made.inputs, made.outputs = np.array(inputs, np.int32), np.array(reals, np.int32)
    return [*before, made, *after]
