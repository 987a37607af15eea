"""Heads whose boxes are relative to anchors: the anchors are in the decoding, and read off what it makes of zeros."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.processing.detection.grids import ROUNDING
from qedge.quantize.heads.head import FIRST_CLASS, IOU, LIMIT, SIDES, THRESHOLD, Head, Level, named, readings
from qedge.quantize.heads.numbers import STRIDES
from qedge.quantize.heads.probe import Probe
from qedge.quantize.heads.tail import prototypes

Array = npt.NDArray[Any]

SAME = 2e-3
"""How far numbers of one anchor may be apart over the cells, in cells."""
LARGE = 30.0
"""A logit whose sigmoid is 1."""
DIGITS = 3
"""Of pixels: what is left behind them is rounding."""
EXPONENT, SQUARE = math.e, (2 / (1 + math.exp(-1))) ** 2
"""What the number 1 makes of an anchor's side: its exponent (YOLOv3, v4), or the square of twice its sigmoid (v5)."""
SHRUNK = 2.0
"""How many exponents smaller boxes are where anchors are read off."""
FACE = 5
"""Key points of YOLOv5's and v7's faces."""
MOST_ANCHORS = 15
"""In a cell."""


@dataclass(frozen=True)
class Fit:
    """Anchors on grids.

    Args:
        order: where each of our places (cell by cell, its anchors next to each other) is in the model's.
        strides, middle: pixels of a cell, and where in it its anchors are.
        sizes: (w, h) in pixels of every anchor of a cell, level by level.
        counts: how many a level has.
    """

    order: npt.NDArray[np.intp]
    strides: tuple[float, ...]
    middle: float
    sizes: tuple[float, ...]
    counts: tuple[int, ...]


