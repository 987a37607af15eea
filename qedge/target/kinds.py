"""Whether a value is of the type that an annotation states: answers come from code that no type checker has seen."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

_WIDER = {int: Integral, float: Real, bool: (bool, np.bool_)}


def misfits(value: object, kind: Any, what: str = "") -> Iterator[str]:
    """Yield in words where a value is not what ``kind`` states, fields and entries included.

    Knows classes, dataclasses, arrays, ``Literal``, unions with None, mappings, tuples and lists; a list does for a
    tuple, and a number of numpy for one of Python.

    Args:
        what: the value in words; empty for an answer as a whole.

    >>> list(misfits([1, "a"], tuple[int, ...], "the sizes"))
    ['str among the sizes, no int']
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return
    if origin in (Union, types.UnionType):
        if not (value is None and type(None) in inner):
            known = [one for one in inner if one is not type(None)]
            yield from misfits(value, known[0], what) if len(known) == 1 else ()
    elif origin is Literal:
        if value not in inner:
            yield f"{value!r} as {what}, expected one of: {', '.join(map(str, inner))}"
    elif not isinstance(value, _accepted(kind, origin)):
        yield f"{type(value).__name__}{what and f' as {what}'}, expected {named(kind)}"
    elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
        for name, stated in _fields(kind).items():
            yield from misfits(getattr(value, name), stated, f"the {name}{what and f' of {what}'}")
    elif origin is not None and issubclass(origin, Mapping):
        assert isinstance(value, Mapping)
        for key, entry in value.items():
            yield from misfits(key, inner[0], f"a key of {what}")
            yield from misfits(entry, inner[1], f"the contents of {key}")
    elif origin in _SEQUENCES:
        assert isinstance(value, Sequence)
        yield from _entries(value, inner, what or "the answers")


_SEQUENCES = (tuple, list, Sequence)


def _entries(value: Sequence[object], inner: tuple[Any, ...], what: str) -> Iterator[str]:
    each = [k for k in inner if k is not Ellipsis]
    if len(each) > 1 and len(value) != len(each):
        yield f"{len(value)} as {what}, expected {len(each)}"
        return
    for i, entry in enumerate(value):
        stated = each[i] if len(each) > 1 else each[0]
        if isinstance(entry, _accepted(stated, get_origin(stated))):
            yield from misfits(entry, stated, f"{what}[{i}]")
        else:
            yield f"{type(entry).__name__} among {what}, no {named(stated, article=False)}"
            return


def _accepted(kind: Any, origin: Any) -> Any:
    """Return what ``isinstance`` is asked for."""
    if origin in _SEQUENCES:
        return (tuple, list)
    return object if kind is Any else _WIDER.get(kind, origin or kind)


@cache
def _fields(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def named(kind: Any, *, article: bool = True) -> str:
    """Return a type in words.

    >>> named(tuple[int, ...]), named(bytes), named(Mapping[str, int])
    ('a tuple', 'bytes', 'a Mapping')
    """
    name = getattr(get_origin(kind) or kind, "__name__", str(kind))
    plain = not article or kind in (bytes, str, int, float, bool)
    return name if plain else f"a {name}"
