"""Writes a float ``.tflite`` with the graph editor: tensors and constants shared, shapes followed, RESHAPEs few."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.frontends.names import name_all
from qedge.graph.edit import Editor, Node

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

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
    """Adds operators to a new model one after the other, and packs it.

    Every method that makes an operator returns the tensor that it writes. Equal constants are one tensor, a chain of
    RESHAPEs becomes one, and a TRANSPOSE that moves only dimensions of size 1 becomes a RESHAPE. Once packed, ``names``
    has the name of every tensor that is in the file.
    """

    def __init__(self) -> None:
        self._editor = Editor.empty("qedge")
        self._values: dict[int, Array] = {}
        self._constants: dict[tuple[str, Shape, bytes], int] = {}
        self._sources: dict[int, Node] = {}
        self._shared: dict[tuple[Any, ...], int] = {}
        self.layer = ""
        self.names: dict[int, str] = {}

    def tensor(self, name: str, shape: Sequence[int], dtype: Any = np.float32) -> int:
        """Return a new tensor that is computed; names are made unique when the model is packed."""
        return self._editor.tensor(name, shape, stored_dtype(dtype).name)

    def constant(self, values: Any, dtype: Any = None) -> int:
        """Return a constant; equal ones are one tensor."""
        array = stored(np.asarray(values, dtype))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            index = self._editor.constant(array)
            self._constants[key], self._values[index] = index, array
        return self._constants[key]

    def is_constant(self, tensor: int) -> bool:
        """Return whether a tensor is stored in the file."""
        return tensor in self._values

    def values(self, tensor: int) -> Array | None:
        """Return what a constant holds, None for what is computed."""
        return self._values.get(tensor)

    def shape(self, tensor: int) -> Shape:
        """Return the shape of a tensor."""
        return self._editor.shape(tensor)

    def dtype(self, tensor: int) -> np.dtype[Any]:
        """Return the type of a tensor."""
        found: np.dtype[Any] = np.dtype(self._editor.dtype(tensor))
        return found

    def op(
        self,
        op: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        dtype: Any = None,
        version: int = 1,
        **options: Any,
    ) -> int:
        """Add an operator with one output of this shape; its type is that of the first input unless stated."""
        return self.ops(op, inputs, [shape], dtype, version, **options)[0]

    def ops(
        self,
        op: str,
        inputs: Sequence[int],
        shapes: Sequence[Sequence[int]],
        dtype: Any = None,
        version: int = 1,
        **options: Any,
    ) -> list[int]:
        """Add an operator with an output a shape.

        Args:
            op: TFLite's name.
            inputs: tensors.
            shapes: of the outputs.
            dtype: of all outputs, or a list with one for each; that of the first input unless stated.
            version: of the operator.
            options: in snake case, see :meth:`qedge.graph.edit.Editor.operator`.
        """
        if dtype is None:
            dtype = self.dtype(inputs[0])
        dtypes = dtype if isinstance(dtype, list) else [dtype] * len(shapes)
        outputs = [self.tensor(f"{self.layer}/{op.lower()}", s, t) for s, t in zip(shapes, dtypes)]
        node = self._editor.append(self._editor.operator(op, inputs, outputs, options, version=version))
        self._sources.update(dict.fromkeys(outputs, node))
        return outputs

    def source(self, tensor: int) -> tuple[str, list[int]] | None:
        """Return the operator that writes a tensor and its inputs, None for constants and inputs."""
        node = self._sources.get(tensor)
        return None if node is None else (self._editor.op(node), [int(t) for t in node.inputs])

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
            self._shared[key] = self.op("RESHAPE", [tensor, self.constant(new)], shape, new_shape=new)
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
            )
        return self.reshape(self._shared[key], result)

    def pack(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """Return the ``.tflite`` with one signature; operators that no output needs are left out."""
        editor = self._editor
        live, dead = set(outputs.values()), []
        for node in reversed(editor.operators):
            if any(int(t) in live for t in node.outputs):
                live.update(int(t) for t in node.inputs)
            else:
                dead.append(node)
        editor.remove(dead)
        editor.inputs, editor.outputs = tuple(inputs.values()), tuple(outputs.values())
        ends = [(t, name) for name, t in (*inputs.items(), *outputs.items())]
        self.names = name_all(editor, ends, lambda t, _used: editor.name(t) or "value")
        editor.sign(list(inputs.items()), list(outputs.items()))
        editor.sweep()
        return editor.pack()