def logistic(
    graph: Graph, levels: Sequence[Level], output: Sequence[int], size: tuple[int, int]
) -> Iterator[Head]:
    """Yield readings of one map a level as YOLOv3's to v5's: anchors, whose centres go through a sigmoid."""
    channels = {graph.tensors[level.tensors[0]].shape[3] for level in levels}
    cells = sum(math.prod(graph.tensors[level.tensors[0]].shape[1:3]) for level in levels)
    each = max(output[1:]) // max(1, cells)
    if len(channels) != 1 or each == 0 or (deep := channels.pop()) % each or deep // each < FIRST_CLASS:
        return
    count, maps = len(levels), prototypes(graph)
    masks = 0 if maps is None else graph.tensors[maps].shape[-1]
    cut = Detect(
        "yolov5", threshold=THRESHOLD, iou=IOU, limit=LIMIT, input_size=size, decoded=False,
        strides=tuple(level.stride for level in levels), box_outputs=tuple(range(count)),
        anchor_sizes=(1.0,) * (2 * each * count), masks=masks, prototypes=count if masks else 1,
    )  # fmt: skip
    tensors = (*(level.tensors[0] for level in levels), *([] if maps is None else [maps]))
    names = (*named(levels, "heads"), *([] if maps is None else ["prototypes"]))

    def settled(head: Head, probe: Probe) -> Head | None:
        return _settled(graph, head, each, probe)

    forms = {"yolov5": deep // each, "yolov8": deep // each - 1}  # with objectness, or that times each class
    for form, told in forms.items():
        for whole in readings(output, each * cells, told, size, form):
            if maps is not None:
                place = list(graph.outputs).index(maps)
                whole = whole.replace(masks=masks, prototypes=place, boxes=1 - place)
            yield Head(tensors, names, cut, whole, settled=settled)
            if form == "yolov5" and deep // each > FIRST_CLASS + 2 * FACE and not masks:
                marked = {"points": FACE}
                yield Head(tensors, names, cut.replace(**marked), whole.replace(**marked), settled=settled)


def _settled(graph: Graph, head: Head, each: int, probe: Probe) -> Head | None:
    """Return the head with its anchors, how far centres reach and what makes sizes; None where it has none."""
    shapes = [graph.tensors[head.tensors[k]].shape for k in head.cut.box_outputs]

    def fed(first: int, end: int, value: float) -> Array | None:
        values = {}
        for tensor, shape in zip(head.tensors, shapes):
            numbers = np.zeros((*shape[:3], each, shape[3] // each))
            numbers[..., first:end] = value
            values[tensor] = numbers.reshape(shape)
        return probe.boxes(head.whole, head.view, values)

    plain, moved, grown = fed(0, 0, 0.0), fed(0, 2, LARGE), fed(2, 4, 1.0)
    if plain is None or moved is None or grown is None:
        return None
    size = head.cut.input_size
    found = fit(plain, [(shape[1], shape[2], each) for shape in shapes], size)
    if found is None or found.middle != head.cut.cell_middle:
        return None
    times = float(np.median(grown[:, 2:] / plain[:, 2:]))
    exponential = abs(times - EXPONENT) < abs(times - SQUARE)
    reach, first, scales = (moved - plain)[found.order, 0] * size[1], 0, []
    for shape, stride in zip(shapes, found.strides):
        end = first + math.prod(shape[1:3]) * each
        scales.append(round(2 * float(np.median(reach[first:end])) / stride, DIGITS))
        first = end
    post = head.cut.replace(
        strides=found.strides, anchor_sizes=found.sizes, exponential=exponential,
        centre_scales=() if set(scales) == {2.0} else tuple(scales),
    )  # fmt: skip
    return replace(head, cut=post, order=found.order) if min(scales) > 0 else None


def fit(boxes: Array, grids: Sequence[tuple[int, int, int]], input_size: Sequence[int]) -> Fit | None:
    """Return anchors as sizes on grids; None where they are none.

    Args:
        boxes: (x, y, w, h) of every place, in shares of the input.
        grids: rows, columns and anchors a cell of each level, the finest first; the model may list the coarsest first.
    """
    if len(boxes) != sum(math.prod(grid) for grid in grids):
        return None
    pixels = boxes * np.array([*input_size[::-1]] * 2)
    counts = [math.prod(grid) for grid in grids]
    finest_first = np.cumsum([0, *counts[:-1]])
    coarsest_first = np.cumsum([0, *counts[:0:-1]])[::-1]
    for starts in (finest_first, coarsest_first):
        found = [
            _level(pixels, np.arange(start, start + count), grid, input_size)
            for start, count, grid in zip(starts, counts, grids)
        ]
        levels = [level for level in found if level is not None]
        told = {level.middle for level in levels if level.middle is not None}
        if len(levels) == len(found) and len(told) <= 1:
            return Fit(
                np.concatenate([level.order for level in levels]),
                tuple(level.stride for level in levels),
                told.pop() if told else 0.5,
                tuple(v for level in levels for v in level.sizes),
                tuple(grid[2] for grid in grids),
            )
    return None


class _Level(NamedTuple):
    """A level of :class:`Fit`; ``middle`` is None where it has one cell, which does not tell."""

    order: Array
    stride: float
    middle: float | None
    sizes: tuple[float, ...]


def on_grids(boxes: Array, input_size: Sequence[int]) -> Fit | None:
    """Return anchors as sizes on grids of usual strides, as many in each cell; None where they are none.

    Args:
        boxes: (x, y, w, h) of every anchor, in shares of the input.
    """
    for first in range(len(STRIDES)):
        for last in range(first + 1, len(STRIDES) + 1):
            sides = [[math.ceil(side / stride) for side in input_size] for stride in STRIDES[first:last]]
            each, rest = divmod(len(boxes), sum(map(math.prod, sides)))
            if rest or not 1 <= each <= MOST_ANCHORS:
                continue
            found = fit(boxes, [(rows, columns, each) for rows, columns in sides], input_size)
            if found is not None and np.array_equal(found.order, np.arange(len(boxes))):
                return found
    return None


def _level(
    pixels: Array, places: Array, grid: tuple[int, int, int], input_size: Sequence[int]
) -> _Level | None:
    """Return the anchors of a level, whose places may be listed cell by cell or anchor by anchor."""
    rows, columns, each = grid
    apart = places.reshape(each, rows, columns).transpose(1, 2, 0)
    for order in (places.reshape(rows, columns, each), apart):
        level = pixels[order]
        x, y, sizes = level[..., 0], level[..., 1], level[0, 0, :, 2:]
        if columns > 1:
            stride = float(x[0, -1, 0] - x[0, 0, 0]) / (columns - 1)
        elif rows > 1:
            stride = float(y[-1, 0, 0] - y[0, 0, 0]) / (rows - 1)
        else:
            stride = 2 * float(x[0, 0, 0])
        if stride < 1 or any(
            math.ceil(a / stride - ROUNDING) != b for a, b in zip(input_size, (rows, columns))
        ):
            continue
        stride = _rounded(stride)
        middle = float(x[0, 0, 0]) / stride
        if min(abs(middle), abs(middle - 0.5)) > SAME:
            continue
        middle = round(2 * middle) / 2
        cells = np.mgrid[:rows, :columns].astype(float) + middle
        off = max(
            np.abs(x - cells[1][..., None] * stride).max(), np.abs(y - cells[0][..., None] * stride).max()
        )
        if off > SAME * stride or np.abs(level[..., 2:] / sizes - 1).max() > SAME or sizes.min() <= 0:
            continue
        means = np.median(level[..., 2:], axis=(0, 1))
        told = middle if rows * columns > 1 else None
        return _Level(order.reshape(-1), stride, told, tuple(_rounded(v) for v in means.reshape(-1).tolist()))
    return None


def _rounded(value: float) -> float:
    """Return pixels without what rounding made of them: whole numbers as integers."""
    near = round(value, DIGITS)
    return (
        int(near)
        if near == int(near)
        else float(f"{value:.7g}")
        if abs(value - near) > 10**-DIGITS / 5
        else near
    )


def encoded(
    graph: Graph, levels: Sequence[Level], output: Sequence[int], size: tuple[int, int]
) -> Iterator[Head]:
    """Yield readings of two maps a level as encodings against anchors and scores (SSD, RetinaNet, UltraFace)."""
    within = {op.op for op in graph}
    for order in permutations(range(2)):
        pairs = [tuple(level.tensors[k] for k in order) for level in levels]
        shapes = [tuple(graph.tensors[t].shape for t in pair) for pair in pairs]
        each = [boxes[3] // SIDES for boxes, _ in shapes]
        if any(boxes[3] % SIDES or not 0 < a <= MOST_ANCHORS for (boxes, _), a in zip(shapes, each)):
            continue
        classes = {scores[3] / a for (_, scores), a in zip(shapes, each)}
        if len(classes) != 1 or (count := classes.pop()) != int(count):
            continue
        grids = [(boxes[1], boxes[2], a) for (boxes, _), a in zip(shapes, each)]
        places = sum(math.prod(grid) for grid in grids)
        cut = Detect(
            "anchors", threshold=THRESHOLD, iou=IOU, limit=LIMIT, input_size=size,
            strides=tuple(level.stride for level in levels), box_outputs=tuple(range(len(levels))),
            score_outputs=tuple(range(len(levels), 2 * len(levels))),
        )  # fmt: skip
        tensors = tuple(pair[k] for k in range(2) for pair in pairs)

        def settled(head: Head, probe: Probe, grids: Sequence[tuple[int, int, int]] = grids) -> Head | None:
            return _against(graph, head, grids, probe)

        for whole in readings(output, places, SIDES + int(count), size, "yolov8"):
            for form in ("softmax", "sigmoid"):
                if {"softmax": "SOFTMAX", "sigmoid": "LOGISTIC"}[form] in within:
                    first = form == "softmax" and count > 1  # of the background
                    decoded = whole.replace(form="pairs", scores_output=0, background=first)
                    yield Head(
                        tensors, named(levels, "boxes", "scores"), cut.replace(score_form=form, background=first),
                        decoded, settled=settled,
                    )  # fmt: skip


def _against(graph: Graph, head: Head, grids: Sequence[tuple[int, int, int]], probe: Probe) -> Head | None:
    """Return the head with its anchors and what encodings are divided by; None where it has none."""
    boxes = head.tensors[: len(grids)]

    def fed(*encoding: float) -> Array | None:
        values = {t: np.tile(encoding, graph.tensors[t].shape[3] // SIDES) for t in boxes}
        return probe.boxes(head.whole, head.view, values)

    plain, smaller = fed(0, 0, 0, 0), fed(0, 0, -1, -1)
    if plain is None or smaller is None or plain[:, 2:].min() <= 0 or smaller[:, 2:].min() <= 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        w, h = (float(f"{-1 / v:.5g}") for v in np.log((smaller / plain)[:, 2:].min(axis=0)))
    if not (0 < w < math.inf and 0 < h < math.inf):
        return None
    shrunk = -SHRUNK * max(
        w, h
    )  # so that the edge of the image, where some models clip boxes, is far from all
    small, first, every = fed(0, 0, shrunk, shrunk), fed(1, 0, shrunk, shrunk), fed(1, 1, shrunk, shrunk)
    if small is None or first is None or every is None:
        return None
    sizes = small[:, 2:] * np.exp(-shrunk / np.array([w, h]))
    found = fit(np.concatenate([small[:, :2], sizes], axis=1), grids, head.cut.input_size)
    if found is None:
        return None
    moved = np.abs(first - small)[:, :2].sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = (float(f"{1 / v:.5g}") for v in np.median((every - small)[:, :2] / sizes, axis=0))
    if not (0 < x < math.inf and 0 < y < math.inf):
        return None
    counts = () if len(set(found.counts)) == 1 else found.counts
    post = head.cut.replace(
        strides=found.strides, cell_middle=found.middle, anchor_sizes=found.sizes, anchor_counts=counts,
        box_scales=(y, x, h, w), x_first=bool(moved[0] > moved[1]),
    )  # fmt: skip
    return replace(head, cut=post, order=found.order)
