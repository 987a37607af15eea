"""Detectors that end with their last layers: what their outputs are, by their shapes; said, as nothing proves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qedge.graph import Graph
from qedge.processing.detect import LEVELS, Detect
from qedge.quantize.heads.cut import without_tail
from qedge.quantize.heads.forms import IOU, LIMIT, THRESHOLD, Head
from qedge.quantize.heads.own import OPERATOR, own_meaning, own_operator

MOVES = ("CONCATENATION", "RESHAPE", "TRANSPOSE")
BINS = {32: 8, 64: 16, 68: 17}
"""Steps of a distance's distribution by the channels of four: NanoDet and PicoDet, YOLOv8's family, GFL."""
STRIDES = (8, 16, 32, 64, 128)
CELL = 8
"""Pixels of a cell of FOMO's grid."""
TWO = 2
SIDES = 4


@dataclass(frozen=True)
class Reading:
    """What a model's outputs are, by their shapes.

    Args:
        what: in words.
        postprocess: what they mean; None where the shapes do not tell all of it.
        data: the model, whose outputs are those that ``postprocess`` reads.
        proved: whether the model says it itself.
        hint: how to state what they mean.
    """

    what: str
    postprocess: Detect | None
    data: bytes
    proved: bool = False
    hint: str = "see the boxes of a photo or two; [postprocess] states another meaning"


def read_shapes(model: bytes) -> Reading | None:
    """Return what the outputs of a detector are; None where they are no detector's."""
    graph = Graph.from_bytes(model)
    shape = graph.tensors[graph.inputs[0]].shape
    if len(graph.inputs) != 1 or len(shape) != 4 or shape[0] != 1 or 0 in shape:
        return None
    size = (shape[1], shape[2])
    own = own_operator(graph)
    if own is not None:
        what = f"boxes, classes, scores and their count, which {OPERATOR} gives"
        return Reading(what, own_meaning(graph, own), model, True)
    ends = [t for output in graph.outputs for t in _ends(graph, output)]
    levels = _levels(graph, ends, size)
    if levels and len(set(ends)) == len(ends):
        found = _of_levels(model, graph, levels, size)
        if found is not None:
            return found
    return _of_rows([graph.tensors[t].shape for t in graph.outputs], size, model)


def _ends(graph: Graph, output: int) -> list[int]:
    """Return the tensors that an output is put together of, without anything being computed."""
    op = graph.producer.get(output)
    if op is None or op.op not in MOVES:
        return [output]
    parts = op.inputs if op.op == "CONCATENATION" else op.inputs[:1]
    return [t for part in parts for t in _ends(graph, part)]


def _levels(graph: Graph, ends: Sequence[int], size: tuple[int, int]) -> dict[int, list[int]]:
    """Return tensors (1, h, w, channels) by stride, the finest first; {} where one is no grid over the input."""
    found: dict[int, list[int]] = {}
    for t in ends:
        shape = graph.tensors[t].shape
        if len(shape) != 4 or 0 in shape or size[0] % shape[1] or shape[1] == size[0]:
            return {}
        if size[1] * shape[1] != size[0] * shape[2]:
            return {}
        found.setdefault(size[0] // shape[1], []).append(t)
    counts = {len(tensors) for tensors in found.values()}
    return {stride: found[stride] for stride in sorted(found)} if len(counts) == 1 else {}


def _of_levels(
    model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int]
) -> Reading | None:
    shapes = [tuple(graph.tensors[t].shape[3] for t in tensors) for tensors in levels.values()]
    if len(levels) > 1 and len(set(map(tuple, map(sorted, shapes)))) != 1:
        return None
    first = shapes[0]
    if len(levels) == 1 and len(first) == 3 and sorted(first)[:2] == [TWO, TWO] and max(first) != TWO:
        return _centres(model, graph, next(iter(levels.values())), size)
    if len(levels) == 1 and len(first) == 1:
        return _cells(model, graph, next(iter(levels)), next(iter(levels.values()))[0], size)
    if len(levels) == 1:
        return None
    if len(first) == 2:
        return _distances(model, graph, levels, size)
    if len(first) == 3 and sorted(first)[0] == 1 and SIDES in first:
        return _yolox(model, graph, levels, size)
    return _anchored(model, levels, first, size) if len(first) == 1 else None


