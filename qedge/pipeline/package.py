"""The last stage: a bundle's manifest and files, and what lies beside the bundles."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qedge._version import __version__
from qedge.bundle import FileEntry, Manifest, TensorSpec, golden_files
from qedge.bundle.digest import sha256
from qedge.drift.sketch import DRIFT, Sketch
from qedge.graph import Graph, Tensor
from qedge.oracle.builtin import builtin_outputs
from qedge.oracle.golden import reference_outputs
from qedge.pipeline.frigate import FRIGATE_RUNS_ON, frigate_files
from qedge.pipeline.provenance import PROVENANCE, provenance
from qedge.pipeline.request import BuildRequest, Prepared
from qedge.processing.affine import INPUTS_KEY, OUTPUTS_KEY, finishes_in, steps_in
from qedge.report import BuildReport, render_html
from qedge.target import Compiled, Target
from qedge.trust.card import Facts, bill_of_materials, model_card


def bundle_contents(
    request: BuildRequest,
    prepared: Prepared,
    target: Target,
    compiled: Compiled,
    samples: list[list[npt.NDArray[Any]]],
    report: BuildReport,
    data: Mapping[str, Any] | None,
    sketch: Sketch | None = None,
) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest and the files of one target's bundle.

    Args:
        data: what :func:`~qedge.pipeline.provenance.data_facts` gave.
        sketch: what :func:`~qedge.pipeline.sketch.drift_sketch` gave.
    """
    model = compiled.model if compiled.model is not None else prepared.model
    graph = prepared.graph if compiled.model is None else Graph.from_bytes(model, "the compiled model")
    outputs, further = target.golden_outputs(model, samples), dict(compiled.golden)
    if outputs is None:
        outputs, builtin = reference_outputs(model, samples), builtin_outputs(model, samples)
        if builtin is not None:
            further["builtin"] = builtin
    files: dict[str, bytes] = {"model.tflite": model, **golden_files(samples, outputs, further)}
    files.update(compiled.files)
    if sketch is not None:
        files[DRIFT] = sketch.encoded()
    if request.export is not None and target.info.accelerator == FRIGATE_RUNS_ON:
        name = "model_edgetpu.tflite" if "model_edgetpu.tflite" in files else "model.tflite"
        files.update(frigate_files(name, graph, prepared.postprocess, prepared.labels or ()))
    files[PROVENANCE] = provenance(request, prepared.source.sha256, data, tools())
    files["report.json"] = report.to_json_bytes()
    files["report.html"] = render_html(report, target.info.name).encode()
    manifest = Manifest(
        name=prepared.name,
        model_sha256=prepared.source.sha256,
        target=target.info.name,
        inputs=with_steps(
            specs(graph, graph.inputs, prepared.graph.input_names, prepared.source.orders),
            prepared.graph.metadata.get(INPUTS_KEY, b""),
        ),
        outputs=with_finishes(
            specs(graph, graph.outputs, prepared.graph.output_names, prepared.source.orders),
            prepared.graph.metadata.get(OUTPUTS_KEY, b""),
        ),
        preprocess=prepared.preprocess,
        postprocess=prepared.postprocess,
        labels=prepared.labels or (),
        quantization=report.quantization,
        target_data=dict(compiled.extra),
    )
    facts = Facts(
        {**manifest.to_json(), "files": {n: FileEntry.of(d).to_json() for n, d in files.items()}},
        report.to_json(),
        data,
        {key: _plain(value) for key, value in asdict(request.options).items()},
        tools(),
        request.card,
    )
    files["bom.json"] = bill_of_materials(facts)
    files["card.md"] = model_card(facts)
    return manifest, files


def tools() -> dict[str, str]:
    """Return name and version of what decides a bundle's bytes."""
    found = {"qedge": __version__}
    for name in ("ai-edge-litert", "flatbuffers"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _plain(value: Any) -> Any:
    """Return an option for the bill of materials; of a file, what is in it, wherever it lies."""
    return f"sha256:{sha256(value.read_bytes())}" if isinstance(value, Path) else value


def specs(
    graph: Graph, tensors: Sequence[int], names: Sequence[str], orders: Mapping[str, Sequence[int]]
) -> tuple[TensorSpec, ...]:
    """Return the manifest's description of all inputs or outputs, with the author's layout where it differs."""
    found = []
    for index, name in zip(tensors, names):
        order = orders.get(name)
        spec = tensor_spec(graph.tensors[index], name)
        found.append(spec if order is None else spec.replace(order=tuple(int(d) for d in order)))
    return tuple(found)


def with_steps(inputs: Sequence[TensorSpec], notes: bytes) -> tuple[TensorSpec, ...]:
    """Return the inputs with the step of each; ``notes`` are those of the model at the waist."""
    steps = steps_in(notes)
    return tuple(spec.replace(step=steps.get(k)) for k, spec in enumerate(inputs))


def with_finishes(outputs: Sequence[TensorSpec], notes: bytes) -> tuple[TensorSpec, ...]:
    """Return the outputs with what is left to be done to each; ``notes`` are those of the model at the waist."""
    finishes = finishes_in(notes)
    return tuple(spec.replace(finish=finishes.get(k)) for k, spec in enumerate(outputs))


def tensor_spec(tensor: Tensor, name: str) -> TensorSpec:
    """Return the manifest's description of an input or output."""
    scale, zero_point = tensor.quantization.scalar if tensor.quantization else (None, None)
    return TensorSpec(name=name, shape=tensor.shape, dtype=tensor.dtype, scale=scale, zero_point=zero_point)
