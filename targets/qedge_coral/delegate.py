"""Load libedgetpu and run a compiled model with it, in this process."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qedge.bundle.manifest import TensorSpec
from qedge.errors import DataError, ModelError, ToolError, UsageError
from qedge.runtime import litert
from qedge_coral import devices, failures, system

Array = npt.NDArray[Any]
ENTRY_POINT = "tflite_plugin_create_delegate"


@dataclass(frozen=True)
class Library:
    """A libedgetpu that passed the checks before loading a delegate.

    Args:
        runtime: Edge TPU runtime version that it reports, or None.
        label: what ``edgetpu_version`` says.
    """

    path: str
    runtime: int | None
    label: str


def open_library(named: str | None = None, root: str | os.PathLike[str] = "/") -> Library:
    """Return libedgetpu, checked as far as that goes without a device.

    Raises:
        EdgeTpuError: it is missing, for another machine, or no libedgetpu.
    """
    path = named or system.find_library(Path(root))
    if path is None:
        raise failures.failure(
            "no-library",
            f"libedgetpu is not installed: no {system.LIBRARY} in the library folders",
            system.INSTALL_LIBRARY,
        )
    failures.check_library(path, platform.machine())
    try:
        library = ctypes.CDLL(path)
        getattr(library, ENTRY_POINT)
    except (OSError, AttributeError) as problem:
        raise failures.from_loader(path, problem) from None
    return Library(path, *_version(library))


def _version(library: ctypes.CDLL) -> tuple[int | None, str]:
    try:
        function = library.edgetpu_version
    except AttributeError:
        return None, ""
    function.restype, function.argtypes = ctypes.c_char_p, []
    label = (function() or b"").decode("utf-8", "replace")
    found = re.search(r"RuntimeVersion\((\d+)\)", label)
    return (int(found[1]) if found else None), label


def check_fit(library: Library, binding: litert.Binding, min_runtime: int, root: str | Path = "/") -> None:
    """Raise where binding, library and model are known not to go together, before that crashes.

    Raises:
        EdgeTpuError: rules ``versions`` and ``old-runtime``.
    """
    reason = system.mismatch((binding.name, binding.version), system.package_version(Path(root)))
    if reason is not None:
        raise failures.incompatible(f"{binding} and {library.path}", reason)
    if library.runtime is not None and library.runtime < min_runtime:
        raise failures.failure(
            "old-runtime",
            f"the model needs Edge TPU runtime {min_runtime}, {library.path} is {library.runtime}",
            system.INSTALL_LIBRARY,
        )


class EdgeTpuEngine:
    """One compiled model on one Edge TPU; see :class:`qedge.runtime.engine.Engine`."""

    def __init__(
        self,
        model: bytes,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        device: str,
        library: Library,
        binding: litert.Binding,
        settings: Mapping[str, str] | None = None,
        root: str | os.PathLike[str] = "/",
    ) -> None:
        """Open the device and prepare the model.

        Raises:
            EdgeTpuError: what stands in the way.
        """
        options = dict(settings or {})
        if device:
            options["device"] = device
        self.inputs, self.outputs = inputs, outputs
        self._root, self._library = root, library
        self._attached = [d.name for d in devices.scan(root)]
        self._device = self._name(device)
        delegate = _delegate(binding, library.path, options, device, root)
        try:
            self._engine = litert.open_engine(
                model, inputs, outputs, threads=1, binding=binding.name, delegates=[delegate]
            )
        except ModelError as problem:
            raise failures.from_prepare(problem) from None
        self._binding = str(binding)
        self._opened, self._busy_s, self._runs, self._slowest_s = time.monotonic(), 0.0, 0, 0.0

    def _name(self, wanted: str) -> str:
        """Return the device's name where sysfs leaves no doubt, else what was asked for."""
        kind, _, index = wanted.partition(":")
        names = [n for n in self._attached if not kind or n.startswith(kind)]
        if index and int(index) < len(names):
            return names[int(index)]
        return names[0] if len(names) == 1 else ""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs for the inputs.

        Raises:
            EdgeTpuError: the device failed or is gone.
        """
        start = time.monotonic()
        try:
            found = self._engine.run(arrays)
        except (DataError, UsageError):
            raise
        except ToolError as problem:
            present = [d.name for d in devices.scan(self._root)]
            raise failures.from_run(self._device, present, problem) from problem
        took = time.monotonic() - start
        self._busy_s, self._runs = self._busy_s + took, self._runs + 1
        self._slowest_s = max(self._slowest_s, took)
        return found

    def describe(self) -> dict[str, Any]:
        """Return what runs the model and how busy it has been; ``duty`` is the share of time in inference."""
        elapsed = max(time.monotonic() - self._opened, 1e-9)
        heat = {d.name: d.temperature_c for d in devices.scan(self._root)}.get(self._device)
        return {
            "binding": self._binding,
            "device": f"edgetpu {self._device}".strip(),
            "threads": 1,
            "streams": 1,
            "library": self._library.path,
            "library_version": self._library.label,
            "inferences": self._runs,
            "latency_ms": {
                "mean": 1000 * self._busy_s / self._runs if self._runs else None,
                "max": 1000 * self._slowest_s if self._runs else None,
            },
            "duty": min(1.0, self._busy_s / elapsed),
            "temperature_c": heat,
        }

    def close(self) -> None:
        """Free the device."""
        self._engine.close()


def _delegate(
    binding: litert.Binding, path: str, options: dict[str, str], device: str, root: str | os.PathLike[str]
) -> Any:
    try:
        return binding.module.load_delegate(path, options)
    except ValueError as problem:
        # The binding prefixes its own words; what the library said comes after the last one.
        said = re.sub(r"^Failed to load delegate from \S*", "", str(problem).strip()).strip()
        raise failures.from_open(device, said, Path(root)) from None
    except (OSError, AttributeError) as problem:
        raise failures.from_loader(path, problem) from None
    except RuntimeError as problem:
        raise failures.from_open(device, " ".join(str(problem).split()), Path(root)) from None
