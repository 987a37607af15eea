"""Readers of a detector's last maps: what those of each stride are, where their channels tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qedge.graph import Graph
from qedge.processing.detect import LEVELS, OF_ONE_GRID, Detect
from qedge.quantize.heads.cut import without_tail
from qedge.quantize.heads.head import IOU, LIMIT, THRESHOLD
from qedge.quantize.heads.numbers import STRIDES
from qedge.quantize.heads.reading import SIDES, Reading, listed
from qedge.quantize.heads.rows import squashed
from qedge.quantize.heads.tail import is_layer
from qedge.quantize.heads.unknown import BINS, name_grid

MOVES = ("CONCATENATION", "RESHAPE", "TRANSPOSE")
CELL = 8
"""Pixels of a cell of FOMO's grid."""
TWO = 2
MAP = 4
"""Dimensions of a map (1, h, w, channels)."""
CENTRED_IOU = 0.6  # what torchvision's FCOS asks for
NAMES = ("box", "reg", "dist")
"""What the outputs with distances are often called."""
MOST_CLASSES = 32
"""Of a grid that may be FOMO's; more are rather features."""


def ends_of(graph: Graph, output: int) -> list[int]:
    """Return the tensors that an output is put together of, without anything being computed but scores of rows."""
    op = graph.producer.get(output)
    if op is not None and op.op == "LOGISTIC" and len(graph.tensors[output].shape) != MAP:
        return ends_of(graph, op.inputs[0])
    if op is None or op.op not in MOVES:
        return [output]
    parts = op.inputs if op.op == "CONCATENATION" else op.inputs[:1]
    return [t for part in parts for t in ends_of(graph, part)]


def distances(
    model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int]
) -> Reading | None:
    """Read two maps a level as distances and class scores, where their channels tell which is which."""
    boxes, scores = [], []
    for stride, tensors in levels.items():
        wide = _wide(graph, tensors)
        if len(wide) != 1:
            return None
        boxes.append(_in_cells(graph, wide[0], stride))
        scores += [t for t in tensors if t != wide[0]]
    bins = BINS[graph.tensors[boxes[0]].shape[3]]
    count, strides = len(levels), tuple(levels)
    post = Detect(
        "yolov8", threshold=THRESHOLD, iou=IOU, limit=LIMIT, input_size=size, strides=strides, bins=bins,
        box_outputs=tuple(range(count)), score_outputs=tuple(range(count, 2 * count)),
        score_form=score_form(graph, scores),
    )  # fmt: skip
    classes = graph.tensors[scores[0]].shape[3]
    how = "in cells" if bins == 1 else f"of {bins} bins"
    what = f"distances {how} and scores of {classes} classes at strides {listed(strides)}"
    if bins == BINS[32] and len(graph.outputs) == 1 and next(iter(levels.values()))[0] in scores:
        what += ", from the corners of cells, as NanoDet-Plus has them"
        post = post.replace(cell_middle=0.0)
    if bins == 1 and not set(boxes) & {t for tensors in levels.values() for t in tensors}:
        what += ", from the corners of cells, as RTMDet has them"
        post = post.replace(cell_middle=0.0)
    return taken(model, graph, (*boxes, *scores), level_names(levels, "boxes", "scores"), post, what)


def _wide(graph: Graph, tensors: Sequence[int]) -> list[int]:
    """Return which tensors have the channels of distances; of several those of bins, or those that are named so."""
    wide = [t for t in tensors if graph.tensors[t].shape[3] in BINS]
    if len(wide) > 1:
        wide = [t for t in wide if graph.tensors[t].shape[3] != SIDES] or wide
    if len(wide) > 1:
        names = dict(zip(graph.outputs, graph.output_names))
        wide = [t for t in wide if any(word in names.get(t, "").lower() for word in NAMES)] or wide
    return wide


def _in_cells(graph: Graph, tensor: int, stride: int) -> int:
    """Return what a tensor was before its stride was multiplied in, where it was: distances in cells."""
    op = graph.producer.get(tensor)
    if op is None or op.op != "MUL":
        return tensor
    factors = [graph.tensors[t].data for t in op.inputs]
    for plain, factor in zip(op.inputs, reversed(factors)):
        if factor is not None and factor.size == 1 and float(factor.reshape(-1)[0]) == stride:
            return plain
    return tensor


