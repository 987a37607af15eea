"""Outputs that look like a detector's and cannot be decoded: what they are, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qedge.graph import Graph
from qedge.quantize.heads.numbers import STRIDES
from qedge.quantize.heads.reading import SIDES, Reading, listed

BINS = {4: 1, 32: 8, 64: 16, 68: 17}
"""Steps of a distance's distribution by the channels of four: RTMDet, NanoDet and PicoDet, YOLOv8's family, GFL."""
IN_PROGRAM = "decode them in your program: Result.outputs"
APART = "end the model with decoded boxes (1, n, 4) and scores (1, n, classes), or with its last layers"
MOST = 128  # classes of one level's map; more are rather features
MOST_ANCHORS = 12  # in a cell
CLASS = 5  # the first, after a box and how sure it is


def name_rows(model: bytes, graph: Graph, size: tuple[int, int]) -> Reading | None:
    """Return what outputs of rows look like; None where they look like nothing known."""
    shapes = [tuple(graph.tensors[t].shape) for t in graph.outputs]
    if len(shapes) == 1:
        return _one(shapes[0], size, model)
    if sorted(map(len, shapes)) == [3, 4]:
        rows, maps = sorted(shapes, key=len)
        found = _with_maps(rows, maps, size, model)
        if found is not None:
            return found
    by_places: dict[int, list[int]] = {}
    for shape in shapes:
        row = _rows(shape)
        if row is not None:
            by_places.setdefault(row[0], []).append(row[1])
    groups = [sorted(found) for found in by_places.values() if len(found) > 1]
    if not groups or any(group != groups[0] for group in groups):
        return None
    channels = groups[0]
    if len(by_places) == 1 and channels == [1, channels[-1]] and channels[-1] > SIDES:
        return _faces(next(iter(by_places)), channels[-1], model)
    places = sum(by_places)
    if (
        len(by_places) == 1
        and len(set(channels)) == 1
        and channels[0] > SIDES
        and places in _grid_sizes(size)
    ):
        return Reading(
            f"{len(channels)} times {places} places of {channels[0]} numbers: perhaps a head and an auxiliary one"
            " (YOLOv9 as it is trained)",
            None, model, hint="export it converted, without its auxiliary head: with one output it is read",
        )  # fmt: skip
    if SIDES not in channels:
        return None
    if len(by_places) == 1 and len(channels) == 2:
        return _against_anchors(places, channels, model)
    levels = "" if len(by_places) == 1 else f" at each of {len(groups)} levels"
    return Reading(
        f"{listed(channels)} numbers for each of {places} places{levels}: perhaps boxes, scores and more (how central,"
        " key points), which no post-processing of qedge decodes together",
        None, model, hint=f"{APART}; or {IN_PROGRAM}",
    )  # fmt: skip


def _rows(shape: Sequence[int]) -> tuple[int, int] | None:
    """Return places and channels of an output of rows, (1, n, channels), (n, channels) or (1, n)."""
    if len(shape) == 3 and shape[0] == 1:
        return (shape[1], shape[2]) if shape[2] <= shape[1] else (shape[2], shape[1])
    if len(shape) == 2 and shape[0] == 1:
        return shape[1], 1
    return (shape[0], shape[1]) if len(shape) == 2 else None


def _one(shape: Sequence[int], size: tuple[int, int], model: bytes) -> Reading | None:
    """Say of one output, whose places are those of a grid, that its decoding is not known."""
    if len(shape) != 3 or shape[0] != 1:
        return None
    channels = min(shape[1:])
    if max(shape[1:]) not in _grid_sizes(size) or channels < CLASS:
        return None
    axis = 1 if shape[1] == channels else -1
    return Reading(
        f"{max(shape[1:])} places of {channels} numbers, whose decoding is not known", None, model,
        hint=f'state them: [postprocess] kind = "detect", form = "yolov8" or "yolov5", channel_axis = {axis},'
        f" input_size = {list(size)} (docs/detection.md), or end the model with its last layers",
    )  # fmt: skip


def _with_maps(
    rows: Sequence[int], maps: Sequence[int], size: tuple[int, int], model: bytes
) -> Reading | None:
    """Say of rows with maps beside them that they may be objects with masks."""
    places, wide = max(rows[1:]), min(rows[1:])
    if places not in _grid_sizes(size) or wide <= SIDES + min(maps[1:]):
        return None
    return Reading(
        f"{places} places of {wide} numbers and maps of {maps[3]}: perhaps objects whose masks are made of the maps"
        " (YOLOv5's), whose decoding is not known",
        None, model,
        hint=f"bring the same model without its masks (task detect), or one of YOLOv8's family; or {IN_PROGRAM}",
    )  # fmt: skip


def _grid_sizes(size: tuple[int, int]) -> set[int]:
    """Return how many places grids of the usual strides have, with one anchor a cell or three."""
    grids = [sum((size[0] // s) * (size[1] // s) for s in STRIDES[:n]) for n in (2, 3, 4, 5)]
    return {each * count for count in grids for each in (1, 3)}


def _faces(places: int, numbers: int, model: bytes) -> Reading:
    return Reading(
        f"{places} times {numbers} numbers and 1 scores: perhaps boxes with key points against anchors, other ones than"
        " MediaPipe's of that size",
        None, model,
        hint='state them: [postprocess] kind = "detect", form = "anchors" with strides, anchor_sizes, points, x_first'
        f" and linear (docs/detection.md); or {IN_PROGRAM}",
    )  # fmt: skip


def _against_anchors(places: int, channels: Sequence[int], model: bytes) -> Reading:
    scores = channels[0] if channels[1] == SIDES else channels[1]
    return Reading(
        f"{places} times {SIDES} numbers and {scores} scores: perhaps boxes against anchors, which the model does not"
        " hold",
        None, model,
        hint='state them: [postprocess] kind = "detect", form = "anchors" (encodings as y, x, h, w) with its fields'
        " (docs/detection.md), or export the model with the boxes of all places decoded",
    )  # fmt: skip


def name_grid(model: bytes, channels: int, stride: int) -> Reading:
    """Return what one map of a few numbers a cell may be."""
    return Reading(
        f"a map of {channels} numbers in cells of {stride} pixels: perhaps FOMO's grid of {channels - 1} classes and a"
        f" background before its softmax, or {channels} classes to segment",
        None, model,
        hint=f'with {channels - 1} labels (--labels) it is read as FOMO\'s; or state [postprocess] kind = "detect",'
        ' form = "fomo", scores_output = 0, score_form = "softmax", background = true; or kind = "segment"',
    )  # fmt: skip


def name_yolov2(model: bytes, channels: int, size: tuple[int, int]) -> Reading:
    """Return what one map at a stride of 32 with five anchors a cell may be."""
    return Reading(
        f"a map of {channels} channels in cells of 32 pixels: perhaps 5 anchors a cell of {channels // 5 - 5} classes"
        " (YOLOv2), whose sizes the model does not hold",
        None, model,
        hint='state them: [postprocess] kind = "detect", form = "yolov5", decoded = false, box_outputs = [0], strides ='
        f" [32], input_size = {list(size)}, exponential = true, centre_scales = [1], score_form = \"softmax\","
        " anchor_sizes = [32 times those of its .cfg file; Tiny YOLOv2's of VOC begin with 34.56, 38.08, 109.44,"
        " 141.12]",
    )  # fmt: skip


def name_levels(model: bytes, shapes: Mapping[int, Sequence[int]]) -> Reading | None:
    """Return what maps look like, by the channels of each at every stride; None where like nothing known."""
    first = next(iter(shapes.values()))
    at = f"at {'stride' if len(shapes) == 1 else 'strides'} {listed(tuple(shapes))}"
    if len(first) == 2 and len(shapes) > 1 and set(first) <= BINS.keys():
        return Reading(
            f"maps {at}, of {listed(first)} channels: either may be distances", None, model,
            hint='state them: [postprocess] kind = "detect", form = "yolov8", box_outputs, score_outputs, bins'
            " (docs/detection.md); or name those of the boxes so",
        )  # fmt: skip
    if len(first) == 2 and len(shapes) > 1 and all(map(_anchors, shapes.values())):
        return Reading(
            f"two maps a level {at}, of {' and '.join(map(str, first))} channels at the finest: perhaps boxes and"
            " scores against anchors (SSD, EfficientDet, RetinaNet), which the model does not hold, or distances"
            " (SCRFD)",
            None, model,
            hint='state them: [postprocess] kind = "detect", box_outputs, score_outputs, strides, input_size, and form'
            ' = "anchors" with anchor_sizes; of SCRFD form = "yolov8", bins = 1, each = 2, cell_middle = 0.0'
            " (docs/detection.md)",
        )  # fmt: skip
    if (
        len(first) > 2
        and len(shapes) > 1
        and all(set(channels) & set(BINS) - {SIDES} for channels in shapes.values())
    ):
        return Reading(
            f"maps {at}, of {listed(first)} channels: perhaps distances, scores and key points or weights of masks"
            " (YOLOv8's family), whose order nothing tells",
            None, model,
            hint="export it with its decoding, which tells them; or state box_outputs, score_outputs, point_outputs,"
            " mask_outputs (docs/detection.md)",
        )  # fmt: skip
    boxed = all(SIDES in channels or list(channels).count(2) >= 2 for channels in shapes.values())
    if len(first) < 2 or not boxed or (len(first) == 2 and len(shapes) == 1 and max(first) > MOST):
        return None
    return Reading(
        f"maps {at}, of {listed(first)} channels: perhaps boxes or sizes, scores and more (how central, key points, as"
        " FCOS and CenterFace have them), which no post-processing of qedge decodes together",
        None, model, hint=f"{APART}; or {IN_PROGRAM}",
    )  # fmt: skip


def _anchors(channels: Sequence[int]) -> int:
    """Return how many anchors a cell may have by two maps, one with four numbers for each; 0 where none fits."""
    for boxes, scores in (channels, channels[::-1]):
        if boxes % SIDES == 0 and boxes // SIDES <= MOST_ANCHORS and scores % (boxes // SIDES) == 0:
            return boxes // SIDES
    return 0
