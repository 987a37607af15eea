"""Detectors on their way to the waist: what the exporter noted, the decoding that is taken off, and what that gains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qedge.datasets import Dataset
from qedge.datasets.objects import ObjectDataset
from qedge.errors import DataError, QedgeError, UnsupportedError
from qedge.findings import Finding
from qedge.frontends import SourceModel
from qedge.frontends.exported import Exported, noted_overlap, read_exported
from qedge.graph import Graph
from qedge.pipeline.opinion import on_accelerator, what_it_says
from qedge.pipeline.request import BuildRequest
from qedge.processing.detect import Detect
from qedge.processing.spec import Postprocess
from qedge.quantize.heads import Cut, cut_head, joined
from qedge.quantize.heads.floor import FLOOR, floored
from qedge.quantize.heads.gain import Gain, gain
from qedge.quantize.heads.own import cut_own
from qedge.quantize.heads.shapes import read_shapes
from qedge.target import Target

CHOICES = ("threshold", "iou", "limit", "per_class", "candidates")
"""Fields of a stated post-processing that hold wherever the decoding is done."""
LETTERBOX = {"fit": "letterbox", "fill": 114, "resize": "opencv", "range": [0.0, 1.0]}
"""How Ultralytics' package feeds its detectors."""
FED_SO = ("detect", "pose", "segment", "obb")
"""Tasks of that package that are fed so."""
ROTATED = "obb"
UNORDERED = ("Pascal VOC", "Label Studio")
"""Forms of labels that name classes, and do not number them."""


@dataclass(frozen=True)
class Brought:
    """A source model with what is known of it as a detector.

    Args:
        source: without its decoding, where that was taken off.
        postprocess: what its outputs mean; None where nobody said.
        preprocess: the stated fields, over those that the exporter noted.
        labels: the stated names, else the exporter's.
        cut: what was taken off; None where nothing was.
        whole: the float model as it came.
    """

    source: SourceModel
    postprocess: Postprocess | None
    preprocess: Mapping[str, Any]
    labels: tuple[str, ...] | None
    findings: tuple[Finding, ...] = ()
    cut: Cut | None = None
    whole: bytes = b""


def bring(source: SourceModel, request: BuildRequest) -> Brought:
    """Return the model with what its exporter noted, and without its decoding where that is known.

    Raises:
        UnsupportedError: ``cut_head`` is asked for, and no decoding is known.
        DataError: another number of labels than the head has classes.
    """
    found = _read(source, request)
    return found if request.export == "frigate" else _with_floor(found)


def _with_floor(found: Brought) -> Brought:
    """Return the model with scores that end where no threshold is any more, where they go far below."""
    source, post = found.source, found.postprocess
    ended = floored(source.data, post) if source.kind == "float" and isinstance(post, Detect) else None
    if ended is None:
        return found
    said = Finding(
        "info", "score-floor",
        f"scores go down to {ended.lowest:.0f}: int8 would have too large steps for those that count. They end at"
        f" -{FLOOR:g} (a probability of 6e-06)",
    )  # fmt: skip
    source = replace(source, data=ended.data)
    return replace(found, source=source, postprocess=ended.postprocess, findings=(*found.findings, said))


def _read(source: SourceModel, request: BuildRequest) -> Brought:
    """Return the model as it is read, before anything is done to its scores."""
    found = Brought(source, request.postprocess, request.preprocess, request.labels)
    exported = read_exported(source.notes)
    if exported is not None:
        found = _noted(found, exported)
    stated = request.postprocess
    if not isinstance(stated, Detect | None):
        return found
    if request.cut_head is False:
        return found if stated is not None else _kept(found, request, exported)
    if stated is not None and stated.box_outputs:
        return found  # its outputs are the head's own already
    cut = (cut_head(source.data) or cut_own(source.data)) if source.kind == "float" else None
    if cut is not None:
        if request.export == "frigate" and cut.postprocess.form == "yolov8":
            cut = joined(cut)
        return _without_head(found, cut, stated)
    if exported is not None and exported.task == ROTATED and stated is None:
        return _rotated(found, request)
    if request.cut_head:
        raise UnsupportedError(
            f"{request.model}: no decoding of a detector that is known follows its last layers",
            hint="export it without its decoding, and state the outputs: [postprocess], docs/detection.md",
        )
    return found if stated is not None else _by_shapes(found, request, exported)


