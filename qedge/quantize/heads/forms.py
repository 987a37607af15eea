"""Which detectors' heads a tail may be, from the shapes on both sides of it: hypotheses, which are then proved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations

from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.quantize.heads import anchors
from qedge.quantize.heads.head import FIRST_CLASS, IOU, LIMIT, THRESHOLD, Head, Level, named, readings
from qedge.quantize.heads.tail import Tail, prototypes
from qedge.quantize.heads.views import image_size, stride_of, views

MOST_BINS = 64
CHOSEN = 6
"""Numbers of a row that a model chose itself: box, score and class."""


def hypotheses(graph: Graph, tail: Tail) -> Iterator[Head]:
    """Yield what the tail may be, the most usual first; nothing where the shapes are no detector's."""
    size = image_size(graph.tensors[graph.inputs[0]].shape)
    maps = prototypes(graph)
    outputs = [t for t in graph.outputs if t != maps]
    if len(graph.inputs) != 1 or size is None:
        return
    levels = _levels(graph, tail, size)
    shapes = [graph.tensors[t].shape for t in outputs]
    if not levels or not shapes:
        return
    if len(shapes) == 1 and len(shapes[0]) == 3:
        yield from _families(graph, levels, shapes[0], size)
    for view in views(shapes):
        if maps is not None:
            place = list(graph.outputs).index(maps)
            view = replace(view, boxes=1 - place, scores=1 - place, maps=place)
        for head in _families(graph, levels, view.shape, size):
            whole = head.whole if maps is None else head.whole.replace(boxes=0, prototypes=1)
            yield replace(head, whole=whole, view=view)


def _families(
    graph: Graph, levels: Sequence[Level], output: Sequence[int], size: tuple[int, int]
) -> Iterator[Head]:
    """Yield what a head of such levels, whose decoded output has such a shape, may be."""
    families = (
        (2, _anchor_free),
        (2, anchors.encoded),
        (3, _yolox),
        (3, _with_points),
        (3, _with_angles),
        (1, anchors.logistic),
    )
    masked = ((3, _with_masks), (1, anchors.logistic))
    for count, family in families if prototypes(graph) is None else masked:
        if all(len(level.tensors) == count for level in levels):
            yield from family(graph, levels, output, size)


def _levels(graph: Graph, tail: Tail, size: tuple[int, int]) -> list[Level]:
    """Return the tail's tensors by stride, the finest first; [] where one is no grid over the input."""
    found: dict[int, list[int]] = {}
    for t in tail.tensors:
        shape = graph.tensors[t].shape
        stride = stride_of(size, shape[1:3]) if len(shape) == 4 and 0 not in shape else 1
        if stride == 1:
            return []
        found.setdefault(stride, []).append(t)
    return [Level(stride, tuple(found[stride])) for stride in sorted(found)]


