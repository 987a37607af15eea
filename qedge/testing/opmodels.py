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

_OPTIONS_OF = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "L2_NORMALIZATION": "L2NormOptions",
}
_ENUM_OF = {
    "padding": "Padding",
    "fusedActivationFunction": "ActivationFunctionType",
    "outputType": "TensorType",
    "inDataType": "TensorType",
    "outDataType": "TensorType",
    "mode": "MirrorPadMode",
    "weightsFormat": "FullyConnectedOptionsWeightsFormat",
}


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
        self._fb = schema.generated()
        self._model = self._fb.ModelT()
        self._model.version = 3
        self._model.description = b"one operator"
        self._model.buffers = [self._fb.BufferT()]
        self._model.operatorCodes = []
        self._model.subgraphs = []
        self._codes: dict[tuple[str, int], int] = {}

    def subgraph(self, name: str = "main") -> SubgraphBuilder:
        """Add a subgraph and return its builder."""
        graph = self._fb.SubGraphT()
        graph.name = name.encode()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self._model.subgraphs.append(graph)
        return SubgraphBuilder(self, graph)

    @property
    def subgraph_count(self) -> int:
        """Number of subgraphs added so far."""
        return len(self._model.subgraphs)

    def pack(self) -> bytes:
        """Return the model's bytes."""
        return schema.pack(self._model)

    def _buffer(self, data: bytes) -> int:
        buffer = self._fb.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

    def _custom_code(self, name: str) -> int:
        code = self._fb.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = self._fb.BuiltinOperator.CUSTOM
        code.customCode = name.encode()
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1

    def _opcode(self, op: str, version: int) -> int:
        key = (op, version)
        if key not in self._codes:
            code = self._fb.OperatorCodeT()
            code.builtinCode = getattr(self._fb.BuiltinOperator, op)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = version
            self._model.operatorCodes.append(code)
            self._codes[key] = len(self._model.operatorCodes) - 1
        return self._codes[key]


class SubgraphBuilder:
    """Adds tensors and operators to one subgraph; tensors are known by their index."""

    def __init__(self, owner: ModelBuilder, graph: Any) -> None:
        self._owner, self._graph, self._fb = owner, graph, owner._fb

    def tensor(self, spec: Spec) -> int:
        """Add a tensor and return its index."""
        t = self._fb.TensorT()
        t.name = (spec.name or f"t{len(self._graph.tensors)}").encode()
        t.shape = np.asarray(spec.shape, np.int32)
        t.type = getattr(self._fb.TensorType, spec.dtype.upper())
        t.buffer = 0 if spec.data is None else self._owner._buffer(_constant_bytes(spec.data, spec.dtype))
        t.isVariable = spec.variable
        if spec.scale is not None:
            q = self._fb.QuantizationParametersT()
            q.scale = np.atleast_1d(np.asarray(spec.scale, np.float32))
            q.zeroPoint = np.broadcast_to(np.asarray(spec.zero_point, np.int64), q.scale.shape).copy()
            q.quantizedDimension = spec.axis
            t.quantization = q
        self._graph.tensors.append(t)
        return len(self._graph.tensors) - 1

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
        node = self._fb.OperatorT()
        node.opcodeIndex = self._owner._opcode(op, version)
        node.inputs, node.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
        if intermediates:
            node.intermediates = np.asarray(intermediates, np.int32)
        kind = options_name(op)
        if kind is None and options:
            raise ValueError(f"{op} has no options, got {sorted(options)}")
        if kind is not None:
            node.builtinOptionsType = getattr(self._fb.BuiltinOptions, kind)
            node.builtinOptions = self._options(kind, options or {})
        self._graph.operators.append(node)

    def custom(self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: bytes) -> None:
        """Add a custom operator; ``options`` is what its kernel parses, mostly a flexbuffer."""
        node = self._fb.OperatorT()
        node.opcodeIndex = self._owner._custom_code(name)
        node.inputs, node.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
        node.customOptions = np.frombuffer(options, np.uint8)
        self._graph.operators.append(node)

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

    def _options(self, kind: str, options: Mapping[str, Any]) -> Any:
        found = getattr(self._fb, f"{kind}T")()
        for key, value in options.items():
            head, *rest = key.split("_")
            field = head + "".join(word.capitalize() for word in rest)
            if not hasattr(found, field):
                raise ValueError(f"{kind} has no {key}; it has {sorted(vars(found))}")
            if isinstance(value, str) and field in _ENUM_OF:
                value = getattr(getattr(self._fb, _ENUM_OF[field]), value)
            setattr(found, field, value)
        return found


def options_name(op: str) -> str | None:
    """Return the schema's options table of an operator, or None.

    >>> options_name("CONV_2D"), options_name("TANH")
    ('Conv2DOptions', None)
    """
    if op in _OPTIONS_OF:
        return _OPTIONS_OF[op]
    known = {name.lower(): name for name in schema.enum_names("BuiltinOptions").values()}
    return known.get(op.replace("_", "").lower() + "options")


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
        flat = np.asarray(values, np.int64).reshape(-1)
        if flat.size and not (flat.min() >= -8 and flat.max() <= 7):
            raise ValueError(f"int4 values in [{flat.min()}, {flat.max()}], expected [-8, 7]")
        nibbles = np.zeros(flat.size + flat.size % 2, np.uint8)
        nibbles[: flat.size] = flat & 15
        return (nibbles[0::2] | (nibbles[1::2] << 4)).astype(np.uint8).tobytes()
    array = np.asarray(values)
    target = np.dtype(dtype).newbyteorder("<")
    if array.dtype.kind in "iu" and target.kind in "iu" and array.size:
        info = np.iinfo(target)
        if not (info.min <= array.min() and array.max() <= info.max):
            raise ValueError(f"values in [{array.min()}, {array.max()}] do not fit {dtype}")
    return array.astype(target).tobytes()
