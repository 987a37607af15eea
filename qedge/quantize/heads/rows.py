"""Boxes and scores in rows, which a model decodes in a way that is not known: read by their numbers, a scale each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.processing.detect import Detect
from qedge.processing.detection.grids import rows
from qedge.quantize.heads.columns import bounds_of, columns_apart, columns_cut
from qedge.quantize.heads.head import IOU, LIMIT, THRESHOLD
from qedge.quantize.heads.numbers import (
    Boxes,
    add_up,
    anchors_of,
    are_alike,
    are_probabilities,
    on_a_grid,
    told_of_boxes,
)
from qedge.quantize.heads.reading import SIDES, Reading
from qedge.quantize.heads.views import flat_shape
from qedge.quantize.interpreter import Runner

Array = npt.NDArray[Any]

IMAGES = 2
LEAST_PLACES, MOST_QUERIES = 8, 1000
FEW_QUERIES = 125
"""DETR, whose softmax has a class for none, asks no more often; those that came after it have a sigmoid a class."""
MOVES = ("RESHAPE", "TRANSPOSE", "CONCATENATION")
TOLD_BY = "by the numbers that they have for random images"
COARSE = (
    "one int8 output of boxes and scores together is coarse: end the model with boxes and scores as two outputs;"
    " [postprocess] states another meaning"
)


@dataclass(frozen=True)
class _Pair:
    """Outputs that may be boxes and scores: their positions in ``data``, and the axis of the channels.

    ``objects``: of how sure a place is that something is there; None where scores say it all.
    """

    data: bytes
    boxes: int
    scores: int
    axis: int
    squashed: bool
    objects: int | None = None


def read_rows(model: bytes, graph: Graph, size: tuple[int, int], classes: int | None) -> Reading | None:
    """Return outputs as boxes and scores that the model has decoded; None where their numbers do not tell that.

    Those of a quantised model are read as they are: nothing of it is taken apart.

    Args:
        classes: how many labels there are, where that is known.
    """
    if _is_float(graph):
        model = _batched(model, graph)
        graph = Graph.from_bytes(model)
    found = []
    for pair in _pairs(model, graph, size, classes):
        reading = _read(pair, size, classes)
        if reading is not None:
            found.append(reading)
    return found[0] if len(found) == 1 else None


def _pairs(model: bytes, graph: Graph, size: tuple[int, int], classes: int | None) -> Iterator[_Pair]:
    """Yield which outputs may be boxes and which their scores."""
    shapes = [flat_shape(graph.tensors[t].shape) for t in graph.outputs]
    if len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 1:
        yield from _of_one(model, graph, shapes[0], size, classes)
    if len(shapes) != 2:
        return
    for first, second in permutations(range(2)):
        boxes, scores = shapes[first], shapes[second]
        if len(boxes) != 3 or boxes[0] != 1 or not 2 <= len(scores) <= 3:
            continue
        sure = squashed(graph, graph.outputs[first])
        if sure and scores == boxes and not _named_boxes(graph, first, second) and anchors_of(boxes[1], size):
            continue  # scores of four classes through a sigmoid, and encodings against anchors, look like it
        for axis in (2, 1):
            places = boxes[3 - axis]
            if boxes[axis] != SIDES or places < LEAST_PLACES:
                continue
            if scores[1:] == (places,) or (len(scores) == 3 and scores[3 - axis] == places):
                yield _Pair(model, first, second, axis, sure)
            elif len(scores) == 3 and scores[axis] == places and _is_float(graph):
                yield _Pair(_turned(model, graph.outputs[second]), first, second, axis, sure)


def _is_float(graph: Graph) -> bool:
    return all(graph.tensors[t].dtype == "float32" for t in graph.outputs)


def _of_one(
    model: bytes, graph: Graph, shape: Sequence[int], size: tuple[int, int], classes: int | None
) -> Iterator[_Pair]:
    """Yield the one output as boxes and scores, apart where that can be."""
    output = graph.outputs[0]
    for axis in sorted((1, 2), key=lambda k: shape[k]):
        channels, places = shape[axis], shape[3 - axis]
        if channels <= SIDES or places < LEAST_PLACES:
            continue
        made = bounds_of(graph, output, axis) if _is_float(graph) else set()
        several = anchors_of(places, size) > 1
        objects = _has_objects(channels, classes, several or SIDES + 1 in made)
        for bounds, names in (
            ((0, SIDES), ("boxes", "scores")),
            ((0, channels - SIDES), ("scores", "boxes")),
        ):
            data = None
            if bounds[1] in made:
                data = columns_apart(model, output, axis, (*bounds, channels), names)
            if data is not None:
                boxes = names.index("boxes")
                apart = Graph.from_bytes(data)
                sure = squashed(apart, apart.outputs[boxes])
                if objects and boxes == 0:
                    yield _Pair(columns_cut(data, 1, axis, 1, ("objectness", "scores")), 0, 2, axis, sure, 1)
                else:
                    yield _Pair(data, boxes, 1 - boxes, axis, sure)
                return
        if channels < places:
            yield _Pair(model, 0, 0, axis, False, 0 if objects else None)
            return


def _has_objects(channels: int, classes: int | None, likely: bool) -> bool:
    """Return whether the number behind a box says how sure it is that something is there; ``likely`` decides a tie."""
    if channels == SIDES + 1:
        return False
    return likely if classes is None else classes == channels - SIDES - 1


def _batched(model: bytes, graph: Graph) -> bytes:
    """Return the model whose outputs of rows without a batch, (n, channels), have one of 1 in front."""
    shapes = [graph.tensors[t].shape for t in graph.outputs]
    if not any(len(shape) == 2 and shape[0] >= LEAST_PLACES for shape in shapes):
        return model
    editor, ends = Editor.from_bytes(model), list(graph.outputs)
    for k, shape in enumerate(shapes):
        if len(shape) == 2 and shape[0] >= LEAST_PLACES:
            made = editor.tensor(f"{editor.name(ends[k])}_batched", (1, *shape), "float32")
            wanted = editor.constant(np.array([1, *shape], np.int32))
            editor.append(editor.operator("RESHAPE", [ends[k], wanted], [made]))
            ends[k] = made
    return _ending(editor, graph, ends)


def _ending(editor: Editor, graph: Graph, ends: Sequence[int]) -> bytes:
    """Return the model with other tensors as outputs, under the names of the old ones."""
    editor.outputs = ends
    editor.sign(list(zip(graph.input_names, graph.inputs)), list(zip(graph.output_names, ends)))
    editor.sweep()
    return editor.pack()


def _turned(model: bytes, output: int) -> bytes:
    """Return the model with the axes 1 and 2 of an output exchanged."""
    graph, editor = Graph.from_bytes(model), Editor.from_bytes(model)
    shape = editor.shape(output)
    made = editor.tensor(f"{editor.name(output)}_turned", (1, shape[2], shape[1]), "float32")
    order = editor.constant(np.array([0, 2, 1], np.int32))
    editor.append(editor.operator("TRANSPOSE", [output, order], [made]))
    return _ending(editor, graph, [made if t == output else t for t in graph.outputs])


def _named_boxes(graph: Graph, boxes: int, scores: int) -> bool:
    """Return whether the names of two outputs that look alike say which has the boxes."""
    names = [name.lower() for name in graph.output_names]
    return "box" in names[boxes] and "box" not in names[scores]


def squashed(graph: Graph, tensor: int) -> bool:
    """Return whether a tensor is nothing but results of LOGISTIC."""
    op = graph.producer.get(tensor)
    if op is None or op.op not in MOVES:
        return op is not None and op.op == "LOGISTIC"
    return all(squashed(graph, t) for t in (op.inputs if op.op == "CONCATENATION" else op.inputs[:1]))


def _read(pair: _Pair, size: tuple[int, int], classes: int | None) -> Reading | None:
    graph = Graph.from_bytes(pair.data)
    rng, runner = np.random.default_rng(0), Runner(pair.data)
    shape = graph.tensors[graph.inputs[0]].shape
    runs = [runner.predict([rng.random(shape, np.float32)]) for _ in range(IMAGES)]
    channel_axis = 1 if pair.axis == 1 else -1
    boxes = [rows(run[pair.boxes], channel_axis)[:, :SIDES] for run in runs]
    scores = [_scores(pair, run, channel_axis) for run in runs]
    places, count = scores[0].shape
    few = places <= MOST_QUERIES
    told = Boxes(False, False) if pair.squashed and few else told_of_boxes(boxes, size, few)
    if told is None or count < 1 or not are_alike(scores):
        return None
    queries = few and not on_a_grid(_centres(boxes[0], told, size), size)
    if pair.boxes == pair.scores and queries:
        return None  # no more than numbers that could be boxes
    post = Detect(
        "pairs", boxes=pair.boxes, scores_output=pair.scores, corners=told.corners, channel_axis=channel_axis,
        input_size=size if told.pixels else (1, 1), threshold=THRESHOLD, iou=IOU, limit=LIMIT, suppress=not queries,
    )  # fmt: skip
    how = "queries of a transformer" if queries else "places"
    what = f"{places} {how} with boxes ({told})"
    if pair.objects is not None:
        return _with_objects(pair, what, told, scores, post)
    post = _with_scores(post, scores, count, classes, queries)
    real = count - post.background - post.last_is_none
    reading = Reading(
        f"{what} and scores of {real} classes ({_told(post)})", post, pair.data, told_by=TOLD_BY
    )
    return replace(reading, hint=COARSE) if pair.boxes == pair.scores else reading


def _with_objects(
    pair: _Pair, what: str, told: Boxes, scores: Sequence[Array], post: Detect
) -> Reading | None:
    """Return the reading of boxes with how sure a place is that something is there, which scores are multiplied by."""
    if told.corners:
        return None
    form = "probabilities" if are_probabilities(scores) else "sigmoid"
    post = post.replace(form="yolox", boxes=0, scores_output=2, score_form=form)
    what = f"{what}, objectness and scores of {scores[0].shape[1] - int(pair.boxes == pair.scores)} classes"
    if pair.boxes == pair.scores:
        return Reading(what, post, pair.data, hint=COARSE, told_by=TOLD_BY)
    post = post.replace(
        box_outputs=(pair.boxes,), object_outputs=(pair.objects,), score_outputs=(pair.scores,)
    )
    return Reading(what, post, pair.data, told_by=TOLD_BY)


def _scores(pair: _Pair, run: Sequence[Array], channel_axis: int) -> Array:
    if pair.boxes == pair.scores:
        return rows(run[pair.scores], channel_axis)[:, SIDES:]
    if run[pair.scores].ndim == 2:
        return np.asarray(run[pair.scores]).reshape(-1, 1)
    return rows(run[pair.scores], channel_axis)


def _centres(boxes: Array, told: Boxes, size: tuple[int, int]) -> Array:
    """Return the middles of boxes as shares of the image."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 if told.corners else boxes[:, :2]
    shares: Array = middles / (np.array([size[1], size[0]]) if told.pixels else 1)
    return shares


def _with_scores(
    post: Detect, scores: Sequence[Array], count: int, classes: int | None, queries: bool
) -> Detect:
    """Return the reading with what the scores are: independent ones, or a distribution with one that means none."""
    if are_probabilities(scores):
        spread, post = add_up(scores), post.replace(score_form="probabilities")
    else:
        softmax = count > 1 and (classes == count - 1 or (classes is None and len(scores[0]) <= FEW_QUERIES))
        spread = queries and softmax
        post = post.replace(score_form="softmax" if spread else "sigmoid")
    if not spread or classes == count:
        return post
    return post.replace(last_is_none=queries, background=not queries)


def _told(post: Detect) -> str:
    """Return in words what the scores are."""
    form = {"sigmoid": "logits of a sigmoid each", "softmax": "logits of a softmax"}
    said = form.get(post.score_form, "from 0 to 1")
    if post.last_is_none:
        return f"{said}, the last class for none"
    return f"{said}, class 0 the background" if post.background else said