def _noted(found: Brought, exported: Exported) -> Brought:
    """Return the model with labels and pre-processing that Ultralytics' exporter noted, where nobody states others."""
    taken = []
    labels = found.labels
    if labels is None and exported.names:
        labels = exported.names
        taken.append(f"{len(labels)} class names")
    preprocess = found.preprocess
    if exported.task in FED_SO and preprocess.get("kind", "image") == "image":
        added = {key: value for key, value in LETTERBOX.items() if key not in preprocess}
        preprocess = {**added, **preprocess}
        if added:
            shown = ", ".join(f"{key} {_shown(value)}" for key, value in added.items())
            taken.append(f"the pre-processing of its package ({shown})")
    if not taken:
        return found
    graph = Graph.from_bytes(found.source.data)
    if exported.size is not None and set(exported.size) <= set(graph.tensors[graph.inputs[0]].shape):
        taken.append("images of {} x {} pixels".format(*exported.size))
    said = Finding(
        "info", "exporter", f"from what Ultralytics' exporter noted in the file: {', '.join(taken)}",
        "what you state (--labels, --fit, --range ...) goes before it",
    )  # fmt: skip
    return replace(found, labels=labels, preprocess=preprocess, findings=(*found.findings, said))


def _shown(value: Any) -> str:
    return ",".join(f"{v:g}" for v in value) if isinstance(value, list) else str(value).lower()


def _rotated(found: Brought, request: BuildRequest) -> Brought:
    """Return the model as it came, and say that its turned boxes are decoded in a way that is not known.

    Raises:
        UnsupportedError: ``cut_head`` is asked for.
    """
    message = "the boxes are turned (task obb), by another decoding than YOLOv8's, 11's and 26's"
    if request.cut_head:
        raise UnsupportedError(f"{request.model}: {message}", hint="train the task detect: upright boxes")
    said = Finding(
        "warning", "detector-outputs", f"{message}: the bundle gives the model's own numbers",
        "export it with end2end=False and nms=False; one int8 output of pixels and scores"
        " together is coarse: see the figures",
    )  # fmt: skip
    return replace(found, findings=(*found.findings, said))


def _kept(found: Brought, request: BuildRequest, exported: Exported | None) -> Brought:
    """Return the model as it came, with what its outputs mean where its own decoding or their shapes tell."""
    source = found.source
    cut = cut_head(source.data) if source.kind == "float" else None
    if cut is None and exported is not None and exported.task == ROTATED:
        return _rotated(found, request)
    if cut is None or cut.view is not None:
        return _by_shapes(found, request, exported, as_it_came=True)
    said = Finding(
        "info", "detector-outputs", f"the outputs are read as {cut.whole.form}, which the model decodes"
    )
    labels = _labelled(found.labels, cut.postprocess, Graph.from_bytes(cut.data))
    post = _as_suppressed(cut.whole, source)
    return replace(found, postprocess=post, labels=labels, findings=(*found.findings, said))


