"""Decodings with exponents against anchors: taken off, with the anchors read off what they make of zeros."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_head_cut import CLASSES, SIDE, STRIDES, Net

import qedge
from qedge.errors import DataError
from qedge.frontends import SourceModel
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.pipeline.detector import bring, classes_of
from qedge.pipeline.request import BuildRequest
from qedge.processing.detect import Detect
from qedge.quantize.heads import cut_head
from qedge.quantize.heads.anchors import fit
from qedge.quantize.heads.shapes import read_shapes
from qedge.quantize.interpreter import Runner

SIZES = ((10.0, 14.0), (33.0, 23.0), (61.0, 45.0), (116.0, 90.0))
"""Two anchors a stride."""
EVERYTHING = {"threshold": 0.3, "iou": 0.5, "limit": 500}


def ended(net: Net, outputs: dict[str, int]) -> bytes:
    net.editor.inputs, net.editor.outputs = [net.image], list(outputs.values())
    net.editor.sign([("image", net.image)], list(outputs.items()))
    net.editor.sweep()
    return net.editor.pack()


def squashed(net: Net, tensor: int) -> int:
    return net.op("LOGISTIC", [tensor], net.editor.shape(tensor))


def grids(strides, each, middle: float, apart: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return middles (n, 2), strides (n, 1) and anchors (n, 2) in pixels; ``apart``: each anchor's grid by itself."""
    middles, steps, sizes, first = [], [], [], 0
    for stride, count in zip(strides, each):
        side = math.ceil(SIDE / stride)
        y, x = np.mgrid[:side, :side]
        cells = (np.stack([x, y], -1).reshape(-1, 2) + middle) * stride
        own = np.resize(np.array(SIZES), (first + count, 2))[first:]
        middles.append(np.tile(cells, (count, 1)) if apart else np.repeat(cells, count, axis=0))
        sizes.append(np.repeat(own, len(cells), axis=0) if apart else np.tile(own, (len(cells), 1)))
        steps.append(np.full((count * len(cells), 1), stride))
        first += count
    return tuple(np.concatenate(part).astype(np.float32) for part in (middles, steps, sizes))


def rows(net: Net, source: int, each: int, deep: int, apart: bool) -> int:
    """Return a map (1, h, w, each * deep) as rows (1, n, deep)."""
    places = net.count(source)
    if not apart:
        return net.reshape(source, 1, places * each, deep)
    raw = net.reshape(source, 1, places, each, deep)
    turned = net.op("TRANSPOSE", [raw, net.value((0, 2, 1, 3), np.int32)], (1, each, places, deep))
    return net.reshape(turned, 1, each * places, deep)


def corners_of(net: Net, centre: int, size: int) -> int:
    half = net.both("MUL", size, net.value(0.5))
    return net.join([net.both("SUB", centre, half), net.both("ADD", centre, half)], 2)


