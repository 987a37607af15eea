"""qedge: a trained model on an edge device, calibrated, checked and proven.

On a device: ``model = qedge.load("build/kws/rpi"); print(model("clip.wav").top(3))``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qedge._version import __version__

if TYPE_CHECKING:
    from qedge.errors import QedgeError
    from qedge.runtime import Model, Result, load

__all__ = ["Model", "QedgeError", "Result", "__version__", "load"]

_HOMES = {
    "load": "qedge.runtime",
    "Model": "qedge.runtime",
    "Result": "qedge.runtime",
    "QedgeError": "qedge.errors",
}


def __getattr__(name: str) -> Any:
    import importlib

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'qedge' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
