"""The first half of the journey: model, data, labels and pre-processing, brought to the waist."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qedge.datasets import Dataset, InputInfo, lint, open_dataset
from qedge.datasets.labels import fit_labels
from qedge.datasets.objects import LABEL_FILES, open_objects
from qedge.datasets.outputs import output_infos
from qedge.datasets.random import RandomDataset
from qedge.datasets.split import hold_out
from qedge.errors import QedgeError, UsageError
from qedge.findings import Finding
from qedge.frontends import SourceModel, load_model, prove
from qedge.graph import Graph
from qedge.graph.broken import check_constants
from qedge.pipeline.detector import bring, names_of_objects
from qedge.pipeline.forms import Waist, forms
from qedge.pipeline.gate import stop
from qedge.pipeline.measure import require_usable_gate
from qedge.pipeline.older import in_forms_that_run
from qedge.pipeline.request import BuildRequest, MeasuredOn, Prepared
from qedge.processing.detect import Detect
from qedge.processing.image import ImagePreprocess
from qedge.processing.spec import Postprocess, Preprocess, postprocess_from_json, preprocess_from_json
from qedge.quantize import QuantizeOptions, prove_full_integer
from qedge.quantize.rewrites.dead_channels import without_dead_channels
from qedge.quantize.rewrites.masks import bound_masks
from qedge.quantize.rewrites.trained_ranges import hold_trained_weights
from qedge.quantize.support import WithoutIntegerForm, without_integer_form
from qedge.target.protocol import Progress

EVALUATION_SAMPLES = 1000
PROOF_SAMPLES = 4
RANDOM = Finding(
    "warning",
    "random-samples",
    "no samples are given, so random ones calibrated: where operators run and what they take is told, and nothing of"
    " what int8 loses",
    "add --data PATH for that",
)


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
            input_shapes=request.input_shapes,
            input_values=request.input_values,
            trust=request.trust_model,
        )
    name = safe_name(request.name) if request.name else source.name
    brought = bring(source, request)
    source, postprocess = brought.source, brought.postprocess
    graph = Graph.from_bytes(source.data, str(request.model))
    findings = [*source.findings, *brought.findings]
    refused: dict[str, QedgeError] = {}
    if source.kind == "float":
        data, removed = without_dead_channels(hold_trained_weights(source.data))
        source, findings = replace(source, data=data), [*findings, *removed.findings]
        graph = Graph.from_bytes(source.data, str(request.model))
        check_constants(graph)
        request, refused = _refusing_floats(request, without_integer_form(source.data, str(request.model)))
    outputs = output_infos(graph)
    preprocess = complete_preprocess(brought.preprocess, _folder(request.data, request.eval_data), graph)
    dataset, names, objects = None, brought.labels, isinstance(postprocess, Detect)
    if request.data is not None:
        progress("read data", 0.0)
        dataset, found = read_data(request.data, request, graph, preprocess, source.orders, objects, names)
        findings += found
        if names is None and objects:
            names, said = names_of_objects(dataset, postprocess, graph)
            findings += said
        names = names or (None if objects else dataset.class_names)
    labels = names if objects else usable_labels(names, graph)
    postprocess = postprocess or default_postprocess(graph)
    if source.kind == "quantized":
        # A model that came quantised is taken as it is: each target says what it can do with the rest.
        given = prove_full_integer(graph, io=graph.tensors[graph.inputs[0]].dtype)
        findings += [replace(f, severity="info") for f in given]
        taken = Prepared(
            source, name, source.data, graph, dataset, labels, preprocess, None, None, tuple(findings),
            postprocess=postprocess,
        )  # fmt: skip
        return in_forms_that_run(taken, request.targets)
    infos = input_infos(graph, source.orders)
    if dataset is None:
        if request.judge:
            raise needs_data(request.model)
        dataset, findings = RandomDataset(infos, preprocess, request.options.seed), [*findings, RANDOM]
    else:
        if not objects:
            require_usable_gate(outputs, dataset, findings, request.options)
        progress("check data", 0.0)
        findings += lint(dataset, infos, float_model=source.data)
        stop(findings, "the data cannot be used")
    findings += _proved(request, source, dataset)
    source = replace(source, data=bound_masks(source.data, dataset))
    calibration, measured, on, found = _sets(
        dataset, request, graph, preprocess, source.orders, objects, labels
    )
    findings += [f for f in found if f not in findings]
    options = _options(request, objects, preprocess)
    count = len(calibration)
    told = replace(brought, source=source, postprocess=postprocess)
    waist = Waist(
        request, told, options, name, dataset, calibration, labels, preprocess, tuple(findings), on,
        count if options.samples is None else min(options.samples, count), progress,
    )  # fmt: skip
    prepared = forms(waist, measured)
    return replace(prepared, apart={**prepared.apart, **refused})


def _refusing_floats(
    request: BuildRequest, lacking: WithoutIntegerForm | None
) -> tuple[BuildRequest, dict[str, QedgeError]]:
    """Return the request for those targets that run a model some operators of which stay float, and what others say.

    Raises:
        UnsupportedError: no target runs it, or one does not and the build is to be all or nothing.
    """
    if lacking is None:
        return request, {}
    running = [pair for pair in request.targets if pair[0].info.leaves(lacking.kinds)]
    if not running or (request.all_or_nothing and len(running) < len(request.targets)):
        raise lacking
    others: dict[str, QedgeError] = {
        target.info.name: lacking for target, _ in request.targets if not target.info.leaves(lacking.kinds)
    }
    return replace(request, targets=running), others


def _options(request: BuildRequest, objects: bool, preprocess: Preprocess | None) -> QuantizeOptions:
    """Return the options of the quantiser: what the user asks for, and what the targets allow."""
    options = replace(
        request.options,
        floor=request.judge and request.options.mixed,
        floats=any(target.info.floats for target, _ in request.targets),
        loops=any(target.info.loops for target, _ in request.targets),
    )
    if objects:  # which count, and the search does not see: no layer is lifted for raw outputs
        options = replace(options, floor=False, max_drop=None)
    if preprocess is not None and preprocess.kind != "image":
        # A stream of sound is quantised where it is made, by a step that knows its own units only.
        options = replace(options, input_steps=False)
    return options


def _proved(request: BuildRequest, source: SourceModel, dataset: Dataset) -> list[Finding]:
    """Return what comparing the float model with the user's own on a few samples found.

    Raises:
        ModelError: they differ.
    """
    chosen = [dataset[k] for k in spread(len(dataset), PROOF_SAMPLES)]
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        return prove(
            request.model,
            source,
            chosen,
            workdir=Path(scratch),
            input_shapes=request.input_shapes,
            input_values=request.input_values,
        )


def read_data(
    path: Path,
    request: BuildRequest,
    graph: Graph,
    preprocess: Preprocess | None,
    orders: Mapping[str, Sequence[int]],
    objects: bool = False,
    names: Sequence[str] | None = None,
) -> tuple[Dataset, list[Finding]]:
    """Return a dataset whose labels say what the model's outputs should, and what stands in the way of that.

    Raises:
        DataError: it cannot be used, or a label is wrong without doubt.
    """
    outputs = output_infos(graph)
    infos, seed = input_infos(graph, orders), request.options.seed
    if objects and (found := open_objects(path, infos, preprocess, names)) is not None:
        return found, list(found.labelled.findings)
    opened = open_dataset(path, infos, preprocess, seed=seed, outputs=[o.name for o in outputs])
    if objects:
        return opened, []
    return fit_labels(opened, request.labels, outputs)


def _sets(
    dataset: Dataset,
    request: BuildRequest,
    graph: Graph,
    preprocess: Preprocess | None,
    orders: Mapping[str, Sequence[int]],
    objects: bool,
    names: Sequence[str] | None,
) -> tuple[Dataset, Dataset, MeasuredOn, list[Finding]]:
    """Return the samples that calibrate, those that are measured on, what the latter are, and what they showed."""
    if request.eval_data is not None:
        own, found = read_data(request.eval_data, request, graph, preprocess, orders, objects, names)
        if found and not objects and request.options.max_drop is not None:
            require_usable_gate(output_infos(graph), own, found, request.options)
        chosen = spread(len(own), EVALUATION_SAMPLES)
        told = [replace(f, message=f"--eval-data: {f.message}") for f in found]
        return dataset, own if len(chosen) == len(own) else own.subset(chosen), "eval-data", told
    calibration, held = hold_out(dataset, request.options.samples, request.options.seed)
    return (dataset, dataset, "calibration", []) if held is None else (calibration, held, "held-out", [])


def _folder(data: Path | None, eval_data: Path | None) -> Path | None:
    """Return which of the two is a folder, whose files need pre-processing; else the data."""
    return eval_data if eval_data is not None and eval_data.is_dir() else data


def input_infos(graph: Graph, orders: Mapping[str, Sequence[int]]) -> list[InputInfo]:
    """Return name, shape, dtype and the author's layout of the graph's inputs."""
    found = []
    for t, name in zip(graph.inputs, graph.input_names):
        order = orders.get(name)
        turned = None if order is None else tuple(int(d) for d in order)
        found.append(InputInfo(name, graph.tensors[t].shape, graph.tensors[t].dtype, turned))
    return found


def complete_preprocess(stated: Mapping[str, Any], data: Path | None, graph: Graph) -> Preprocess | None:
    """Return the pre-processing that was stated, sizes filled in from the model's first input.

    Nothing stated means none for arrays, and images as they are (0..255) or clips for folders.

    Raises:
        UsageError: an unknown field or a wrong value, with its ``$.path``.
        DataError: the model's input is no image.
    """
    is_folder = data is not None and (data.is_dir() or data.suffix.lower() in LABEL_FILES)
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


def default_postprocess(graph: Graph) -> Postprocess | None:
    """Return ``classify`` for one output of rank 2 that is a vector of probabilities, else None: raw outputs.

    Probabilities of several sigmoids do not add up to 1, and are taken as they are.
    """
    outputs = output_infos(graph)
    info = outputs[0]
    if len(outputs) > 1 or len(info.shape) != 2 or info.size < 2 or info.ending not in ("softmax", "sigmoid"):
        return None
    form = {"form": "probabilities"} if info.ending == "sigmoid" else {}
    return postprocess_from_json({"kind": "classify", **form})


def needs_data(model: Path) -> UsageError:
    """Return the error for a float model without a dataset."""
    return UsageError(
        f"{model} is a float model, and calibrating it needs a representative dataset",
        hint="add --data PATH: a folder of images or wavs, an .npz with x (and y), or an .npy",
    )


def usable_labels(labels: tuple[str, ...] | None, graph: Graph) -> tuple[str, ...] | None:
    """Return the labels when there is one for every value of the first output, else None."""
    tensor = graph.tensors[graph.outputs[0]]
    return labels if labels and tensor.shape and tensor.shape[-1] == len(labels) else None


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