def _by_shapes(
    found: Brought, request: BuildRequest, exported: Exported | None, as_it_came: bool = False
) -> Brought:
    """Return the model with what the shapes of its outputs tell; a finding says that nothing else does.

    Args:
        as_it_came: whether its outputs stay as they are; nothing is told where they would be taken apart.
    """
    source = found.source
    reading = read_shapes(source.data, None if found.labels is None else len(found.labels))
    if as_it_came and reading is not None and reading.data is not source.data:
        return found
    if reading is None:
        return found if exported is None or exported.task not in FED_SO else _not_decoded(found, exported)
    post, data = reading.postprocess, reading.data
    if source.kind != "float" and data is not source.data:
        reading = replace(
            reading, hint="bring the float model: its outputs are taken apart, and then decoded"
        )
        post = None
    if post is None:
        said = Finding("info", "detector-outputs", f"the outputs are {reading.what}", reading.hint)
        return replace(found, findings=(*found.findings, said))
    post = _as_suppressed(post, source)
    if request.export == "frigate" and post.form == "yolov8" and not as_it_came:
        whole = joined(Cut(data, post, post, 0, 0.0))
        post, data = whole.postprocess, whole.data
    labels = _labelled(found.labels, post, Graph.from_bytes(data))
    told = "" if reading.proved else f", {reading.told_by}"
    said = Finding(
        "info" if reading.proved else "warning",
        "detector-outputs",
        f"the outputs are read as {post.form}{told}: {reading.what}",
        None if reading.proved else reading.hint,
    )
    if data is not source.data:
        source = replace(source, data=data, orders=_orders_of_inputs(source))
    return replace(found, source=source, postprocess=post, labels=labels, findings=(*found.findings, said))


def _as_suppressed(post: Detect, source: SourceModel) -> Detect:
    """Return a meaning with the overlap of a suppression that was left out of the model."""
    overlap = noted_overlap(source.notes)
    return post if overlap is None or not post.suppress else post.replace(iou=overlap)


def _not_decoded(found: Brought, exported: Exported) -> Brought:
    """Return the model as it came, and say that its exporter's task is known and its outputs are not."""
    graph = Graph.from_bytes(found.source.data)
    batch = graph.tensors[graph.inputs[0]].shape[0] if graph.tensors[graph.inputs[0]].shape else 1
    said = Finding(
        "warning", "detector-outputs",
        f"the outputs of this model (task {exported.task}) are none that is decoded here: the bundle gives the model's"
        " own numbers",
        f"it takes {batch} images at once: export it with batch=1" if batch > 1
        else "export it with end2end=False and nms=False: then they are read, and its decoding is taken off",
    )  # fmt: skip
    return replace(found, findings=(*found.findings, said))


def _orders_of_inputs(source: SourceModel) -> Mapping[str, Sequence[int]]:
    names = Graph.from_bytes(source.data).input_names
    return {name: order for name, order in source.orders.items() if name in names}


def _labelled(labels: Sequence[str] | None, post: Detect, graph: Graph) -> tuple[str, ...] | None:
    """Return the labels without that of the background, where it is one of them, as torchvision's lists have it.

    Raises:
        DataError: the head has another number of classes than there are labels.
    """
    classes = classes_of(post, [graph.tensors[t].shape for t in graph.outputs])
    if labels is None or classes is None or len(labels) == classes:
        return None if labels is None else tuple(labels)
    if post.background and len(labels) == classes + 1:
        return tuple(labels[1:])
    raise DataError(
        f"found {len(labels)} labels, the detector has {classes} classes",
        hint="one name a class, in the model's order: --labels FILE",
    )


def names_of_objects(
    dataset: Dataset, post: Postprocess | None, graph: Graph
) -> tuple[tuple[str, ...] | None, list[Finding]]:
    """Return the names of a detector's classes by its labelled photos, where nobody states them, and what that takes.

    Raises:
        DataError: the labels have another number of classes than the detector.
    """
    if not isinstance(dataset, ObjectDataset) or not isinstance(post, Detect):
        return None, []
    names, form = dataset.labelled.names, dataset.labelled.form
    names = _labelled(names, post, graph) or names
    if form not in UNORDERED:
        return names, []
    said = Finding(
        "warning", "labels",
        f"the classes are taken in alphabetical order ({', '.join(names[:5])}), as {form} has no order and nothing"
        " says which is the model's",
        "name them in the model's order: --labels FILE, one a line",
    )  # fmt: skip
    return names, [said]