def _distances(
    model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int]
) -> Reading | None:
    """Read two maps a level as distances and class scores, where their channels tell which is which."""
    boxes, scores = [], []
    for tensors in levels.values():
        wide = [t for t in tensors if graph.tensors[t].shape[3] in BINS]
        if len(wide) != 1:
            return None
        boxes.append(wide[0])
        scores += [t for t in tensors if t != wide[0]]
    bins = BINS[graph.tensors[boxes[0]].shape[3]]
    count, strides = len(levels), tuple(levels)
    post = Detect(
        "yolov8", threshold=THRESHOLD, iou=IOU, limit=LIMIT, input_size=size, strides=strides, bins=bins,
        box_outputs=tuple(range(count)), score_outputs=tuple(range(count, 2 * count)),
        score_form=_score_form(graph, scores),
    )  # fmt: skip
    classes = graph.tensors[scores[0]].shape[3]
    what = f"distances of {bins} bins and scores of {classes} classes at strides {_listed(strides)}"
    if bins == BINS[32] and len(graph.outputs) == 1 and next(iter(levels.values()))[0] in scores:
        what += ", from the corners of cells, as NanoDet-Plus has them"
        post = post.replace(cell_middle=0.0)
    return _taken(model, graph, (*boxes, *scores), _names(levels, "boxes", "scores"), post, what)


def _yolox(
    model: bytes, graph: Graph, levels: Mapping[int, list[int]], size: tuple[int, int]
) -> Reading | None:
    """Read three maps a level as boxes, objectness and class scores."""
    kinds: tuple[list[int], list[int], list[int]] = ([], [], [])
    for tensors in levels.values():
        deep = {t: graph.tensors[t].shape[3] for t in tensors}
        box = [t for t in tensors if deep[t] == SIDES][:1]
        sure = [t for t in tensors if deep[t] == 1][:1]
        rest = [t for t in tensors if t not in (*box, *sure)]
        if len(box) != 1 or len(sure) != 1 or len(rest) != 1:
            return None
        for kind, found in zip(kinds, (box, sure, rest)):
            kind += found
    form = _score_form(graph, kinds[2])
    if form != _score_form(graph, kinds[1]):
        return None
    count, strides = len(levels), tuple(levels)
    post = Detect(
        "yolox", threshold=THRESHOLD, iou=IOU, limit=LIMIT, input_size=size, strides=strides, decoded=False,
        box_outputs=tuple(range(count)), object_outputs=tuple(range(count, 2 * count)),
        score_outputs=tuple(range(2 * count, 3 * count)), score_form=form,
    )  # fmt: skip
    classes = graph.tensors[kinds[2][0]].shape[3]
    what = f"boxes, objectness and scores of {classes} classes at strides {_listed(strides)}"
    whole = tuple(t for kind in kinds for t in kind)
    return _taken(model, graph, whole, _names(levels, "boxes", "objects", "scores"), post, what)


def _anchored(
    model: bytes, levels: Mapping[int, list[int]], first: Sequence[int], size: tuple[int, int]
) -> Reading | None:
    """Say of one map a level that it may have anchors, whose sizes are nowhere in the model."""
    if first[0] % 3 or first[0] // 3 < SIDES + 1:
        return None
    what = f"maps of {first[0]} channels at strides {_listed(tuple(levels))}: perhaps 3 anchors a cell (YOLOv5, v7)"
    hint = (
        'state them: [postprocess] kind = "detect", form = "yolov5", decoded = false,'
        f" box_outputs = {list(range(len(levels)))}, strides = {list(levels)}, input_size = {list(size)},"
        " anchor_sizes = [w, h of each, in pixels, level by level]; or export it with its decoding, which tells them"
    )
    return Reading(f"{what}, whose sizes the model does not hold", None, model, hint=hint)


def _centres(model: bytes, graph: Graph, tensors: Sequence[int], size: tuple[int, int]) -> Reading:
    """Read three maps as CenterNet's: of peaks, sizes and offsets, the last two by their names or in this order."""
    heat = next(t for t in tensors if graph.tensors[t].shape[3] != TWO)
    two = [t for t in tensors if t != heat]
    names = dict(zip(graph.outputs, graph.output_names))
    if any(word in names.get(two[0], "").lower() for word in ("reg", "off")):
        two.reverse()
    post = Detect(
        "centernet", scores_output=0, boxes=1, count=2, input_size=size, threshold=THRESHOLD, limit=LIMIT,
        score_form="probabilities" if _squashed(graph, heat) else "sigmoid",
    )  # fmt: skip
    what = f"peaks of {graph.tensors[heat].shape[3]} classes, sizes and offsets, as CenterNet has them"
    return _taken(model, graph, (heat, *two), ("peaks", "sizes", "offsets"), post, what)


