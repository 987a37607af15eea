"""Decoders of detectors against plain loops over their papers' formulas; suppression against onnxruntime's own."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qedge.errors import DataError, UsageError
from qedge.processing.detect import Detect, Detection, in_pixels
from qedge.processing.detection.grids import likely
from qedge.processing.detection.masks import mask_runs
from qedge.processing.detection.nms import non_max_suppression
from qedge.processing.image import ImagePreprocess
from qedge.processing.spec import postprocess_from_json

HEIGHT, WIDTH, CLASSES = 64, 96, 3
STRIDES = (8, 16, 32)
COMMON = {"input_size": (HEIGHT, WIDTH), "strides": STRIDES, "limit": 1000, "suppress": False}


def squash(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def cells():
    """Yield level, row, column and stride of every cell, in the heads' own order."""
    for level, stride in enumerate(STRIDES):
        for row in range(HEIGHT // stride):
            for column in range(WIDTH // stride):
                yield level, row, column, stride


def levels(rng, channels: int, low: float = -3) -> list[np.ndarray]:
    return [rng.normal(low, 2, (1, HEIGHT // s, WIDTH // s, channels)).astype(np.float32) for s in STRIDES]


def same(found: list[Detection], wanted: list[tuple[str, float, list[float]]]) -> None:
    """Compare with (label, score, left, top, right, bottom in pixels), in any order of equal scores."""
    assert len(found) == len(wanted) > 3
    for one, (label, score, pixels) in zip(found, sorted(wanted, key=lambda w: -w[1]), strict=True):
        left, top, right, bottom = pixels
        corners = [top / HEIGHT, left / WIDTH, bottom / HEIGHT, right / WIDTH]
        assert one.label == label
        assert one.score == pytest.approx(score, abs=1e-5)
        assert one.box == pytest.approx([min(1, max(0, c)) for c in corners], abs=1e-5)


@pytest.mark.parametrize("bins", [16, 1])
def test_anchor_free_heads_cut_off_before_decoding(bins) -> None:
    rng = np.random.default_rng(bins)
    boxes, scores = levels(rng, 4 * bins, 2), levels(rng, CLASSES)
    spec = Detect(
        "yolov8", **COMMON, box_outputs=(0, 2, 4), score_outputs=(1, 3, 5), bins=bins, threshold=0.3
    )
    outputs = [part for pair in zip(boxes, scores) for part in pair]
    wanted = []
    for level, row, column, stride in cells():
        sides = []
        for side in range(4):
            values = boxes[level][0, row, column, side * bins : (side + 1) * bins].astype(float)
            weights = [math.exp(v) for v in values]
            mean = sum(k * w for k, w in enumerate(weights)) / sum(weights)
            sides.append((mean if bins > 1 else values[0]) * stride)
        x, y = (column + 0.5) * stride, (row + 0.5) * stride
        for label in range(CLASSES):
            score = squash(scores[level][0, row, column, label])
            if score >= 0.3:
                wanted.append((str(label), score, [x - sides[0], y - sides[1], x + sides[2], y + sides[3]]))
    same(spec.apply(outputs, ()), wanted)
    # All levels in one output each, channels first: what some exporters leave.
    joined = [np.concatenate([p.reshape(-1, p.shape[-1]) for p in part]).T[None] for part in (boxes, scores)]
    whole = spec.replace(box_outputs=(0,), score_outputs=(1,), channel_axis=1)
    same(whole.apply(joined, ()), wanted)
    one = spec.replace(box_outputs=(), score_outputs=(), channel_axis=1, decoded=False)
    same(one.apply([np.concatenate(joined, axis=1)], ()), wanted)


def test_key_points_of_anchor_free_heads() -> None:
    """x and y as Ultralytics' pose head has them: twice the number from the corner of the cell, in strides."""
    rng = np.random.default_rng(15)
    boxes, scores, marks = levels(rng, 4, 0), levels(rng, 1, 0), levels(rng, 3 * 2, 0)
    spec = Detect(
        "yolov8", **COMMON, bins=1, threshold=0.6, iou=1.0, points=2, box_outputs=(0, 1, 2),
        score_outputs=(3, 4, 5), point_outputs=(6, 7, 8),
    )  # fmt: skip
    wanted = []
    for level, row, column, stride in cells():
        score = squash(scores[level][0, row, column, 0])
        if score >= 0.6:
            each = marks[level][0, row, column].reshape(2, 3).tolist()
            found = [((2 * x + column) * stride, (2 * y + row) * stride, squash(sure)) for x, y, sure in each]
            wanted.append((score, found))
    wanted.sort(key=lambda entry: -entry[0])
    objects = spec.apply([*boxes, *scores, *marks], ("person",))
    assert len(objects) == len(wanted) > 5
    for found, (score, points) in zip(objects, wanted):
        assert found.score == pytest.approx(score)
        assert np.allclose(found.points, [(y / HEIGHT, x / WIDTH, s) for x, y, s in points], atol=1e-5)
    fit = ImagePreprocess(WIDTH, HEIGHT, fit="letterbox")
    for before, after in zip(objects, in_pixels(objects, fit, 3 * HEIGHT, 3 * WIDTH)):
        assert np.allclose(after.points, np.multiply(before.points, (3 * HEIGHT, 3 * WIDTH, 1)))
    with pytest.raises(UsageError, match="points"):
        Detect("fomo", points=2)
    with pytest.raises(UsageError, match="masks"):
        Detect("yolox", masks=2)


def test_faces_have_the_root_of_two_scores_and_key_points() -> None:
    """YuNet, as its paper's code decodes it (arXiv 2202.02298): a loop over cells."""
    rng = np.random.default_rng(16)
    boxes, sure, scores, marks = levels(rng, 4, 0), levels(rng, 1, 0), levels(rng, 1, 0), levels(rng, 10, 0)
    spec = Detect(
        "yolox", **COMMON, threshold=0.7, decoded=False, root=True, points=5, box_outputs=(0, 1, 2),
        object_outputs=(3, 4, 5), score_outputs=(6, 7, 8), point_outputs=(9, 10, 11),
    )  # fmt: skip
    wanted = []
    for level, row, column, stride in cells():
        score = math.sqrt(squash(sure[level][0, row, column, 0]) * squash(scores[level][0, row, column, 0]))
        if score < 0.7:
            continue
        x, y, w, h = boxes[level][0, row, column].tolist()
        x, y = (column + x) * stride, (row + y) * stride
        w, h = math.exp(w) * stride / 2, math.exp(h) * stride / 2
        each = marks[level][0, row, column].reshape(5, 2).tolist()
        points = [((row + b) * stride / HEIGHT, (column + a) * stride / WIDTH, score) for a, b in each]
        box = ((y - h) / HEIGHT, (x - w) / WIDTH, (y + h) / HEIGHT, (x + w) / WIDTH)
        wanted.append((score, box, points))
    found = spec.decode([*boxes, *sure, *scores, *marks])
    assert len(found.scores) == len(wanted) > 5
    for k, (score, box, points) in enumerate(wanted):
        assert found.scores[k] == pytest.approx(score, abs=1e-5)
        assert np.allclose(found.boxes[k], box, rtol=1e-4, atol=1e-5)
        assert np.allclose(found.points[k], points, atol=1e-5)
    joined = [
        np.concatenate([p.reshape(1, -1, p.shape[-1]) for p in part], 1)
        for part in (boxes, sure, scores, marks)
    ]
    one = spec.replace(box_outputs=(), object_outputs=(), score_outputs=(), point_outputs=())
    assert np.allclose(one.decode([np.concatenate(joined, 2)]).points, found.points)


@given(st.integers(0, 1 << 30))
@settings(max_examples=30, deadline=None)
def test_a_mask_s_rectangles_are_its_cells(seed: int) -> None:
    """Each cell above 0 within the box is covered once, and nothing else."""
    rng = np.random.default_rng(seed)
    maps, weights = rng.normal(0, 1, (9, 7, 3)).astype(np.float32), rng.normal(0, 1, 3).astype(np.float32)
    box = np.sort(rng.uniform(-0.1, 1.1, (2, 2)), axis=0).reshape(4).astype(np.float32)
    covered = np.zeros((9, 7), int)
    runs = mask_runs(weights, maps, box)
    for top, left, bottom, right in np.rint(np.reshape(runs, (-1, 4)) * (9, 7, 9, 7)).astype(int):
        covered[top:bottom, left:right] += 1
    rows, columns = np.arange(9)[:, None], np.arange(7)
    within = (rows >= box[0] * 9) & (rows < box[2] * 9) & (columns >= box[1] * 7) & (columns < box[3] * 7)
    assert np.array_equal(covered, within & (maps @ weights > 0))


def test_masks_come_with_their_boxes_in_the_photo_s_pixels() -> None:
    rng = np.random.default_rng(16)
    whole = np.zeros((1, 4 + 2 + 3, 4), np.float32)
    whole[0, :4, 0] = (WIDTH / 2, HEIGHT / 2, WIDTH / 2, HEIGHT / 2)
    whole[0, 4, 0], whole[0, 6:, 0] = 0.9, (1, 0, 0)
    maps = rng.normal(0, 1, (1, 8, 8, 3)).astype(np.float32)
    maps[..., 0] = 1
    spec = Detect("yolov8", channel_axis=1, score_form="probabilities", masks=3, input_size=(HEIGHT, WIDTH))
    (found,) = spec.apply([whole, maps], ("cat", "dog"))
    assert (found.label, found.mask) == ("cat", ((0.25, 0.25, 0.75, 0.75),))
    (placed,) = in_pixels([found], ImagePreprocess(WIDTH, HEIGHT), 200, 400)
    assert placed.mask == ((50, 100, 150, 300),)
    with pytest.raises(DataError, match="prototypes"):
        spec.apply([whole, maps[..., :2]], ())
    with pytest.raises(DataError, match="output 1"):
        spec.apply([whole], ())


def test_anchor_free_heads_with_the_decoding_in_the_graph() -> None:
    rng = np.random.default_rng(5)
    whole = rng.random((1, 4 + CLASSES, 126)).astype(np.float32)
    whole[:, :4] *= 60
    spec = Detect("yolov8", **COMMON, channel_axis=1, score_form="probabilities").replace(
        suppress=True, iou=1.0
    )
    wanted = []
    for x, y, w, h, *scores in whole[0].T.tolist():
        best = max(range(CLASSES), key=scores.__getitem__)
        if scores[best] >= 0.5:
            wanted.append((str(best), scores[best], [x - w / 2, y - h / 2, x + w / 2, y + h / 2]))
    same(spec.apply([whole], ()), wanted)
    same(spec.replace(channel_axis=-1).apply([whole.transpose(0, 2, 1)], ()), wanted)


def test_anchors_of_yolov5_and_v7() -> None:
    rng = np.random.default_rng(6)
    sizes = tuple(float(v) for v in rng.integers(5, 60, 12))
    maps = levels(rng, 2 * (5 + CLASSES), 0)
    spec = Detect("yolov5", **COMMON, box_outputs=(0, 1, 2), decoded=False, anchor_sizes=sizes, threshold=0.3)
    wanted = []
    for level, row, column, stride in cells():
        for anchor in range(2):
            at = anchor * (5 + CLASSES)
            x, y, w, h, sure, *scores = (
                squash(v) for v in maps[level][0, row, column, at : at + 5 + CLASSES]
            )
            best = max(range(CLASSES), key=scores.__getitem__)
            if scores[best] * sure < 0.3:
                continue
            wide, tall = sizes[4 * level + 2 * anchor], sizes[4 * level + 2 * anchor + 1]
            cx, cy = (2 * x - 0.5 + column) * stride, (2 * y - 0.5 + row) * stride
            w, h = (2 * w) ** 2 * wide, (2 * h) ** 2 * tall
            wanted.append((str(best), scores[best] * sure, [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]))
    same(spec.apply(maps, ()), wanted)
    apart = [m.reshape(*m.shape[:3], 2, -1).transpose(0, 3, 1, 2, 4) for m in maps]
    same(spec.apply(apart, ()), wanted)


@pytest.mark.parametrize("apart", [False, True])
def test_yolox(apart) -> None:
    rng = np.random.default_rng(7)
    boxes, sure, scores = levels(rng, 4, 0), levels(rng, 1, 0), levels(rng, CLASSES, 0)
    spec = Detect("yolox", **COMMON, threshold=0.3, decoded=False)
    if apart:
        spec = spec.replace(box_outputs=(0, 3, 6), object_outputs=(1, 4, 7), score_outputs=(2, 5, 8))
        outputs = [part for level in zip(boxes, sure, scores) for part in level]
    else:
        joined = [np.concatenate(level, axis=3) for level in zip(boxes, sure, scores)]
        outputs = [np.concatenate([level.reshape(1, -1, 5 + CLASSES) for level in joined], axis=1)]
    wanted = []
    for level, row, column, stride in cells():
        values = [squash(v) for v in scores[level][0, row, column]]
        best = max(range(CLASSES), key=values.__getitem__)
        score = values[best] * squash(sure[level][0, row, column, 0])
        if score >= 0.3:
            x, y, w, h = boxes[level][0, row, column].tolist()
            x, y, w, h = (x + column) * stride, (y + row) * stride, math.exp(w) * stride, math.exp(h) * stride
            wanted.append((str(best), score, [x - w / 2, y - h / 2, x + w / 2, y + h / 2]))
    same(spec.apply(outputs, ()), wanted)


def test_rows_that_a_model_chose_itself() -> None:
    rows = np.array([[[8, 4, 40, 60, 0.9, 2], [0, 0, 9, 9, 0.7, 0], [1, 1, 5, 5, 0.1, 1]]], np.float32)
    found = Detect("top_k", input_size=(HEIGHT, WIDTH)).apply([rows], ("a", "b", "c"))
    assert [(d.label, d.score) for d in found] == [("c", pytest.approx(0.9)), ("a", pytest.approx(0.7))]
    assert found[0].box == pytest.approx((4 / HEIGHT, 8 / WIDTH, 60 / HEIGHT, 40 / WIDTH))
    with pytest.raises(DataError, match="rows of 7"):
        Detect("top_k").apply([np.zeros((1, 3, 7), np.float32)], ())


def test_peaks_of_a_heat_map() -> None:
    rng = np.random.default_rng(8)
    heat = rng.normal(0, 2, (1, 8, 12, CLASSES)).astype(np.float32)
    sizes, offsets = (rng.random((1, 8, 12, 2)).astype(np.float32) * k for k in (5, 1))
    spec = Detect("centernet", 0, 1, 2, 3, input_size=(HEIGHT, WIDTH), limit=1000)
    wanted = []
    for row in range(8):
        for column in range(12):
            for label in range(CLASSES):
                value = heat[0, row, column, label]
                near = heat[0, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2, label]
                if squash(value) >= 0.5 and value == near.max():
                    x, y = (np.array([column, row]) + offsets[0, row, column]) * 8
                    w, h = sizes[0, row, column] * 8
                    wanted.append((str(label), squash(value), [x - w / 2, y - h / 2, x + w / 2, y + h / 2]))
    same(spec.apply([sizes, np.zeros(1), heat, offsets], ()), wanted)


def test_patches_of_a_grid() -> None:
    scores = np.zeros((1, 8, 12, 3), np.float32)
    scores[0, :, :, 0] = 1
    for row, column, score in ((1, 1, 0.9), (2, 2, 0.8), (1, 2, 0.6), (7, 11, 0.7), (0, 6, 0.55)):
        scores[0, row, column, 1] = score
    scores[0, 2, 3, 2] = 0.95
    spec = Detect("fomo", scores_output=0, score_form="probabilities", background=True, input_size=(64, 96))
    found = spec.apply([scores], ("bolt", "nut"))
    assert [(d.label, round(d.score, 3)) for d in found] == [
        ("nut", 0.95), ("bolt", 0.9), ("bolt", 0.7), ("bolt", 0.55),
    ]  # fmt: skip
    assert found[1].box == pytest.approx((1 / 8, 1 / 12, 3 / 8, 3 / 12))
    assert spec.replace(threshold=0.99).apply([scores], ()) == []


def test_patches_are_those_of_a_flood_fill() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        on = rng.random((10, 9)) < 0.35
        left = {(int(r), int(c)) for r, c in zip(*np.nonzero(on))}
        boxes = []
        while left:
            patch, edge = set(), [left.pop()]
            while edge:
                row, column = edge.pop()
                patch.add((row, column))
                near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
                left -= near
                edge += near
            rows, columns = zip(*patch)
            boxes.append((min(rows) / 10, min(columns) / 9, (max(rows) + 1) / 10, (max(columns) + 1) / 9))
        spec = Detect("fomo", scores_output=0, score_form="probabilities", limit=99)
        found = spec.apply([on[None, :, :, None].astype(np.float32)], ())
        assert np.allclose(sorted(d.box for d in found), sorted(boxes), atol=1e-6)


@pytest.fixture(scope="module")
def runtime_nms():
    """Return onnxruntime's suppression: boxes (n, 4), scores (classes, n), iou, least score -> (class, box) pairs."""
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    names = ("boxes", "scores", "most", "iou", "least")
    kinds = (
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT64,
        *[onnx.TensorProto.FLOAT] * 2,
    )
    inputs = [
        onnx.helper.make_tensor_value_info(name, kind, [None] * 3 if k < 2 else [1])
        for k, (name, kind) in enumerate(zip(names, kinds))
    ]
    output = onnx.helper.make_tensor_value_info("kept", onnx.TensorProto.INT64, [None, 3])
    node = onnx.helper.make_node("NonMaxSuppression", names, ["kept"])
    graph = onnx.helper.make_graph([node], "nms", inputs, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(boxes, scores, iou, least):
        fed = (boxes[None], scores[None], np.array([len(boxes)], np.int64), f32(iou), f32(least))
        return {(int(c), int(b)) for _, c, b in session.run(None, dict(zip(names, fed)))[0]}

    return run


def f32(*values) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize("classes", [1, 4, 80])
@pytest.mark.parametrize("count", [7, 300, 1500])
def test_suppression_is_onnxruntime_s(runtime_nms, count, classes) -> None:
    rng = np.random.default_rng(count + classes)
    low = rng.random((count, 2)).astype(np.float32)
    boxes = np.concatenate([low, low + rng.random((count, 2)).astype(np.float32) * 0.3], axis=1)
    group = rng.integers(0, classes, count)
    sure = rng.permutation(count).astype(np.float32) / count + 0.1
    scores = np.zeros((classes, count), np.float32)
    scores[group, np.arange(count)] = sure
    for iou in (0.3, 0.7):
        kept = non_max_suppression(boxes, sure, group, iou, count)
        assert {(int(group[k]), int(k)) for k in kept} == runtime_nms(boxes, scores, iou, 0.05)
        assert (np.diff(sure[kept]) < 0).all()
        assert np.array_equal(non_max_suppression(boxes, sure, group, iou, 5), kept[:5])


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
@settings(max_examples=30, deadline=None)
def test_likely_places_are_the_same_in_either_layout(seed, logits, once) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((50, 4)).astype(np.float32)
    limit = 20 if once else None
    one = likely(scores, logits, 0.6, limit)
    other = likely(np.ascontiguousarray(scores.T).T, logits, 0.6, limit)
    assert all(np.array_equal(a, b) for a, b in zip(one, other))
    if not once:
        shown = 1 / (1 + np.exp(-scores)) if logits else scores
        assert np.array_equal(one.places, np.flatnonzero(shown.max(axis=1) >= 0.6))


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
def test_boxes_in_pixels_of_the_photo(fit) -> None:
    """A white square in a photo, found in the model's input, is where it was in the photo."""
    photo = np.zeros((300, 500, 3), np.uint8)
    photo[100:160, 200:290] = 255
    spec = ImagePreprocess(128, 128, fit=fit, fill=114)
    seen = spec.apply(photo)[0, :, :, 0]
    row, column = np.nonzero(seen > 200)
    box = (row.min() / 128, column.min() / 128, (row.max() + 1) / 128, (column.max() + 1) / 128)
    found = in_pixels([Detection("square", 1.0, box)], spec, 300, 500)
    assert found[0].box == pytest.approx((100, 200, 160, 290), abs=4)
    whole = in_pixels([Detection("all", 1.0, (0.0, 0.0, 1.0, 1.0))], spec, 300, 500)[0].box
    assert whole == pytest.approx((0, 100, 300, 400) if fit == "crop" else (0, 0, 300, 500))
    assert in_pixels([], spec, 300, 500) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"form": "yolov8", "box_outputs": [0, 1], "score_outputs": [2]},
        {"form": "yolox", "box_outputs": [0], "score_outputs": [1]},
        {"form": "yolov5", "decoded": False, "box_outputs": [0]},
        {"form": "yolov5", "decoded": False, "box_outputs": [0], "anchor_sizes": [1.0]},
        {"form": "yolov8", "channel_axis": 2},
        {"form": "yolov8", "bins": 0},
        {"form": "yolov8", "box_outputs": [-1]},
    ],
)
def test_a_head_that_contradicts_itself_is_refused(wrong) -> None:
    with pytest.raises(UsageError, match=r"found .*, expected"):
        postprocess_from_json({"kind": "detect", **wrong})


def test_other_outputs_than_described_are_refused() -> None:
    spec = Detect("yolov8", **COMMON, box_outputs=(0,), score_outputs=(1,))
    assert postprocess_from_json(json.loads(json.dumps(spec.to_json()))) == spec
    with pytest.raises(DataError, match="reads output 1, the model has 1 outputs"):
        spec.apply([np.zeros((1, 10, 64), np.float32)], ())
    with pytest.raises(DataError, match="have 10 places, input_size and strides make 126"):
        spec.apply([np.zeros((1, 10, 64), np.float32), np.ones((1, 10, 3), np.float32)], ())
    with pytest.raises(DataError, match="expected \\[1, places, channels\\]"):
        spec.apply([np.zeros((2, 10, 64), np.float32), np.ones((1, 10, 3), np.float32)], ())