def _without_head(found: Brought, cut: Cut, stated: Detect | None) -> Brought:
    post = _as_suppressed(cut.postprocess, found.source)
    if stated is not None:
        given = {key: getattr(stated, key) for key in CHOICES if getattr(stated, key) != getattr(Detect, key)}
        post = post.replace(**given)
    source = found.source
    ended = Graph.from_bytes(cut.data)
    labels = _labelled(found.labels, post, ended)
    said = Finding(
        "info", "head-cut",
        f"the last {_counted(cut.operators)} boxes (read as {post.form}): the bundle's post-processing does it"
        f" instead, equal within {max(cut.error, 1e-7):.0e}, and {len(ended.outputs)} outputs have a scale each",
        "--no-cut-head keeps them in the model",
    )  # fmt: skip
    return replace(
        found,
        source=replace(source, data=cut.data, orders=_orders_of_inputs(source)),
        postprocess=post,
        labels=labels,
        findings=(*found.findings, said),
        cut=cut,
        whole=source.data,
    )


def _counted(operators: int) -> str:
    return "operator decodes" if operators == 1 else f"{operators} operators decode"


def classes_of(post: Detect, shapes: Sequence[Sequence[int]]) -> int | None:
    """Return how many classes a head without its decoding has, by the shapes of its outputs; None where untold."""
    if post.form == "pairs":
        channels = shapes[post.scores_output][post.channel_axis] if len(shapes[post.scores_output]) > 2 else 1
        other = 4 if post.boxes == post.scores_output else 0
        return channels - other - post.background - post.last_is_none
    if post.form == "anchors" or post.score_outputs:
        box, score = (*post.box_outputs, post.boxes)[0], (*post.score_outputs, post.scores_output)[0]
        behind = 2 * post.points if post.form == "anchors" and not post.point_outputs else 0
        sides = 4 * post.bins if post.form == "yolov8" else 4 + behind
        return math.prod(shapes[score]) * sides // math.prod(shapes[box]) - post.background
    if post.form == "yolov5" and post.box_outputs:
        numbers = shapes[post.box_outputs[0]][-1] * 2 * len(post.strides) // len(post.anchor_sizes)
        return numbers - 5 - 2 * post.points - post.masks
    return None


def gain_findings(
    brought: Brought, dataset: Dataset, targets: Sequence[tuple[Target, Mapping[str, Any]]], name: str
) -> list[Finding]:
    """Return what taking the decoding off gained on a few samples; [] where nothing was taken off."""
    if brought.cut is None or brought.cut.whole.form == "ssd":
        return []  # that operator lists objects: there are no places to compare
    found = gain(brought.whole, brought.cut, dataset)
    mapped = _mapped(found, targets, name)
    if found.before is None:
        before = "with its decoding it has no int8 form"
    else:
        before = (
            f"with its decoding scores have {found.before.scores:.1f} dB, boxes {found.before.boxes:.1f} dB"
        )
    message = (
        f"{before}; without it {found.after.scores:.1f} and {found.after.boxes:.1f} dB"
        f" (min-max, {found.samples} samples){''.join(mapped)}"
    )
    worse = found.before is not None and found.after.scores < found.before.scores - 1
    hint = "--no-cut-head keeps the decoding in the model" if worse else None
    return [Finding("warning" if worse else "info", "head-gain", message, hint)]


def _mapped(found: Gain, targets: Sequence[tuple[Target, Mapping[str, Any]]], name: str) -> list[str]:
    """Return for every accelerator how many operators it runs, before and after."""
    said = []
    for target, options in targets:
        if target.info.accelerator is None:
            continue
        counts = []
        for model in (found.whole, found.cut):
            try:
                if model is None:
                    raise UnsupportedError("no int8 form")
                report = what_it_says(target, options, name, model)
                counts.append(f"{on_accelerator(target, report)} of {len(report.operators)}")
            except QedgeError:
                counts.append("none")
        said.append(f"; {target.info.title} runs {counts[1]} operators, before {counts[0]}")
    return said
