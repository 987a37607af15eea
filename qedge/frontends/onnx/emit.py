"""Writes a float ``.tflite``: tensors, constants, operators."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import schema

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_TYPES = {
    "float32": "FLOAT32", "float64": "FLOAT32", "float16": "FLOAT32", "int32": "INT32", "int64": "INT32",
    "bool": "BOOL", "int8": "INT8", "uint8": "UINT8", "int16": "INT16", "uint16": "INT32", "uint32": "INT32",
    "uint64": "INT32",
}  # fmt: skip
_STORED = {"float64": "float32", "float16": "float32", "int64": "int32"} | dict.fromkeys(
    ("uint16", "uint32", "uint64"), "int32"
)
_INT32 = np.iinfo(np.int32)


def stored_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the type that a value of an ONNX type has in the ``.tflite``: float32, int32, bool, int8, uint8."""
    name = np.dtype(dtype).name
    stored_as: np.dtype[Any] = np.dtype(_STORED.get(name, name))
    return stored_as


def stored(values: Array) -> Array:
    """Return a constant in the type that it has in the ``.tflite``; integers beyond int32 are clipped to it."""
    dtype = stored_dtype(values.dtype)
    if values.dtype.kind in "iu" and dtype == np.int32 and values.dtype != np.int32:
        values = np.clip(values, _INT32.min, _INT32.max)
    return np.ascontiguousarray(values).astype(dtype, copy=False).reshape(values.shape)


