"""A model that was trained with fake quantisation: what simulates it goes, the ranges that training chose stay.

That is FAKE_QUANT, or a QUANTIZE with the DEQUANTIZE behind it, as TensorFlow's converter writes the wrappers of
``tensorflow-model-optimization``.

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

from qedge.graph import Graph, Operator, schema
from qedge.graph.edit import Node
from qedge.quantize.affine import STEPS
from qedge.quantize.model import FloatModel
from qedge.quantize.rules import RULES

TRAINED_KEY = "qedge.trained"
BITS = 8
CODES = {"int8": (-128, 127), "uint8": (0, 255)}
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


@dataclass(frozen=True)
class Simulated:
    """Operators that round values to a grid of 8 bits and leave them real.

    Args:
        source, results: tensors before and behind.
        operators: a FAKE_QUANT, or a QUANTIZE and the DEQUANTIZE that alone read it.
        scale, zero_point: of the grid, one each or one a channel.
        codes: the smallest and the largest one.
        axis: of the channels.
        stated: the range as a FAKE_QUANT states it, where zero need not be on the grid yet.
    """

    source: int
    results: tuple[int, ...]
    operators: tuple[int, ...]
    scale: npt.NDArray[np.float64]
    zero_point: npt.NDArray[np.int64]
    codes: tuple[int, int]
    axis: int = 0
    stated: tuple[float, float] | None = None

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of a grid of one scale."""
        if self.stated is not None:
            return self.stated
        low, high = ((code - int(self.zero_point[0])) * float(self.scale[0]) for code in self.codes)
        return low, high

    @property
    def below(self) -> bool:
        """Whether the grid has values under 0."""
        return int(self.zero_point[0]) > self.codes[0]

    def rounded(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return a constant as it is left."""
        shape = [1] * values.ndim
        if self.scale.size > 1:
            shape[self.axis] = -1
        scale, zero = self.scale.reshape(shape), self.zero_point.reshape(shape)
        codes = np.clip(np.rint(values / scale) + zero, *self.codes)
        return np.asarray((codes - zero) * scale, np.float32)


def simulated(graph: Graph, op: Operator) -> Simulated | None:
    """Return what an operator simulates: a FAKE_QUANT of 8 bits, or a QUANTIZE that is undone at once; else None."""
    if op.op == "FAKE_QUANT" and int(op.options.get("num_bits", 0)) == BITS:
        scale, zero, steps = _grid(op)
        stated = float(op.options["min"]), float(op.options["max"])
        grid = np.array([scale]), np.array([zero])
        return Simulated(op.inputs[0], (op.outputs[0],), (op.index,), *grid, (0, steps), stated=stated)
    if op.op != "QUANTIZE" or graph.tensors[op.inputs[0]].dtype != "float32":
        return None
    coded = graph.tensors[op.outputs[0]]
    readers = graph.consumers[coded.index]
    back = all(r.op == "DEQUANTIZE" and graph.tensors[r.outputs[0]].dtype == "float32" for r in readers)
    known = coded.dtype in CODES and coded.quantization is not None and coded.index not in graph.outputs
    if not (known and readers and back) or coded.quantization is None:
        return None
    return Simulated(
        op.inputs[0],
        tuple(r.outputs[0] for r in readers),
        (op.index, *(r.index for r in readers)),
        np.asarray(coded.quantization.scale, np.float64),
        np.asarray(coded.quantization.zero_point, np.int64),
        CODES[coded.dtype],
        coded.quantization.axis,
    )


def keep_trained_ranges(model: FloatModel) -> FloatModel:
    """Return the model without its simulated quantisation, the ranges noted in its metadata.

    Of a constant the values are rounded as the simulation does. Others stay where they are: operators of other
    widths, and one between an input and an output of the model.
    """
    return _without(model, lambda graph, op: True)


def hold_trained_weights(model: bytes) -> bytes:
    """Return the model with the simulation of constants done: LiteRT does not run that of weights."""
    found = FloatModel(model, Graph.from_bytes(model))
    return _without(found, lambda graph, op: graph.tensors[op.inputs[0]].is_constant).data


def _without(model: FloatModel, chosen: Callable[[Graph, Operator], bool]) -> FloatModel:
    graph = model.graph
    if not any(op.op in ("FAKE_QUANT", "QUANTIZE") for op in graph.operators):
        return model
    editor, ranges = model.editor(), _noted(graph)
    gone: list[Node] = []
    renamed: dict[int, int] = {}
    for op in graph.operators:
        found = simulated(graph, op) if op.inputs and chosen(graph, op) else None
        if found is None:
            continue
        source, (result, *others) = renamed.get(found.source, found.source), found.results
        constant = graph.tensors[source].data
        if constant is not None:
            for t in found.results:
                editor.set_constant(t, found.rounded(constant))
        elif found.scale.size > 1:
            continue  # activations have one scale
        elif source in graph.inputs:
            if set(found.results) & set(graph.outputs):
                continue
            renamed |= dict.fromkeys(found.results, source)
            ranges[graph.tensors[source].name] = found.range
        else:
            if not found.below and source in graph.producer:
                _rectify(editor.node(graph.producer[source].index))
            renamed |= {source: result, **dict.fromkeys(others, result)}
            ranges[graph.tensors[result].name] = found.range
        gone += [editor.node(index) for index in found.operators]
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


def _rectify(node: Node) -> None:
    """Let an operator cut off what is below 0, as a grid that begins there does: exporters leave the ReLU to it.

    Int8 codes would do it by themselves; wider forms and the real numbers that it is compared with do not.
    """
    options, kinds = node.builtinOptions, schema.generated().ActivationFunctionType
    if getattr(options, "fusedActivationFunction", None) == kinds.NONE:
        options.fusedActivationFunction = kinds.RELU


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


def _grid(op: Operator) -> tuple[float, int, int]:
    """Return the scale, the code of zero and the largest code of a FAKE_QUANT.

    TensorFlow moves the range so that zero is on the grid (``fake_quant_ops_functor.h``).
    """
    low, high = float(op.options["min"]), float(op.options["max"])
    steps = 255 - int(bool(op.options.get("narrow_range")))
    scale = (high - low) / steps
    return scale, int(np.clip(np.rint(-low / scale), 0, steps)), steps
