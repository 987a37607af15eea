"""The whole journey: load, lint, quantise, prove, check, compile, package, report.

Everything is made in memory first and written last, one bundle after the other, each atomically: a build that
fails leaves the bundles of the last one as they were.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.bundle import Manifest, TensorSpec, golden_files, write_bundle
from qedge.datasets import Dataset, InputInfo, lint, open_dataset
from qedge.datasets.relabel import Relabelled
from qedge.errors import CapacityError, ModelError, QedgeError, UnsupportedError, UsageError
from qedge.findings import Finding, errors
from qedge.frontends import SourceModel, load_model
from qedge.graph import Graph, Tensor
from qedge.processing.image import ImagePreprocess
from qedge.processing.spec import (
    Postprocess,
    Preprocess,
    postprocess_from_json,
    preprocess_from_json,
)
from qedge.quantize import (
    Candidate,
    Comparison,
    LayerError,
    Quantized,
    QuantizeOptions,
    compare,
    layer_errors,
    prove_full_integer,
    quantize,
)
from qedge.quantize.interpreter import Runner
from qedge.report import BuildReport, TargetReport, render_html
from qedge.target import CheckReport, Compiled, Target
from qedge.target.protocol import Progress
from qedge.verify.builtin import builtin_outputs
from qedge.verify.golden import golden_samples, reference_outputs

GOLDEN_SAMPLES = 4
EVALUATION_SAMPLES = 1000
LAYER_SAMPLES = 16


@dataclass(frozen=True)
class BuildRequest:
    """What a user asks for.

    Args:
        model: the trained model, or an int8 ``.tflite``.
        data: representative dataset; None is allowed for a full-integer model only.
        targets: targets with their options.
        out: folder of the builds; bundles go to ``out/<name>/<target>/``.
        labels: names of the outputs, in the model's order; None takes the dataset's class folders.
        preprocess: the fields that the user stated; sizes come from the model's input.
    """

    model: Path
    targets: Sequence[tuple[Target, Mapping[str, Any]]]
    out: Path
    data: Path | None = None
    name: str | None = None
    labels: tuple[str, ...] | None = None
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    postprocess: Postprocess | None = None
    options: QuantizeOptions = field(default_factory=QuantizeOptions)
    input_shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Prepared:
    """A model that has passed through the waist: ``model`` is full-integer and static.

    Args:
        source: what the front end made of the user's file.
        quantized: the quantiser's result, or None for a model that was full-integer already.
        comparison: float against int8 on ``dataset``, or None without data or float model.
    """

    source: SourceModel
    name: str
    model: bytes
    graph: Graph
    dataset: Dataset | None
    labels: tuple[str, ...] | None
    preprocess: Preprocess | None
    quantized: Quantized | None
    comparison: Comparison | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class BuildResult:
    """What a build made; ``report`` is what the bundles carry, ``seconds`` stays out of them."""

    prepared: Prepared
    report: BuildReport
    bundles: Mapping[str, Path]
    seconds: float


def prepare(request: BuildRequest, progress: Progress) -> Prepared:
    """Load the model and its data and bring it to the waist.

    Raises:
        ModelError, DataError: the model or the data cannot be used.
        AccuracyError: the accuracy budget is missed.
    """
    progress("load model", 0.0)
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        source = load_model(
            request.model,
            workdir=Path(scratch),
            progress=progress,
            input_shapes={"": request.input_shape} if request.input_shape else None,
        )
    name = safe_name(request.name) if request.name else source.name
    graph = Graph.from_bytes(source.data, str(request.model))
    infos = input_infos(graph)
    preprocess = complete_preprocess(request.preprocess, request.data, graph)
    dataset = None
    findings = list(source.findings)
    if request.data is not None:
        progress("read data", 0.0)
        dataset = open_dataset(request.data, infos, preprocess, seed=request.options.seed)
    labels = request.labels or (dataset.class_names if dataset is not None else None)
    if dataset is not None:
        dataset, found = align_labels(dataset, request.labels, graph)
        findings += found
    labels = usable_labels(labels, graph)
    if source.kind == "quantized":
        # A model that came quantised is taken as it is: each target says what it can do with the rest.
        given = prove_full_integer(graph, io=graph.tensors[graph.inputs[0]].dtype)
        findings += [replace(f, severity="info") for f in given]
        return Prepared(
            source, name, source.data, graph, dataset, labels, preprocess, None, None, tuple(findings)
        )
    if dataset is None:
        raise UsageError(
            f"{request.model} is a float model, and calibrating it needs a representative dataset",
            hint="add --data PATH: a folder of images or wavs, an .npz with x (and y), or an .npy",
        )
    progress("check data", 0.0)
    findings += lint(dataset, infos, float_model=source.data)
    _stop(findings, "the data cannot be used")
    quantized = quantize(source.data, dataset, request.options, steps(progress))
    findings += quantized.findings
    graph = Graph.from_bytes(quantized.data, "the quantised model")
    findings += prove_full_integer(graph, io=request.options.io)
    _stop(findings, "the quantised model is not full-integer")
    chosen = spread(len(dataset), EVALUATION_SAMPLES)
    measured = dataset if len(chosen) == len(dataset) else dataset.subset(chosen)
    comparison = compare(source.data, quantized.data, measured, steps(progress))
    return Prepared(
        source,
        name,
        quantized.data,
        graph,
        dataset,
        labels,
        preprocess,
        quantized,
        comparison,
        tuple(findings),
    )


def check(prepared: Prepared, targets: Sequence[tuple[Target, Mapping[str, Any]]]) -> dict[str, CheckReport]:
    """Return what every target says about the model, by target name."""
    return {target.info.name: target.check(prepared.graph, options) for target, options in targets}


def build(request: BuildRequest, progress: Progress) -> BuildResult:
    """Build one bundle a target under ``request.out/<name>/``.

    Raises:
        QedgeError: with the exit code of the stage that failed; no bundle is touched then.
    """
    started = time.monotonic()
    prepared = prepare(request, progress)
    progress("check targets", 0.0)
    checks = check(prepared, request.targets)
    for name, found in checks.items():
        raise_for(name, found)
    samples = golden_samples(prepared.graph, prepared.dataset, GOLDEN_SAMPLES)
    compiled: dict[str, Compiled] = {}
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        for target, options in request.targets:
            name = target.info.name
            progress(f"compile for {name}", 0.0)
            workdir = Path(scratch) / name
            workdir.mkdir()
            stated = {
                "name": prepared.name,
                "preprocess": prepared.preprocess.to_json() if prepared.preprocess else None,
                "labels": prepared.labels or (),
                "golden_inputs": samples,
            }
            compiled[name] = target.compile(prepared.model, prepared.graph, {**options, **stated}, workdir)
    report = _report(prepared, checks, compiled, measure_layers(prepared, progress))
    progress("write bundles", 0.0)
    root = request.out / prepared.name
    bundles: dict[str, Path] = {}
    contents = {}
    for target, _ in request.targets:
        name = target.info.name
        contents[name] = _bundle(request, prepared, target, compiled[name], samples, report)
    for name, (manifest, files) in contents.items():
        bundles[name] = root / name
        write_bundle(bundles[name], manifest, files)
    if prepared.quantized is not None:
        _write_atomically(root / "float.tflite", prepared.source.data)
    return BuildResult(prepared, report, bundles, time.monotonic() - started)


def _bundle(
    request: BuildRequest,
    prepared: Prepared,
    target: Target,
    compiled: Compiled,
    samples: list[list[npt.NDArray[Any]]],
    report: BuildReport,
) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest and the files of one target's bundle."""
    model = compiled.model if compiled.model is not None else prepared.model
    graph = prepared.graph if compiled.model is None else Graph.from_bytes(model, "the compiled model")
    outputs, builtin = target.golden_outputs(model, samples), None
    if outputs is None:
        outputs, builtin = reference_outputs(model, samples), builtin_outputs(model, samples)
    files: dict[str, bytes] = {"model.tflite": model, **golden_files(samples, outputs, builtin)}
    files.update(compiled.files)
    files["report.json"] = report.to_json_bytes()
    files["report.html"] = render_html(report, target.info.name).encode()
    manifest = Manifest(
        name=prepared.name,
        model_sha256=prepared.source.sha256,
        target=target.info.name,
        inputs=tuple(tensor_spec(graph.tensors[t], n) for t, n in zip(graph.inputs, graph.input_names)),
        outputs=tuple(tensor_spec(graph.tensors[t], n) for t, n in zip(graph.outputs, graph.output_names)),
        preprocess=prepared.preprocess,
        postprocess=request.postprocess or default_postprocess(graph),
        labels=prepared.labels or (),
        quantization=report.quantization,
        target_data=dict(compiled.extra),
    )
    return manifest, files


