"""What a kernel's parameter struct holds: C types, ranges, and the proof that values fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

C_RANGES: dict[str, tuple[int, int]] = {
    f"{sign}int{bits}_t": ((0, (1 << bits) - 1) if sign else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
    for bits in (8, 16, 32, 64)
    for sign in ("", "u")
}
"""Smallest and largest value of each integer type of C, by name."""

_ITEM_BYTES = {f"{sign}int{bits}_t": bits // 8 for bits in (8, 16, 32, 64) for sign in ("", "u")}

C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "float32": "float",
    "bool": "uint8_t",
}
"""The C type of each element type of a tensor or array."""


@dataclass(frozen=True)
class Field:
    """One member of a struct.

    Args:
        name: as in C.
        type: C type; of the elements, where it is a pointer.
        low, high: range of the value, or of every element pointed to; inclusive.
        pointer: the member is the address of a constant array.
        count: entries, where the member is an array itself; 0 for a single value.
    """

    name: str
    type: str
    low: int | None = None
    high: int | None = None
    pointer: bool = False
    count: int = 0

    @property
    def limits(self) -> tuple[int, int] | None:
        """Smallest and largest value: the declared ones, else the type's; None for ``float`` and ``void``."""
        natural = C_RANGES.get(self.type)
        if natural is None:
            return None
        return (
            natural[0] if self.low is None else self.low,
            natural[1] if self.high is None else self.high,
        )

    def misfit(self, value: Any, array: npt.NDArray[Any] | None = None) -> str | None:
        """Return in words why a value does not fit, or None.

        Args:
            value: a number, or anything for a pointer.
            array: what a pointer points to; None for a null pointer.
        """
        if self.pointer:
            return None if array is None else self._misfit_array(array)
        if self.count:
            single = Field(self.name, self.type, self.low, self.high)
            if not isinstance(value, tuple) or len(value) != self.count:
                return f"{self.name} is {value!r}, expected {self.count} values"
            return next((said for v in value if (said := single.misfit(v)) is not None), None)
        if isinstance(value, (str, tuple)) or value is None:
            return f"{self.name} is {value!r}, expected a number"
        if self.type == "float":
            return None if np.isfinite(value) else f"{self.name} is {value}, expected a finite number"
        if value != int(value):
            return f"{self.name} is {value}, expected a whole number"
        limits = self.limits
        assert limits is not None
        if limits[0] <= value <= limits[1]:
            return None
        return f"{self.name} is {value}, expected {limits[0]} to {limits[1]}"

    def _misfit_array(self, array: npt.NDArray[Any]) -> str | None:
        ctype = C_TYPES[str(array.dtype)]
        if self.type not in ("void", ctype):
            return f"{self.name} points to {ctype}, expected {self.type}"
        if array.dtype == np.float32:
            return None if np.isfinite(array).all() else f"{self.name} has values that are not finite"
        limits = self.limits
        if limits is None or array.size == 0:
            return None
        low, high = int(array.min()), int(array.max())
        if limits[0] <= low and high <= limits[1]:
            return None
        return f"{self.name} has values from {low} to {high}, expected {limits[0]} to {limits[1]}"


@dataclass(frozen=True)
class Struct:
    """A parameter struct.

    Args:
        name: as in C.
        fields: its members in the order of the declaration.
        by_value: a call has the members as arguments, those of one byte by fours (``QE_BYTES``).
    """

    name: str
    fields: tuple[Field, ...]
    by_value: bool = False

    @property
    def nbytes(self) -> int:
        """Its size on a 32-bit target, padding included."""
        at, align = 0, 1
        for field in self.fields:
            size = 4 if field.pointer or field.type == "float" else _ITEM_BYTES[field.type]
            align = max(align, size)
            at = -(-at // size) * size + size * max(field.count, 1)
        return -(-at // align) * align

    def arguments(self, values: Sequence[str]) -> str:
        """Return the arguments of a call, from the C text of each member's value.

        >>> struct("s", fields("int32_t", "m"), fields("int8_t", "a b c"), by_value=True).arguments("1234")
        '1, QE_BYTES(2, 3, 4, 0)'
        """
        found: list[str] = []
        bytes_: list[str] = []

        def flush() -> None:
            for k in range(0, len(bytes_), 4):
                found.append(f"QE_BYTES({', '.join([*bytes_[k : k + 4], '0', '0', '0'][:4])})")
            bytes_.clear()

        for field, value in zip(self.fields, values):
            if _ITEM_BYTES[field.type] == 1:
                bytes_.append(value)
            else:
                flush()
                found.append(value)
        flush()
        return ", ".join(found)


def struct(name: str, *groups: Sequence[Field], by_value: bool = False) -> Struct:
    """Return the struct of several groups of members."""
    return Struct(name, tuple(field for group in groups for field in group), by_value)


def fields(type: str, names: str, low: int | None = None, high: int | None = None) -> tuple[Field, ...]:
    """Return members of one type and range.

    >>> [f.name for f in fields("uint16_t", "in_height in_width", 1)]
    ['in_height', 'in_width']
    """
    return tuple(Field(name, type, low, high) for name in names.split())


def pointers(type: str, names: str, low: int | None = None, high: int | None = None) -> tuple[Field, ...]:
    """Return members that point to arrays of one type and range."""
    return tuple(Field(name, type, low, high, pointer=True) for name in names.split())


ZERO_POINT = (-128, 127)
"""Zero points of int8 tensors."""

SHIFT = (-31, 30)
"""Shifts that go with a multiplier of ``quantize_multiplier``, positive to the left."""
