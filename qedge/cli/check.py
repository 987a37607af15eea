"""``qedge check``: where every operator of a model would run, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qedge import pipeline
from qedge.cli import _flags as flags
from qedge.cli import _inputs as i
from qedge.cli._console import Ui
from qedge.config import load_config
from qedge.target import CheckReport


def command(
    ui: Ui,
    target_options: Mapping[str, Any],
    model: flags.ModelArg = None,
    data: flags.DataOpt = None,
    target: flags.TargetOpt = None,
    config: flags.ConfigOpt = None,
    labels: flags.LabelsOpt = None,
    samples: flags.SamplesOpt = None,
    seed: flags.SeedOpt = None,
    io: flags.IoOpt = None,
    method: flags.MethodOpt = None,
    resize: flags.ResizeOpt = None,
    fit: flags.FitOpt = None,
    color: flags.ColorOpt = None,
    range_: flags.RangeOpt = None,
    mean: flags.MeanOpt = None,
    std: flags.StdOpt = None,
    pre: flags.PreOpt = None,
    input_shape: flags.ShapeOpt = None,
    input_value: flags.ValueOpt = None,
    trust_model: flags.TrustOpt = False,
    cut_head: flags.CutOpt = None,
) -> None:
    """Say for every operator where it runs and why, before anything is compiled.

    A full-integer .tflite is checked as it is; a float model is quantised first, on random samples without --data.
    """
    request = i.request_from(
        load_config(config),
        model=model,
        data=data,
        target=target,
        labels=labels,
        samples=samples,
        seed=seed,
        io=io,
        method=method or "minmax",
        preprocess=i.image_fields(resize, fit, color, range_, mean, std, pre),
        input_shape=input_shape,
        input_value=input_value,
        trust_model=trust_model,
        cut_head=cut_head,
        target_options=target_options,
    )
    with ui.progress() as progress:
        prepared = pipeline.prepare(replace(request, judge=False), progress)
    reports = pipeline.check(prepared, request.targets)
    ui.findings(prepared.findings)
    for name, report in reports.items():
        _show(ui, name, report)
    ui.json("check", _document(prepared, reports))
    for name, report in reports.items():
        pipeline.raise_for(name, report)


def _document(prepared: pipeline.Prepared, reports: Mapping[str, CheckReport]) -> dict[str, Any]:
    targets: dict[str, dict[str, Any]] = {
        name: {
            "findings": [f.to_json() for f in report.findings],
            "operators": [p.to_json() for p in report.operators],
            "predicted": report.predicted,
            "rewritten": report.rewritten,
            "metrics": dict(report.metrics),
        }
        for name, report in reports.items()
    }
    first: dict[str, Any] = next(iter(targets.values()), {"operators": []})
    return {
        "model": {"name": prepared.name, "sha256": prepared.source.sha256, "origin": prepared.source.origin},
        "findings": [f.to_json() for f in prepared.findings],
        "operators": first["operators"],
        "targets": targets,
    }


def _show(ui: Ui, name: str, report: CheckReport) -> None:
    title = f"{name}: predicted, not a compiler's word" if report.predicted else name
    title += ", after the build's rewrites" if report.rewritten else ""
    rows = [(p.index, p.op, p.placement, p.reason) for p in report.operators]
    ui.table(title, ("#", "operator", "runs on", "why"), rows)
    for operator in report.operators:
        if operator.hint and ui.verbose:
            ui.line(f"hint: #{operator.index} {operator.op}: {operator.hint}")
    ui.figures(report.figures)
    ui.findings(f for f in report.findings if f.severity != "error")
    ui.line()
