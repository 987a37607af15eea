"""JSON values that know their path, so that an error names the field: ``$.inputs[0].scale``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from qedge.errors import QedgeError, UsageError, nearest

_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


def describe(value: Any) -> str:
    """Return how an error names a value that is not what it must be.

    >>> describe([1, 2]), describe("x"), describe(3)
    ('a list', "'x'", '3')
    """
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        text = repr(value)
        return text if len(text) <= 60 else text[:57] + "..."
    return _NAMES.get(type(value), type(value).__name__)


class Field:
    """One JSON value, where it stands and the error that a wrong one raises.

    Args:
        value: what ``json.loads`` or ``tomllib`` returned.
        path: where it stands, ``$`` being the document.
        error: class of the errors; children inherit it.
    """

    __slots__ = ("error", "path", "value")

    def __init__(self, value: Any, path: str = "$", error: type[QedgeError] = UsageError) -> None:
        self.value = value
        self.path = path
        self.error = error

    def fail(self, expected: str, *, hint: str | None = None) -> QedgeError:
        """Return the error for this value: what was found, what was expected."""
        return self.error(f"{self.path}: found {describe(self.value)}, expected {expected}", hint=hint)

    def object(self, required: Sequence[str] = (), optional: Sequence[str] | None = ()) -> Field:
        """Return self when it is an object with these keys; ``optional`` None allows any others."""
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        for key in required:
            if key not in self.value:
                raise self.error(f"{self.path}.{key}: missing")
        if optional is not None:
            known = [*required, *optional]
            for key in self.value:
                if key not in known:
                    close = nearest(str(key), known)
                    hint = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
                    raise self.error(f"{self.path}.{key}: unknown key", hint=hint)
        return self

    def __getitem__(self, key: str) -> Field:
        """Return the member ``key`` of an object; None as its value where it is absent."""
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        return Field(self.value.get(key), f"{self.path}.{key}", self.error)

    def members(self) -> Iterator[tuple[str, Field]]:
        """Yield every key of an object with its value."""
        self.object(optional=None)
        for key, value in self.value.items():
            yield key, Field(value, f"{self.path}.{key}", self.error)

    def items(self) -> Iterator[Field]:
        """Yield every entry of a list."""
        if not isinstance(self.value, (list, tuple)):
            raise self.fail("a list")
        for i, value in enumerate(self.value):
            yield Field(value, f"{self.path}[{i}]", self.error)

    def string(self, choices: Sequence[str] = ()) -> str:
        """Return a string, one of ``choices`` where there are any."""
        if not isinstance(self.value, str):
            raise self.fail(f"one of {', '.join(choices)}" if choices else "a string")
        if choices and self.value not in choices:
            close = nearest(self.value, choices)
            hint = f"did you mean {close!r}?" if close else None
            raise self.fail(f"one of {', '.join(choices)}", hint=hint)
        return self.value

    def strings(self) -> tuple[str, ...]:
        """Return a list of strings; thousands of labels are no reason for thousands of fields."""
        if isinstance(self.value, list) and set(map(type, self.value)) <= {str}:
            return tuple(self.value)
        return tuple(entry.string() for entry in self.items())

    def boolean(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            raise self.fail("true or false")
        return self.value

    def integer(self, low: int | None = None, high: int | None = None) -> int:
        """Return an integer in [low, high]."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.fail("an integer")
        if (low is not None and self.value < low) or (high is not None and self.value > high):
            raise self.fail(f"an integer {_range(low, high)}")
        return self.value

    def number(self, low: float | None = None, high: float | None = None) -> float:
        """Return a finite number in [low, high]."""
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            raise self.fail("a number")
        try:
            value = float(self.value)
        except OverflowError:
            raise self.fail("a finite number") from None
        if not math.isfinite(value):
            raise self.fail("a finite number")
        if (low is not None and value < low) or (high is not None and value > high):
            raise self.fail(f"a number {_range(low, high)}")
        return value


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"of at least {low}"
    if low is None:
        return f"of at most {high}"
    return f"from {low} to {high}"
