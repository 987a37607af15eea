"""Published detectors of faces and hands, told by the shapes of what they end with; each says which it is read as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.processing.detection.grids import grid
from qedge.quantize.heads.head import LIMIT
from qedge.quantize.heads.maps import TWO, level_names, score_form, sizes_first, squashed_map, taken
from qedge.quantize.heads.reading import SIDES, Reading, listed
from qedge.quantize.heads.rows import squashed

YUNET = [1, 1, SIDES]
"""Channels of YuNet's maps but for its key points."""
SURE_FACE, FACE_IOU = 0.6, 0.3  # what OpenCV's sample of YuNet asks for
SURE, OVERLAP = 0.5, 0.4  # what InsightFace asks of SCRFD and RetinaFace
CENTRES_OVERLAP = 0.3  # of CenterFace and MediaPipe
MARKS = 5
"""Key points of a face: eyes, nose, corners of the mouth."""
CENTERFACE = [1, TWO, TWO, 2 * MARKS]
RETINA_STRIDES, RETINA_SIZES = (8, 16, 32), (16, 32, 64, 128, 256, 512)
MEDIAPIPE = (((8, 2), (16, 6)), ((16, 2), (32, 6)), ((4, 1),), ((8, 2), (16, 2), (32, 6)))
"""Strides of MediaPipe's detectors with as many anchors a cell: near, far and full range, then palm and pose."""
LEAST_MARKS, PALM = 4, 7
"""Key points of MediaPipe's pose (4), face (6) and palm (7)."""


def yunet(model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int]) -> Reading:
    """Read four maps a level as YuNet's: class score and objectness, whose product has no order, box and key points."""
    deep = {t: graph.tensors[t].shape[3] for tensors in levels.values() for t in tensors}
    kinds: list[list[int]] = [[], [], [], []]
    for tensors in levels.values():
        ones = [t for t in tensors if deep[t] == 1]
        rest = sorted((t for t in tensors if deep[t] != 1), key=lambda t: deep[t])
        for kind, t in zip(kinds, (rest[0], *ones, rest[1])):
            kind.append(t)
    places = _positions(4, len(levels))
    points = deep[kinds[3][0]] // 2
    post = Detect(
        "yolox", threshold=SURE_FACE, iou=FACE_IOU, limit=LIMIT, input_size=size, strides=tuple(levels), decoded=False,
        box_outputs=places[0], object_outputs=places[1], score_outputs=places[2], point_outputs=places[3],
        points=points, root=True, score_form=score_form(graph, (*kinds[1], *kinds[2])),
    )  # fmt: skip
    what = (
        f"boxes, two scores whose product counts and {points} key points at strides {listed(tuple(levels))}, as YuNet"
        " has them"
    )
    names = level_names(levels, "boxes", "objects", "scores", "points")
    return _fed(
        taken(model, graph, tuple(t for kind in kinds for t in kind), names, post, what), "--color bgr"
    )


def of_levels(
    model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int]
) -> Reading | None:
    """Read three maps a level, of scores, boxes and 5 key points, as SCRFD's; None for any other.

    RetinaFace's levels are not told: those of InsightFace and of its port to PyTorch have other anchors.
    """
    deep = {t: graph.tensors[t].shape[3] for tensors in levels.values() for t in tensors}
    kinds = [sorted(tensors, key=lambda t: deep[t]) for tensors in levels.values()]
    scores, boxes, marks = ([found[k] for found in kinds] for k in range(3))
    channels = tuple(deep[found[0]] for found in (scores, boxes, marks))
    tensors, names = (*boxes, *scores, *marks), level_names(levels, "boxes", "scores", "points")
    places = _positions(3, len(levels))
    if channels == (TWO, TWO * SIDES, TWO * 2 * MARKS):
        post = Detect(
            "yolov8", threshold=SURE, iou=OVERLAP, limit=LIMIT, input_size=size, strides=tuple(levels), bins=1,
            each=TWO, cell_middle=0.0, points=MARKS, point_numbers=2, point_scale=1,
            score_form=score_form(graph, scores),
            box_outputs=places[0], score_outputs=places[1], point_outputs=places[2],
        )  # fmt: skip
        what = (
            f"distances, scores and {MARKS} key points of {TWO} places a cell at strides {listed(tuple(levels))}, as"
            " SCRFD has them"
        )
        return _fed(taken(model, graph, tensors, names, post, what), "--mean 127.5 --std 128")
    return None


