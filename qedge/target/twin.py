"""Verifying and running a bundle by its CPU twin, for targets that have neither a runtime nor an emulator here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qedge.bundle.read import read_bundle
from qedge.findings import Finding
from qedge.runtime.golden import GoldenReport, run_golden
from qedge.runtime.litert import find_binding
from qedge.runtime.twin import load_twin
from qedge.target.reports import Arrays, VerifyReport

TWIN = "CPU twin"


def verify_twin(
    bundle: Path,
    samples: Sequence[Arrays] | None = None,
    *,
    label: str = TWIN,
    findings: Sequence[Finding] = (),
    metrics: Mapping[str, Any] | None = None,
) -> VerifyReport:
    """Run the bundle's ``model.tflite`` on this CPU and compare: with its golden vectors, or for other samples
    with a second interpreter that has one thread.

    See :func:`qedge.runtime.golden.run_golden` for what passes.

    Args:
        label: what the report calls the engine; empty for a target whose device runs this very model.
        findings, metrics: of the target, added to the report.

    Raises:
        UsageError: no samples and no golden vectors.
    """
    with read_bundle(bundle) as opened, load_twin(opened) as model:
        oracle = "golden vectors of the bundle"
        pairs = None
        if samples is not None:
            with load_twin(opened, threads=1) as single:
                pairs = [(list(x), single.engine.run(list(x))) for x in samples]
            oracle = f"one thread of {find_binding()}"
        found = run_golden(model, pairs)
    core = f"{found.core} ({label})" if label else found.core
    return golden_report(found, oracle, core, findings, metrics)


def golden_report(
    found: GoldenReport,
    oracle: str,
    core: str,
    findings: Sequence[Finding] = (),
    metrics: Mapping[str, Any] | None = None,
) -> VerifyReport:
    """Return what a comparison with golden vectors found, as a target says it."""
    return VerifyReport(
        bit_exact=found.bit_exact,
        passed=found.passed,
        oracle=oracle,
        core=core,
        samples=found.samples,
        mismatches=found.mismatches,
        metrics={
            "kernels": found.kernels,
            "max_difference": found.max_difference,
            "differing_values": found.differing_values,
            "sqnr_db": found.sqnr_db,
            **(metrics or {}),
        },
        findings=tuple(findings),
    )


def execute_twin(bundle: Path, samples: Sequence[Arrays]) -> list[list[npt.NDArray[Any]]]:
    """Return the raw outputs that the bundle's ``model.tflite`` gives on this CPU for raw inputs."""
    with load_twin(bundle) as model:
        return [model.engine.run(list(x)) for x in samples]
