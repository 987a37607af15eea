"""Device half: the int8 model on the CPU, by whatever TFLite binding is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qedge.bundle.read import Bundle
from qedge.errors import UsageError, unknown
from qedge.runtime.twin import open_twin

if TYPE_CHECKING:
    from qedge.runtime.engine import Engine

OPTIONS = ("streams", "binding")


def open_runtime(
    bundle: Bundle,
    *,
    strict: bool = False,
    threads: int | None = None,
    device: str | None = None,
    **options: Any,
) -> Engine:
    """Return an engine for the bundle; ``strict`` changes nothing, as there is no accelerator to miss.

    Raises:
        UsageError: a ``device`` other than ``cpu``, or an unknown option.
        ToolError: no TFLite binding works here.
        ModelError: the binding does not take the model.
    """
    if device not in (None, "cpu"):
        raise UsageError(f"device: found {device!r}, expected 'cpu', the only one of this target")
    for name in options:
        if name not in OPTIONS:
            raise unknown("option", name, OPTIONS)
    return open_twin(bundle, threads=threads, **options)
