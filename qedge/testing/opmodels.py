"""Builds ``.tflite`` models of one or a few operators straight from the schema, without a converter.

A model that a converter would never emit (a zero point of -128, a stride of 3 by 2) is exactly what the test
of a kernel needs, so nothing here checks that a model makes sense: the oracle does.

>>> data = single_op("RELU", [Spec((1, 4), scale=0.5)], [Spec((1, 4), scale=0.25, zero_point=-128)])
>>> data[4:8]
b'TFL3'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import schema
from qedge.graph.edit import Editor, affine, pack_int4


@dataclass(frozen=True, eq=False)
class Spec:
    """What one tensor is.

    Args:
        shape: dimensions; ``()`` for a scalar.
        dtype: TFLite's type in lower case (``int8``, ``int4``, ``resource``).
        scale: one scale, one for each channel along ``axis``, or None for an unquantised tensor.
        zero_point: one value, or one for each scale.
        axis: dimension of per-channel scales.
        data: values of a constant (int4: one value an element, in [-8, 7]), or None.
        variable: whether the tensor keeps its value between runs (state of an LSTM).
        name: tensor name; made up from the position when empty.
    """

    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: float | Sequence[float] | None = None
    zero_point: int | Sequence[int] = 0
    axis: int = 0
    data: npt.ArrayLike | None = None
    variable: bool = False
    name: str = ""


def constant(
    values: npt.ArrayLike,
    dtype: str = "int32",
    scale: float | Sequence[float] | None = None,
    zero_point: int | Sequence[int] = 0,
    axis: int = 0,
) -> Spec:
    """Return the spec of a constant with the shape of ``values``."""
    return Spec(np.shape(values), dtype, scale, zero_point, axis, values)


class ModelBuilder:
    """Collects subgraphs, then packs them; the first subgraph is the main one."""

    def __init__(self) -> None:
        self._editor = Editor.empty("one operator")
        self._editor.model.subgraphs = []

    def subgraph(self, name: str = "main") -> SubgraphBuilder:
        """Add a subgraph and return its builder."""
        graph = schema.generated().SubGraphT()
        graph.name, graph.inputs, graph.outputs = name.encode(), [], []
        self._editor.model.subgraphs.append(graph)
        return SubgraphBuilder(Editor(self._editor.model, self.subgraph_count - 1))

    @property
    def subgraph_count(self) -> int:
        """Number of subgraphs added so far."""
        return len(self._editor.model.subgraphs)

    def pack(self) -> bytes:
        """Return the model's bytes."""
        return self._editor.pack()


class SubgraphBuilder:
    """Adds tensors and operators to one subgraph; tensors are known by their index."""

    def __init__(self, editor: Editor) -> None:
        self._editor, self._graph = editor, editor.graph

    def tensor(self, spec: Spec) -> int:
        """Add a tensor and return its index."""
        return self._editor.tensor(
            spec.name or f"t{len(self._graph.tensors)}",
            spec.shape,
            spec.dtype,
            data=None if spec.data is None else _constant_bytes(spec.data, spec.dtype),
            quantization=None if spec.scale is None else affine(spec.scale, spec.zero_point, spec.axis),
            variable=spec.variable,
        )

    def input(self, spec: Spec) -> int:
        """Add a tensor that is an input of the subgraph."""
        index = self.tensor(spec)
        self._graph.inputs.append(index)
        return index

    def output(self, index: int) -> None:
        """Declare a tensor as an output of the subgraph."""
        self._graph.outputs.append(index)

    def operator(
        self,
        op: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Mapping[str, Any] | None = None,
        *,
        version: int = 1,
        intermediates: Sequence[int] = (),
    ) -> None:
        """Add an operator. Options are in the schema's snake case, enums by name (``padding="SAME"``)."""
        node = self._editor.operator(op, inputs, outputs, options, version=version)
        if intermediates:
            node.intermediates = np.asarray(intermediates, np.int32)
        self._editor.append(node)

    def custom(self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: bytes) -> None:
        """Add a custom operator; ``options`` is what its kernel parses, mostly a flexbuffer."""
        node = self._editor.operator("CUSTOM", inputs, outputs, custom=name, custom_options=options)
        self._editor.append(node)

    def add(
        self,
        op: str,
        inputs: Sequence[Spec | None],
        outputs: Sequence[Spec],
        options: Mapping[str, Any] | None = None,
        *,
        version: int = 1,
        intermediates: Sequence[Spec] = (),
    ) -> None:
        """Add an operator with tensors, inputs and outputs of its own; see :func:`single_op`."""
        indices = []
        for spec in inputs:
            if spec is None:
                indices.append(-1)
            elif spec.data is not None or spec.variable:
                indices.append(self.tensor(spec))
            else:
                indices.append(self.input(spec))
        inner = [self.tensor(spec) for spec in intermediates]
        results = [self.tensor(spec) for spec in outputs]
        self.operator(op, indices, results, options, version=version, intermediates=inner)
        for index in results:
            self.output(index)

    @property
    def input_count(self) -> int:
        """Number of inputs declared so far."""
        return len(self._graph.inputs)

    @property
    def output_count(self) -> int:
        """Number of outputs declared so far."""
        return len(self._graph.outputs)


def single_op(
    op: str,
    inputs: Sequence[Spec | None],
    outputs: Sequence[Spec],
    options: Mapping[str, Any] | None = None,
    *,
    version: int = 1,
    intermediates: Sequence[Spec] = (),
) -> bytes:
    """Return a model of one operator.

    Inputs with data are constants, variables are neither input nor constant, None is an absent optional
    input; all others are the model's inputs, in order.
    """
    builder = ModelBuilder()
    builder.subgraph().add(op, inputs, outputs, options, version=version, intermediates=intermediates)
    return builder.pack()


def _constant_bytes(values: npt.ArrayLike, dtype: str) -> bytes:
    if dtype == "int4":
        return pack_int4(values)
    array = np.asarray(values)
    target = np.dtype(dtype).newbyteorder("<")
    if array.dtype.kind in "iu" and target.kind in "iu" and array.size:
        info = np.iinfo(target)
        if not (info.min <= array.min() and array.max() <= info.max):
            raise ValueError(f"values in [{array.min()}, {array.max()}] do not fit {dtype}")
    return array.astype(target).tobytes()
