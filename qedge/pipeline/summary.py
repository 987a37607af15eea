"""What the report of a build says: the figures, the layers, a few samples with what both models say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from qedge.pipeline.answers import class_figures, examples
from qedge.pipeline.prepare import spread
from qedge.pipeline.request import BuildRequest, Prepared, steps
from qedge.quantize import Candidate, LayerError, layer_errors
from qedge.quantize.options import Offer
from qedge.report import BuildReport, TargetReport
from qedge.target import CheckReport, Compiled, Placement, Target
from qedge.target.protocol import Progress

LAYER_SAMPLES = 16


def build_reports(
    prepared: Prepared,
    checks: Mapping[str, CheckReport],
    compiled: Mapping[str, Compiled],
    layers: Mapping[int, Sequence[Mapping[str, Any]]],
    request: BuildRequest,
    data: Mapping[str, Any] | None,
) -> dict[int, BuildReport]:
    """Return the report of each form, by its identity: its own figures and targets.

    That of the first form has all targets, those of other forms with what they got in its place.

    Args:
        checks, compiled: by target; those that are compiled are reported.
        layers: what :func:`measure_layers` gave for each form, by its identity.
        data: the dataset's identity.
    """
    chosen = {target.info.name: target for target, _ in request.targets}
    reports = {}
    for form in prepared.forms:
        own = [name for name in compiled if prepared.of(name) is form]
        targets = {n: _target_report(chosen[n], checks[n], compiled[n]) for n in own}
        reports[id(form)] = _report(form, targets, layers[id(form)], data, request.card)
    first = reports[id(prepared)]
    everywhere = {
        name: replace(reports[id(form)].targets[name], form=_form(reports[id(form)]))
        for name in compiled
        if (form := prepared.of(name)) is not prepared
    }
    merged = {n: everywhere.get(n) or first.targets[n] for n in compiled}
    return reports | {id(prepared): replace(first, targets=merged)}


def _form(report: BuildReport) -> dict[str, Any]:
    """Return what a target got that got another form than the first, for the first one's report."""
    quantization = {k: v for k, v in report.quantization.items() if k != "candidates"}
    return {
        "bytes": report.int8_bytes,
        "accuracy": report.int8_accuracy,
        "sha256": report.graph.sha256,
        "findings": [f.to_json() for f in report.findings],
        "outputs": [dict(output) for output in report.outputs],
        **quantization,
    }


def _target_report(target: Target, check: CheckReport, compiled: Compiled) -> TargetReport:
    return TargetReport(
        findings=(*check.findings, *compiled.findings),
        operators=_placements(check, compiled),
        metrics={**check.metrics, **compiled.metrics},
        predicted=check.predicted and compiled.operators is None,
        columns=target.info.columns,
        figures=target.figures(compiled.extra),
        title=target.info.title,
    )


def _report(
    prepared: Prepared,
    targets: Mapping[str, TargetReport],
    layers: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any] | None,
    card: Mapping[str, str],
) -> BuildReport:
    """Return what a build found of one form."""
    quantized, comparison = prepared.quantized, prepared.comparison
    quantization: dict[str, Any] = {
        "method": quantized.method if quantized else "given",
        "sqnr_db": finite(comparison.sqnr_db if comparison else None),
        "worst_output": comparison.worst.name if comparison else None,
        "agreement": comparison.agreement if comparison else None,
        "io": prepared.graph.tensors[prepared.graph.inputs[0]].dtype,
        "candidates": [_candidate(c) for c in quantized.candidates] if quantized else [],
        "front": [_offer(o) for o in quantized.front] if quantized else [],
        "limits": dict(quantized.front[0].price.limits) if quantized and quantized.front else {},
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
        targets=targets,
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


def _offer(offer: Offer) -> dict[str, Any]:
    """Return an assignment of a search under a budget, with what it takes."""
    figures = {name: round(value, 4) for name, value in offer.price.figures.items()}
    return {
        **_candidate(offer.candidate),
        "holds": offer.holds,
        "fits": not offer.price.over,
        "figures": figures,
    }


def finite(value: float | None) -> float | None:
    """Return the value for JSON, rounded to 4 decimals; None for infinity (int8 equals float) and NaN."""
    if value is None or not np.isfinite(value):
        return None
    return round(float(value), 4)
