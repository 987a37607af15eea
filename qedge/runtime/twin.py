"""The CPU twin: the int8 model that every bundle carries, on this machine's CPU, whatever its target."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qedge.bundle.manifest import MODEL
from qedge.bundle.read import Bundle, read_bundle
from qedge.runtime.litert import open_engine
from qedge.runtime.model import Model

if TYPE_CHECKING:
    from qedge.runtime.engine import Engine


def open_twin(
    bundle: Bundle, *, threads: int | None = None, streams: int = 1, binding: str | None = None
) -> Engine:
    """Return an engine for the bundle's ``model.tflite``; the options are those of :func:`qedge.load`.

    Raises:
        ToolError: no TFLite binding works here.
        ModelError: the binding does not take the model.
    """
    manifest = bundle.manifest
    return open_engine(
        bundle.read(MODEL),
        manifest.inputs,
        manifest.outputs,
        threads=threads,
        streams=streams,
        binding=binding,
    )


def load_twin(
    bundle: str | os.PathLike[str] | Bundle,
    *,
    threads: int | None = None,
    streams: int = 1,
    binding: str | None = None,
) -> Model:
    """Return the bundle's int8 model on the CPU, as :func:`qedge.load` does for targets that run in Python.

    Its outputs are what the device is to give; its speed says nothing about the device.

    Raises:
        DataError, IntegrityError: no bundle, or a damaged one.
        ToolError, ModelError: as :func:`open_twin`.
    """
    opened = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    return Model(opened, open_twin(opened, threads=threads, streams=streams, binding=binding))
