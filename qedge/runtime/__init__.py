"""Running a bundle on the device it is for: ``load(bundle) -> Model``."""

from __future__ import annotations

from qedge.runtime.engine import Engine
from qedge.runtime.loader import load, runtimes
from qedge.runtime.model import Model, Result

__all__ = ["Engine", "Model", "Result", "load", "runtimes"]
