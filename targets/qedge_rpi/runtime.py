"""Device half: the int8 model on the CPU, by whatever TFLite binding is there, or by the bundle's own C library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qedge.bundle.read import Bundle
from qedge.errors import ToolError, UsageError, unknown

if TYPE_CHECKING:
    from qedge.runtime.engine import Engine

OPTIONS = ("streams", "binding", "engine")
ENGINES = ("litert", "c")


def open_runtime(
    bundle: Bundle,
    *,
    strict: bool = False,
    threads: int | None = None,
    device: str | None = None,
    engine: str | None = None,
    **options: Any,
) -> Engine:
    """Return an engine for the bundle; ``strict`` changes nothing, as there is no accelerator to miss.

    Args:
        engine: ``litert``, a TFLite binding; ``c``, the bundle's C library; None takes the binding that works here,
            else the library where the bundle has one.

    Raises:
        UsageError: a ``device`` other than ``cpu``, or an unknown option.
        ToolError: no TFLite binding works here, and no library of the bundle.
        ModelError: the binding does not take the model.
    """
    if device not in (None, "cpu"):
        raise UsageError(f"device: found {device!r}, expected 'cpu', the only one of this target")
    for name in options:
        if name not in OPTIONS:
            raise unknown("option", name, OPTIONS)
    if engine not in (None, *ENGINES):
        raise unknown("engine", str(engine), ENGINES)
    if engine == "c" and options.get("binding"):
        raise UsageError("binding: the C library needs none", hint="leave out binding, or engine='c'")
    if engine == "c" or (engine is None and not options.get("binding") and _only_c(bundle)):
        from qedge.runtime.c_library import open_c_engine

        return open_c_engine(bundle, threads=threads, streams=options.get("streams", 1))
    from qedge.runtime.twin import open_twin

    return open_twin(bundle, threads=threads, **options)


def _only_c(bundle: Bundle) -> bool:
    """Whether the bundle has C libraries and no TFLite binding works here."""
    if "c" not in bundle.manifest.target_data:
        return False
    from qedge.runtime.litert import find_binding

    try:
        find_binding()
    except ToolError:
        return True
    return False
