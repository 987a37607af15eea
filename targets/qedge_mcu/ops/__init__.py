"""The operators that can be generated: one module an operator, found by looking into this folder."""

from __future__ import annotations

import importlib
import pkgutil
import typing
from collections.abc import Mapping
from functools import lru_cache

from qedge_mcu.ops.base import Emitted, OpContext, OpModule, Reason

__all__ = [
    "Emitted",
    "OpContext",
    "OpModule",
    "Reason",
    "find",
    "operators",
    "operators_float32",
    "operators_int16",
    "operators_int32",
]


@lru_cache(maxsize=1)
def operators() -> Mapping[str, OpModule]:
    """Return the operator modules by TFLite name, sorted by name; a module is one when it has ``NAMES``."""
    return _modules("NAMES")


@lru_cache(maxsize=1)
def operators_int16() -> Mapping[str, OpModule]:
    """Return the modules for int16 activations where they are others than :func:`operators`: those with ``INT16``."""
    return _modules("INT16")


@lru_cache(maxsize=1)
def operators_int32() -> Mapping[str, OpModule]:
    """Return the modules for plain int32 values where they are others than :func:`operators`: those with ``INT32``."""
    return _modules("INT32")


@lru_cache(maxsize=1)
def operators_float32() -> Mapping[str, OpModule]:
    """Return the modules for float32 values where they are others than :func:`operators`: those with ``FLOAT32``."""
    return _modules("FLOAT32")


@lru_cache(maxsize=1)
def operators_inner() -> Mapping[str, OpModule]:
    """Return the modules of operators that only the program's own rewrites make: those with ``INNER``."""
    return _modules("INNER")


def find(c: OpContext) -> OpModule | None:
    """Return the module for an operator with its types, or None."""
    name = c.op.op
    if name in operators_int16() and "int16" in {t.dtype for t in c.inputs if t is not None}:
        return operators_int16()[name]
    if name in operators_int32() and c.input(0).dtype == "int32":
        return operators_int32()[name]
    if name in operators_float32() and c.input(0).dtype == "float32":
        return operators_float32()[name]
    return operators().get(name) or operators_inner().get(name)


def _modules(attribute: str) -> dict[str, OpModule]:
    found: dict[str, OpModule] = {}
    for entry in pkgutil.iter_modules(__path__):
        imported = importlib.import_module(f"{__name__}.{entry.name}")
        module = typing.cast(OpModule, imported)
        for name in getattr(imported, attribute, ()):
            if name in found:
                raise ValueError(f"{name} has two modules, one of them {entry.name}")
            found[name] = module
    return dict(sorted(found.items()))
