"""Boxes that are turned (Ultralytics' obb): decoded against a loop, suppressed by how alike they are, and cut off."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_detection import COMMON, HEIGHT, WIDTH, cells, levels, squash
from test_head_cut import CLASSES, SIDE, STRIDES, Net
from test_head_cut import cells as places
from test_head_shapes import IMAGE

import qedge
from qedge.errors import UsageError
from qedge.frontends import SourceModel
from qedge.graph import Graph
from qedge.pipeline.detector import bring
from qedge.pipeline.request import BuildRequest
from qedge.processing.detect import Detect, in_pixels
from qedge.processing.detection.turned import alike, corners_of
from qedge.processing.image import ImagePreprocess
from qedge.quantize.heads import cut_head
from qedge.quantize.interpreter import Runner


def test_distances_are_along_the_sides_of_the_box() -> None:
    rng = np.random.default_rng(18)
    boxes, scores, angles = levels(rng, 4, 2), levels(rng, CLASSES, 0), levels(rng, 1, 0)
    spec = Detect(
        "yolov8", **COMMON, bins=1, threshold=0.6, turned=True, box_outputs=(0, 1, 2), score_outputs=(3, 4, 5),
        angle_outputs=(6, 7, 8),
    )  # fmt: skip
    wanted = []
    for level, row, column, stride in cells():
        left, top, right, bottom = boxes[level][0, row, column].tolist()
        angle = (squash(angles[level][0, row, column, 0]) - 0.25) * math.pi
        cos, sin = math.cos(angle), math.sin(angle)
        corners = [
            ((column + 0.5 + x * cos - y * sin) * stride, (row + 0.5 + x * sin + y * cos) * stride)
            for x, y in ((right, bottom), (right, -top), (-left, -top), (-left, bottom))
        ]
        for label in range(CLASSES):
            score = squash(scores[level][0, row, column, label])
            if score >= 0.6:
                wanted.append((score, str(label), corners))
    wanted.sort(key=lambda entry: -entry[0])
    found = spec.apply([*boxes, *scores, *angles], ())
    assert len(found) == len(wanted) > 5
    for one, (score, label, corners) in zip(found, wanted):
        assert one.label == label
        assert one.score == pytest.approx(score, abs=1e-5)
        shares = [(y / HEIGHT, x / WIDTH) for x, y in corners]
        np.testing.assert_allclose([p[:2] for p in one.points], shares, atol=1e-4)
        around = [*np.min(shares, axis=0), *np.max(shares, axis=0)]
        np.testing.assert_allclose(one.box, np.clip(around, 0, 1), atol=1e-4)
    fit = ImagePreprocess(WIDTH, HEIGHT, fit="letterbox")
    for before, after in zip(found, in_pixels(found, fit, 3 * HEIGHT, 3 * WIDTH)):
        assert np.allclose(after.points, np.multiply(before.points, (3 * HEIGHT, 3 * WIDTH, 1)))
    for fields in (
        {"form": "yolox"},
        {"form": "yolov8", "points": 2},
        {"form": "yolov8", "box_outputs": (0,)},
    ):
        with pytest.raises(UsageError):
            Detect(turned=True, **fields)


def test_how_alike_boxes_are() -> None:
    """The distance between normal distributions (arXiv 2106.06072), by its matrices."""
    rng = np.random.default_rng(19)
    boxes = np.concatenate([rng.uniform(20, 60, (12, 4)), rng.uniform(-1, 2, (12, 1))], axis=1).astype(
        np.float32
    )
    found = alike(boxes[:, None], boxes)
    for i, a in enumerate(boxes.astype(float)):
        for j, b in enumerate(boxes.astype(float)):
            spreads = []
            for _, _, w, h, angle in (a, b):
                turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
                spreads.append(turn @ np.diag([w * w / 12, h * h / 12]) @ turn.T)
            both, apart = sum(spreads) / 2, a[:2] - b[:2]
            distance = apart @ np.linalg.inv(both) @ apart / 8
            dets = [np.linalg.det(s) for s in (both, *spreads)]
            distance += math.log(dets[0] / math.sqrt(dets[1] * dets[2])) / 2
            assert found[i, j] == pytest.approx(1 - math.sqrt(max(0, 1 - math.exp(-distance))), abs=1e-3)
    turned = boxes.copy()
    turned[:, [2, 3]], turned[:, 4] = turned[:, [3, 2]], turned[:, 4] + math.pi / 2
    assert (alike(boxes, turned) > 0.999).all()  # the same boxes
    sides = np.linalg.norm(np.diff(corners_of(boxes), axis=1), axis=2)
    np.testing.assert_allclose(np.sort(sides[:, :2]), np.sort(boxes[:, 2:4]), rtol=1e-4)


def test_boxes_that_cross_are_two_objects() -> None:
    """Their upright boxes are the same, they are not."""
    spec = Detect(
        "yolov8",
        input_size=(64, 64),
        strides=(8,),
        turned=True,
        threshold=0.5,
        iou=0.5,
        score_form="probabilities",
    )
    rows = [
        [32, 32, 50, 6, 0.9, np.pi / 4],
        [32, 32, 50, 6, 0.8, -np.pi / 4],
        [33, 32, 50, 6, 0.7, np.pi / 4],
    ]
    found = spec.apply([np.array([rows], np.float32)], ("ship",))
    assert [round(d.score, 3) for d in found] == [0.9, 0.8]
    np.testing.assert_allclose(found[0].box, found[1].box, atol=1e-5)


def test_rows_that_a_model_chose_have_the_angle_last() -> None:
    box, angle = [30.0, 20.0, 24.0, 10.0], 0.5
    chosen = Detect("top_k", input_size=(HEIGHT, WIDTH), turned=True, threshold=0.5)
    whole = Detect(
        "yolov8", input_size=(HEIGHT, WIDTH), turned=True, threshold=0.5, score_form="probabilities"
    )
    (one,) = chosen.apply([np.array([[[*box, 0.9, 1, angle], [*box, 0.3, 0, angle]]], np.float32)], "ab")
    (other,) = whole.apply([np.array([[[*box, 0.1, 0.9, angle]]], np.float32)], "ab")
    assert one == other
    assert one.label == "b"


def obb(plain: bool) -> bytes:
    """Return a net that decodes turned boxes as that package does: (1, places, 4 + classes + 1); ``plain``: as 26."""
    net = Net(8)
    boxes, scores, angle = (
        net.flat([net.conv(level, n) for level in net.levels], n) for n in (4, CLASSES, 1)
    )
    points, steps = places(strides=STRIDES)
    shape = net.editor.shape(angle)
    if not plain:
        angle = net.both("SUB", net.op("LOGISTIC", [angle], shape), net.value(0.25))
        angle = net.both("MUL", angle, net.value(math.pi))
    cos, sin = (net.op(op, [angle], shape) for op in ("COS", "SIN"))
    low, high = net.pick(boxes, 0, 2), net.pick(boxes, 2, 2)
    moved = net.both("MUL", net.both("SUB", high, low), net.value(0.5))
    x, y = net.pick(moved, 0, 1), net.pick(moved, 1, 1)
    across = net.both("SUB", net.both("MUL", x, cos), net.both("MUL", y, sin))
    down = net.both("ADD", net.both("MUL", x, sin), net.both("MUL", y, cos))
    centre = net.both("ADD", net.join([across, down], 2), net.value(points + 0.5))
    box = net.both("MUL", net.join([centre, net.both("ADD", low, high)], 2), net.value(steps))
    return net.finish(net.join([box, net.op("LOGISTIC", [scores], net.editor.shape(scores)), angle], 2))


@pytest.mark.parametrize("plain", [False, True])
def test_the_decoding_of_turned_boxes_is_taken_off(plain: bool, tmp_path) -> None:
    model = obb(plain)
    cut = cut_head(model)
    assert cut is not None
    assert (cut.postprocess.form, cut.postprocess.turned, len(cut.postprocess.angle_outputs)) == (
        "yolov8",
        True,
        2,
    )
    assert cut.postprocess.plain_angle == plain
    assert {op.op for op in Graph.from_bytes(cut.data)} == {"CONV_2D"}
    wanted, found = (
        post.replace(threshold=0.3, limit=500).apply(Runner(data).predict([IMAGE]), ())
        for post, data in ((cut.whole, model), (cut.postprocess, cut.data))
    )
    assert len(found) == len(wanted) > 5
    np.testing.assert_allclose([d.points for d in found], [d.points for d in wanted], atol=1e-4)
    notes = {"task": "obb", "names": "{0: 'a', 1: 'b', 2: 'c'}"}
    source = SourceModel(model, "float", "onnx", "net", "0" * 64, (), {}, notes)
    brought = bring(source, BuildRequest(tmp_path / "net.onnx", [], tmp_path))
    assert brought.cut is not None
    assert brought.labels == ("a", "b", "c")
    if plain:
        return
    (tmp_path / "net.tflite").write_bytes(model)
    data = np.random.default_rng(0).normal(0, 1, (8, SIDE, SIDE, 3)).astype(np.float32)
    made = qedge.build(tmp_path / "net.tflite", data, targets="rpi", out=tmp_path / "build", method="minmax")
    with qedge.load(made.bundles["rpi"]) as loaded:
        boxes = loaded(data[0]).value
    assert len(boxes) > 3
    assert {len(d.points) for d in boxes} == {4}
