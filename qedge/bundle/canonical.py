"""JSON of manifests by the C half of Python's json: its Python half takes longer to import than it works here."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qedge.errors import QedgeError


def loads(text: str) -> Any:
    """Return what ``json.loads`` returns; NaN, infinities and a key that an object has twice are refused.

    Raises:
        ValueError: not JSON.
    """
    try:
        scanner = importlib.import_module("_json").make_scanner(_SETTINGS)
        stripped = text.strip(_SPACE)
        value, end = scanner(stripped, 0)
    except (ImportError, AttributeError, TypeError, ValueError, StopIteration):
        return _slowly(text)
    return value if end == len(stripped) else _slowly(text)


def document(
    data: bytes, origin: str, error: type[QedgeError], *, most: int | None = None, hint: str | None = None
) -> Any:
    """Return the JSON in a file from outside, which can be written as it was read.

    Args:
        origin: where it is from, for messages.
        most: bytes that it may have.

    Raises:
        QedgeError: of class ``error``: too large, no JSON, or half a surrogate pair in it, which no file can hold.
    """
    if most is not None and len(data) > most:
        raise error(f"{origin}: found {len(data):,} bytes, expected at most {most:,}")
    try:
        text = data.decode()
        value = loads(text)
        if "\\ud" in text or "\\uD" in text:
            dumps(value).encode()
    except (ValueError, RecursionError) as problem:
        raise error(f"{origin}: not valid JSON: {problem}", hint=hint) from None
    return value


def dumps(value: Any) -> str:
    """Return the canonical JSON: sorted keys, no spaces, characters as they are."""
    try:
        c = importlib.import_module("_json")
        encode = c.make_encoder({}, _refuse, c.encode_basestring, None, ":", ",", True, False, True)
        return "".join(encode(value, 0))
    except (ImportError, AttributeError, TypeError):
        import json

        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _slowly(text: str) -> Any:
    import json

    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object: of a key that is there twice, one reader takes the first value and the next the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)[:100]!r} is there twice")
    return found


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is no JSON")


_SPACE = " \t\n\r"
_SETTINGS = SimpleNamespace(
    strict=True,
    object_hook=None,
    object_pairs_hook=_unique,
    parse_float=float,
    parse_int=int,
    parse_constant=_refuse_constant,
)
