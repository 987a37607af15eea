"""Host half of the C engine: the microcontroller's C of the model as shared libraries for Linux.

The C comes from the installed target that generates it, through the same contract as any target's bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qedge.bundle import Bundle, read_bundle
from qedge.bundle.manifest import LIBRARIES, MODEL
from qedge.emulate import compile_shared, find_compiler
from qedge.errors import ToolError, UsageError, unknown
from qedge.findings import Finding
from qedge.runtime import load
from qedge.runtime.c_library import KEY, MICRO, Layout, layout_of
from qedge.runtime.golden import run_golden
from qedge.runtime.litert import find_binding
from qedge.runtime.machines import ARCHITECTURES, loadable
from qedge.target import (
    Arrays,
    CheckReport,
    Compiled,
    Placement,
    Request,
    Target,
    VerifyReport,
    golden_report,
    resolve,
    verify_twin,
)

GENERATOR, OPTIONS = "mcu", {"core": "host"}


def generator() -> Target:
    """Return the target that generates the C."""
    return resolve(GENERATOR)


def architectures(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the architectures that ``--arch`` names, all of them without it.

    Raises:
        UsageError: an unknown name, or none.
    """
    given = options.get("arch")
    if given is None:
        return ARCHITECTURES
    names = [word.strip() for word in str(given).split(",") if word.strip()]
    for name in names:
        if name not in ARCHITECTURES:
            raise unknown("architecture", name, ARCHITECTURES)
    if not names:
        raise UsageError(f"--arch: found {given!r}", hint=f"some of: {','.join(ARCHITECTURES)}")
    return tuple(name for name in ARCHITECTURES if name in names)


def check_c(request: Request) -> CheckReport:
    """Return what the generator says: every operator that it has C for runs on the CPU."""
    report = generator().check(replace(request, options=OPTIONS))
    placements = tuple(
        Placement(p.index, p.op, "cpu", "C from the generator", p.hint) if p.placement == GENERATOR else p
        for p in report.operators
    )
    return CheckReport(report.findings, placements)


def compile_libraries(request: Request) -> Compiled:
    """Return a library for each architecture under ``lib/``, and the outputs that they give for the golden inputs."""
    generated = generator().compile(replace(request, options=OPTIONS))
    library: Mapping[str, Any] = generated.extra["library"]
    folder = request.workdir / "engine_c"
    for path, data in generated.files.items():
        if path.startswith("c/src/"):
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    sources = [folder / source for source in library["sources"]]
    wanted = architectures(request.options)
    prefix = library["prefix"]
    exports = {"qedge_init": f"{prefix}_init", "qedge_run": f"{prefix}_run"}
    paths = {name: f"{LIBRARIES}{name}.so" for name in wanted}
    files = {path: compile_shared(sources, name, exports=exports) for name, path in paths.items()}
    layout = Layout(
        int(library["context_bytes"]),
        tuple(t["offset"] for t in library["inputs"]),
        tuple(t["offset"] for t in library["outputs"]),
        paths,
        find_compiler().name,
    )
    return Compiled(
        files=files,
        extra={KEY: layout.to_json()},
        metrics={
            "library_bytes": {name: len(files[path]) for name, path in paths.items()},
            "context_bytes": layout.context_bytes,
        },
        golden={MICRO: expected_outputs(request.model, request.golden_inputs)},
    )


def expected_outputs(model: bytes, samples: Sequence[Arrays]) -> list[list[Any]]:
    """Return what the C is to give, as TFLite Micro does."""
    return generator().golden_outputs(model, samples) or [] if samples else []


def verify(bundle: Path, samples: Sequence[Arrays] | None, engine: str | None) -> VerifyReport:
    """Run what the bundle has: the model by a TFLite binding, and the C library of this machine.

    Args:
        engine: only this one, ``litert`` or ``c``; None is both, and one of them where the other cannot run here.
    """
    with read_bundle(bundle) as opened:
        layout = layout_of(opened)
        here = layout is not None and any(name in layout.libraries for name in loadable())
        if engine == "litert" or (engine is None and not here):
            report = verify_twin(bundle, samples, label="")
            return report if layout is None or engine else replace(report, findings=(_elsewhere(layout),))
        ours = _verify_library(opened, samples)
    if engine == "c":
        return ours
    try:
        find_binding()
    except ToolError as problem:
        missing = Finding("info", "tool", problem.message, problem.hint)
        return replace(ours, findings=(*ours.findings, missing))
    return _both(verify_twin(bundle, samples, label=""), ours)


def _verify_library(opened: Bundle, samples: Sequence[Arrays] | None) -> VerifyReport:
    pairs, oracle = None, "golden vectors of the bundle"
    if samples is not None:
        inputs = [list(x) for x in samples]
        pairs = list(zip(inputs, expected_outputs(opened.read(MODEL), inputs)))
        oracle = "TFLite Micro"
    with load(opened, engine="c") as model:
        found = run_golden(model, pairs)
    return golden_report(found, oracle, found.core)


def _both(binding: VerifyReport, library: VerifyReport) -> VerifyReport:
    return replace(
        binding,
        bit_exact=binding.bit_exact and library.bit_exact,
        passed=binding.passed and library.passed,
        core=f"{binding.core} and {library.core}",
        mismatches=(*binding.mismatches, *(f"C library: {m}" for m in library.mismatches)),
        metrics={**binding.metrics, "c_library": dict(library.metrics)},
    )


def _elsewhere(layout: Layout) -> Finding:
    names = ", ".join(layout.libraries)
    return Finding("info", "library", f"the C libraries are for {names}, so none of them ran here")
