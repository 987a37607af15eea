"""qedge: a trained model on an edge device, calibrated, checked and proven.

On a device: ``model = qedge.load("build/kws/rpi"); print(model("clip.wav").top(3))``.
On a computer: ``qedge.build(model, (x, y), targets=["rpi", "mcu"])``.
"""

from __future__ import annotations

from qedge._version import __version__

# Not that of typing, which takes ten times as long to import as all of this.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from qedge.api import Build, build, check, evaluate, verify
    from qedge.drift import monitor
    from qedge.errors import QedgeError
    from qedge.runtime import Model, Result, load

__all__ = [
    "Build",
    "Model",
    "QedgeError",
    "Result",
    "__version__",
    "build",
    "check",
    "evaluate",
    "load",
    "monitor",
    "verify",
]

_HOMES = {
    "load": "qedge.runtime",
    "monitor": "qedge.drift",
    "Model": "qedge.runtime",
    "Result": "qedge.runtime",
    "QedgeError": "qedge.errors",
    "Build": "qedge.api",
    "build": "qedge.api",
    "check": "qedge.api",
    "evaluate": "qedge.api",
    "verify": "qedge.api",
}


def __getattr__(name: str) -> Any:
    import gc
    import importlib

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'qedge' has no attribute {name!r}")
    collecting = gc.isenabled()
    gc.disable()  # modules stay: to look through them and all of numpy takes a tenth of a start on a device
    try:
        return getattr(importlib.import_module(home), name)
    except ImportError as problem:
        if home != "qedge.api" or (problem.name or "").partition(".")[0] == "qedge":
            raise
        from qedge.errors import ToolError
        from qedge.installing import install_command

        raise ToolError(
            f"qedge.{name} needs {problem.name}, which is not installed", hint=install_command("host")
        ) from None
    finally:
        if collecting:
            gc.enable()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
