"""``qedge evaluate``: accuracy and SQNR of a bundle against its float model, on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.bundle import read_bundle
from qedge.cli import _inputs as i
from qedge.cli._bundles import BundleArg, float_model_for, layer_rows, layer_table, open_for
from qedge.cli._console import Ui
from qedge.cli.build import decibels, points
from qedge.errors import UsageError
from qedge.graph import Graph
from qedge.pipeline import finite, steps
from qedge.quantize import compare

FloatOpt = Annotated[
    Path | None, typer.Option("--float", help="The float model. Default: the float.tflite beside the bundle.")
]
LayersOpt = Annotated[bool, typer.Option("--layers", help="Also the SQNR of each layer.")]


def command(
    ui: Ui,
    bundle: BundleArg,
    data: i.DataOpt = None,
    float_model: FloatOpt = None,
    samples: i.SamplesOpt = None,
    layers: LayersOpt = False,
) -> None:
    """Measure a bundle on a dataset, beside the float model that it was made from."""
    if data is None:
        raise UsageError("evaluating needs a dataset", hint=f"qedge evaluate {bundle} --data PATH")
    opened = read_bundle(bundle)
    reference = float_model_for(bundle, float_model)
    dataset = open_for(opened, data, samples)
    model = opened.read("model.tflite")
    with ui.progress() as progress:
        result = compare(reference or model, model, dataset, steps(progress))
    metric = "accuracy" if result.quantized_metric is not None else "sqnr_db"
    sqnr = finite(result.sqnr_db) if reference else None
    document: dict[str, Any] = {
        "bundle": str(bundle),
        "target": opened.manifest.target,
        "samples": result.samples,
        "metric": metric,
        "float": result.float_metric if metric == "accuracy" and reference else None,
        "quantized": result.quantized_metric if metric == "accuracy" else sqnr,
        "sqnr_db": sqnr,
        "agreement": result.agreement if reference else None,
        "ran": "model.tflite on the CPU of this machine",
    }
    if layers:
        document["layers"] = layer_rows(ui, bundle, Graph.from_bytes(model), data, None, float_model)
    rows = [("samples", result.samples, result.samples)]
    table: list[tuple[Any, ...]] = list(rows)
    if metric == "accuracy":
        table.append(
            ("accuracy", points(result.float_metric if reference else None), points(result.quantized_metric))
        )
    table.append(("SQNR", "", decibels(result.sqnr_db) if reference else "-"))
    if reference and result.agreement is not None:
        table.append(("same top class", "", points(result.agreement)))
    ui.table(f"{opened.manifest.name} ({opened.manifest.target})", ("", "float", "quantized"), table)
    if layers:
        layer_table(ui, document["layers"])
    ui.json("evaluate", document)
