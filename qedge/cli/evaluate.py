"""``qedge evaluate``: accuracy and SQNR of a bundle against its float model, on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.bundle import read_bundle
from qedge.cli import _flags as flags
from qedge.cli._bundles import BundleArg, layer_rows, layer_table
from qedge.cli._console import Ui
from qedge.cli.build import figure_rows
from qedge.errors import UsageError
from qedge.graph import Graph
from qedge.pipeline import finite, steps
from qedge.pipeline.existing import float_model_for, open_labelled
from qedge.pipeline.measure import figure_findings
from qedge.quantize import compare
from qedge.shards import executor_of

FloatOpt = Annotated[
    Path | None, typer.Option("--float", help="The float model. Default: the float.tflite beside the bundle.")
]
WorkersOpt = Annotated[int, typer.Option("--workers", min=1, help="Processes that run the models.")]
ClusterOpt = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="ADDRESS", help="A Dask cluster that runs the models: tcp://HOST:8786."
    ),
]
LayersOpt = Annotated[bool, typer.Option("--layers", help="Also the SQNR of each layer.")]


def command(
    ui: Ui,
    bundle: BundleArg,
    data: flags.DataOpt = None,
    float_model: FloatOpt = None,
    samples: flags.SamplesOpt = None,
    layers: LayersOpt = False,
    workers: WorkersOpt = 1,
    cluster: ClusterOpt = None,
) -> None:
    """Measure a bundle on a dataset, beside the float model that it was made from.

    --workers and --cluster give the figures of one process, to the last bit.
    """
    executor = executor_of(workers, cluster)
    if data is None:
        raise UsageError("evaluating needs a dataset", hint=f"qedge evaluate {bundle} --data PATH")
    opened = read_bundle(bundle)
    reference = float_model_for(bundle, float_model)
    dataset, findings = open_labelled(opened, data, samples)
    model = opened.read("model.tflite")
    with ui.progress() as progress:
        result = compare(
            reference or model,
            model,
            dataset,
            steps(progress),
            executor=executor,
            postprocess=opened.manifest.postprocess,
        )
    if reference is not None:
        findings += figure_findings(result)
    ui.findings(findings)
    metric = result.metric or "sqnr_db"
    sqnr = finite(result.sqnr_db) if reference else None
    document: dict[str, Any] = {
        "bundle": str(bundle),
        "target": opened.manifest.target,
        "samples": result.samples,
        "metric": metric,
        "float": result.float_metric if reference else None,
        "quantized": result.quantized_metric if result.metric is not None else sqnr,
        "sqnr_db": sqnr,
        "agreement": result.agreement if reference else None,
        "outputs": [_figures(o.to_json(), reference is not None) for o in result.outputs],
        "findings": [f.to_json() for f in findings],
        "ran": "model.tflite on the CPU of this machine",
    }
    if layers:
        document["layers"] = layer_rows(ui, bundle, Graph.from_bytes(model), data, None, float_model)
    rows = [
        ("samples", str(result.samples), str(result.samples)),
        *figure_rows(document["outputs"], reference is not None),
    ]
    ui.table(f"{opened.manifest.name} ({opened.manifest.target})", ("", "float", "quantized"), rows)
    if layers:
        layer_table(ui, document["layers"])
    ui.json("evaluate", document)


def _figures(output: dict[str, Any], compared: bool) -> dict[str, Any]:
    """Return an output's figures; without a float model only what the quantised one's say of the labels."""
    if compared:
        return output
    kept = ("name", "task", "samples", "metric", "quantized_metric", "quantized_interval", "quantized_r2")
    bare = {key: value if key in kept else [] if key == "parts" else None for key, value in output.items()}
    if output.get("boxes"):
        bare["boxes"] = {"int8": output["boxes"]["int8"]} if "int8" in output["boxes"] else None
    return bare
