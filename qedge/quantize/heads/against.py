"""SSDs that end with their last layers: boxes against anchors, where there are as many as a usual SSD has."""

from __future__ import annotations

from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.processing.detection.ssd import ssd_anchors
from qedge.quantize.heads.reading import SIDES, Reading
from qedge.quantize.heads.rows import squashed

ROWS = 3
"""Dimensions of (1, places, numbers)."""


def read_anchors(model: bytes, graph: Graph, size: tuple[int, int], classes: int | None) -> Reading | None:
    """Return what two outputs (1, places, 4) and (1, places, scores) are; None where another number of places is usual.

    TensorFlow's object detection API makes its SSDs' anchors from the size of the image alone, and takes the first
    score for the background.

    Args:
        classes: how many labels there are, where that is known.
    """
    shapes = [tuple(graph.tensors[t].shape) for t in graph.outputs]
    if len(shapes) != 2 or any(len(shape) != ROWS or shape[0] != 1 for shape in shapes):
        return None
    sides = [shape[2] == SIDES for shape in shapes]
    if sum(sides) != 1 or shapes[0][1] != shapes[1][1]:
        return None
    boxes, scores = sides.index(True), sides.index(False)
    places, columns = shapes[scores][1:]
    post = Detect("anchors", boxes=boxes, scores_output=scores, input_size=size)
    made = ssd_anchors(size, post.strides, post.min_scale, post.max_scale, post.aspect_ratios)
    if len(made) != places:
        return None
    end = graph.outputs[scores]
    done = squashed(graph, end) or (end in graph.producer and graph.producer[end].op == "SOFTMAX")
    background = columns > 1 and columns != classes
    post = post.replace(background=background, score_form="probabilities" if done else "sigmoid")
    first = ", the first of the background" if background else ""
    return Reading(
        f"boxes against the {places} anchors that TensorFlow's object detection API makes for {size[0]} x {size[1]}"
        f" pixels, and {columns} scores{first}",
        post, model,
    )  # fmt: skip