def yolox(
    model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int]
) -> Reading | None:
    """Read three maps a level as boxes, objectness and class scores."""
    kinds = _three(graph, levels)
    if kinds is None or not all(_plain(graph, t) for t in kinds[0]):
        return None
    form = score_form(graph, kinds[2])
    if form != score_form(graph, kinds[1]):
        return None
    count, strides = len(levels), tuple(levels)
    post = Detect(
        "yolox", threshold=THRESHOLD, iou=IOU, limit=LIMIT, input_size=size, strides=strides, decoded=False,
        box_outputs=tuple(range(count)), object_outputs=tuple(range(count, 2 * count)),
        score_outputs=tuple(range(2 * count, 3 * count)), score_form=form,
    )  # fmt: skip
    classes = graph.tensors[kinds[2][0]].shape[3]
    what = f"boxes, objectness and scores of {classes} classes at strides {listed(strides)}"
    whole = tuple(t for kind in kinds for t in kind)
    return taken(model, graph, whole, level_names(levels, "boxes", "objects", "scores"), post, what)


def fcos(
    model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int]
) -> Reading | None:
    """Read three maps a level as FCOS': distances that are none below 0, how central, and class scores.

    torchvision's count in cells from their corners, and its score is a root; mmdetection's are multiplied by the
    stride, count from the middles of cells, and its score is the product. Exponents are neither.
    """
    kinds = _three(graph, levels)
    form = None if kinds is None else score_form(graph, kinds[2])
    if kinds is None or form != score_form(graph, kinds[1]):
        return None
    cells = [_in_cells(graph, t, stride) for t, stride in zip(kinds[0], levels)]
    plain = cells == kinds[0]
    if not all(_is_positive(graph, t) for t in cells):
        return None
    if any(side % stride for side in size for stride in levels) or not levels.keys() <= set(STRIDES):
        return None  # what its distances are multiplied by is another number there
    places = [tuple(range(k * len(levels), (k + 1) * len(levels))) for k in range(3)]
    post = Detect(
        "yolov8", threshold=THRESHOLD, iou=CENTRED_IOU, limit=LIMIT, input_size=size, strides=tuple(levels), bins=1,
        box_outputs=places[0], object_outputs=places[1], score_outputs=places[2], score_form=form,
        cell_middle=0.0 if plain else 0.5, root=plain,
    )  # fmt: skip
    classes = graph.tensors[kinds[2][0]].shape[3]
    whose = "torchvision's FCOS has" if plain else "mmdetection's FCOS has"
    what = (
        f"distances in cells, how central places are and scores of {classes} classes at strides"
        f" {listed(tuple(levels))}, as {whose} them"
    )
    whole = (*cells, *kinds[1], *kinds[2])
    return taken(model, graph, whole, level_names(levels, "boxes", "centres", "scores"), post, what)


def _three(graph: Graph, levels: Mapping[int, list[int]]) -> tuple[list[int], list[int], list[int]] | None:
    """Return the maps of four numbers, of one and of all others, a level each; None where there are others."""
    kinds: tuple[list[int], list[int], list[int]] = ([], [], [])
    for tensors in levels.values():
        deep = {t: graph.tensors[t].shape[3] for t in tensors}
        box = [t for t in tensors if deep[t] == SIDES][:1]
        sure = [t for t in tensors if deep[t] == 1][:1]
        rest = [t for t in tensors if t not in (*box, *sure)]
        if not len(box) == len(sure) == len(rest) == 1:
            return None
        for kind, found in zip(kinds, (box, sure, rest)):
            kind += found
    return kinds


def anchored(
    model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int]
) -> Reading | None:
    """Say of one map a level that it may have anchors, whose sizes are nowhere in the model."""
    channels = graph.tensors[next(iter(levels.values()))[0]].shape[3]
    if channels % 3 or channels // 3 < SIDES + 1:
        return None
    what = (
        f"maps of {channels} channels at strides {listed(tuple(levels))}: perhaps 3 anchors a cell (YOLOv3 to"
        " v5, v7)"
    )
    ends = [ends_of(graph, output) for output in graph.outputs]
    places = [ends.index([t]) for (t,) in levels.values() if [t] in ends]
    lines = (
        f'state them: [postprocess] kind = "detect", form = "yolov5", decoded = false, box_outputs = {places},'
        f" strides = {list(levels)}, input_size = {list(size)}, anchor_sizes = [w, h of each, in pixels, level by"
        f" level; YOLOv5's own begin with 10, 13, 16, 30, 33, 23, YOLOv7's with 12, 16, 19, 36, 40, 28]; of"
        " YOLOv3 and v4 also exponential = true and centre_scales (v3: 1 for each stride)"
    )
    if len(places) != len(levels) or any(squashed(graph, output) for output in graph.outputs):
        lines = "end it with a map a level, before any sigmoid, and state their anchors (docs/detection.md)"
    hint = f"{lines}; or export it with its decoding, which tells them"
    return Reading(f"{what}, whose sizes the model does not hold", None, model, hint=hint)


