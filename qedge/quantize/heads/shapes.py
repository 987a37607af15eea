"""Detectors that end with their last layers: what their outputs are, by their shapes; said, as nothing proves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.quantize.heads import faces
from qedge.quantize.heads.against import read_anchors
from qedge.quantize.heads.maps import MAP, TWO, anchored, cells, centres, distances, ends_of, fcos, yolox
from qedge.quantize.heads.own import OPERATOR, own_meaning, own_operator
from qedge.quantize.heads.reading import SIDES, Reading
from qedge.quantize.heads.rows import read_rows
from qedge.quantize.heads.unknown import BINS, name_levels, name_rows, name_yolov2
from qedge.quantize.heads.views import image_size, stride_of

COARSE, FIVE = 32, 5
"""Stride of YOLOv2's one map; its anchors a cell, and as many numbers ahead of the classes."""


def read_shapes(model: bytes, classes: int | None = None) -> Reading | None:
    """Return what the outputs of a detector are; None where they are no detector's.

    Args:
        classes: how many labels there are, where that is known.
    """
    graph = Graph.from_bytes(model)
    size = image_size(graph.tensors[graph.inputs[0]].shape)
    if len(graph.inputs) != 1 or size is None:
        return None
    own = own_operator(graph)
    if own is not None:
        what = f"boxes, classes, scores and their count, which {OPERATOR} gives"
        return Reading(what, own_meaning(graph, own), model, True)
    ends = [t for output in graph.outputs for t in ends_of(graph, output)]
    named = None
    for tensors in (ends, list(graph.outputs), _without_odd(graph, ends)):
        levels = _levels(graph, tensors, size)
        if levels and len(set(tensors)) == len(tensors):
            found = _of_levels(model, graph, levels, size, classes)
            whole = tensors == ends or tensors == list(graph.outputs)
            if found is not None and found.postprocess is not None:
                if whole and _as_many_places(graph, found.postprocess):
                    return found
            elif found is not None:
                named = named or found
    found = faces.of_rows(model, graph, size) or read_rows(model, graph, size, classes)
    found = found or read_anchors(model, graph, size, classes)
    if found is None and (named is None or len(graph.outputs) > 1):
        found = name_rows(model, graph, size)
    return found or named


def _without_odd(graph: Graph, ends: Sequence[int]) -> list[int]:
    """Return the maps but for those alone at their stride, as the one that masks are made of is."""
    sizes = [tuple(graph.tensors[t].shape[1:3]) for t in ends]
    return [t for t, size in zip(ends, sizes) if sizes.count(size) > 1]


def _as_many_places(graph: Graph, post: Detect) -> bool:
    """Return whether every output of rows has as many as the cells, or their anchors, of the maps it is made of."""
    each = len(post.anchor_sizes) // 2 // len(post.strides) if post.form == "anchors" else post.each
    for output in graph.outputs:
        shape = graph.tensors[output].shape
        maps = {graph.tensors[t].shape[1:3] for t in ends_of(graph, output)}
        if len(shape) < MAP and each * sum(height * width for height, width in maps) not in shape:
            return False
    return True


def _levels(graph: Graph, ends: Sequence[int], size: tuple[int, int]) -> dict[int, list[int]]:
    """Return tensors (1, h, w, channels) by stride, the finest first; {} where one is no grid over the input."""
    found: dict[int, list[int]] = {}
    for t in ends:
        shape = graph.tensors[t].shape
        stride = stride_of(size, shape[1:3]) if len(shape) == MAP and 0 not in shape else 1
        if stride == 1:
            return {}
        found.setdefault(stride, []).append(t)
    counts = {len(tensors) for tensors in found.values()}
    return {stride: found[stride] for stride in sorted(found)} if len(counts) == 1 else {}


def _of_levels(
    model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int], classes: int | None
) -> Reading | None:
    shapes = {stride: [graph.tensors[t].shape[3] for t in tensors] for stride, tensors in levels.items()}
    first = next(iter(shapes.values()))
    if len(levels) == 1:
        return _of_one_level(model, graph, levels, size, classes)
    if len({tuple(sorted(channels)) for channels in shapes.values()}) != 1:
        return name_levels(model, shapes)
    if len(first) == 2:
        return distances(model, graph, levels, size) or name_levels(model, shapes)
    if len(first) == 3 and 1 in first and set(first) & set(BINS) - {SIDES} and first.count(1) == 1:
        kept = {s: [t for t in tensors if graph.tensors[t].shape[3] != 1] for s, tensors in levels.items()}
        return distances(
            model, graph, kept, size
        )  # the third map is the sum of the scores (Rockchip's exporter)
    if len(first) == 3 and (found := faces.of_levels(model, graph, levels, size)) is not None:
        return found
    if len(first) == 3 and sorted(first)[0] == 1 and SIDES in first:
        found = yolox(model, graph, levels, size) or fcos(model, graph, levels, size)
        return found or name_levels(model, shapes)
    if sorted(first)[:3] == faces.YUNET and len(first) == 4 and max(first) % 2 == 0:
        return faces.yunet(model, graph, levels, size)
    return anchored(model, graph, levels, size) if len(first) == 1 else name_levels(model, shapes)


def _of_one_level(
    model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int], classes: int | None
) -> Reading | None:
    ((stride, tensors),) = levels.items()
    channels = [graph.tensors[t].shape[3] for t in tensors]
    if len(channels) == 3 and sorted(channels)[:2] == [TWO, TWO] and max(channels) != TWO:
        return centres(model, graph, tensors, size)
    if sorted(channels) == faces.CENTERFACE:
        return faces.centerface(model, graph, tensors, size)
    if len(channels) == 1 and stride == COARSE and channels[0] % FIVE == 0 and channels[0] > FIVE * FIVE:
        return name_yolov2(model, channels[0], size)
    if len(channels) == 1:
        return cells(model, graph, stride, tensors[0], size, classes)
    return name_levels(model, {stride: channels})
