"""A detector without its decoding: cut off after its last layers, and proved equal by the post-processing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.errors import DataError
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.processing.detect import Detect
from qedge.processing.detection.grids import Candidates
from qedge.quantize.heads.forms import hypotheses
from qedge.quantize.heads.head import Head
from qedge.quantize.heads.probe import Probe, every_place, in_order
from qedge.quantize.heads.tail import find_tail
from qedge.quantize.heads.views import View
from qedge.quantize.interpreter import Runner

Array = npt.NDArray[Any]

TOLERANCE = 1e-4
"""Largest difference of scores, and of box corners as shares of the input."""
RELATIVE, SMALLEST = 1e-3, 1e-6
"""How far small scores may be apart, by their size, and how far the smallest."""
SAME_CLASSES = 0.99
"""Share of places whose best class must be the same: where two scores are equal, either is right."""
SATURATED = 0.9999
PROOFS = 2
CLIPPED = 8
"""Sides of boxes that lie on the edge of the image at least, where a model clips them to it."""


@dataclass(frozen=True)
class Cut:
    """A model that ends with its last layers.

    Args:
        data: the float ``.tflite``.
        postprocess: what its outputs mean.
        whole: what the outputs of the model as it came mean.
        operators: how many were taken off.
        error: largest difference of a score or a corner (0 to 1) from the model as it came, on random inputs.
        view: how the outputs of the model as it came are put together before ``whole`` reads them.
        order: where each place of ``postprocess`` is in those outputs; None: they have the same order.
    """

    data: bytes
    postprocess: Detect
    whole: Detect
    operators: int
    error: float
    view: View | None = None
    order: npt.NDArray[np.intp] | None = None


def cut_head(model: bytes, seed: int = 0) -> Cut | None:
    """Return a float detector without its decoding; None where it has none that is known.

    A reading of the head is taken only where the post-processing gives, for every place of the grid, what the model
    gave as it came: every box and score within 1e-4.
    """
    graph = Graph.from_bytes(model)
    tail = find_tail(graph)
    heads = () if tail is None else tuple(hypotheses(graph, tail))
    if tail is None or not heads:
        return None
    shape = graph.tensors[graph.inputs[0]].shape
    rng = np.random.default_rng(seed)
    samples = [[rng.random(shape, np.float32)] for _ in range(PROOFS)]
    runner = Runner(model)
    expected = [runner.predict(sample) for sample in samples]
    probe = Probe(model, graph, tail) if any(head.settled for head in heads) else None
    ended: dict[tuple[int, ...], tuple[bytes, list[list[Array]]]] = {}
    for proposed in heads:
        head: Head | None = proposed
        if proposed.settled is not None and probe is not None:
            head = proposed.settled(proposed, probe)
        if head is None:
            continue
        if head.tensors not in ended:
            data = without_tail(model, head.tensors, head.names)
            ending = Runner(data)
            ended = {head.tensors: (data, [ending.predict(sample) for sample in samples])}
        data, found = ended[head.tensors]
        whole = [head.together(outputs) for outputs in expected]
        errors = [difference(head, a, b) for a, b in zip(whole, found)]
        if max(errors) <= TOLERANCE:
            post = head.cut.replace(clipped=clips(every_place(head.whole, whole[0])))
            return Cut(data, post, head.whole, len(tail.operators), max(errors), head.view, head.order)
    return None


def without_tail(model: bytes, tensors: Sequence[int], names: Sequence[str]) -> bytes:
    """Return the model that ends at these tensors, which become its outputs under these names."""
    graph, editor = Graph.from_bytes(model), Editor.from_bytes(model)
    kept, wanted = [], set(tensors)
    for op in reversed(graph.operators):
        if any(t in wanted for t in op.outputs):
            kept.append(op.index)
            wanted.update(op.inputs)
    editor.remove([editor.node(op.index) for op in graph if op.index not in set(kept)])
    editor.outputs = tensors
    inner = [t for t in range(len(editor.tensors)) if t not in tensors and editor.name(t) in names]
    editor.rename({t: f"{editor.name(t)}_inner" for t in inner} | dict(zip(tensors, names)))
    editor.sign(list(zip(graph.input_names, graph.inputs)), list(zip(names, tensors)))
    editor.sweep()
    return editor.pack()


def joined(cut: Cut) -> Cut:
    """Return a ``yolov8`` head with all levels in two outputs, (1, places, sides) and (1, places, classes)."""
    post, graph, editor = cut.postprocess, Graph.from_bytes(cut.data), Editor.from_bytes(cut.data)
    made = []
    for name, places in (("boxes", post.box_outputs), ("scores", post.score_outputs)):
        flat = []
        for k in places:
            tensor = graph.outputs[k]
            _, height, width, deep = graph.tensors[tensor].shape
            shape = (1, height * width, deep)
            flat.append(editor.tensor(f"{graph.output_names[k]}_flat", shape, "float32"))
            asked = editor.constant(np.array(shape, np.int32), f"{graph.output_names[k]}_shape")
            editor.append(editor.operator("RESHAPE", [tensor, asked], flat[-1:]))
        whole = (1, sum(editor.shape(t)[1] for t in flat), editor.shape(flat[0])[2])
        made.append(editor.tensor(name, whole, "float32"))
        editor.append(editor.operator("CONCATENATION", flat, made[-1:], {"axis": 1}))
    editor.outputs = made
    editor.sign(list(zip(graph.input_names, graph.inputs)), [("boxes", made[0]), ("scores", made[1])])
    editor.sweep()
    return replace(cut, data=editor.pack(), postprocess=post.replace(box_outputs=(0,), score_outputs=(1,)))


def difference(head: Head, whole: Sequence[Array], cut: Sequence[Array]) -> float:
    """Return the largest difference of a score or a corner over all places; infinite where they are not the same."""
    try:
        if head.whole.form == "top_k":
            return _of_chosen(head, whole, cut)
        a, b = (every_place(spec, outputs) for spec, outputs in ((head.whole, whole), (head.cut, cut)))
    except DataError:
        return float("inf")
    if len(a.scores) != len(b.scores):
        return float("inf")
    a = in_order(a, head.order)
    telling = a.scores < SATURATED
    if telling.any() and np.mean(a.classes[telling] == b.classes[telling]) < SAME_CLASSES:
        return float("inf")
    boxes = np.clip(b.boxes, 0, 1) if clips(a) else b.boxes
    worst = max(_largest(a.scores, b.scores), _apart(a.boxes, boxes))
    for first, second in ((a.points, b.points), (a.masks, b.masks)):
        if first is not None and second is not None:
            worst = max(worst, _apart(first, second))
    return worst


def clips(found: Candidates) -> bool:
    """Return whether a model clips its boxes to the image: none passes its edge, and several end there."""
    inside = found.boxes.min(initial=0) >= 0 and found.boxes.max(initial=0) <= 1
    return bool(inside and np.isin(found.boxes, (0, 1)).sum() >= CLIPPED)


def _of_chosen(head: Head, whole: Sequence[Array], cut: Sequence[Array]) -> float:
    """Compare what a model chose itself with all that the post-processing chooses from.

    The scores must be the best ones, and each row a place's own, with its class and box; of equal scores any may be
    chosen.
    """
    chosen, places = (every_place(spec, o) for spec, o in ((head.whole, whole), (head.cut, cut)))
    best = -np.sort(-places.scores)[: len(chosen.scores)]
    if not len(best) or len(best) != len(chosen.scores):
        return float("inf")
    worst = _largest(-np.sort(-chosen.scores), best)
    for k, (box, label, score) in enumerate(zip(chosen.boxes, chosen.classes, chosen.scores)):
        near = np.abs(places.scores - score) <= RELATIVE * score + SMALLEST
        same = np.flatnonzero(near & (places.classes == label))
        if not len(same):
            return float("inf")
        nearest = same[np.abs(places.boxes[same] - box).max(axis=1).argmin()]
        worst = max(worst, _apart(box, places.boxes[nearest]))
        for first, second in ((chosen.points, places.points), (chosen.masks, places.masks)):
            if first is not None and second is not None:
                worst = max(worst, _apart(first[k], second[nearest]))
    return worst


def _apart(a: Array, b: Array) -> float:
    """Return the largest difference of corners, of those far outside the image as a share of themselves."""
    other = a != b  # two infinities are the same
    a, b = a[other], b[other]
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    far = np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    return float((np.abs(a - b) / far).max(initial=0.0))


def _largest(a: Array, b: Array) -> float:
    """Return the largest difference of two arrays of scores; infinite where small ones differ by their size."""
    apart = np.abs(a - b)
    return float("inf") if np.any(apart > RELATIVE * np.maximum(a, b) + SMALLEST) else float(apart.max())
