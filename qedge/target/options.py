"""From what a user wrote to the values of a target's options, as the kinds that it declares."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qedge.errors import UsageError
from qedge.fields import Field
from qedge.target.info import Option, TargetInfo


def typed_options(info: TargetInfo, given: Mapping[str, Any], table: Any) -> dict[str, Any]:
    """Return the options of one target: flags over ``[target.<name>]`` over defaults, as their declared kinds.

    Args:
        table: what stands under that name in the configuration, as it was read.

    Raises:
        UsageError: no table, a key of it that the target does not have, or a value of the wrong kind.
    """
    stated = Field(table, f"$.target.{info.name}", UsageError).object(optional=[o.name for o in info.options])
    values: dict[str, Any] = {}
    for option in info.options:
        if option.name in given:
            values[option.name] = convert(option, given[option.name])
        elif option.name in stated.value:
            values[option.name] = convert(option, stated[option.name].value, stated[option.name].path)
        else:
            values[option.name] = None if option.default is None else convert(option, option.default)
    return values


def convert(option: Option, raw: Any, where: str | None = None) -> Any:
    """Return ``raw`` as the kind that the option declares; text as on the command line, or the value itself.

    Args:
        where: it stands; its flag by default.

    Raises:
        UsageError: it is not of that kind, or none of the choices.
    """
    if raw is None:
        return None
    where = where or "--" + option.name.replace("_", "-")
    if isinstance(raw, os.PathLike):
        raw = os.fspath(raw)
    field = Field(raw.item() if isinstance(raw, np.generic) else raw, where, UsageError)
    if option.choices:
        field.string(option.choices)
    if option.kind in ("int", "float"):
        return _number(field, option.kind)
    if option.kind == "percent":
        return percent(_plain(field, "a percentage"), where)
    if option.kind == "duration":
        return milliseconds(_plain(field, "a time"), where)
    if option.kind == "bytes":
        return as_int_bytes(_plain(field, "a size"), what=where)
    if option.kind == "flag":
        return field.boolean()
    return Path(field.string()) if option.kind == "path" else field.string()


def _number(field: Field, kind: str) -> int | float:
    """Return a finite number, which may be written as text."""
    value = field.value
    if isinstance(value, str):
        try:
            value = int(value) if kind == "int" else float(value)
        except ValueError:
            raise field.fail("a whole number" if kind == "int" else "a number") from None
    found = Field(value, field.path, field.error)
    return found.integer() if kind == "int" else found.number()


def _plain(field: Field, expected: str) -> Any:
    if isinstance(field.value, bool) or not isinstance(field.value, (str, int, float)):
        raise field.fail(expected)
    return field.value


def percent(raw: Any, flag: str) -> float:
    """Return a number of percent from ``95``, ``"95"`` or ``"95%"``, in [0, 100].

    Raises:
        UsageError: anything else.
    """
    try:
        value = float(str(raw).strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 100.0:
        raise UsageError(f"{flag}: found {raw!r}, expected a percentage", hint="write it as 1 or 1%")
    return value


def milliseconds(raw: Any, flag: str) -> float:
    """Return milliseconds from ``50``, ``"50ms"``, ``"0.05s"`` or ``"800us"``.

    Raises:
        UsageError: anything else.

    >>> milliseconds("0.05s", "--latency")
    50.0
    """
    text = str(raw).strip().lower()
    unit = next((u for u in ("ms", "us", "s") if text.endswith(u)), "")
    try:
        value = float(text.removesuffix(unit)) * {"s": 1000, "us": 0.001}.get(unit, 1)
    except ValueError:
        value = -1.0
    if not (np.isfinite(value) and value > 0):
        raise UsageError(f"{flag}: found {raw!r}, expected a time", hint="write it as 50ms or 0.05s")
    return value


def as_int_bytes(value: Any, *, what: str) -> int:
    """Return a number of bytes from ``65536``, ``"64K"``, ``"1M"`` or ``"64 KB"`` (1024-based).

    Raises:
        UsageError: anything else.

    >>> as_int_bytes("64K", what="--ram")
    65536
    """
    text = str(value).strip().upper().removesuffix("IB").removesuffix("B").strip()
    factor = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1:], 1)
    digits = text[:-1].strip() if factor > 1 else text
    try:
        number = float(digits) * factor
    except ValueError:
        number = -1.0
    if not (np.isfinite(number) and number > 0):
        raise UsageError(f"{what}: found {value!r}, expected a size", hint="write it as 65536, 64K or 1M")
    return int(number)
