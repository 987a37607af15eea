"""A model that was trained with fake quantisation: its FAKE_QUANT operators go, the ranges that they learned stay.

Training has fitted the weights to those ranges, so that they are used as they are, and nothing is measured in their
place. On the real numbers between them a FAKE_QUANT of 8 bits is what an int8 tensor does by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge.graph.edit import Node
from qedge.quantize.affine import STEPS
from qedge.quantize.model import FloatModel
from qedge.quantize.rules import RULES

TRAINED_KEY = "qedge.trained"
BITS = 8
EXACT = 1e-3
"""How far from a whole code a value may be that float32 has rounded."""


@dataclass(frozen=True)
class Trained:
    """Ranges that training chose, by tensor.

    Args:
        ranges: (low, high) of activations.
        limits: largest magnitude that the codes of weights stand for, one a channel.
    """

    ranges: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    limits: Mapping[int, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ranges or self.limits)


def keep_trained_ranges(model: FloatModel) -> FloatModel:
    """Return the model without its FAKE_QUANT operators of 8 bits, their ranges noted in its metadata.

    Of a constant the values are rounded as the operator does. Others stay where they are: operators of other
    widths, and one between an input and an output of the model.
    """
    return _without(model, lambda graph, op: True)


def hold_trained_weights(model: bytes) -> bytes:
    """Return the model with its FAKE_QUANT operators of constants done: LiteRT does not run those of weights."""
    found = FloatModel(model, Graph.from_bytes(model))
    return _without(found, lambda graph, op: graph.tensors[op.inputs[0]].is_constant).data


def _without(model: FloatModel, chosen: Callable[[Graph, Operator], bool]) -> FloatModel:
    graph, editor = model.graph, model.editor()
    ranges = _noted(graph)
    gone: list[Node] = []
    renamed: dict[int, int] = {}
    for op in graph.operators:
        if op.op != "FAKE_QUANT" or int(op.options.get("num_bits", 0)) != BITS or not chosen(graph, op):
            continue
        source, result = renamed.get(op.inputs[0], op.inputs[0]), op.outputs[0]
        low, high = float(op.options["min"]), float(op.options["max"])
        constant = graph.tensors[source].data
        if constant is not None:
            editor.set_constant(result, rounded(constant, op))
        elif source in graph.inputs:
            if result in graph.outputs:
                continue
            renamed[result] = source
            ranges[graph.tensors[source].name] = low, high
        else:
            renamed[source] = result
            ranges[graph.tensors[result].name] = low, high
        gone.append(editor.node(op.index))
    if not gone:
        return model
    editor.remove(gone)
    editor.redirect(renamed)
    for node in editor.operators:
        node.outputs = np.array([renamed.get(int(t), int(t)) for t in node.outputs], np.int32)
    editor.outputs = tuple(renamed.get(t, t) for t in editor.outputs)
    editor.add_metadata(TRAINED_KEY, json.dumps(ranges).encode())
    editor.sweep()
    data = editor.pack()
    return FloatModel(data, Graph.from_bytes(data))


def _noted(graph: Graph) -> dict[str, tuple[float, float]]:
    """Return what was noted of a model already, by name of the tensor."""
    noted: dict[str, tuple[float, float]] = json.loads(graph.metadata.get(TRAINED_KEY, b"{}"))
    return noted


def trained_in(graph: Graph) -> Trained:
    """Return what training chose for a model; nothing of one that was trained without fake quantisation.

    The weights of such a model lie on the grid that it simulated, which is found again in their values.
    """
    if TRAINED_KEY not in graph.metadata:
        return Trained()
    noted, limits = _noted(graph), {}
    for op in graph.operators:
        if op.op in RULES and RULES[op.op].kind == "weights":
            values = graph.tensors[op.inputs[RULES[op.op].weight]].data
            if values is not None:
                limits[op.inputs[RULES[op.op].weight]] = grid_limits(values, RULES[op.op].axis)
    return Trained({t.index: noted[t.name] for t in graph.tensors if t.name in noted}, limits)


def grid_limits(values: npt.NDArray[Any], axis: int) -> npt.NDArray[np.float64]:
    """Return the limit of each channel at which 127 steps hold its values exactly; the largest magnitude where none.

    Several such grids hold a channel whose codes are small; the finest one is taken, so that the largest limit of all
    channels is that of a grid that they share.

    >>> (127 / grid_limits(np.array([[1.0, -0.99, 0.0], [0.5, 0.01, 0.2]]), 0)).round(3).tolist()
    [100.0, 100.0]
    """
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.float64)
    largest: npt.NDArray[np.float64] = np.abs(rows).max(axis=1)
    limits, open_rows = largest.copy(), largest > 0
    for code in range(STEPS["int8"], 0, -1):
        scale = np.where(open_rows, largest, 1.0) / code
        codes = rows / scale[:, None]
        exact = open_rows & (np.abs(codes - np.rint(codes)).max(axis=1) < EXACT)
        limits[exact] = STEPS["int8"] * scale[exact]
        open_rows &= ~exact
    return limits


def rounded(values: npt.NDArray[Any], op: Operator) -> npt.NDArray[np.float32]:
    """Return a constant as a FAKE_QUANT leaves it."""
    scale, zero, steps = _grid(op)
    codes = np.clip(np.rint(values / scale) + zero, 0, steps)
    return np.asarray((codes - zero) * scale, np.float32)


def _grid(op: Operator) -> tuple[float, int, int]:
    """Return the scale, the code of zero and the largest code of a FAKE_QUANT.

    TensorFlow moves the range so that zero is on the grid (``fake_quant_ops_functor.h``).
    """
    low, high = float(op.options["min"]), float(op.options["max"])
    steps = 255 - int(bool(op.options.get("narrow_range")))
    scale = (high - low) / steps
    return scale, int(np.clip(np.rint(-low / scale), 0, steps)), steps
