"""Frozen records, and JSON values that know their path, so that an error names the field: ``$.inputs[0].scale``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from qedge.errors import QedgeError, UsageError, nearest

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: bool):
        """Return a decorator that changes nothing: only type checkers take note of it."""
        return lambda decorated: decorated


R = TypeVar("R", bound="Record")

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


@dataclass_transform(frozen_default=True)
class Record:
    """A frozen record, for what every start on a device needs.

    A subclass declares its fields; what stands beside one is its default. To the eye and to type checkers it is a
    frozen dataclass; making one of those, or a named tuple, takes so long that every start would notice.
    """

    _fields: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """The type of every field, as it is written."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = cls.__annotations__ if "__annotations__" in vars(cls) else {}
        fields = {name: str(kind) for name, kind in own.items() if not str(kind).startswith("ClassVar")}
        cls._fields = MappingProxyType({**cls._fields, **fields})

    def __init__(self, *values: Any, **named: Any) -> None:
        name = type(self).__name__
        given = dict(zip(self._fields, values))
        if len(values) > len(self._fields):
            raise TypeError(f"{name} takes {len(self._fields)} fields, found {len(values)}")
        for field in named:
            if field in given or field not in self._fields:
                raise TypeError(f"{name} got {'twice' if field in given else 'the unknown field'} {field!r}")
        given.update(named)
        for field in self._fields:
            if field not in given and not hasattr(type(self), field):
                raise TypeError(f"{name} lacks {field!r}")
            vars(self)[field] = given[field] if field in given else getattr(type(self), field)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name!r}")

    def _values(self) -> tuple[Any, ...]:
        return tuple(vars(self)[field] for field in self._fields)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        fields = (f"{name}={value!r}" for name, value in zip(self._fields, self._values()))
        return f"{type(self).__name__}({', '.join(fields)})"

    def replace(self: R, **fields: Any) -> R:
        """Return the record with other ``fields``, checked anew; ``copy.replace`` does the same.

        Raises:
            TypeError: an unknown field.
        """
        return type(self)(**{**dict(zip(self._fields, self._values())), **fields})

    __replace__ = replace


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
