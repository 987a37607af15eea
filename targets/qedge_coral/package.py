"""What a compiled ``*_edgetpu.tflite`` holds: its Edge TPU packages and what is left for the CPU.

A compiled model has operators ``edgetpu-custom-op`` whose options are a flexbuffer map; under ``"4"`` lies a
flatbuffer ``DWN1`` (``executable/executable.fbs`` of libedgetpu): a package of executables with
instructions and parameters. Everything here is read from the file; nothing is estimated.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from qedge.errors import ModelError
from qedge.graph import Graph, Operator

CUSTOM_OP = "edgetpu-custom-op"
IDENTIFIER = b"DWN1"
UNKNOWN = "unknown"
_FLEX_STRING, _FLEX_MAP, _FLEX_BLOB = 5, 9, 25
KINDS = ("STAND_ALONE", "PARAMETER_CACHING", "EXECUTION_ONLY")


@dataclass(frozen=True)
class Executable:
    """One program for the Edge TPU.

    Args:
        kind: ``STAND_ALONE``, ``PARAMETER_CACHING`` (loads parameters) or ``EXECUTION_ONLY`` (runs with
        them).
        parameter_bytes: as sent: cached when ``PARAMETER_CACHING``, else streamed at each inference.
        scratch_bytes: of host memory.
        caching_token: models with the same token share the on-chip memory; 0 for none.
        parameters: the bytes themselves.
    """

    kind: str
    parameter_bytes: int
    instruction_bytes: int
    scratch_bytes: int
    caching_token: int
    estimated_cycles: int
    parameters: bytes = field(default=b"", repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return {
            "kind": self.kind,
            "parameter_bytes": self.parameter_bytes,
            "instruction_bytes": self.instruction_bytes,
            "scratch_bytes": self.scratch_bytes,
            "caching_token": self.caching_token,
            "estimated_cycles": self.estimated_cycles,
        }


@dataclass(frozen=True)
class Package:
    """What one Edge TPU custom operator holds.

    Args:
        compiler_version: as the compiler wrote it, for instance ``cl/343520747``.
        min_runtime: oldest Edge TPU runtime version that runs it.
    """

    compiler_version: str
    min_runtime: int
    executables: tuple[Executable, ...]

    @property
    def cached_bytes(self) -> int:
        """Parameter bytes kept on chip between inferences."""
        return sum(e.parameter_bytes for e in self.executables if e.kind == "PARAMETER_CACHING")

    @property
    def streamed_bytes(self) -> int:
        """Parameter bytes sent over the bus at every inference."""
        return sum(e.parameter_bytes for e in self.executables if e.kind != "PARAMETER_CACHING")

    @property
    def instruction_bytes(self) -> int:
        """Bytes of instructions of all executables."""
        return sum(e.instruction_bytes for e in self.executables)

    @property
    def scratch_bytes(self) -> int:
        """Largest scratch buffer of an executable, in host memory."""
        return max((e.scratch_bytes for e in self.executables), default=0)


@dataclass(frozen=True)
class CompiledModel:
    """A compiled model: its packages, and the operators left for the CPU."""

    packages: tuple[Package, ...]
    cpu_operators: tuple[str, ...]
    total_operators: int

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON, all read from the file."""
        return {
            "edgetpu_subgraphs": len(self.packages),
            "cached_parameter_bytes": sum(p.cached_bytes for p in self.packages),
            "streamed_parameter_bytes": sum(p.streamed_bytes for p in self.packages),
            "instruction_bytes": sum(p.instruction_bytes for p in self.packages),
            "scratch_bytes": max((p.scratch_bytes for p in self.packages), default=0),
            "compiler_versions": sorted({p.compiler_version for p in self.packages}),
            "min_runtime": max((p.min_runtime for p in self.packages), default=0),
            "cpu_operators": list(self.cpu_operators),
            "executables": [e.to_json() for p in self.packages for e in p.executables],
        }


def is_compiled(graph: Graph) -> bool:
    """Return whether a model has been through the Edge TPU compiler."""
    return any(op.custom_name == CUSTOM_OP for op in graph)


def read_compiled(graph: Graph, origin: str = "compiled model") -> CompiledModel:
    """Return the packages of a compiled model.

    Raises:
        ModelError: it has no Edge TPU operator, or a damaged package.
    """
    packages = [read_package(op, origin) for op in graph if op.custom_name == CUSTOM_OP]
    if not packages:
        raise ModelError(
            f"{origin} has no {CUSTOM_OP}: found {len(graph.operators)} operators, all of them for the CPU",
            hint="pass the file that edgetpu_compiler wrote, NAME_edgetpu.tflite",
        )
    cpu = tuple(op.custom_name or op.op for op in graph if op.custom_name != CUSTOM_OP)
    return CompiledModel(tuple(packages), cpu, len(graph.operators))


def read_package(op: Operator, origin: str = "compiled model") -> Package:
    """Return the package of one Edge TPU operator; one of version ``unknown`` where it holds none.

    Raises:
        ModelError: the package is damaged.
    """
    if IDENTIFIER not in op.custom_options:
        return Package(UNKNOWN, 0, ())
    try:
        return _package(_from_flexbuffer(op.custom_options))
    except (struct.error, IndexError, ValueError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{origin}: the package of {op.label} is damaged: {error}",
            hint="compile the model again; the file may be truncated",
        ) from error