def centerface(model: bytes, graph: Graph, tensors: Sequence[int], size: tuple[int, int]) -> Reading:
    """Read four maps as CenterFace's: of faces, sizes, offsets and key points, the middle two by name or so."""
    deep = {t: graph.tensors[t].shape[3] for t in tensors}
    heat = next(t for t in tensors if deep[t] == 1)
    marks = next(t for t in tensors if deep[t] == 2 * MARKS)
    sizes, offsets = sizes_first(graph, [t for t in tensors if deep[t] == TWO])
    post = Detect(
        "centerface", scores_output=0, boxes=1, count=2, point_outputs=(3,), points=MARKS, input_size=size,
        threshold=SURE, iou=CENTRES_OVERLAP, limit=LIMIT,
        score_form="probabilities" if squashed_map(graph, heat) else "sigmoid",
    )  # fmt: skip
    what = f"faces, logarithms of sizes, offsets and {MARKS} key points, as CenterFace has them"
    names = ("faces", "sizes", "offsets", "points")
    return _fed(taken(model, graph, (heat, sizes, offsets, marks), names, post, what), "--range 0,255")


def of_rows(model: bytes, graph: Graph, size: tuple[int, int]) -> Reading | None:
    """Read outputs of rows as RetinaFace's or one of MediaPipe's, by as many places as their anchors are."""
    found: dict[int, int] = {}
    places = set()
    for k, tensor in enumerate(graph.outputs):
        shape = tuple(graph.tensors[tensor].shape)
        if len(shape) != 3 or shape[0] != 1:
            return None
        places.add(shape[1])
        found[shape[2]] = k
    if len(places) != 1 or len(found) != len(graph.outputs):
        return None
    count = places.pop()
    if set(found) == {TWO, SIDES, 2 * MARKS} and count == _anchors(size, [(s, TWO) for s in RETINA_STRIDES]):
        scores = graph.outputs[found[TWO]]
        post = _retina(size, graph, [scores])
        given = (found[SIDES],), (found[TWO],), (found[2 * MARKS],)
        post = post.replace(box_outputs=given[0], score_outputs=given[1], point_outputs=given[2])
        return _fed(Reading(_retina_told(), post, model), "--color bgr --mean 104,117,123")
    return _mediapipe(model, graph, size, found, count)


def _retina(size: tuple[int, int], graph: Graph, scores: Sequence[int]) -> Detect:
    """Return what a RetinaFace's outputs mean, but for their positions."""
    done = all(t in graph.producer and graph.producer[t].op == "SOFTMAX" for t in scores)
    return Detect(
        "anchors", threshold=SURE, iou=OVERLAP, limit=LIMIT, input_size=size, strides=RETINA_STRIDES,
        anchor_sizes=tuple(float(side) for side in RETINA_SIZES for _ in range(2)), x_first=True, background=True,
        points=MARKS, score_form="probabilities" if done else "softmax",
    )  # fmt: skip


def _retina_told() -> str:
    return (
        f"boxes and {MARKS} key points against the anchors that RetinaFace was published with ({listed(RETINA_SIZES)}"
        f" pixels at strides {listed(RETINA_STRIDES)}), and scores, the first of the background"
    )


def _mediapipe(
    model: bytes, graph: Graph, size: tuple[int, int], found: Mapping[int, int], count: int
) -> Reading | None:
    """Read boxes with key points behind them, and one score, as one of MediaPipe's detectors."""
    if len(found) != TWO or 1 not in found:
        return None
    wide = max(found)
    points, odd = divmod(wide - SIDES, 2)
    layouts = [layout for layout in MEDIAPIPE if count == _anchors(size, layout)]
    if odd or not LEAST_MARKS <= points <= PALM or len(layouts) != 1:
        return None
    strides, counts = zip(*layouts[0])
    height, width = (float(side) for side in size)
    post = Detect(
        "anchors", boxes=found[wide], scores_output=found[1], input_size=size, strides=strides, x_first=True,
        linear=True, anchor_counts=counts, anchor_sizes=(width, height) * sum(counts), points=points,
        box_scales=(height, width, height, width), threshold=SURE, iou=CENTRES_OVERLAP, limit=LIMIT,
        score_form="probabilities" if squashed(graph, graph.outputs[found[1]]) else "sigmoid",
    )  # fmt: skip
    what = (
        f"boxes and {points} key points in pixels from the middles of {count} anchors, and a score, as MediaPipe's"
        " detectors of faces, palms and persons have them"
    )
    return _fed(Reading(what, post, model), "--range 0,1" if points == PALM else "--range=-1,1")


def _fed(reading: Reading, options: str) -> Reading:
    """Return the reading with what its publisher's pixels are."""
    return replace(reading, hint=f"its publisher feeds it {options}; {reading.hint}")


def _anchors(size: tuple[int, int], layout: Sequence[tuple[int, int]]) -> int:
    """Return how many anchors there are of (stride, anchors a cell)."""
    return sum(each * len(grid(size, (stride,))[0]) for stride, each in layout)


def _positions(kinds: int, levels: int) -> list[tuple[int, ...]]:
    return [tuple(range(k * levels, (k + 1) * levels)) for k in range(kinds)]
