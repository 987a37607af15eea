"""Device half: a compiled model on one or more Edge TPUs, or its CPU twin where there is none."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from qedge.bundle.manifest import MODEL
from qedge.bundle.read import Bundle
from qedge.errors import ToolError, UsageError, unknown
from qedge.installing import install_command
from qedge.runtime import litert
from qedge.runtime.engine import Engine
from qedge_coral import devices, failures
from qedge_coral.delegate import EdgeTpuEngine, check_fit, open_library
from qedge_coral.stages import stage_specs

Array = npt.NDArray[Any]

OPTIONS = ("binding", "library", "isolate", "probe", "performance", "root", "timeout_s", "streams")
PERFORMANCE = ("low", "medium", "high", "max")


class CpuFallbackWarning(UserWarning):
    """The Edge TPU cannot be used; the CPU twin runs instead, with the same results, slower."""


def open_runtime(
    bundle: Bundle,
    *,
    strict: bool = False,
    threads: int | None = None,
    device: str | None = None,
    **options: Any,
) -> Engine:
    """Return an engine on the Edge TPU, or on the CPU with a warning.

    Args:
        strict: raise instead of running on the CPU, now and when the device fails later.
        threads: of the CPU twin.
        device: ``usb``, ``pci``, ``usb:0``, ``:1``; ``all`` or several with commas take turns; ``cpu``.
        options: ``library`` (path of libedgetpu), ``binding``, ``isolate`` (inference in a child process that
            is restarted when the device takes it down), ``probe`` (False: do not try an unknown combination
            of binding and library in a child first), ``performance`` (low to max), ``timeout_s`` (of a
            child), ``root`` (folder that holds ``sys`` and ``dev``).

    Raises:
        UsageError: an unknown device name or option.
        EdgeTpuError: with ``strict``, what stands in the way of the Edge TPU.
        ToolError: no TFLite binding works.
    """
    for name in options:
        if name not in OPTIONS:
            raise unknown("option", name, OPTIONS)
    if device == "cpu":
        return cpu_twin(bundle, threads, options)
    names = _devices(device, options)
    try:
        engine = _open_all(bundle, names, options)
    except ToolError as problem:
        if strict:
            raise
        _warn(problem)
        return cpu_twin(bundle, threads, options)
    return engine if strict else _WithTwin(engine, lambda: cpu_twin(bundle, threads, options))


def cpu_twin(bundle: Bundle, threads: int | None, options: dict[str, Any]) -> Engine:
    """Return an engine for the bundle's int8 model on the CPU."""
    manifest = bundle.manifest
    chosen = {k: options[k] for k in ("binding", "streams") if k in options}
    return litert.open_engine(
        bundle.read(MODEL), manifest.inputs, manifest.outputs, threads=threads, **chosen
    )


def _warn(problem: ToolError) -> None:
    hint = f"\nhint: {problem.hint}" if problem.hint else ""
    warnings.warn(f"running on the CPU: {problem.message}{hint}", CpuFallbackWarning, stacklevel=4)


def _devices(device: str | None, options: dict[str, Any]) -> list[str]:
    if device == "all":
        return [d.name for d in devices.scan(options.get("root", "/"))] or [""]
    return [failures.parse_device(name) for name in (device or "any").split(",")]


def _open_all(bundle: Bundle, names: Sequence[str], options: dict[str, Any]) -> Engine:
    from qedge_coral.several import Pipeline, TakingTurns

    stages = bundle.manifest.target_data.get("stages") or []
    if not stages:
        raise failures.failure(
            "not-compiled",
            f"{bundle.root}: the bundle has not been compiled for the Edge TPU",
            "follow COMPILE.md in the bundle, then build again with --compiled",
        )
    if len(stages) == 1:
        engines = [_open_stage(bundle, 0, name, options) for name in names]
        return engines[0] if len(engines) == 1 else TakingTurns(engines)
    if len(names) == 1 and names[0] in ("", "usb", "pci"):
        names = [f"{names[0]}:{i}" for i in range(len(stages))]
    if len(names) != len(stages):
        raise UsageError(
            f"device: found {len(names)} devices, the model has {len(stages)} segments",
            hint="name one device a segment, for instance usb:0,usb:1, or compile with fewer segments",
        )
    opened = [_open_stage(bundle, i, name, options) for i, name in enumerate(names)]
    return Pipeline(opened, bundle.manifest, stages)


def _open_stage(bundle: Bundle, stage: int, name: str, options: dict[str, Any]) -> Engine:
    if options.get("isolate"):
        from qedge_coral.isolate import IsolatedEngine

        return IsolatedEngine(bundle, stage, name, options)
    return open_stage(bundle, stage, name, options)


def open_stage(bundle: Bundle, stage: int, name: str, options: dict[str, Any]) -> EdgeTpuEngine:
    """Return an engine for one segment of the bundle on one device, in this process."""
    described = bundle.manifest.target_data["stages"][stage]
    root = options.get("root", "/")
    library = open_library(options.get("library"), root)
    try:
        binding = litert.find_binding(options.get("binding"))
    except ToolError as problem:
        raise failures.failure("no-binding", problem.message, install_command("coral")) from None
    check_fit(library, binding, int(bundle.manifest.target_data.get("min_runtime", 0)), root)
    if options.get("probe", True):
        from qedge_coral.isolate import probe

        probe(bundle, stage, name, options, library, binding)
    inputs, outputs = stage_specs(bundle, described)
    return EdgeTpuEngine(
        bundle.read(described["file"]),
        inputs,
        outputs,
        device=name,
        library=library,
        binding=binding,
        settings=_settings(options),
        root=root,
    )


def _settings(options: dict[str, Any]) -> dict[str, str]:
    speed = options.get("performance")
    if speed is None:
        return {}
    if str(speed).lower() not in PERFORMANCE:
        raise unknown("performance", str(speed), PERFORMANCE)
    return {"Performance": str(speed).capitalize()}


class _WithTwin:
    """An engine that goes over to the CPU twin, with a warning, when the device fails; no result is lost."""

    def __init__(self, engine: Engine, twin: Callable[[], Engine]) -> None:
        self._engine, self._twin = engine, twin
        self._on_cpu = False
        self.inputs, self.outputs = engine.inputs, engine.outputs

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs for the inputs, from the CPU twin once the device has failed."""
        if not self._on_cpu:
            try:
                return self._engine.run(arrays)
            except failures.EdgeTpuError as problem:
                _warn(problem)
                self._engine.close()
                self._engine, self._on_cpu = self._twin(), True
        return self._engine.run(arrays)

    def describe(self) -> dict[str, Any]:
        """Return what runs the model now."""
        return {**self._engine.describe(), "fallback": self._on_cpu}

    def close(self) -> None:
        """Free the model."""
        self._engine.close()
