"""The operators that can be generated: one module an operator, found by looking into this folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import lru_cache
from typing import cast

from qedge_mcu.ops.base import Emitted, OpContext, OpModule, Reason

__all__ = ["Emitted", "OpContext", "OpModule", "Reason", "operators"]

NOT_OPERATORS = {"base", "overlap", "requantize"}


@lru_cache(maxsize=1)
def operators() -> Mapping[str, OpModule]:
    """Return the operator modules by TFLite name, sorted by name."""
    found: dict[str, OpModule] = {}
    for entry in pkgutil.iter_modules(__path__):
        if entry.name in NOT_OPERATORS:
            continue
        module = cast(OpModule, importlib.import_module(f"{__name__}.{entry.name}"))
        for name in module.NAMES:
            if name in found:
                raise ValueError(f"{name} has two modules, one of them {entry.name}")
            found[name] = module
    return dict(sorted(found.items()))
