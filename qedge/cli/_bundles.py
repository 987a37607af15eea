"""What the commands on bundles share: opening data in the bundle's own terms, finding its float model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.bundle import read_bundle
from qedge.cli._console import Ui
from qedge.errors import UsageError
from qedge.graph import Graph
from qedge.pipeline import layer_json, steps
from qedge.pipeline.existing import float_model_for, open_for
from qedge.quantize import layer_errors

BundleArg = Annotated[Path, typer.Argument(help="A bundle: the folder build/NAME/TARGET, or its .zip.")]


def is_bundle(path: Path) -> bool:
    """Whether the path looks like a bundle: a folder with a manifest, or a ``.zip``."""
    return (path / "manifest.json").exists() or path.suffix == ".zip"


def layer_rows(
    ui: Ui, path: Path, graph: Graph, data: Path | None, samples: int | None, float_model: Path | None
) -> list[dict[str, Any]]:
    """Return the per-layer table of a bundle: SQNR of each layer, ranges, saturation.

    Raises:
        UsageError: no data, or no float model to compare with.
    """

    if data is None or not is_bundle(path):
        raise UsageError(
            "--layers needs a bundle and --data PATH", hint="qedge inspect BUNDLE --layers --data PATH"
        )
    reference = float_model_for(path, float_model)
    if reference is None:
        raise UsageError(f"no float.tflite beside {path}", hint="name the float model with --float MODEL")
    dataset = open_for(read_bundle(path), data, samples or 32)
    with ui.progress() as progress:
        rows = layer_errors(reference, graph.data, dataset, steps(progress))
    return [layer_json(row) for row in rows]


def layer_table(ui: Ui, layers: list[dict[str, Any]]) -> None:
    """Print what each layer costs, on its own and with everything before it."""
    rows = [
        (
            layer["index"],
            layer["op"],
            _number(layer["sqnr_db"], 1),
            _number(layer["isolated_db"], 1),
            f"{_number(layer['low'], 3)} to {_number(layer['high'], 3)}",
            f"{100 * layer['saturated']:.2f} %",
            f"{layer['dead']}/{layer['channels']}",
        )
        for layer in layers
    ]
    ui.table("layers", ("#", "operator", "SQNR dB", "alone dB", "values", "saturated", "dead"), rows)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