class Writer:
    """Collects tensors and operators of one subgraph, and packs them.

    Tensors are numbered; every method that makes an operator returns the number of what it writes. A chain of
    RESHAPEs becomes one, and a TRANSPOSE that moves only dimensions of size 1 becomes a RESHAPE.
    """

    def __init__(self) -> None:
        self._schema = schema.generated()
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [self._schema.BufferT()]
        self.operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._constants: dict[tuple[str, Shape, bytes], int] = {}
        self._sources: dict[int, Any] = {}
        self._shared: dict[tuple[Any, ...], int] = {}
        self.layer = ""

    def tensor(self, name: str, shape: Sequence[int], dtype: Any = np.float32) -> int:
        """Return a new tensor."""
        made = self._schema.TensorT()
        made.name, made.buffer = name, 0
        made.shape = np.asarray(shape, np.int32)
        made.type = getattr(self._schema.TensorType, _TYPES[np.dtype(dtype).name])
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, values: Any, dtype: Any = None) -> int:
        """Return a constant; equal ones are one tensor."""
        array = stored(np.asarray(values, dtype))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            index = self.tensor("", array.shape, array.dtype)
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(key[2], np.uint8)
            self.buffers.append(buffer)
            self.tensors[index].buffer = len(self.buffers) - 1
            self._constants[key] = index
        return self._constants[key]

    def is_constant(self, tensor: int) -> bool:
        """Return whether a tensor is stored in the file."""
        return bool(self.tensors[tensor].buffer)

    def values(self, tensor: int) -> Array | None:
        """Return what a constant holds, None for what is computed."""
        if not self.is_constant(tensor):
            return None
        raw = self.buffers[self.tensors[tensor].buffer].data
        return np.frombuffer(raw.tobytes(), self.dtype(tensor)).reshape(self.shape(tensor))

    def shape(self, tensor: int) -> Shape:
        """Return the shape of a tensor."""
        return tuple(int(d) for d in self.tensors[tensor].shape)

    def dtype(self, tensor: int) -> np.dtype[Any]:
        """Return the type of a tensor."""
        name = schema.enum_names("TensorType")[self.tensors[tensor].type].lower()
        return np.dtype(name)

    def name(self, tensor: int, name: str) -> None:
        """Give a tensor a name; names are made unique when the model is packed."""
        self.tensors[tensor].name = name

    def op(
        self,
        op: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        options: str | None = None,
        dtype: Any = None,
        **fields: Any,
    ) -> int:
        """Add an operator with one output of this shape; its type is that of the first input unless stated."""
        return self.ops(op, inputs, [shape], options, dtype, **fields)[0]

    def ops(
        self,
        op: str,
        inputs: Sequence[int],
        shapes: Sequence[Sequence[int]],
        options: str | None = None,
        dtype: Any = None,
        version: int = 1,
        **fields: Any,
    ) -> list[int]:
        """Add an operator with an output a shape."""
        made = self._schema.OperatorT()
        code = (getattr(self._schema.BuiltinOperator, op), version)
        made.opcodeIndex = self._codes.setdefault(code, len(self._codes))
        made.inputs = np.asarray(inputs, np.int32)
        if dtype is None:
            dtype = self.dtype(inputs[0])
        outputs = [self.tensor(f"{self.layer}/{op.lower()}", shape, dtype) for shape in shapes]
        made.outputs = np.asarray(outputs, np.int32)
        if options:
            chosen = getattr(self._schema, f"{options}T")()
            for name, value in fields.items():
                if not hasattr(chosen, name):
                    raise AttributeError(f"{options} has no field {name}")
                setattr(chosen, name, value)
            made.builtinOptions = chosen
            made.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
        self.operators.append(made)
        for index in outputs:
            self._sources[index] = made
        return outputs

    def source(self, tensor: int) -> tuple[str, list[int]] | None:
        """Return the operator that writes a tensor and its inputs, None for constants and inputs."""
        made = self._sources.get(tensor)
        if made is None:
            return None
        code = next(k for k, v in self._codes.items() if v == made.opcodeIndex)
        return schema.enum_names("BuiltinOperator")[code[0]], [int(t) for t in made.inputs]

    def options(self, tensor: int) -> Any:
        """Return the options of the operator that writes a tensor."""
        return self._sources[tensor].builtinOptions

    def reshape(self, tensor: int, shape: Sequence[int]) -> int:
        """Return the tensor with another shape of as many values."""
        shape = tuple(int(d) for d in shape)
        source = self.source(tensor)
        if self.shape(tensor) != shape and source is not None and source[0] == "RESHAPE":
            return self.reshape(source[1][0], shape)
        if self.shape(tensor) == shape:
            return tensor
        known = self.values(tensor)
        if known is not None:
            return self.constant(known.reshape(shape))
        key = ("RESHAPE", tensor, shape)
        if key not in self._shared:
            new = np.asarray(shape, np.int32)
            self._shared[key] = self.op(
                "RESHAPE", [tensor, self.constant(new)], shape, "ReshapeOptions", newShape=new
            )
        return self._shared[key]

    def transpose(self, tensor: int, order: Sequence[int]) -> int:
        """Return the tensor with its dimensions in another order: dimension i is the old ``order[i]``.

        Dimensions of size 1 and those that stay together are joined first: fewer dimensions, more targets.
        """
        shape = self.shape(tensor)
        result = tuple(shape[d] for d in order)
        moved = [d for d in order if shape[d] != 1]
        if moved == sorted(moved):
            return self.reshape(tensor, result)
        runs: list[list[int]] = []
        kept = sorted(moved)
        for d in moved:
            if runs and kept.index(runs[-1][-1]) + 1 == kept.index(d):
                runs[-1].append(d)
            else:
                runs.append([d])
        ranked = sorted(range(len(runs)), key=lambda r: runs[r][0])
        joined = [math.prod(shape[d] for d in runs[r]) for r in ranked]
        turn = [ranked.index(r) for r in range(len(runs))]
        # TFLite users and the Edge TPU expect a batch in front of an image.
        if len(joined) < len(shape) and shape[0] == 1 and order[0] == 0:
            joined, turn = [1, *joined], [0, *(t + 1 for t in turn)]
        key = ("TRANSPOSE", tensor, tuple(joined), tuple(turn))
        if key not in self._shared:
            flat = self.reshape(tensor, joined)
            self._shared[key] = self.op(
                "TRANSPOSE",
                [flat, self.constant(turn, np.int32)],
                [joined[t] for t in turn],
                "TransposeOptions",
            )
        return self.reshape(self._shared[key], result)

    def pack(
        self, inputs: Mapping[str, int], outputs: Mapping[str, int], description: str = "qedge"
    ) -> bytes:
        """Return the ``.tflite`` with one signature; operators that no output needs are left out."""
        made = self._schema
        live, kept = set(outputs.values()), []
        for operator in reversed(self.operators):
            if any(int(t) in live for t in operator.outputs):
                kept.append(operator)
                live.update(int(t) for t in operator.inputs)
        kept.reverse()
        ends = {*inputs.values(), *outputs.values()}
        used = sorted((live | ends | {int(t) for o in kept for t in o.outputs}) - {-1})
        place = {old: new for new, old in enumerate(used)}
        place[-1] = -1
        self._name_all(kept, {v: k for k, v in {**outputs, **inputs}.items()}, used)
        graph = made.SubGraphT()
        graph.name = "main"
        graph.tensors = [self.tensors[t] for t in used]
        graph.operators = kept
        for operator in kept:
            operator.inputs = np.asarray([place[int(t)] for t in operator.inputs], np.int32)
            operator.outputs = np.asarray([place[int(t)] for t in operator.outputs], np.int32)
        graph.inputs = np.asarray([place[t] for t in inputs.values()], np.int32)
        graph.outputs = np.asarray([place[t] for t in outputs.values()], np.int32)
        signature = made.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        sides = []
        for side in (inputs, outputs):
            maps = []
            for name, tensor in side.items():
                entry = made.TensorMapT()
                entry.name, entry.tensorIndex = name, place[tensor]
                maps.append(entry)
            sides.append(maps)
        signature.inputs, signature.outputs = sides
        model = made.ModelT()
        model.version, model.description = 3, description
        model.subgraphs, model.signatureDefs = [graph], [signature]
        self._finish_buffers(model, graph.tensors)
        self._finish_codes(model, kept)
        return schema.pack(model)

    def _finish_buffers(self, model: Any, tensors: Sequence[Any]) -> None:
        buffers, place = [self.buffers[0]], {0: 0}
        for tensor in tensors:
            if tensor.buffer not in place:
                place[tensor.buffer] = len(buffers)
                buffers.append(self.buffers[tensor.buffer])
            tensor.buffer = place[tensor.buffer]
        model.buffers = buffers

    def _finish_codes(self, model: Any, operators: Sequence[Any]) -> None:
        known = {index: code for code, index in self._codes.items()}
        used = sorted({o.opcodeIndex for o in operators})
        model.operatorCodes = []
        for index in used:
            builtin, version = known[index]
            code = self._schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
            model.operatorCodes.append(code)
        for operator in operators:
            operator.opcodeIndex = used.index(operator.opcodeIndex)

    def _name_all(self, operators: Sequence[Any], fixed: Mapping[int, str], used: Sequence[int]) -> None:
        """Make every name unique, and name constants after the operator that reads them."""
        taken: set[str] = set(fixed.values())
        counts: dict[str, int] = {}
        done = set(fixed)

        def give(tensor: int, wanted: str) -> None:
            if tensor in done:
                return
            done.add(tensor)
            name = wanted
            while name in taken:
                counts[wanted] = counts.get(wanted, 0) + 1
                name = f"{wanted}_{counts[wanted]}"
            taken.add(name)
            self.tensors[tensor].name = name

        for tensor, name in fixed.items():
            self.tensors[tensor].name = name
        for operator in operators:
            for t in operator.outputs:
                give(int(t), self.tensors[int(t)].name or "value")
        slots = {1: "weights", 2: "bias"}
        for operator in operators:
            owner = self.tensors[int(operator.outputs[0])].name
            for slot, t in enumerate(operator.inputs):
                if int(t) >= 0 and self.tensors[int(t)].buffer:
                    give(int(t), f"{owner}/{slots.get(slot, slot)}")
        for tensor in used:
            give(tensor, self.tensors[tensor].name or "value")
