"""Graph, operators and tensors as plain read-only objects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Quantization:
    """Affine quantisation of one tensor: ``real = scale * (q - zero_point)``.

    Args:
        scale: float32, shape (1,) or (channels,), all positive.
        zero_point: int64, the same shape as ``scale``.
        axis: dimension that the channels run along; meaningless when per tensor.
    """

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    axis: int

    @property
    def per_channel(self) -> bool:
        """Whether there is more than one scale."""
        return self.scale.size > 1

    @property
    def scalar(self) -> tuple[float, int]:
        """The only (scale, zero_point) of a per-tensor quantisation."""
        if self.scale.size != 1:
            raise ValueError(f"{self.scale.size} scales where one was expected")
        return float(self.scale[0]), int(self.zero_point[0])


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a graph.

    Args:
        index: position in the subgraph; operators refer to it.
        dtype: TFLite's type in lower case: ``int8``, ``float32``, ``int4``, ``resource`` ...
        shape: dimensions; ``()`` for a scalar.
        shape_signature: as ``shape`` with -1 where a dimension is dynamic.
        data: the constant's values (read-only, ``shape``; int4 unpacked to int8), or None.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    quantization: Quantization | None
    data: Array | None = field(repr=False)
    is_variable: bool = False
    sparse: bool = False

    @property
    def label(self) -> str:
        """The name for people: converters join the names of all that they fused, of which the first is enough."""
        return self.name.split(";")[0]

    @property
    def is_constant(self) -> bool:
        """Whether the values are part of the model."""
        return self.data is not None

    @property
    def is_static(self) -> bool:
        """Whether every dimension is known."""
        return all(d >= 0 for d in self.shape_signature)

    @property
    def elements(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes as stored: int4 takes half a byte a value, rounded up."""
        if self.dtype in ("int4", "uint4"):
            return (self.elements + 1) // 2
        return self.elements * ITEM_BYTES.get(self.dtype, 0)


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator of a graph.

    Args:
        index: position in execution order.
        op: TFLite's name, ``CONV_2D``; ``CUSTOM`` for custom operators.
        custom_name: name of a custom operator, or None.
        version: operator version in the model.
        inputs: tensor indices, -1 for an optional input that is absent.
        outputs: tensor indices.
        options: builtin options in snake case, enums as their names (``padding: "SAME"``).
        intermediates: tensor indices of LSTM's inner tensors.
        custom_options: raw bytes of a custom operator.
    """

    index: int
    op: str
    custom_name: str | None
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
    intermediates: tuple[int, ...] = ()
    custom_options: bytes = field(default=b"", repr=False)

    @property
    def label(self) -> str:
        """How findings name the operator: ``#3 CONV_2D``."""
        return f"#{self.index} {self.custom_name or self.op}"


@dataclass(frozen=True, eq=False)
class Graph:
    """One subgraph of a TFLite model; ``subgraphs`` holds all of them, this one included.

    Args:
        data: the model's bytes, whose SHA-256 identifies it.
        input_names: names a caller uses: the signature's where there is one, else the tensors'.
    """

    name: str
    data: bytes = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)
    operators: tuple[Operator, ...] = field(repr=False)
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    metadata: Mapping[str, bytes] = field(repr=False)
    description: str = ""
    subgraphs: tuple[Graph, ...] = field(default=(), repr=False)

    @classmethod
    def from_bytes(cls, data: bytes, origin: str = "model") -> Graph:
        """Return the main graph of a ``.tflite``.

        Raises:
            ModelError: the bytes are no TFLite model, or a damaged one.
        """
        from qedge.graph.reader import read

        return read(data, origin)

    @classmethod
    def from_file(cls, path: str | Path) -> Graph:
        """Return the main graph of a ``.tflite`` file; see :meth:`from_bytes`."""
        from qedge.errors import ModelError

        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ModelError(
                f"cannot read {path}: {error.strerror}", hint="check the path of the model"
            ) from error
        return cls.from_bytes(data, str(path))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the model's bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def producer(self) -> Mapping[int, Operator]:
        """The operator that writes a tensor, by tensor index."""
        return {t: op for op in self.operators for t in op.outputs}

    @cached_property
    def consumers(self) -> Mapping[int, tuple[Operator, ...]]:
        """The operators that read a tensor, by tensor index; every tensor has an entry."""
        found: dict[int, list[Operator]] = {t.index: [] for t in self.tensors}
        for op in self.operators:
            for t in dict.fromkeys(op.inputs):
                if t >= 0:
                    found[t].append(op)
        return {t: tuple(ops) for t, ops in found.items()}

    def input_tensors(self, op: Operator) -> list[Tensor | None]:
        """Return the operator's inputs; None where an optional one is absent."""
        return [self.tensors[t] if t >= 0 else None for t in op.inputs]

    def output_tensors(self, op: Operator) -> list[Tensor]:
        """Return the operator's outputs."""
        return [self.tensors[t] for t in op.outputs]

    def __iter__(self) -> Iterator[Operator]:
        return iter(self.operators)


ITEM_BYTES: Mapping[str, int] = {
    "float32": 4,
    "float16": 2,
    "int32": 4,
    "uint8": 1,
    "int64": 8,
    "bool": 1,
    "int16": 2,
    "int8": 1,
    "float64": 8,
    "uint64": 8,
    "uint32": 4,
    "uint16": 2,
    "complex64": 8,
}
