"""``qedge inspect``: what is in a model, a bundle or the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.bundle import Bundle, read_bundle
from qedge.cli import _flags as flags
from qedge.cli._bundles import is_bundle, layer_rows, layer_table
from qedge.cli._console import Ui, size
from qedge.config import SECTIONS, load_config, variable_of
from qedge.errors import ModelError, ToolError, UsageError
from qedge.graph import Graph, Tensor
from qedge.quantize import prove_full_integer
from qedge.target.registry import resolve
from qedge.trust.keygen import fingerprint
from qedge.trust.signature import read_signature

PathArg = Annotated[Path | None, typer.Argument(help="A .tflite, or a bundle.")]
LayersOpt = Annotated[bool, typer.Option("--layers", help="SQNR of each layer; a bundle with --data.")]
EffectiveOpt = Annotated[
    bool, typer.Option("--effective", help="Print the effective configuration and where each value is from.")
]


def command(
    ui: Ui,
    path: PathArg = None,
    layers: LayersOpt = False,
    data: flags.DataOpt = None,
    samples: flags.SamplesOpt = None,
    float_model: Annotated[
        Path | None, typer.Option("--float", help="The float .tflite to compare with.")
    ] = None,
    effective: EffectiveOpt = False,
    config: flags.ConfigOpt = None,
) -> None:
    """Show a model's operators, tensors and quantisation, or a bundle's manifest."""
    if effective:
        _effective(ui, config)
        return
    if path is None:
        raise UsageError("nothing to inspect", hint="qedge inspect MODEL.tflite, or a bundle, or --effective")
    manifest: dict[str, Any] | None = None
    signature: dict[str, Any] | None = None
    figures: tuple[tuple[str, str], ...] = ()
    if is_bundle(path):
        bundle = read_bundle(path)
        manifest = bundle.manifest.to_json()
        signature = _signature(ui, bundle)
        figures = _figures(bundle)
        graph = Graph.from_bytes(bundle.read("model.tflite"), f"{path}: model.tflite")
    elif path.is_dir():
        raise ModelError(f"{path} is a folder without a manifest.json", hint="inspect a .tflite or a bundle")
    else:
        graph = Graph.from_file(path)
    document = describe(graph)
    if layers:
        document["layers"] = layer_rows(ui, path, graph, data, samples, float_model)
    _show(ui, graph, document)
    ui.figures(figures)
    ui.json("inspect", {**document, "manifest": manifest, "signature": signature})


def _figures(bundle: Bundle) -> tuple[tuple[str, str], ...]:
    """Return what the bundle's target says of it; nothing where that target is not installed."""
    try:
        target = resolve(bundle.manifest.target)
    except (UsageError, ToolError):
        return ()
    return target.figures(bundle.manifest.target_data)


def _signature(ui: Ui, bundle: Bundle) -> dict[str, Any] | None:
    """Print and return what the bundle's signature says of itself; only ``verify --signed-by`` proves it."""
    found = read_signature(bundle)
    if found is None:
        return None
    key = fingerprint(found.armoured)
    ui.line(f"signature: serial {found.serial}, by the key {key} (unproven: qedge verify --signed-by KEYS)")
    return {"digest": found.digest, "serial": found.serial, "key": key}


def describe(graph: Graph) -> dict[str, Any]:
    """Return the graph as JSON: inputs, outputs, operators, and whether it is full-integer and static."""
    findings = prove_full_integer(graph, io=graph.tensors[graph.inputs[0]].dtype)
    return {
        "model": {"name": graph.name, "sha256": graph.sha256, "bytes": len(graph.data)},
        "full_integer": not findings,
        "findings": [f.to_json() for f in findings],
        "inputs": [_tensor(graph.tensors[t], n) for t, n in zip(graph.inputs, graph.input_names)],
        "outputs": [_tensor(graph.tensors[t], n) for t, n in zip(graph.outputs, graph.output_names)],
        "operators": [
            {
                "index": op.index,
                "op": op.custom_name or op.op,
                "version": op.version,
                "inputs": [graph.tensors[t].name for t in op.inputs if t >= 0],
                "outputs": [graph.tensors[t].name for t in op.outputs],
                "shape": list(graph.tensors[op.outputs[0]].shape) if op.outputs else [],
                "weight_bytes": sum(
                    t.nbytes for t in graph.input_tensors(op) if t is not None and t.is_constant
                ),
            }
            for op in graph
        ],
    }


def _tensor(tensor: Tensor, name: str) -> dict[str, Any]:
    quantization = tensor.quantization
    return {
        "name": name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": quantization.scale.tolist() if quantization else None,
        "zero_point": quantization.zero_point.tolist() if quantization else None,
    }


def _show(ui: Ui, graph: Graph, document: dict[str, Any]) -> None:
    model = document["model"]
    full = "full-integer and static" if document["full_integer"] else "not full-integer"
    ui.line(f"{model['name']}: {size(model['bytes'])}, {len(graph.operators)} operators, {full}")
    for kind in ("inputs", "outputs"):
        for t in document[kind]:
            scale = f", scale {t['scale'][0]:.7g}, zero point {t['zero_point'][0]}" if t["scale"] else ""
            ui.line(f"{kind[:-1]:<7} {t['name']}: {t['dtype']} {t['shape']}{scale}")
    ui.line()
    if "layers" in document:
        layer_table(ui, document["layers"])
        return
    table = [
        (o["index"], o["op"], o["version"], "x".join(map(str, o["shape"])), size(o["weight_bytes"]))
        for o in document["operators"]
    ]
    ui.table("", ("#", "operator", "v", "output", "constants"), table)


def _effective(ui: Ui, path: Path | None) -> None:
    config = load_config(path)
    rows = []
    values: dict[str, Any] = {}
    for section, keys in SECTIONS.items():
        for key in keys or config.section(section):
            value = config.get(section, key)
            if value is None:
                continue
            in_file = config.tables.get(section, {}).get(key) == value
            origin = str(config.path) if in_file else str(variable_of(section, key))
            rows.append((f"{section}.{key}", value, origin))
            values.setdefault(section, {})[key] = {"value": value, "from": origin}
    ui.table("configuration", ("key", "value", "from"), rows)
    ui.json("inspect", {"configuration": values})
