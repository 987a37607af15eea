"""A graph while it is rewritten: new constants, tensors and operators in the place of old operators.

A rewrite reads one :class:`~qedge.graph.Graph` and leaves the next one; no file is made in between. Tensors keep
their index and new ones follow, so that what a rewrite found in one graph holds in the next. What the
rewrites leave becomes a file once, in :mod:`qedge_coral.rewrite.write`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator, Quantization, Tensor

Array = npt.NDArray[Any]


class Draft:
    """Collects the changes of one rewrite to the main graph; :meth:`finish` makes them.

    Args:
        graph: the graph as the rewrite before left it.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._tensors = list(graph.tensors)
        self._instead: dict[int, list[Operator]] = {}
        self.lines: list[str] = []

    def constant(
        self, name: str, values: Array, scale: npt.ArrayLike | None = None, zero_point: int = 0
    ) -> int:
        """Add a constant tensor and return its index; with a scale it is quantised, with several along axis 0."""
        quantization = None
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            quantization = Quantization(scales, np.full(scales.shape, zero_point, np.int64), 0)
        values = np.array(values, order="C")  # a copy, and unlike np.ascontiguousarray a scalar stays one
        values.flags.writeable = False
        return self._add(name, values.dtype.name, values.shape, quantization, values)

    def tensor_like(
        self,
        index: int,
        name: str,
        shape: Sequence[int] | None = None,
        quantization: tuple[float, int] | None = None,
    ) -> int:
        """Add a computed tensor with the type and quantisation of another one and return its index.

        Args:
            quantization: another scale and zero point.
        """
        old, kept = self._tensors[index], self._tensors[index].quantization
        if quantization is not None:
            scale, zero_point = quantization
            kept = Quantization(np.asarray([scale], np.float32), np.asarray([zero_point], np.int64), 0)
        return self._add(name, old.dtype, tuple(old.shape if shape is None else shape), kept)

    def computed(self, name: str, dtype: str, shape: Sequence[int]) -> int:
        """Add a computed tensor without quantisation and return its index."""
        return self._add(name, dtype, tuple(shape), None)

    def table(self, name: str, values: Array, index: int) -> int:
        """Add a constant with the quantisation of another tensor and return its index."""
        return self._add(name, values.dtype.name, values.shape, self._tensors[index].quantization, values)

    def constant_like(self, index: int, name: str, shape: Sequence[int]) -> int:
        """Add a constant with the values and quantisation of another one in a new shape; its bytes are shared."""
        old = self._tensors[index]
        assert old.data is not None
        return self._add(name, old.dtype, tuple(shape), old.quantization, old.data.reshape(shape))

    def _add(
        self,
        name: str,
        dtype: str,
        shape: tuple[int, ...],
        quantization: Quantization | None,
        data: Array | None = None,
    ) -> int:
        index = len(self._tensors)
        self._tensors.append(Tensor(index, name, dtype, shape, shape, quantization, data))
        return index

    def set_shape(self, index: int, shape: Sequence[int]) -> None:
        """Give a tensor a static shape."""
        fixed = tuple(int(d) for d in shape)
        self._tensors[index] = dataclasses.replace(self._tensors[index], shape=fixed, shape_signature=fixed)

    def set_constant(self, index: int, values: Array) -> None:
        """Make a tensor a constant with these values and their shape."""
        self._tensors[index] = dataclasses.replace(
            self._tensors[index], shape=values.shape, shape_signature=values.shape, data=values
        )

    def operator(
        self,
        op: str,
        version: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Mapping[str, Any] | None = None,
    ) -> Operator:
        """Return a new operator; ``options`` in snake case, enums by name, the rest keeps its default."""
        return Operator(-1, op, None, version, tuple(inputs), tuple(outputs), dict(options or {}))

    def reshape(self, source: int, result: int) -> Operator:
        """Return a RESHAPE from one tensor to another, added before."""
        shape = np.asarray(self._tensors[result].shape, np.int32)
        size = self.constant(f"reshape_{result}", shape)
        return self.operator("RESHAPE", 1, [source, size], [result], {"new_shape": tuple(shape.tolist())})

    def replace(self, ops: Sequence[Operator], nodes: Sequence[Operator], line: str = "") -> None:
        """Put ``nodes`` where the last of ``ops`` is and drop the others; ``line`` tells a person."""
        for op in ops[:-1]:
            self._instead[op.index] = []
        self._instead[ops[-1].index] = list(nodes)
        if line:
            self.lines.append(line)

    def redirect(self, instead: Mapping[int, int]) -> None:
        """Let operators that have not been replaced read another tensor in the place of the one they read."""
        for op in self.graph:
            if self.is_free([op]) and any(t in instead for t in op.inputs):
                inputs = tuple(instead.get(t, t) for t in op.inputs)
                self.replace([op], [dataclasses.replace(op, inputs=inputs)])

    def is_free(self, ops: Sequence[Operator]) -> bool:
        """Return whether none of the operators has been replaced."""
        return not any(op.index in self._instead for op in ops)

    def finish(self) -> Graph:
        """Return the graph with the changes made; the same graph when there are none."""
        if not self.lines:
            return self.graph
        left = [node for op in self.graph for node in self._instead.get(op.index, [op])]
        operators = tuple(
            op if op.index == i else dataclasses.replace(op, index=i) for i, op in enumerate(left)
        )
        made = dataclasses.replace(self.graph, tensors=tuple(self._tensors), operators=operators)
        object.__setattr__(made, "subgraphs", (made, *self.graph.subgraphs[1:]))
        return made


def used(graph: Graph, gone: Collection[int] = ()) -> list[Tensor]:
    """Return the tensors that an operator reads or writes, or that go in or out; a draft keeps the others too.

    ``gone`` holds indices of operators that do not count.
    """
    found = {t for op in graph if op.index not in gone for t in (*op.inputs, *op.outputs) if t >= 0}
    return [graph.tensors[t] for t in sorted(found | {*graph.inputs, *graph.outputs})]
