"""The inputs of an ONNX model made static: by what is stated, by what its exporter noted, and a batch of one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.frontends.exported import read_exported
from qedge.frontends.onnx.reading import MAX_VALUE_BYTES
from qedge.frontends.protocol import Refusal

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_BATCH = re.compile(r"^(batch.*|.*batch|.*batch_?size|.*_batch_.*)$", re.IGNORECASE)
_BATCH_IN_FRONT = re.compile(r"^(n|b|bs|unk__\d+)$", re.IGNORECASE)
"""Names that say batch in front alone: elsewhere they are any dimension."""


def fixed_values(inputs: Sequence[Any], values: Mapping[str, Sequence[float]], onnx: Any) -> dict[str, Array]:
    """Return the inputs that become constants, by name, in their types and shapes.

    Raises:
        Refusal: there is no such input, or another number of values.
    """
    known = {i.name: i for i in inputs}
    found = {}
    for name, given in values.items():
        if name not in known:
            raise Refusal(
                f"it has no input {name!r} to fix to a value", f"its inputs are: {', '.join(known)}"
            )
        kind = known[name].type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        shape = [d.dim_value or 1 for d in kind.shape.dim]
        array = np.asarray(given, dtype)
        if array.size not in (1, math.prod(shape)):
            raise Refusal(
                f"input {name!r} was given {array.size} values, expected {math.prod(shape)} for {shape}"
            )
        array = np.broadcast_to(array.ravel() if array.size == 1 else array.reshape(shape), shape or (1,))
        found[name] = np.ascontiguousarray(array).reshape(shape)
    return found


def fix_shapes(inputs: Sequence[Any], shapes: Mapping[str, Sequence[int]], notes: Mapping[str, str]) -> None:
    """Write static dimensions into the inputs, in place.

    Args:
        inputs: ``ValueInfoProto``.
        shapes: what is stated, by name; ``""`` is the only input with dynamic dimensions.
        notes: what the exporter wrote beside the graph, see :mod:`qedge.frontends.exported`.

    Raises:
        Refusal: some stay unknown, or what was stated contradicts the model.
    """
    symbols = _state(inputs, _by_name(inputs, shapes))
    fronts = {i.type.tensor_type.shape.dim[0].dim_param for i in inputs if len(i.type.tensor_type.shape.dim)}
    exported = read_exported(notes)
    size = None if exported is None else exported.size
    missing = []
    for value in inputs:
        kind = value.type.tensor_type
        if not kind.HasField("shape"):
            missing.append((value.name, ["?"]))
            continue
        dims = kind.shape.dim
        for axis, dim in enumerate(dims):
            if dim.dim_value > 0:
                continue
            if dim.dim_param in symbols:
                dim.dim_value = symbols[dim.dim_param]
            elif _is_batch([d.dim_param for d in dims], axis, fronts):
                dim.dim_value = 1
            elif size is not None and len(dims) == 4 and axis >= 2 and dims[1].dim_value in (1, 3, 4):
                dim.dim_value = size[axis - 2]
        if any(d.dim_value <= 0 for d in dims):
            missing.append((value.name, [str(d.dim_value or d.dim_param or "?") for d in dims]))
    if missing:
        told = "; ".join(f"{name} has {', '.join(dims)}" for name, dims in missing)
        name, shown = missing[0]
        example = ",".join(d if d.isdigit() else "?" for d in shown)
        raise Refusal(
            f"it has inputs with dynamic dimensions: {told}",
            f"state the shape: --input-shape {name}={example} with numbers for the question marks",
        )


def static_type(value: Any, onnx: Any) -> tuple[Shape, np.dtype[Any]]:
    """Return shape and type of an input whose dimensions are all known.

    Raises:
        Refusal: it does not hold numbers, or more than fits.
    """
    kind = value.type.tensor_type
    shape = tuple(int(d.dim_value) for d in kind.shape.dim)
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if dtype.kind not in "fiub":
        raise Refusal(f"the input {value.name!r} has the type {dtype}, expected numbers")
    check_size(value.name, shape, dtype)
    return shape, dtype


def check_size(name: str, shape: Shape, dtype: np.dtype[Any]) -> None:
    """Raise :class:`Refusal` where a value is larger than anything that a device runs."""
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_VALUE_BYTES:
        raise Refusal(f"the value {name!r} has {size} bytes, expected at most {MAX_VALUE_BYTES}")


def _is_batch(names: Sequence[str], axis: int, fronts: set[str]) -> bool:
    """Return whether a dynamic dimension is the batch.

    Args:
        names: of the input's dimensions, "" for those without.
        fronts: names of the first dimensions of all inputs.
    """
    name = names[axis]
    if _BATCH.match(name) or (axis and name and name in fronts):
        return True
    if axis:
        return False
    return (len(names) != 1 and not any(map(_BATCH.match, names[1:]))) or bool(_BATCH_IN_FRONT.match(name))


def _by_name(inputs: Sequence[Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    wanted = dict(shapes)
    if "" in wanted:
        open_ones = [i for i in inputs if any(d.dim_value <= 0 for d in i.type.tensor_type.shape.dim)]
        chosen = (open_ones or list(inputs))[:1]
        if chosen:
            wanted.setdefault(chosen[0].name, wanted[""])
        del wanted[""]
    unknown = sorted(set(wanted) - {i.name for i in inputs})
    if unknown:
        names = ", ".join(i.name for i in inputs)
        raise Refusal(f"it has no input {unknown[0]!r} to give a shape", f"its inputs are: {names}")
    return wanted


def _state(inputs: Sequence[Any], wanted: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Write what is stated, and return the size of each named dimension that this settles."""
    symbols: dict[str, int] = {}
    for value in inputs:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type"):
            raise Refusal(f"the input {value.name!r} is no tensor", "remove it, or make it a tensor")
        if value.name not in wanted:
            continue
        stated = [int(d) for d in wanted[value.name]]
        if not kind.HasField("shape"):
            for _ in stated:
                kind.shape.dim.add()
        dims = kind.shape.dim
        fits = len(stated) == len(dims) and all(
            d.dim_value in (0, s) or d.dim_value < 0 for d, s in zip(dims, stated)
        )
        if not fits or any(s <= 0 for s in stated):
            found = [d.dim_value or d.dim_param or "?" for d in dims]
            raise Refusal(f"the shape {stated} does not fit the input {value.name!r}, which has {found}")
        for dim, size in zip(dims, stated):
            if dim.dim_param:
                symbols[dim.dim_param] = size
            dim.dim_value = size
    return symbols
