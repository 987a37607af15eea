"""Quantise above the floor: layers in 16 bit where int8 alone is under it and every target runs them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qedge.datasets import Dataset
from qedge.findings import Finding, errors
from qedge.graph import Graph
from qedge.quantize import Quantized, QuantizeOptions, quantize
from qedge.target import CheckReport, Request, Target
from qedge.tune import tuner_of

Targets = Sequence[tuple[Target, Mapping[str, Any]]]


def quantize_above_floor(
    float_model: bytes,
    calibration: Dataset,
    options: QuantizeOptions,
    targets: Targets,
    name: str,
    progress: Callable[[str, int, int], None],
) -> Quantized:
    """Return the int8 form, or with ``options.floor`` the one with layers in 16 bit where all targets run it.

    A target that refuses the 16-bit form, or runs less of it on its accelerator, is named, with the way out.
    """
    found = quantize(float_model, calibration, options, progress, tuner_of(options))
    if found.plain is None:
        return found
    plain = found.plain
    objecting: dict[str, str] = {}
    for target, chosen in targets:
        wide, narrow = (_check(target, chosen, name, form.data) for form in (found, plain))
        if _runs(target, wide) < _runs(target, narrow):
            first = next((f.op for f in errors(wide.findings) if f.op), None)
            objecting[target.info.name] = target.info.name + (f" ({first})" if first else "")
    if not objecting:
        return found
    one = len(objecting) == 1
    refused = Finding(
        "warning",
        "not-lifted",
        f"layers in 16 bit would lift int8 over the floor, and {', '.join(objecting.values())}"
        f" {'does' if one else 'do'} not run them as well: all targets get the int8 form",
        "a target that runs them gets the better form"
        if len(objecting) == len(targets)
        else f"build {'it' if one else 'these'} apart, so that the other targets get the better form",
    )
    return replace(plain, findings=(*plain.findings, refused))


def islands(method: str, proof: Sequence[Finding]) -> list[Finding]:
    """Return what the proof of full-integer form found; floats that a rescue left on purpose are no errors."""
    if "xfloat" not in method:
        return list(proof)
    return [replace(f, severity="info") if f.rule in ("float-operator", "float-tensor") else f for f in proof]


def _check(target: Target, options: Mapping[str, Any], name: str, model: bytes) -> CheckReport:
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        return target.check(Request(Graph.from_bytes(model), name, Path(scratch), options))


def _runs(target: Target, report: CheckReport) -> tuple[bool, int]:
    """Return whether a target takes a model without an error, and how many operators its accelerator runs."""
    return not errors(report.findings), sum(p.placement == target.info.accelerator for p in report.operators)
