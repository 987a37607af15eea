"""Fused LSTM layers of a float ``.tflite``, written out into plain operators.

``UNIDIRECTIONAL_SEQUENCE_LSTM`` is what TFLiteConverter makes of a Keras LSTM. As one float operator nothing inside it
can be calibrated; written out, it has the form that the Keras front end gives a recurrent layer: the inputs of all
steps are multiplied at once, and the gates pass their sigmoid together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.findings import Finding
from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor, Node

Array = npt.NDArray[Any]

_OP = "UNIDIRECTIONAL_SEQUENCE_LSTM"
# inputs of the operator, in the order of the gates that pass a sigmoid together and then the candidate
_INPUT, _RECURRENT, _BIAS = (1, 2, 4, 3), (5, 6, 8, 7), (12, 13, 15, 14)
_STATE = (18, 19)
_PEEPHOLES, _PROJECTION, _NORMS = (9, 10, 11), (16, 17), (20, 21, 22, 23)
_ACTIVATIONS = frozenset({"TANH", "RELU", "RELU6", "LOGISTIC"})


@dataclass(frozen=True)
class _Layer:
    """One fused layer: ``kernel`` (4 units, features), ``recurrent`` (4 units, units), ``bias`` (4 units,)."""

    op: Operator
    kernel: Array
    recurrent: Array
    bias: Array
    steps: int
    features: int
    time_major: bool
    activation: str
    clip: float

    @property
    def units(self) -> int:
        """How many values a step gives."""
        return int(self.recurrent.shape[1])


def expand_lstms(editor: Editor) -> list[Finding]:
    """Write each plain fused float LSTM of a static graph out in the graph; return what is to be said of it.

    The state begins with zeros in each run. Left as they are: peepholes, projections, layer normalisation, coupled
    gates, weights that are computed, and batches.
    """
    graph = Graph.from_bytes(editor.pack())
    found = [layer for op in graph if op.op == _OP and (layer := _layer(graph, op)) is not None]
    for layer in found:
        editor.replace([editor.node(layer.op.index)], _Writer(editor, graph, layer).nodes())
    if not found:
        return []
    layers = "1 fused LSTM layer was" if len(found) == 1 else f"{len(found)} fused LSTM layers were"
    message = (
        f"{layers} written out, so that what is inside can be calibrated; each run begins with a state of zeros,"
        " while the file's own operator goes on from the run before unless it is reset"
    )
    return [Finding("info", "fused-lstm", message)]


def _layer(graph: Graph, op: Operator) -> _Layer | None:
    """Return what an operator computes; None where it is more than the plain cell in float."""
    given = dict(enumerate(op.inputs))
    if any(given.get(k, -1) >= 0 for k in (*_PEEPHOLES, *_PROJECTION, *_NORMS)):
        return None
    if any(given.get(k, -1) < 0 for k in (0, *_INPUT, *_RECURRENT, *_BIAS)):
        return None
    sides = [[graph.tensors[op.inputs[k]].data for k in group] for group in (_INPUT, _RECURRENT, _BIAS)]
    if any(values is None or values.dtype != np.float32 for side in sides for values in side):
        return None
    kernel, recurrent, bias = (np.concatenate([np.asarray(v) for v in side]) for side in sides)
    shape, time_major = graph.tensors[op.inputs[0]].shape, bool(op.options.get("time_major", False))
    activation, units = str(op.options.get("fused_activation_function", "TANH")), recurrent.shape[1]
    if len(shape) != 3 or shape[1 if time_major else 0] != 1 or activation not in _ACTIVATIONS:
        return None
    if len(recurrent) != 4 * units or kernel.shape != (4 * units, shape[2]) or bias.shape != (4 * units,):
        return None
    steps = shape[0 if time_major else 1]
    clip = float(op.options.get("cell_clip", 0.0))
    # A step adds less than 1 to the cell of an LSTM with tanh, so that short sequences never reach the bound.
    clip = 0.0 if activation == "TANH" and steps <= clip else clip
    return _Layer(op, kernel, recurrent, bias, steps, shape[2], time_major, activation, clip)


class _Writer:
    """Writes the operators of one layer."""

    def __init__(self, editor: Editor, graph: Graph, layer: _Layer) -> None:
        self._editor, self._layer = editor, layer
        self._name = graph.tensors[layer.op.outputs[0]].name
        self._made: list[Node] = []

    def nodes(self) -> list[Node]:
        """Return the operators that give the layer's output."""
        layer, editor = self._layer, self._editor
        shape = editor.constant(np.asarray((layer.steps, layer.features), np.int32))
        (rows,) = self._add(
            "RESHAPE", [layer.op.inputs[0], shape], "rows", [(layer.steps, layer.features)], {}
        )
        kernel, bias = editor.constant(layer.kernel), editor.constant(layer.bias)
        wide = (layer.steps, 4 * layer.units)
        (given,) = self._add("FULLY_CONNECTED", [rows, kernel, bias], "inputs", [wide])
        hidden = self._steps(self._split(given, 0, [(1, 4 * layer.units)] * layer.steps, "input"))
        axis = 0 if layer.time_major else 1
        node = editor.operator(
            "PACK", hidden, [layer.op.outputs[0]], {"values_count": len(hidden), "axis": axis}
        )
        return [*self._made, node]

    def _steps(self, given: list[int]) -> list[int]:
        """Return the hidden state (1, units) of each step."""
        units, editor = self._layer.units, self._editor
        recurrent = editor.constant(self._layer.recurrent)
        hidden: list[int] = []
        cell = None
        for z in given:
            if hidden:
                (back,) = self._add("FULLY_CONNECTED", [hidden[-1], recurrent, -1], "back", [(1, 4 * units)])
                (z,) = self._add("ADD", [z, back], "sums", [(1, 4 * units)])
            sigmoids, candidate = self._parts(z)
            (opened,) = self._add("LOGISTIC", [sigmoids], "gates", [(1, 3 * units)], {})
            i, f, o = self._split(opened, 1, [(1, units)] * 3, "gate")
            (fresh,) = self._add("MUL", [i, self._activate(candidate)], "new", [(1, units)])
            if cell is None:
                cell = fresh
            else:
                (kept,) = self._add("MUL", [f, cell], "kept", [(1, units)])
                (cell,) = self._add("ADD", [kept, fresh], "cell", [(1, units)])
            cell = self._clip(cell)
            hidden += self._add("MUL", [o, self._activate(cell)], "hidden", [(1, units)])
        return hidden

    def _parts(self, z: int) -> tuple[int, int]:
        """Return (what passes a sigmoid, the candidate) of a step's sums."""
        units, editor = self._layer.units, self._editor
        sizes = editor.constant(np.asarray((3 * units, units), np.int32))
        axis = editor.constant(np.int32(1))
        sigmoids, candidate = self._add(
            "SPLIT_V", [z, sizes, axis], "part", [(1, 3 * units), (1, units)], {"num_splits": 2}
        )
        return sigmoids, candidate

    def _split(self, tensor: int, axis: int, shapes: Sequence[tuple[int, ...]], name: str) -> list[int]:
        where = self._editor.constant(np.int32(axis))
        return self._add("SPLIT", [where, tensor], name, shapes, {"num_splits": len(shapes)})

    def _activate(self, tensor: int) -> int:
        (made,) = self._add(self._layer.activation, [tensor], "activated", [(1, self._layer.units)], {})
        return made

    def _clip(self, cell: int) -> int:
        clip, shape = self._layer.clip, [(1, self._layer.units)]
        if clip <= 0:
            return cell
        (below,) = self._add("MINIMUM", [cell, self._editor.constant(np.float32(clip))], "below", shape, {})
        (within,) = self._add(
            "MAXIMUM", [below, self._editor.constant(np.float32(-clip))], "within", shape, {}
        )
        return within

    def _add(
        self,
        op: str,
        inputs: list[int],
        name: str,
        shapes: Sequence[tuple[int, ...]],
        options: dict[str, Any] | None = None,
    ) -> list[int]:
        """Add an operator and return its outputs, float32 of these shapes."""
        place = len(self._made)
        outputs = [
            self._editor.tensor(f"{self._name}/{name}{place}_{k}", shape, "float32")
            for k, shape in enumerate(shapes)
        ]
        told = {"fused_activation_function": "NONE"} if options is None else options
        self._made.append(self._editor.operator(op, inputs, outputs, told))
        return outputs
