"""What the commands on bundles share: opening data in the bundle's own terms, finding its float model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy.typing as npt
import typer

from qedge.bundle import Bundle, read_bundle
from qedge.cli._console import Ui
from qedge.datasets import Dataset, InputInfo, choose, open_dataset
from qedge.datasets.labels import fit_labels
from qedge.datasets.outputs import output_infos
from qedge.errors import ModelError, UsageError
from qedge.frontends import load_model
from qedge.graph import Graph
from qedge.pipeline import layer_json, steps
from qedge.quantize import layer_errors
from qedge.verify.golden import golden_samples

BundleArg = Annotated[Path, typer.Argument(help="A bundle: the folder build/NAME/TARGET, or its .zip.")]


def is_bundle(path: Path) -> bool:
    """Whether the path looks like a bundle: a folder with a manifest, or a ``.zip``."""
    return (path / "manifest.json").exists() or path.suffix == ".zip"


def open_for(bundle: Bundle, data: Path, samples: int | None, seed: int = 0) -> Dataset:
    """Return a dataset read with the bundle's own pre-processing, labels in the model's output order.

    Raises:
        DataError: the data cannot be used.
    """
    manifest = bundle.manifest
    infos = [InputInfo(t.name, t.shape, "float32") for t in manifest.inputs]
    preprocess = manifest.preprocess
    outputs = output_infos(Graph.from_bytes(bundle.read("model.tflite"), "model.tflite"))
    names = [o.name for o in outputs]
    dataset, _ = fit_labels(
        open_dataset(data, infos, preprocess, outputs=names), manifest.labels or None, outputs
    )
    if samples is None or samples >= len(dataset):
        return dataset
    return dataset.subset(choose(len(dataset), samples, dataset.labels, seed))


def raw_samples(bundle: Bundle, data: Path, samples: int | None) -> list[list[npt.NDArray[Any]]]:
    """Return samples of a dataset in the types of the bundle's inputs."""
    dataset = open_for(bundle, data, None)
    graph = Graph.from_bytes(bundle.read("model.tflite"), "model.tflite")
    return golden_samples(graph, dataset, samples or 8)


def float_model_for(path: Path, given: Path | None) -> bytes | None:
    """Return the float ``.tflite`` that a bundle is compared with: ``given``, or the build's own beside it.

    Raises:
        UsageError: ``given`` does not exist.
        ModelError: ``given`` is full-integer already.
    """
    if given is None:
        beside = path.resolve().parent / "float.tflite"
        return beside.read_bytes() if beside.is_file() else None
    if not given.exists():
        raise UsageError(f"no model at {given}", hint="--float takes the float model that was built")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        source = load_model(given, workdir=Path(scratch))
    if source.kind != "float":
        raise ModelError(f"{given} is full-integer, expected the float model", hint="name the float model")
    return source.data


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