def yolo(scales: tuple[float, ...], how: str) -> bytes:
    """Return a net as YOLOv3 (scale 1) and v4 decode; ``how``: in words."""
    net, deep, apart = Net(2), 5 + CLASSES, "cells" not in how
    levels = [rows(net, net.conv(level, 2 * deep), 2, deep, apart) for level in net.levels]
    middles, steps, sizes = grids(STRIDES, (2, 2), 0.5, apart)
    counts = [2 * (SIDE // s) ** 2 for s in STRIDES]
    reach = np.repeat(np.array(scales, np.float32), counts)[:, None]
    if "coarsest first" in how:
        levels.reverse()
        middles, steps, sizes, reach = (np.roll(v, counts[1], axis=0) for v in (middles, steps, sizes, reach))
    whole = net.join(levels, 1)
    centre = net.both("SUB", squashed(net, net.pick(whole, 0, 2)), net.value(0.5))
    centre = net.both("ADD", net.both("MUL", centre, net.value(reach * steps)), net.value(middles))
    size = net.pick(whole, 2, 2)
    size = net.both("MUL", net.op("EXP", [size], net.editor.shape(size)), net.value(sizes))
    scores = squashed(net, net.pick(whole, 4, 1 + CLASSES))
    if "pixels" in how:
        return ended(net, {"out": net.join([centre, size, scores], 2)})
    centre, size = (net.both("MUL", part, net.value(1 / SIDE)) for part in (centre, size))
    boxes = corners_of(net, centre, size)
    scores = net.both("MUL", net.pick(scores, 0, 1), net.pick(scores, 1, CLASSES))
    return ended(net, {"boxes": net.reshape(boxes, 1, len(middles), 1, 4), "confs": scores})


def ssd(strides, each, how: str) -> bytes:
    """Return a net with encodings against anchors, which it decodes to corners; ``how``: in words."""
    net, softmax = Net(5), "softmax" in how
    count = 1 + CLASSES if softmax else CLASSES
    levels = list(net.levels)
    while len(levels) < len(strides):
        levels.append(net.conv(levels[-1], 8, 3, 2))
    boxes, scores = (
        net.join([rows(net, net.conv(level, n * a), a, n, False) for level, a in zip(levels, each)], 1)
        for n in (4, count)
    )
    middles, _, sizes = grids(strides, each, 0.0 if "corners of cells" in how else 0.5, False)
    middles, sizes = middles / SIDE, sizes / SIDE
    if "y first" in how:
        middles, sizes = middles[:, ::-1], sizes[:, ::-1]
    shift = net.both("MUL", net.pick(boxes, 0, 2), net.value(0.1 * sizes))
    centre = net.both("ADD", shift, net.value(middles))
    size = net.both("MUL", net.pick(boxes, 2, 2), net.value(0.2))
    size = net.both("MUL", net.op("EXP", [size], net.editor.shape(size)), net.value(sizes))
    if "y first" in how:
        centre, size = (net.join([net.pick(p, 1, 1), net.pick(p, 0, 1)], 2) for p in (centre, size))
    if softmax:
        scores = net.op("SOFTMAX", [scores], net.editor.shape(scores), {"beta": 1.0})
    else:
        scores = squashed(net, scores)
    corners = corners_of(net, centre, size)
    if "clipped" in how:
        for op, limit in (("MAXIMUM", 0.0), ("MINIMUM", 1.0)):
            corners = net.both(op, corners, net.value(limit))
    if "no batch" in how:
        corners = net.reshape(corners, len(middles), 4)
    return ended(net, {"scores": scores, "boxes": corners})


def yolov5(points: int, masks: int) -> bytes:
    """Return a net as YOLOv5 decodes, with key points of faces (in pixels, no score) or weights of masks and maps."""
    net, deep = Net(6), 5 + 2 * points + CLASSES + masks
    whole = net.join([rows(net, net.conv(level, 2 * deep), 2, deep, True) for level in net.levels], 1)
    middles, steps, sizes = grids(STRIDES, (2, 2), 0.5, True)
    shares = squashed(net, net.pick(whole, 0, 5))
    centre = net.both("SUB", net.pick(shares, 0, 2), net.value(0.5))
    centre = net.both("ADD", net.both("MUL", centre, net.value(2 * steps)), net.value(middles))
    size = net.both("MUL", net.pick(shares, 2, 2), net.value(2.0))
    size = net.both("MUL", net.both("MUL", size, size), net.value(sizes))
    parts = [centre, size, net.pick(shares, 4, 1)]
    for k in range(points):
        spot = net.both("MUL", net.pick(whole, 5 + 2 * k, 2), net.value(sizes))
        parts.append(net.both("ADD", spot, net.value(middles - 0.5 * steps)))
    parts.append(squashed(net, net.pick(whole, 5 + 2 * points, CLASSES)))
    if not masks:
        return ended(net, {"out": net.join(parts, 2)})
    parts.append(net.pick(whole, deep - masks, masks))
    return ended(net, {"out": net.join(parts, 2), "maps": net.conv(net.image, masks, 3, 4)})


def same_objects(model: bytes) -> None:
    """Compare what the cut model's post-processing finds with what the whole model's outputs say."""
    cut = cut_head(model)
    assert cut is not None
    real, ending, rng = Runner(model), Runner(cut.data), np.random.default_rng(9)
    for _ in range(3):
        image = [rng.normal(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)]
        outputs = real.predict(image)
        whole = outputs if cut.view is None else cut.view.together(outputs)
        wanted = cut.whole.replace(**EVERYTHING).apply(whole, ())
        found = cut.postprocess.replace(**EVERYTHING).apply(ending.predict(image), ())
        assert len(wanted) > 5
        assert [d.label for d in found] == [d.label for d in wanted]
        np.testing.assert_allclose([d.box for d in found], [d.box for d in wanted], atol=1e-4)
        np.testing.assert_allclose([d.score for d in found], [d.score for d in wanted], atol=1e-4)
        np.testing.assert_allclose([d.points for d in found], [d.points for d in wanted], atol=1e-4)
        assert [d.mask for d in found] == [d.mask for d in wanted]
        assert any(d.mask for d in found) == (cut.postprocess.masks > 0)


@pytest.mark.parametrize(
    "how", ["pixels", "pixels, cells", "pixels, coarsest first", "shares", "shares, cells"]
)
@pytest.mark.parametrize("scales", [(1.0, 1.0), (1.2, 1.05)])
def test_exponents_are_taken_off(scales: tuple[float, ...], how: str) -> None:
    model = yolo(scales, how)
    cut = cut_head(model)
    assert cut is not None
    post = cut.postprocess
    assert (post.form, post.exponential, post.centre_scales) == ("yolov5", True, scales)
    assert post.anchor_sizes == tuple(np.ravel(SIZES))
    assert {op.op for op in Graph.from_bytes(cut.data)} == {"CONV_2D"}
    same_objects(model)


@pytest.mark.parametrize(("points", "masks"), [(5, 0), (0, 4)])
def test_faces_and_masks_of_yolov5(points: int, masks: int) -> None:
    model = yolov5(points, masks)
    cut = cut_head(model)
    assert cut is not None
    post = cut.postprocess
    assert (post.form, post.exponential, post.points, post.masks) == ("yolov5", False, points, masks)
    graph = Graph.from_bytes(cut.data)
    assert {op.op for op in graph} == {"CONV_2D"}
    assert classes_of(post, [graph.tensors[t].shape for t in graph.outputs]) == CLASSES
    same_objects(model)


@pytest.mark.parametrize(
    ("strides", "each", "how"),
    [
        ((8, 16), (2, 2), "softmax"),
        ((8, 16), (1, 3), "softmax"),
        ((8, 16), (3, 2), "y first"),
        ((8, 16, 32), (2, 2, 2), "softmax, y first"),
        ((8, 16), (2, 2), "corners of cells"),
        ((8, 16), (2, 2), "clipped"),
        ((8, 16), (2, 2), "softmax, clipped, no batch"),
    ],
)
def test_anchors_are_read_off(strides, each, how) -> None:
    model = ssd(strides, each, how)
    cut = cut_head(model)
    assert cut is not None
    post = cut.postprocess
    assert (post.form, post.x_first, post.background) == ("anchors", "y first" not in how, "softmax" in how)
    assert post.clipped == ("clipped" in how)
    assert (post.strides, post.box_scales) == (strides, (10.0, 10.0, 5.0, 5.0))
    assert post.anchor_counts == (() if len(set(each)) == 1 else each)
    assert post.cell_middle == (0.0 if "corners of cells" in how else 0.5)
    np.testing.assert_allclose(
        post.anchor_sizes, np.resize(np.array(SIZES), (sum(each), 2)).ravel(), atol=1e-3
    )
    graph = Graph.from_bytes(cut.data)
    assert {op.op for op in graph} == {"CONV_2D"}
    assert len(graph.outputs) == 2 * len(strides)
    same_objects(model)


def test_cells_may_pass_the_edge_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of UltraFace at 240 x 320 do: 60 pixels are 8 cells of 8, and 4 of 16."""
    for module in ("test_head_cut", "test_head_anchors"):
        monkeypatch.setattr(f"{module}.SIDE", 60)
    model = ssd((8, 16), (3, 2), "softmax")
    cut = cut_head(model)
    assert cut is not None
    assert cut.postprocess.anchor_counts == (3, 2)
    image = [np.random.default_rng(9).normal(0, 1, (1, 60, 60, 3)).astype(np.float32)]
    whole = cut.whole.replace(threshold=0.0).decode(cut.view.together(Runner(model).predict(image)))
    found = cut.postprocess.replace(threshold=0.0).decode(Runner(cut.data).predict(image))
    np.testing.assert_allclose(found.boxes, whole.boxes, atol=1e-4)


def test_anchors_that_are_on_no_grid_are_not_made_up() -> None:
    middles, _, sizes = grids((8, 16), (2, 2), 0.5, False)
    boxes = np.concatenate([middles, sizes], axis=1) / SIDE
    levels = [(8, 8, 2), (4, 4, 2)]
    found = fit(boxes, levels, (SIDE, SIDE))
    assert found is not None
    assert (found.strides, found.middle, found.counts) == ((8, 16), 0.5, (2, 2))
    assert found.sizes == tuple(np.ravel(SIZES))
    for column, other in ((0, boxes[5, 0] + 0.05), (2, 1.1 * boxes[5, 2])):
        wrong = boxes.copy()
        wrong[5, column] = other
        assert fit(wrong, levels, (SIDE, SIDE)) is None
    assert fit(boxes[1:], levels, (SIDE, SIDE)) is None


def test_a_build_takes_exponents_off(tmp_path) -> None:
    (tmp_path / "net.tflite").write_bytes(yolo((1.0, 1.0), "pixels"))
    data = np.random.default_rng(0).normal(0, 1, (8, SIDE, SIDE, 3)).astype(np.float32)
    made = qedge.build(tmp_path / "net.tflite", data, targets="rpi", out=tmp_path / "build", method="minmax")
    rules = {f.rule: f.message for f in made.report.findings}
    assert "decode boxes (read as yolov5)" in rules["head-cut"]
    assert "head-gain" in rules
    with qedge.load(made.bundles["rpi"]) as model:
        assert model.postprocess.exponential
        assert len(model(data[0]).value) > 3


def test_an_image_without_a_batch_is_an_image(tmp_path) -> None:
    """torchvision's detectors take (3, h, w), and its lists of names begin with the background."""
    editor = Editor.from_bytes(ssd((8, 16), (2, 2), "softmax, clipped, no batch"))
    (image,), first = editor.inputs, editor.operators[0]
    planar = editor.tensor("planar", (3, SIDE, SIDE), "float32")
    batch = editor.tensor("batch", (1, 3, SIDE, SIDE), "float32")
    shape, order = (editor.constant(np.array(v, np.int32)) for v in ((1, 3, SIDE, SIDE), (0, 2, 3, 1)))
    ahead = [
        editor.operator("RESHAPE", [planar, shape], [batch]),
        editor.operator("TRANSPOSE", [batch, order], [image]),
    ]
    editor.replace([first], [*ahead, first])
    names = Graph.from_bytes(editor.pack()).output_names
    editor.inputs = [planar]
    editor.sign([("planar", planar)], list(zip(names, editor.outputs)))
    model = editor.pack()
    cut = cut_head(model)
    assert cut is not None
    assert cut.postprocess.form == "anchors"
    source = SourceModel(model, "float", "onnx", "net", "0" * 64, (), {}, {})
    for labels in (["background", *"abc"], [*"abc"]):
        brought = bring(source, BuildRequest(tmp_path / "net.onnx", [], tmp_path, labels=tuple(labels)))
        assert brought.labels == tuple("abc")
    with pytest.raises(DataError, match="found 5 labels, the detector has 3 classes"):
        bring(source, BuildRequest(tmp_path / "net.onnx", [], tmp_path, labels=tuple("abcde")))


def test_yolov2_is_asked_for_its_anchors() -> None:
    """Its classes are one distribution; what the hint asks for decodes it: a loop over its formulas."""
    net, deep = Net(4), 5 + CLASSES
    low = net.conv(net.levels[-1], 8, 3, 2)
    model = ended(net, {"grid": net.conv(low, 5 * deep)})
    reading = read_shapes(model)
    assert reading is not None
    assert reading.postprocess is None
    assert f"5 anchors a cell of {CLASSES} classes (YOLOv2)" in reading.what
    assert "centre_scales = [1]" in reading.hint
    sizes = [(20.0 + 10 * k, 50.0 - 8 * k) for k in range(5)]
    post = Detect(
        "yolov5", decoded=False, box_outputs=(0,), strides=(32,), input_size=(SIDE, SIDE), exponential=True,
        centre_scales=(1.0,), score_form="softmax", anchor_sizes=tuple(np.ravel(sizes)), threshold=0.0,
    )  # fmt: skip
    grid = np.random.default_rng(5).normal(0, 1, (1, 2, 2, 5 * deep)).astype(np.float32)
    found, k = post.decode([grid]), 0
    for row in range(2):
        for column in range(2):
            for anchor, (wide, high) in enumerate(sizes):
                x, y, w, h, sure, *logits = grid[0, row, column].reshape(5, deep)[anchor].tolist()
                middle = [(c + 1 / (1 + math.exp(-v))) * 32 for c, v in ((column, x), (row, y))]
                side = [wide * math.exp(w), high * math.exp(h)]
                box = [*(a - b / 2 for a, b in zip(middle, side)), *(a + b / 2 for a, b in zip(middle, side))]
                odds = np.exp(logits) / np.exp(logits).sum()
                assert found.scores[k] == pytest.approx(odds.max() / (1 + math.exp(-sure)), abs=1e-5)
                np.testing.assert_allclose(found.boxes[k][[1, 0, 3, 2]] * SIDE, box, rtol=1e-4)
                k += 1
    assert k == len(found.scores)


def test_a_tail_that_reads_the_image_too_is_left_alone() -> None:
    editor = Editor.from_bytes(yolo((1.0, 1.0), "pixels"))
    (image,), (end,) = editor.inputs, editor.outputs
    mean = editor.tensor("mean", (1, 1, 1, 1), "float32")
    axes = editor.constant(np.array([1, 2, 3], np.int32))
    editor.append(editor.operator("MEAN", [image, axes], [mean], {"keep_dims": True}))
    flat, shape = editor.tensor("flat", (1, 1, 1), "float32"), editor.constant(np.array([1, 1, 1], np.int32))
    editor.append(editor.operator("RESHAPE", [mean, shape], [flat]))
    moved = editor.tensor_like(end, "moved")
    editor.append(editor.operator("ADD", [end, flat], [moved]))
    editor.outputs = [moved]
    editor.sign([("image", image)], [("out", moved)])
    assert cut_head(editor.pack()) is None


def test_without_a_decoding_anchors_are_still_asked_for() -> None:
    net = Net(2)
    deep = 5 + CLASSES
    model = ended(net, {f"out{k}": net.conv(level, 3 * deep) for k, level in enumerate(net.levels)})
    assert cut_head(model) is None
    reading = read_shapes(model)
    assert reading is not None
    assert reading.postprocess is None
