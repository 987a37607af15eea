"""Operators on tensors, whatever value these hold and in which order: arithmetic, parts, joins, reductions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.emit import Writer
from qedge.frontends.onnx.layout import Shape

MOST_JOINED = 10
"""Inputs of one CONCATENATION."""
NONE, RELU, RELU6 = 0, 1, 3
"""Fused activation functions of TFLite's schema."""


class Algebra:
    """Writes operators that more than one kind of node becomes.

    Args:
        writer: takes them; tensors are its indices.
    """

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def pointwise(self, op: str, tensors: Sequence[int], dtype: Any = None, **fields: Any) -> int:
        """Return an operator that broadcasts, on at most 4 dimensions where they can be joined."""
        writer = self.writer
        shapes = [writer.shape(t) for t in tensors]
        result = tuple(int(d) for d in np.broadcast_shapes(*shapes))
        if dtype is None:
            dtype = writer.dtype(tensors[-1])
        if len(result) > 4:
            padded: list[Shape] = [(1,) * (len(result) - len(s)) + s for s in shapes]
            joined = layout.collapse([*padded, result])
            flat = [writer.reshape(t, s) for t, s in zip(tensors, joined)]
            made = writer.op(op, flat, joined[-1], dtype, **fields)
            return writer.reshape(made, result)
        return writer.op(op, tensors, result, dtype, **fields)

    def number(self, value: float) -> int:
        """Return a float32 constant without dimensions."""
        return self.writer.constant(np.float32(value))

    def add(self, a: int, b: int, activation: int = NONE) -> int:
        """Return ``a + b``."""
        return self.pointwise("ADD", [a, b], fused_activation_function=activation)

    def sub(self, a: int, b: int) -> int:
        """Return ``a - b``."""
        return self.pointwise("SUB", [a, b])

    def mul(self, a: int, b: int) -> int:
        """Return ``a * b``."""
        return self.pointwise("MUL", [a, b])

    def div(self, a: int, b: int) -> int:
        """Return ``a / b``."""
        return self.pointwise("DIV", [a, b])

    def one(self, op: str, a: int, **fields: Any) -> int:
        """Return an operator of one tensor that keeps shape and type."""
        return self.writer.op(op, [a], self.writer.shape(a), **fields)

    def integers(self, values: Sequence[int]) -> int:
        """Return an int32 constant: axes, sizes, paddings."""
        return self.writer.constant(np.asarray(values, np.int32))

    def slice(self, tensor: int, begin: Sequence[int], size: Sequence[int]) -> int:
        """Return a part of a tensor; where that is one of the tensors that were joined to it, that one."""
        writer = self.writer
        if writer.shape(tensor) == tuple(size):
            return tensor
        whole = self._joined_part(tensor, begin, size)
        if whole is not None:
            return whole
        return writer.op("SLICE", [tensor, self.integers(begin), self.integers(size)], tuple(size))

    def _joined_part(self, tensor: int, begin: Sequence[int], size: Sequence[int]) -> int | None:
        """Return which of the tensors that were joined one after the other a slice is, None if it is none."""
        writer = self.writer
        shape = writer.shape(tensor)
        first = next((d for d, s in enumerate(size) if s != 1), len(size))
        if tuple(size[first + 1 :]) != shape[first + 1 :]:
            return None  # its numbers do not lie in a row
        start = 0
        for s, b in zip(shape, begin):
            start = start * s + b
        count = math.prod(size)
        source = writer.source(tensor)
        while source is not None and source[0] == "RESHAPE":
            tensor = source[1][0]
            source = writer.source(tensor)
        if source is None or source[0] != "CONCATENATION":
            return None
        axis = int(writer.options(tensor).axis)
        if math.prod(writer.shape(tensor)[:axis]) != 1:
            return None
        for part in source[1]:
            length = math.prod(writer.shape(part))
            if start == 0 and length == count:
                return writer.reshape(part, size)
            if start < length:
                return self._joined_part(
                    part, _place(start, writer.shape(part)), _run(count, writer.shape(part))
                )
            start -= length
        return None

    def concat(self, tensors: Sequence[int], axis: int) -> int:
        """Return tensors joined along an axis, at most ten at a time: more TensorFlow Lite Micro does not take."""
        if len(tensors) == 1:
            return tensors[0]
        if len(tensors) > MOST_JOINED:
            step = MOST_JOINED
            parts = [self.concat(tensors[k : k + step], axis) for k in range(0, len(tensors), step)]
            return self.concat(parts, axis)
        shape = list(self.writer.shape(tensors[0]))
        shape[axis] = sum(self.writer.shape(t)[axis] for t in tensors)
        return self.writer.op("CONCATENATION", tensors, shape, axis=axis)

    def reduce(self, op: str, tensor: int, axes: Sequence[int], keep: bool = True) -> int:
        """Return a reduction over axes of a tensor."""
        shape = self.writer.shape(tensor)
        axes = sorted(axes)
        if keep:
            result = [1 if d in axes else s for d, s in enumerate(shape)]
        else:
            result = [s for d, s in enumerate(shape) if d not in axes]
        return self.writer.op(op, [tensor, self.integers(axes)], result, keep_dims=keep)


def _place(start: int, shape: Sequence[int]) -> list[int]:
    """Return the indices of a place in a flattened tensor."""
    return [int(i) for i in np.unravel_index(start, tuple(shape))]


def _run(count: int, shape: Sequence[int]) -> list[int]:
    """Return the sizes of ``count`` numbers in a row, if they are whole rows of a tensor; else sizes of none."""
    sizes = [1] * len(shape)
    for d in reversed(range(len(shape))):
        if count % shape[d]:
            sizes[d] = count
            return sizes
        sizes[d], count = shape[d], count // shape[d]
    return sizes
