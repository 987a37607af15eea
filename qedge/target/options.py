"""From what a user wrote to the values of a target's options, as the kinds that it declares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qedge.errors import UsageError
from qedge.target.info import Option, TargetInfo


def typed_options(info: TargetInfo, given: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of one target: flags over ``[target.<name>]`` over defaults, as their declared kinds.

    Raises:
        UsageError: a key of the table that the target does not have, or a value of the wrong kind.
    """
    target, declared = info.name, {o.name: o for o in info.options}
    for key in table:
        if key not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise UsageError(
                f"$.target.{target}.{key} is not an option of {target!r}", hint=f"known: {known}"
            )
    values: dict[str, Any] = {}
    for name, option in declared.items():
        raw = given.get(name, table.get(name, option.default))
        values[name] = raw if raw is None else convert(option, raw)
    return values


def convert(option: Option, raw: Any) -> Any:
    """Return ``raw`` as the kind that the option declares.

    Raises:
        UsageError: it is not of that kind, or none of the choices.
    """
    flag = "--" + option.name.replace("_", "-")
    if option.choices and raw not in option.choices:
        raise UsageError(f"{flag}: found {raw!r}", hint=f"expected one of: {', '.join(option.choices)}")
    try:
        if option.kind == "int":
            return int(raw)
        if option.kind == "float":
            return float(raw)
        if option.kind == "percent":
            return percent(raw, flag)
    except (TypeError, ValueError):
        raise UsageError(f"{flag}: found {raw!r}", hint=f"expected a number ({option.kind})") from None
    if option.kind == "bytes":
        return as_int_bytes(raw, what=flag)
    if option.kind == "path":
        return Path(raw)
    if option.kind == "flag":
        return bool(raw)
    return str(raw)


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
