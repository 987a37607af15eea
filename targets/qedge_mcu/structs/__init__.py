"""Every kernel's parameter struct, declared with C types and ranges; found by looking into this folder.

A test holds each declaration to the kernel's header. :func:`misfits` is the proof that ``check`` and ``emit`` share:
what it finds would be cut off or change its meaning in C.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import lru_cache

from qedge_mcu.ops.base import Emitted, Ref
from qedge_mcu.structs.fields import C_TYPES, Field, Struct

__all__ = ["C_TYPES", "Field", "Struct", "first_that_fits", "misfits", "structs"]


@lru_cache(maxsize=1)
def structs() -> Mapping[str, Struct]:
    """Return the declarations by C name."""
    found: dict[str, Struct] = {}
    for entry in pkgutil.iter_modules(__path__):
        for one in getattr(importlib.import_module(f"{__name__}.{entry.name}"), "STRUCTS", ()):
            if one.name in found:
                raise ValueError(f"{one.name} is declared twice, once in {entry.name}")
            found[one.name] = one
    return dict(sorted(found.items()))


def misfits(emitted: Emitted) -> list[str]:
    """Return in words every parameter that its struct cannot hold; empty is right.

    Raises:
        ValueError: the members are not those of the declaration, which is a fault of the operator's module.
    """
    params = emitted.params
    if params is None:
        return []
    declared = structs().get(params.type)
    if declared is None:
        raise ValueError(f"{params.type} is not declared in qedge_mcu.structs")
    names = [name for name, _ in params.members]
    if names != [f.name for f in declared.fields]:
        raise ValueError(f"{params.type}: members {names}, expected {[f.name for f in declared.fields]}")
    arrays = {a.name: a.values for a in emitted.arrays}
    found = []
    for field, (_, value) in zip(declared.fields, params.members):
        if isinstance(value, Ref) != field.pointer and value is not None:
            raise ValueError(f"{params.type}: {field.name} is {value!r}")
        said = field.misfit(value, arrays[value.name] if isinstance(value, Ref) else None)
        if said is not None:
            found.append(said)
    return found


def first_that_fits(*candidates: Callable[[], Emitted | None]) -> Emitted:
    """Return the first call that exists and whose struct holds every parameter, else the last one.

    The last candidate is the most general kernel and always exists; what it cannot hold, ``check`` says.
    """
    for candidate in candidates[:-1]:
        emitted = candidate()
        if emitted is not None and not misfits(emitted):
            return emitted
    last = candidates[-1]()
    if last is None:
        raise ValueError("the most general kernel does not apply")
    return last