def _report(
    prepared: Prepared,
    checks: Mapping[str, CheckReport],
    compiled: Mapping[str, Compiled],
    layers: Sequence[Mapping[str, Any]],
) -> BuildReport:
    quantized, comparison = prepared.quantized, prepared.comparison
    quantization: dict[str, Any] = {
        "method": quantized.method if quantized else "given",
        "sqnr_db": finite(comparison.sqnr_db if comparison else None),
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
        calibration_samples=len(prepared.dataset) if prepared.dataset is not None else 0,
        quantization=quantization,
        findings=prepared.findings,
        graph=prepared.graph,
        layers=tuple(layers),
        examples=examples(prepared),
        targets={
            name: TargetReport(
                findings=(*checks[name].findings, *compiled[name].findings),
                operators=checks[name].operators,
                metrics={**checks[name].metrics, **compiled[name].metrics},
                predicted=checks[name].predicted,
            )
            for name in checks
        },
    )


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


def examples(prepared: Prepared, count: int = 6) -> tuple[dict[str, Any], ...]:
    """Return a few samples with what both models say of them, for the report; () without a float model."""
    dataset = prepared.dataset
    if dataset is None or prepared.quantized is None:
        return ()
    runners = {
        "float": Runner(prepared.source.data, threads=1),
        "int8": Runner(prepared.quantized.data, threads=1),
    }
    found = []
    for i in spread(len(dataset), count):
        sample = dataset[i]
        entry: dict[str, Any] = {"input": sample[0], "source": Path(dataset.source(i)).name}
        for name, runner in runners.items():
            entry[name] = _said(runner.predict(sample)[0], prepared)
        found.append(entry)
    return tuple(found)


