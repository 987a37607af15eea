"""What the report of a build says: the figures, the layers, a few samples with what both models say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from qedge.pipeline.answers import class_figures, examples
from qedge.pipeline.prepare import spread, steps
from qedge.pipeline.request import Prepared
from qedge.quantize import Candidate, LayerError, layer_errors
from qedge.report import BuildReport, TargetReport
from qedge.target import CheckReport, Compiled, Placement, Target
from qedge.target.protocol import Progress

LAYER_SAMPLES = 16


def build_report(
    prepared: Prepared,
    checks: Mapping[str, CheckReport],
    compiled: Mapping[str, Compiled],
    layers: Sequence[Mapping[str, Any]],
    targets: Sequence[Target],
    data: Mapping[str, Any] | None,
    card: Mapping[str, str],
) -> BuildReport:
    """Return what a build found; ``layers`` is what :func:`measure_layers` gave, ``data`` the dataset's identity."""
    by_name = {target.info.name: target for target in targets}
    quantized, comparison = prepared.quantized, prepared.comparison
    quantization: dict[str, Any] = {
        "method": quantized.method if quantized else "given",
        "sqnr_db": finite(comparison.sqnr_db if comparison else None),
        "worst_output": comparison.worst.name if comparison else None,
        "agreement": comparison.agreement if comparison else None,
        "io": prepared.graph.tensors[prepared.graph.inputs[0]].dtype,
        "candidates": [_candidate(c) for c in quantized.candidates] if quantized else [],
    }
    return BuildReport(
        name=prepared.name,
        origin=prepared.source.origin,
        model_sha256=prepared.source.sha256,
        float_bytes=len(prepared.source.data) if quantized else None,
        int8_bytes=len(prepared.model),
        float_accuracy=comparison.float_metric if comparison else None,
        int8_accuracy=comparison.quantized_metric if comparison else None,
        samples=comparison.samples if comparison else 0,
        measured_on=prepared.measured_on,
        outputs=tuple(o.to_json() for o in comparison.outputs) if comparison else (),
        calibration_samples=prepared.calibration_samples,
        quantization=quantization,
        findings=prepared.findings,
        graph=prepared.graph,
        layers=tuple(layers),
        examples=examples(prepared),
        classes=class_figures(prepared),
        data=data,
        data_date=card.get("data_date"),
        targets={
            name: TargetReport(
                findings=(*checks[name].findings, *compiled[name].findings),
                operators=_placements(checks[name], compiled[name]),
                metrics={**checks[name].metrics, **compiled[name].metrics},
                predicted=checks[name].predicted and compiled[name].operators is None,
                columns=by_name[name].info.columns,
                figures=by_name[name].figures(compiled[name].extra),
                title=by_name[name].info.title,
            )
            for name in checks
        },
    )


def _placements(check: CheckReport, compiled: Compiled) -> tuple[Placement, ...]:
    """Return a compiler's own placements where one ran, else those of the check."""
    return check.operators if compiled.operators is None else compiled.operators


def measure_layers(prepared: Prepared, progress: Progress) -> list[dict[str, Any]]:
    """Return the report's entry for every layer of a model that was quantised here; [] for one that came so."""
    if prepared.quantized is None or prepared.dataset is None:
        return []
    chosen = spread(len(prepared.dataset), LAYER_SAMPLES)
    data = prepared.dataset.subset(chosen)
    found = layer_errors(prepared.source.data, prepared.quantized.data, data, steps(progress))
    return [layer_json(layer) for layer in found]


def layer_json(layer: LayerError) -> dict[str, Any]:
    """Return a layer as JSON: floats rounded to 4 decimals, None for what is not finite."""
    fields = layer.to_json()
    return {k: finite(v) if isinstance(v, float) else v for k, v in fields.items()}


def _candidate(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate for the report: without its time, which differs from run to run."""
    entry = asdict(candidate)
    entry.pop("seconds")
    return entry | {"sqnr_db": finite(candidate.sqnr_db)}


def finite(value: float | None) -> float | None:
    """Return the value for JSON, rounded to 4 decimals; None for infinity (int8 equals float) and NaN."""
    if value is None or not np.isfinite(value):
        return None
    return round(float(value), 4)
