"""Drift: whether what a deployed model sees and says is still what it was calibrated on. Part of the device ring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qedge.drift.dumps import merge
    from qedge.drift.sketch import Sketch
    from qedge.drift.watch import Monitor, Verdict, monitor

__all__ = ["Monitor", "Sketch", "Verdict", "merge", "monitor"]

_HOMES = {"merge": "dumps", "Sketch": "sketch", "Monitor": "watch", "Verdict": "watch", "monitor": "watch"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"qedge.drift.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'qedge.drift' has no attribute {name!r}")