def _said(output: npt.NDArray[Any], prepared: Prepared) -> dict[str, Any]:
    """Return an output in words: the best class with its score, or a few values."""
    flat = np.asarray(output, np.float32).reshape(-1)
    if default_postprocess(prepared.graph) is None:
        return {
            "class": None,
            "text": ", ".join(f"{v:.3g}" for v in flat[:4]) + (" ..." if flat.size > 4 else ""),
        }
    best = int(np.argmax(flat))
    label = prepared.labels[best] if prepared.labels else f"class {best}"
    return {"class": best, "text": f"{label} {100 * float(flat[best]):.1f} %"}


def steps(progress: Progress) -> Callable[[str, int, int], None]:
    """Return the progress function that counts steps, for the parts that report ``(stage, done, total)``."""
    return lambda stage, done, total: progress(stage, done / max(1, total))


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


def raise_for(target: str, report: CheckReport) -> None:
    """Raise what stops a build for a target, all findings attached.

    Raises:
        UnsupportedError, CapacityError, ModelError: by the rule of the first error.
    """
    stopping = errors(report.findings)
    if not stopping:
        return
    first = stopping[0]
    kinds: dict[str, type[QedgeError]] = {"capacity": CapacityError, "model": ModelError}
    kind = kinds.get(first.rule, UnsupportedError)
    more = f" (and {len(stopping) - 1} more)" if len(stopping) > 1 else ""
    place = f"{first.op}: " if first.op else ""
    raise kind(f"target {target}: {place}{first.message}{more}", hint=first.hint, findings=stopping[1:])


def _stop(findings: Sequence[Finding], what: str) -> None:
    stopping = errors(findings)
    if stopping:
        first = stopping[0]
        raise ModelError(f"{what}: {first.message}", hint=first.hint, findings=stopping[1:])


def input_infos(graph: Graph) -> list[InputInfo]:
    """Return name, shape and dtype of the graph's inputs."""
    return [
        InputInfo(name, graph.tensors[t].shape, graph.tensors[t].dtype)
        for t, name in zip(graph.inputs, graph.input_names)
    ]


def tensor_spec(tensor: Tensor, name: str) -> TensorSpec:
    """Return the manifest's description of an input or output."""
    scale, zero_point = tensor.quantization.scalar if tensor.quantization else (None, None)
    return TensorSpec(name=name, shape=tensor.shape, dtype=tensor.dtype, scale=scale, zero_point=zero_point)


