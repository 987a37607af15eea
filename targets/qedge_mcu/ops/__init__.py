"""The operators that can be generated: one module an operator, found by looking into this folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import lru_cache
from typing import cast

from qedge_mcu.ops.base import Emitted, OpContext, OpModule, Reason

__all__ = ["Emitted", "OpContext", "OpModule", "Reason", "operators"]


@lru_cache(maxsize=1)
def operators() -> Mapping[str, OpModule]:
    """Return the operator modules by TFLite name, sorted by name; a module is one when it has ``NAMES``."""
    found: dict[str, OpModule] = {}
    for entry in pkgutil.iter_modules(__path__):
        imported = importlib.import_module(f"{__name__}.{entry.name}")
        module = cast(OpModule, imported)
        for name in getattr(imported, "NAMES", ()):
            if name in found:
                raise ValueError(f"{name} has two modules, one of them {entry.name}")
            found[name] = module
    return dict(sorted(found.items()))