def _from_flexbuffer(data: bytes) -> bytes:
    """Return the value of key ``"4"`` of a flexbuffer map: a string that holds no text, so no text decoder.

    A flexbuffer ends with its root, the root's packed type (``type << 2 | log2(width)``) and the root's
    width.
    """

    def unsigned(at: int, width: int) -> int:
        if width not in (1, 2, 4, 8) or not 0 <= at <= len(data) - width:
            raise ValueError(f"the map points to {at} of {len(data)} bytes")
        return int.from_bytes(data[at : at + width], "little")

    root_width, packed = data[-1], data[-2]
    if packed >> 2 != _FLEX_MAP:
        raise ValueError(f"its options are of flexbuffer type {packed >> 2}, expected a map")
    root = len(data) - 2 - root_width
    start, width = root - unsigned(root, root_width), 1 << (packed & 3)
    count = unsigned(start - width, width)
    keys = start - 3 * width - unsigned(start - 3 * width, width)
    key_width = unsigned(start - 2 * width, width)
    for i in range(min(count, len(data))):
        slot = keys + i * key_width
        key = slot - unsigned(slot, key_width)
        if data[key : key + 2] != b"4\0":
            continue
        kind = unsigned(start + count * width + i, 1)
        if kind >> 2 not in (_FLEX_STRING, _FLEX_BLOB):
            raise ValueError(f"key 4 is of flexbuffer type {kind >> 2}, expected a string")
        slot = start + i * width
        value, value_width = slot - unsigned(slot, width), 1 << (kind & 3)
        size = unsigned(value - value_width, value_width)
        if value + size > len(data):
            raise ValueError(f"{size} bytes at {value} reach past the end of {len(data)}")
        return data[value : value + size]
    raise ValueError("its map has no key 4")


def _package(data: bytes) -> Package:
    if data[4:8] != IDENTIFIER:
        raise ValueError(f"found the identifier {data[4:8]!r}, expected {IDENTIFIER!r}")
    root = _Table(data, struct.unpack_from("<I", data)[0])
    multi = root.blob(1)
    table = _Table(multi, struct.unpack_from("<I", multi)[0])
    programs = tuple(_executable(item) for item in table.blobs(0))
    return Package(root.blob(4).decode("utf-8"), root.number(0, "<i"), programs)


def _executable(data: bytes) -> Executable:
    t = _Table(data, struct.unpack_from("<I", data)[0])
    parameters = t.blob(6)
    return Executable(
        kind=KINDS[t.number(13, "<h")],
        parameters=parameters,
        parameter_bytes=len(parameters),
        instruction_bytes=sum(len(chunk.blob(0)) for chunk in t.tables(5)),
        scratch_bytes=t.number(4, "<i"),
        caching_token=t.number(14, "<Q"),
        estimated_cycles=t.number(16, "<q") or t.number(11, "<i"),
    )


class _Table:
    """A flatbuffer table by field number; reads outside the buffer raise."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position
        self.vtable = position - struct.unpack_from("<i", data, position)[0]
        if self.vtable < 0:
            raise ValueError("a table points outside the file")
        self.fields = (struct.unpack_from("<H", data, self.vtable)[0] - 4) // 2

    def _field(self, number: int) -> int:
        if number >= self.fields:
            return 0
        offset = int(struct.unpack_from("<H", self.data, self.vtable + 4 + 2 * number)[0])
        return self.position + offset if offset else 0

    def number(self, number: int, kind: str) -> int:
        """Return a scalar field; 0 where it is absent."""
        at = self._field(number)
        return int(struct.unpack_from(kind, self.data, at)[0]) if at else 0

    def _vector(self, number: int) -> tuple[int, int]:
        at = self._field(number)
        if not at:
            return 0, 0
        start = at + struct.unpack_from("<I", self.data, at)[0]
        return start + 4, int(struct.unpack_from("<I", self.data, start)[0])

    def _offsets(self, number: int) -> list[int]:
        start, count = self._vector(number)
        if count * 4 > len(self.data):
            raise ValueError("a list is longer than the file")
        places = [start + 4 * i for i in range(count)]
        return [p + struct.unpack_from("<I", self.data, p)[0] for p in places]

    def blob(self, number: int) -> bytes:
        """Return a vector of bytes or a string; empty where it is absent."""
        start, count = self._vector(number)
        if start + count > len(self.data):
            raise ValueError(f"{count} bytes at {start} reach past the end of {len(self.data)}")
        return self.data[start : start + count]

    def blobs(self, number: int) -> list[bytes]:
        """Return a vector of strings as bytes."""
        found = []
        for at in self._offsets(number):
            count = struct.unpack_from("<I", self.data, at)[0]
            if at + 4 + count > len(self.data):
                raise ValueError("a string reaches past the end")
            found.append(self.data[at + 4 : at + 4 + count])
        return found

    def tables(self, number: int) -> list[_Table]:
        """Return a vector of tables."""
        return [_Table(self.data, at) for at in self._offsets(number)]
