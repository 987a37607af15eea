"""``qedge build``: a trained model to one bundle a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from qedge import pipeline
from qedge.cli import _flags as flags
from qedge.cli import _inputs as i
from qedge.cli import _verdict
from qedge.cli._console import Ui, error_document, print_error, size
from qedge.cli._progress import BUILD
from qedge.config import load_config
from qedge.report import BuildReport, verdict
from qedge.report.verdict import METRICS

AllOpt = Annotated[bool, typer.Option("--all-or-nothing", help="Write no bundle where one target fails.")]
DryOpt = Annotated[bool, typer.Option("--dry-run", help="Say what would be built, and build nothing.")]

TOLD = ("lifted", "advised", "tuned", "not-tuned")
"""Rules of what was done beyond calibrating and what that costs: a person reads of it without ``--verbose`` too."""


def command(
    ui: Ui,
    target_options: Mapping[str, Any],
    model: flags.ModelArg = None,
    data: flags.DataOpt = None,
    target: flags.TargetOpt = None,
    out: flags.OutOpt = None,
    config: flags.ConfigOpt = None,
    name: flags.NameOpt = None,
    labels: flags.LabelsOpt = None,
    samples: flags.SamplesOpt = None,
    seed: flags.SeedOpt = None,
    io: flags.IoOpt = None,
    method: flags.MethodOpt = None,
    effort: flags.EffortOpt = None,
    lift: flags.LiftOpt = None,
    recipe: flags.RecipeOpt = None,
    max_drop: flags.MaxDropOpt = None,
    min_sqnr: flags.MinSqnrOpt = None,
    weights: flags.WeightsOpt = None,
    pareto: flags.ParetoOpt = 0,
    tune: flags.TuneOpt = None,
    tune_minutes: flags.TuneMinutesOpt = None,
    eval_data: flags.EvalOpt = None,
    strict: flags.StrictOpt = False,
    resize: flags.ResizeOpt = None,
    fit: flags.FitOpt = None,
    color: flags.ColorOpt = None,
    range_: flags.RangeOpt = None,
    mean: flags.MeanOpt = None,
    std: flags.StdOpt = None,
    pre: flags.PreOpt = None,
    post: flags.PostOpt = None,
    input_shape: flags.ShapeOpt = None,
    input_value: flags.ValueOpt = None,
    trust_model: flags.TrustOpt = False,
    cut_head: flags.CutOpt = None,
    export: flags.ExportOpt = None,
    all_or_nothing: AllOpt = False,
    dry_run: DryOpt = False,
) -> None:
    """Turn a trained model into one verified-ready bundle a target, in OUT/NAME/TARGET/."""
    request = i.request_from(
        load_config(config),
        model=model,
        data=data,
        target=target,
        out=out,
        name=name,
        labels=labels,
        samples=samples,
        seed=seed,
        io=io,
        method=method,
        effort=effort,
        lift=lift,
        recipe=recipe,
        max_drop=max_drop,
        min_sqnr=min_sqnr,
        weights=weights,
        pareto=pareto,
        tune=tune,
        tune_minutes=tune_minutes,
        eval_data=eval_data,
        strict=strict,
        preprocess=i.image_fields(resize, fit, color, range_, mean, std, pre),
        post=post,
        input_shape=input_shape,
        input_value=input_value,
        trust_model=trust_model,
        target_options=target_options,
        cut_head=cut_head,
        export=export,
        all_or_nothing=all_or_nothing,
    )
    if dry_run:
        pipeline.preflight(request)
        _plan(ui, request)
        return
    with ui.progress(BUILD) as progress:
        result = pipeline.build(request, progress)
    latencies = _verdict.latencies(result, {t.info.name: t.info for t, _ in request.targets})
    document = result.report.to_json()
    for name_, path in result.bundles.items():
        part = result.report.targets[name_]
        document["targets"][name_]["bundle"] = str(path)
        document["targets"][name_]["verdict"] = verdict(result.report_of(name_), part)._asdict()
        document["targets"][name_]["latency"] = latencies[name_]
    _show(ui, result)
    _verdict.show(ui, result, latencies, {t.info.name: t.info for t, _ in request.targets})
    document["pareto"] = [str(path) for path in result.offers]
    for path in result.offers:
        ui.line(f"also written: {path}")
    document["seconds"] = round(result.seconds, 3)
    document.pop("schema_version")
    document["failures"] = {name_: error_document(error) for name_, error in result.failures.items()}
    ui.json("build", document)
    for name_, error in result.failures.items():
        print_error(f"no bundle for {name_}: {error.message}", error.hint)
    if result.failures:
        raise typer.Exit(next(iter(result.failures.values())).exit_code)


def _plan(ui: Ui, request: pipeline.BuildRequest) -> None:
    name = pipeline.safe_name(request.name or request.model.stem)
    bundles = {t.info.name: request.out / name / t.info.name for t, _ in request.targets}
    ui.line(f"would read   {request.model}")
    ui.line(f"would use    {request.data or 'no data'}")
    for path in bundles.values():
        ui.line(f"would write  {path}{Path('/')}")
    plan = {
        "dry_run": True,
        "model": {"name": name, "path": str(request.model)},
        "data": None if request.data is None else {"path": str(request.data)},
        "targets": {n: {"bundle": str(p)} for n, p in bundles.items()},
    }
    ui.json("build", plan)


def measured_on(samples: int, kind: str | None) -> str:
    """Return which samples figures are of, for a person.

    >>> measured_on(40, "calibration")
    '40 calibration samples (too few to hold any out)'
    """
    what = {
        "held-out": "held-out samples",
        "eval-data": "samples of --eval-data",
        "calibration": "calibration samples (too few to hold any out)",
    }
    return f"{samples} {what.get(kind or '', 'samples')}"


SAME = {"vector": "same largest value", "many_labels": "same labels (F1)", "boxes": "same boxes (F1)"}
"""What an agreement is of, where it is not of one answer a sample."""


def figure_rows(outputs: Sequence[Mapping[str, Any]], compared: bool = True) -> list[tuple[str, str, str]]:
    """Return the rows (what, float, int8) of the figures of each output, its name in them where there are several.

    Args:
        compared: whether there was a float model to compare with.
    """
    rows: list[tuple[str, str, str]] = []
    for output in outputs:
        of = f" of {output['name']}" if len(outputs) > 1 else ""
        for part in output["parts"]:
            name = f"SQNR of {output['name']}, columns {part['columns']}"
            rows.append((name, "", _noise(part)))
        if compared and not output["parts"] and output["task"] != "boxes":
            rows.append((f"SQNR{of}", "", "whole numbers" if output["task"] == "index" else _noise(output)))
        if output["agreement"] is not None:
            shown = f"{points(output['agreement'])}{_between(output['agreement_interval'], 100)}"
            rows.append((f"{SAME.get(output['task'], 'same answer')}{of}", "", shown))
        if output["overlap"] is not None:
            rows.append((f"same but for the commonest{of} (F1)", "", points(output["overlap"])))
        if output["metric"] is None:
            continue
        share = output["metric"] != "mae"
        word = METRICS[output["metric"]]
        before, after = (_metric(output, which, share) for which in ("float", "quantized"))
        rows.append((f"{word}{of}", before, after))
        if output["metric"] == "map" and output["boxes"]:
            half = [points(output["boxes"].get(which, {}).get("map50")) for which in ("float", "int8")]
            rows.append((f"mAP50{of}", half[0], half[1]))
        if output["quantized_r2"] is not None:
            r2 = output["float_r2"]
            rows.append((f"R2{of}", "-" if r2 is None else f"{r2:.3f}", f"{output['quantized_r2']:.3f}"))
    return rows


def _metric(output: Mapping[str, Any], which: str, share: bool) -> str:
    value = output[f"{which}_metric"]
    if value is None:
        return "-"
    shown = points(value) if share else f"{value:.4g}"
    return shown + _between(output[f"{which}_interval"], 100 if share else 1)


def _noise(figures: Mapping[str, Any]) -> str:
    centred = figures["centred_db"]
    about = "" if centred is None else f" ({centred:.1f} dB about the mean)"
    return "exact" if figures["sqnr_db"] is None else f"{decibels(figures['sqnr_db'])}{about}"


def _between(interval: Sequence[float | None] | None, factor: int) -> str:
    if interval is None or interval[0] is None or interval[1] is None:
        return ""
    low, high = (factor * v for v in interval if v is not None)
    return f" ({low:.1f} to {high:.1f})" if factor == 100 else f" ({low:.4g} to {high:.4g})"


def points(value: float | None) -> str:
    """Return an accuracy for a person: ``91.3 %``."""
    return "-" if value is None else f"{100 * value:.1f} %"


def decibels(value: float | None) -> str:
    """Return an SQNR for a person: ``31.2 dB``."""
    return "-" if value is None else f"{value:.1f} dB"


def _show(ui: Ui, result: pipeline.BuildResult) -> None:
    ui.findings(result.report.findings)
    for part in result.report.targets.values():
        ui.findings(part.findings)
    _figures(ui, result.report, "")
    others = {id(report): report for report in result.others.values()}
    for key, report in others.items():
        ui.findings([f for f in report.findings if f not in result.report.findings])
        names = [name for name, other in result.others.items() if id(other) == key]
        _figures(ui, report, f" for {', '.join(names)}")


def _figures(ui: Ui, report: BuildReport, whose: str) -> None:
    """Print the figures of one form of the model, and what was done for them."""
    quantization = report.quantization
    rows = [("size", size(report.float_bytes), size(report.int8_bytes))]
    if report.outputs:
        rows += figure_rows(report.outputs)
        rows.append(("measured on", "", measured_on(report.samples, report.measured_on)))
    rows.append(("method", "", str(quantization["method"])))
    ui.table(f"{report.name}{whose}, {quantization['io']} in and out", ("", "float", "int8"), rows)
    for finding in report.findings:
        if finding.rule in TOLD and finding.severity == "info" and not ui.verbose:
            ui.line(f"{finding.rule}: {finding.message}")
    ui.line()