def centres(model: bytes, graph: Graph, tensors: Sequence[int], size: tuple[int, int]) -> Reading:
    """Read three maps as CenterNet's: of peaks, sizes and offsets, the last two by their names or in this order."""
    heat = next(t for t in tensors if graph.tensors[t].shape[3] != TWO)
    two = [t for t in tensors if t != heat]
    two = sizes_first(graph, two)
    post = Detect(
        "centernet", scores_output=0, boxes=1, count=2, input_size=size, threshold=THRESHOLD, limit=LIMIT,
        score_form="probabilities" if squashed_map(graph, heat) else "sigmoid",
    )  # fmt: skip
    what = f"peaks of {graph.tensors[heat].shape[3]} classes, sizes and offsets, as CenterNet has them"
    return taken(model, graph, (heat, *two), ("peaks", "sizes", "offsets"), post, what)


def sizes_first(graph: Graph, two: Sequence[int]) -> list[int]:
    """Return two maps of two numbers, sizes before offsets: by their names, or in the order that they have."""
    names = dict(zip(graph.outputs, graph.output_names))
    turned = any(word in names.get(two[0], "").lower() for word in ("reg", "off"))
    return [*reversed(two)] if turned else [*two]


def cells(
    model: bytes, graph: Graph, stride: int, tensor: int, size: tuple[int, int], classes: int | None
) -> Reading | None:
    """Read classes in cells of 8 pixels as FOMO's grid, where a softmax or the number of labels tells it."""
    op = graph.producer.get(tensor)
    channels = graph.tensors[tensor].shape[3]
    softmax = op is not None and op.op == "SOFTMAX"
    if (
        stride != CELL
        or channels < TWO
        or (channels > MOST_CLASSES and not softmax)
        or squashed_map(graph, tensor)
    ):
        return None
    if not softmax and classes != channels - 1:
        return name_grid(model, channels, stride)
    post = Detect(
        "fomo", scores_output=0, input_size=size, background=True, limit=LIMIT,
        score_form="probabilities" if softmax else "softmax",
    )  # fmt: skip
    what = f"a grid of {channels - 1} classes and a background in cells of {CELL} pixels, as FOMO has it"
    if not softmax:
        return taken(model, graph, (tensor,), ("grid",), post, f"{what}, before its softmax")
    return Reading(what, post, model)


def taken(
    model: bytes, graph: Graph, tensors: tuple[int, ...], names: tuple[str, ...], post: Detect, what: str
) -> Reading:
    """Return the reading; a model whose outputs are these tensors stays as it is, in its own order."""
    if set(tensors) != set(graph.outputs):
        return Reading(what, post, without_tail(model, tensors, names))
    place = [list(graph.outputs).index(t) for t in tensors]
    if post.form in OF_ONE_GRID:
        post = post.replace(scores_output=place[0], boxes=place[1], count=place[2])
    moved = {name: tuple(place[k] for k in getattr(post, name)) for name in LEVELS}
    return Reading(what, post.replace(**moved), model)


def level_names(levels: Mapping[int, list[int]], *kinds: str) -> tuple[str, ...]:
    return tuple(f"{kind}_{stride}" for kind in kinds for stride in levels)


def _plain(graph: Graph, tensor: int) -> bool:
    """Return whether a tensor is a layer's, with nothing done to it: YOLOX' boxes are, FCOS' distances are not."""
    op = graph.producer.get(tensor)
    return (
        op is not None
        and is_layer(graph, op)
        and op.options.get("fused_activation_function", "NONE") == "NONE"
    )


def _is_positive(graph: Graph, tensor: int) -> bool:
    """Return whether a RELU makes a tensor."""
    op = graph.producer.get(tensor)
    return op is not None and "RELU" in (op.op, op.options.get("fused_activation_function", "NONE"))


def squashed_map(graph: Graph, tensor: int) -> bool:
    op = graph.producer.get(tensor)
    return op is not None and op.op == "LOGISTIC"


def score_form(graph: Graph, tensors: Sequence[int]) -> str:
    return "probabilities" if all(squashed_map(graph, t) for t in tensors) else "sigmoid"