def _places(levels: Sequence[Level], size: Sequence[int]) -> int:
    return sum(-(-size[0] // level.stride) * -(-size[1] // level.stride) for level in levels)


def _anchor_free(
    graph: Graph, levels: Sequence[Level], output: Sequence[int], size: tuple[int, int]
) -> Iterator[Head]:
    """Yield readings of two convolutions a level as distances and class scores."""
    places, names = _places(levels, size), named(levels, "boxes", "scores")
    for tensors, cut, (classes,) in _with_distances(graph, levels, size):
        for middle in (cut, cut.replace(cell_middle=0.0)):
            for whole in readings(output, places, 4 + classes, size, "yolov8"):
                yield Head(tensors, names, middle, whole)
        for whole in readings(output, places, FIRST_CLASS + classes, size, "yolox"):
            yield Head(tensors, names, cut, whole)  # YOLOv6 says of every place that something is there
        for once, whole in _chosen(output, places * classes, cut, size):
            yield Head(tensors, names, once, whole)


def _chosen(
    output: Sequence[int], most: int, cut: Detect, size: tuple[int, int]
) -> Iterator[tuple[Detect, Detect]]:
    """Yield a cut whose objects the model chooses itself, as rows with their parts, and what those rows mean."""
    if output[2] == CHOSEN + 3 * cut.points + cut.masks + cut.turned and output[1] <= most:
        once = cut.replace(suppress=False, limit=min(LIMIT, output[1]))
        for scale in (size, (1, 1)):
            yield once, Detect(
                "top_k", input_size=scale, threshold=THRESHOLD, limit=once.limit, points=cut.points, masks=cut.masks,
                turned=cut.turned,
            )  # fmt: skip


def _with_points(
    graph: Graph, levels: Sequence[Level], output: Sequence[int], size: tuple[int, int]
) -> Iterator[Head]:
    """Yield readings of three convolutions a level as distances, class scores and key points."""
    names, count = named(levels, "boxes", "scores", "points"), len(levels)
    for tensors, cut, (classes, further) in _with_distances(graph, levels, size):
        if further % 3:
            continue
        posed = cut.replace(points=further // 3, point_outputs=tuple(range(2 * count, 3 * count)))
        for whole in readings(output, _places(levels, size), 4 + classes + further, size, "yolov8"):
            for scale in (2, 1):
                once = posed.replace(point_scale=scale)
                yield Head(tensors, names, once, whole.replace(points=further // 3))
        for once, whole in _chosen(output, _places(levels, size) * classes, posed, size):
            for scale in (2, 1):
                yield Head(tensors, names, once.replace(point_scale=scale), whole)


def _with_angles(
    graph: Graph, levels: Sequence[Level], output: Sequence[int], size: tuple[int, int]
) -> Iterator[Head]:
    """Yield readings of three convolutions a level as distances, class scores and an angle."""
    names, count = named(levels, "boxes", "scores", "angles"), len(levels)
    for tensors, cut, (classes, further) in _with_distances(graph, levels, size):
        if further == 1:
            turned = cut.replace(turned=True, angle_outputs=tuple(range(2 * count, 3 * count)))
            for told in (turned, turned.replace(plain_angle=True)):
                for whole in readings(output, _places(levels, size), 4 + classes + 1, size, "yolov8"):
                    yield Head(tensors, names, told, whole.replace(turned=True))
                for once, whole in _chosen(output, _places(levels, size) * classes, told, size):
                    yield Head(tensors, names, once, whole)


def _with_masks(
    graph: Graph, levels: Sequence[Level], output: Sequence[int], size: tuple[int, int]
) -> Iterator[Head]:
    """Yield readings of three convolutions a level as distances, class scores and the weights of masks."""
    names, count = (*named(levels, "boxes", "scores", "masks"), "prototypes"), len(levels)
    maps = prototypes(graph)
    for tensors, cut, (classes, further) in _with_distances(graph, levels, size):
        if maps is not None and graph.tensors[maps].shape[-1] == further:
            position = list(graph.outputs).index(maps)
            places = tuple(range(2 * count, 3 * count))
            masked = cut.replace(masks=further, mask_outputs=places, prototypes=3 * count)
            for whole in readings(output, _places(levels, size), 4 + classes + further, size, "yolov8"):
                told = whole.replace(masks=further, prototypes=position, boxes=1 - position)
                yield Head((*tensors, maps), names, masked, told)
            for once, whole in _chosen(output, _places(levels, size) * classes, masked, size):
                told = whole.replace(prototypes=position, boxes=1 - position)
                yield Head((*tensors, maps), names, once, told)


def _with_distances(
    graph: Graph, levels: Sequence[Level], size: tuple[int, int]
) -> Iterator[tuple[tuple[int, ...], Detect, tuple[int, ...]]]:
    """Yield a level's convolutions in every order that may be distances, class scores, and others if there are more.

    With the channels of all but the distances.
    """
    count = len(levels)
    for order in permutations(range(len(levels[0].tensors))):
        shapes = [{graph.tensors[level.tensors[k]].shape[3] for level in levels} for k in order]
        if any(len(sizes) != 1 for sizes in shapes):
            continue
        wide, *further = (sizes.pop() for sizes in shapes)
        if wide % 4 or wide > 4 * MOST_BINS:
            continue
        cut = Detect(
            "yolov8", threshold=THRESHOLD, iou=IOU, limit=LIMIT, input_size=size,
            strides=tuple(level.stride for level in levels), bins=wide // 4,
            box_outputs=tuple(range(count)), score_outputs=tuple(range(count, 2 * count)),
        )  # fmt: skip
        yield tuple(level.tensors[k] for k in order for level in levels), cut, tuple(further)


def _yolox(
    graph: Graph, levels: Sequence[Level], output: Sequence[int], size: tuple[int, int]
) -> Iterator[Head]:
    """Yield readings of three convolutions a level as boxes, objectness and class scores."""
    places, count = _places(levels, size), len(levels)
    for order in permutations(range(3)):
        shapes = [[graph.tensors[level.tensors[k]].shape[3] for level in levels] for k in order]
        if set(shapes[0]) != {4} or set(shapes[1]) != {1} or len(set(shapes[2])) != 1:
            continue
        cut = Detect(
            "yolox", threshold=THRESHOLD, iou=IOU, limit=LIMIT, input_size=size, decoded=False,
            strides=tuple(level.stride for level in levels), box_outputs=tuple(range(count)),
            object_outputs=tuple(range(count, 2 * count)), score_outputs=tuple(range(2 * count, 3 * count)),
        )  # fmt: skip
        tensors = tuple(level.tensors[k] for k in order for level in levels)
        for whole in readings(output, places, FIRST_CLASS + shapes[2][0], size, "yolox"):
            for decoded in (True, False):
                raw = whole.replace(decoded=decoded, strides=cut.strides)
                yield Head(tensors, named(levels, "boxes", "objects", "scores"), cut, raw)
        for whole in readings(output, places, FIRST_CLASS - 1 + shapes[2][0], size, "yolov8"):
            yield Head(tensors, named(levels, "boxes", "objects", "scores"), cut, whole)