def _cells(model: bytes, graph: Graph, stride: int, tensor: int, size: tuple[int, int]) -> Reading | None:
    """Read a softmax over classes in cells of 8 pixels as FOMO's grid."""
    op = graph.producer.get(tensor)
    classes = graph.tensors[tensor].shape[3]
    if stride != CELL or classes < TWO or op is None or op.op != "SOFTMAX":
        return None
    post = Detect(
        "fomo", scores_output=0, input_size=size, background=True, score_form="probabilities", limit=LIMIT
    )
    what = f"a grid of {classes - 1} classes and a background in cells of {CELL} pixels, as FOMO has it"
    return Reading(what, post, model)


def _of_rows(shapes: Sequence[Sequence[int]], size: tuple[int, int], model: bytes) -> Reading | None:
    """Say of boxes and scores whose decoding is not known what is missing; None where they look like nothing known."""
    if len(shapes) == 2 and all(len(s) == 3 for s in shapes):
        for boxes, scores in (shapes, shapes[::-1]):
            if boxes[1] == scores[1] and boxes[2] != scores[2] and (boxes[2] == SIDES or scores[2] == 1):
                return _of_two(boxes, scores[2], model)
    if len(shapes) != 1 or len(shapes[0]) != 3:
        return None
    grids = [sum((size[0] // s) * (size[1] // s) for s in STRIDES[:n]) for n in (2, 3, 4, 5)]
    places = {each * count for count in grids for each in (1, 3)}
    channels = min(shapes[0][1:])
    if max(shapes[0][1:]) not in places or channels < SIDES + 1:
        return None
    axis = 1 if shapes[0][1] == channels else -1
    return Reading(
        f"{max(shapes[0][1:])} places of {channels} numbers, whose decoding is not known", None, model,
        hint=f'state them: [postprocess] kind = "detect", form = "yolov8" or "yolov5", channel_axis = {axis},'
        f" input_size = {list(size)} (docs/detection.md), or end the model with its last layers",
    )  # fmt: skip


def _of_two(boxes: Sequence[int], scores: int, model: bytes) -> Reading:
    what = f"{boxes[1]} times {boxes[2]} numbers and {scores} scores: perhaps boxes"
    if boxes[2] != SIDES:
        return Reading(
            f"{what} with key points against anchors (MediaPipe's faces and palms), which no post-processing of qedge"
            " decodes",
            None, model, hint="decode them in your program: Result.outputs",
        )  # fmt: skip
    return Reading(
        f"{what} against anchors, which the model does not hold", None, model,
        hint='state them: [postprocess] kind = "detect", form = "anchors" with its fields (docs/detection.md), or end'
        " the model with its last layers",
    )  # fmt: skip


def _taken(
    model: bytes, graph: Graph, tensors: tuple[int, ...], names: tuple[str, ...], post: Detect, what: str
) -> Reading:
    """Return the reading; a model whose outputs are these tensors stays as it is, in its own order."""
    if set(tensors) != set(graph.outputs):
        return Reading(what, post, without_tail(model, Head(tensors, names, post, post)))
    place = [list(graph.outputs).index(t) for t in tensors]
    if post.form == "centernet":
        return Reading(what, post.replace(scores_output=place[0], boxes=place[1], count=place[2]), model)
    moved = {name: tuple(place[k] for k in getattr(post, name)) for name in LEVELS}
    return Reading(what, post.replace(**moved), model)


def _names(levels: Mapping[int, list[int]], *kinds: str) -> tuple[str, ...]:
    return tuple(f"{kind}_{stride}" for kind in kinds for stride in levels)


def _squashed(graph: Graph, tensor: int) -> bool:
    op = graph.producer.get(tensor)
    return op is not None and op.op == "LOGISTIC"


def _score_form(graph: Graph, tensors: Sequence[int]) -> str:
    return "probabilities" if all(_squashed(graph, t) for t in tensors) else "sigmoid"


def _listed(strides: Sequence[int]) -> str:
    return ", ".join(map(str, strides))