def default_postprocess(graph: Graph) -> Postprocess | None:
    """Return ``classify`` for one output of rank 2 that is a vector of probabilities, else None: raw outputs."""
    tensor = graph.tensors[graph.outputs[0]]
    scores = len(graph.outputs) == 1 and len(tensor.shape) == 2 and tensor.shape[1] > 1
    producer = graph.producer.get(tensor.index)
    while producer is not None and producer.op in ("DEQUANTIZE", "QUANTIZE", "RESHAPE"):
        producer = graph.producer.get(producer.inputs[0])
    is_probability = producer is not None and producer.op in ("SOFTMAX", "LOGISTIC")
    return postprocess_from_json({"kind": "classify"}) if scores and is_probability else None


def usable_labels(labels: tuple[str, ...] | None, graph: Graph) -> tuple[str, ...] | None:
    """Return the labels when there is one for every value of the first output, else None."""
    tensor = graph.tensors[graph.outputs[0]]
    return labels if labels and tensor.shape and tensor.shape[-1] == len(labels) else None


def complete_preprocess(stated: Mapping[str, Any], data: Path | None, graph: Graph) -> Preprocess | None:
    """Return the pre-processing that was stated, sizes filled in from the model's first input.

    Nothing stated means none for arrays, and images as they are (0..255) or clips for folders.

    Raises:
        UsageError: an unknown field or a wrong value, with its ``$.path``.
        DataError: the model's input is no image.
    """
    is_folder = data is not None and data.is_dir()
    if not stated and not is_folder:
        return None
    fields = dict(stated)
    kind = fields.setdefault("kind", guess_kind(fields, data))
    if kind == "image" and "width" not in fields and "height" not in fields:
        shape = graph.tensors[graph.inputs[0]].shape
        sized = ImagePreprocess.for_input(shape, color=fields.get("color"))
        fields = {"width": sized.width, "height": sized.height, "color": sized.color} | fields
    return preprocess_from_json(fields, "$.preprocess", UsageError)


def guess_kind(stated: Mapping[str, Any], data: Path | None) -> str:
    """Return ``audio`` or ``image`` from the fields stated and the files in the data folder."""
    if any(k in stated for k in ("sample_rate", "features", "mels", "hop", "window")):
        return "audio"
    if data is not None and data.is_dir() and next(data.rglob("*.wav"), None) is not None:
        return "audio"
    return "image"


def align_labels(
    dataset: Dataset, labels: tuple[str, ...] | None, graph: Graph
) -> tuple[Dataset, list[Finding]]:
    """Return the dataset with labels that count in the model's output order, and what stands in the way.

    Class folders are matched with ``labels`` by name; without labels, sorted folders are taken as the model's
    order when there are as many of them as outputs, and dropped otherwise.
    """
    folders = dataset.class_names
    if dataset.labels is None or folders is None:
        return dataset, []
    outputs = graph.tensors[graph.outputs[0]].shape[-1] if graph.tensors[graph.outputs[0]].shape else 0
    if labels is None:
        if len(folders) == outputs:
            return dataset, []
        found = Finding(
            "warning",
            "labels",
            f"{len(folders)} class folders for a model with {outputs} outputs: accuracy is not measured",
            hint="name the model's classes in its output order with --labels FILE",
        )
        return Relabelled(dataset, None, None), [found]
    missing = [f for f in folders if f not in labels]
    if missing:
        found = Finding(
            "warning",
            "labels",
            f"class folders that are no label: {', '.join(missing[:5])}; accuracy is not measured",
            hint="rename the folders as in the label file",
        )
        return Relabelled(dataset, None, None), [found]
    order = np.array([labels.index(f) for f in folders], np.int64)
    return Relabelled(dataset, order[dataset.labels], labels), []


def spread(count: int, limit: int) -> list[int]:
    """Return at most ``limit`` indices evenly over ``range(count)``.

    >>> spread(5, 3)
    [0, 2, 4]
    """
    if count <= limit:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, limit).round()]


def safe_name(name: str) -> str:
    """Return ``name`` fit for a folder and a C identifier; raise when nothing of it is left.

    >>> safe_name("My model-2")
    'My_model_2'
    """
    kept = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name).strip("_")
    if not kept:
        raise UsageError(f"the name {name!r} has no letter or digit", hint="--name digits")
    return f"m_{kept}" if kept[0].isdigit() else kept


def _write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".qedge-", delete=False) as handle:
        handle.write(data)
    Path(handle.name).chmod(0o644)
    Path(handle.name).replace(path)
