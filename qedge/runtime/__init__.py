"""Running a bundle on the device it is for: ``load(bundle) -> Model``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qedge.runtime.loader import load, runtimes
from qedge.runtime.model import Model

if TYPE_CHECKING:
    from qedge.runtime.engine import Engine
    from qedge.runtime.result import Result

__all__ = ["Engine", "Model", "Result", "load", "runtimes"]


def __getattr__(name: str) -> Any:
    # A protocol: only type checkers and those who write a runtime need it.
    if name == "Engine":
        from qedge.runtime.engine import Engine

        return Engine
    if name == "Result":  # the first one that is made loads it
        from qedge.runtime.result import Result

        return Result
    raise AttributeError(f"module 'qedge.runtime' has no attribute {name!r}")
