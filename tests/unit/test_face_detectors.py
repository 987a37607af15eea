"""Published detectors of faces: decoders against plain loops over their published code, and how outputs are told."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_detection import HEIGHT, WIDTH, squash
from test_head_cut import SIDE, Net
from test_head_shapes import IMAGE, ended, squashed

import qedge
from qedge.errors import UsageError
from qedge.pipeline.detector import classes_of
from qedge.processing.detect import Detect
from qedge.quantize.heads.shapes import read_shapes
from qedge.quantize.interpreter import Runner

STRIDES = (8, 16, 32)
EVERYTHING = {"threshold": 0.0, "iou": 1.0, "limit": 1 << 20, "candidates": 1 << 20}


def deep(net: Net) -> list[int]:
    """Return the net's levels and a third at a stride of 32."""
    return [*net.levels, net.conv(net.levels[-1], 8, 3, 2)]


def places(each: int):
    """Yield row, column, stride and anchor of every place, levels one after the other."""
    for stride in STRIDES:
        for row in range(-(-HEIGHT // stride)):
            for column in range(-(-WIDTH // stride)):
                for anchor in range(each):
                    yield row, column, stride, anchor


def same(
    spec: Detect, outputs: list[np.ndarray], wanted: list[tuple[float, list[float], list[float]]]
) -> None:
    """Compare all places with (score, left, top, right, bottom, and x and y of the points, in pixels)."""
    found = spec.replace(**EVERYTHING).decode(outputs)
    assert len(found.scores) == len(wanted) > 50
    np.testing.assert_allclose(found.scores, [score for score, _, _ in wanted], atol=1e-5)
    sides = np.array([HEIGHT, WIDTH] * 2)
    corners = np.array([box for _, box, _ in wanted])[:, [1, 0, 3, 2]]
    np.testing.assert_allclose(found.boxes * sides, corners, rtol=1e-4, atol=1e-3)
    points = np.array([p for _, _, p in wanted]).reshape(len(wanted), -1, 2)[..., ::-1]
    assert found.points is not None
    np.testing.assert_allclose(found.points[..., :2] * sides[:2], points, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(
        found.points[..., 2], np.repeat(found.scores[:, None], points.shape[1], axis=1)
    )


def outputs_of(rng: np.random.Generator, count: int, *channels: int) -> list[np.ndarray]:
    return [rng.normal(0, 1, (1, count, n)).astype(np.float32) for n in channels]


def test_scrfd_gives_distances_from_the_corners_of_cells() -> None:
    """InsightFace's ``scrfd.py``: both places of a cell count from its corner, key points too, in strides."""
    rng, grid = np.random.default_rng(1), list(places(2))
    boxes, scores, marks = outputs_of(rng, len(grid), 4, 1, 10)
    spec = Detect(
        "yolov8", input_size=(HEIGHT, WIDTH), strides=STRIDES, bins=1, each=2, cell_middle=0.0, points=5,
        point_numbers=2, point_scale=1, box_outputs=(0,), score_outputs=(1,), point_outputs=(2,),
    )  # fmt: skip
    wanted = []
    for k, (row, column, stride, _) in enumerate(grid):
        x, y = column * stride, row * stride
        left, top, right, bottom = (v * stride for v in boxes[0, k].tolist())
        spots = [(v * stride + (y if n % 2 else x)) for n, v in enumerate(marks[0, k].tolist())]
        wanted.append((squash(scores[0, k, 0]), [x - left, y - top, x + right, y + bottom], spots))
    same(spec, [boxes, scores, marks], wanted)
    # A level each, with the places of a cell behind each other in its channels.
    levels, first = [], 0
    for stride in STRIDES:
        height, width = -(-HEIGHT // stride), -(-WIDTH // stride)
        count = 2 * height * width
        levels.append(
            [v[:, first : first + count].reshape(1, height, width, -1) for v in (boxes, scores, marks)]
        )
        first += count
    apart = spec.replace(box_outputs=(0, 3, 6), score_outputs=(1, 4, 7), point_outputs=(2, 5, 8))
    same(apart, [v for level in levels for v in level], wanted)


@pytest.mark.parametrize("sides", [(HEIGHT, WIDTH), (60, 90)])
def test_retinaface_has_two_square_anchors_a_cell(sides: tuple[int, int]) -> None:
    """Pytorch_Retinaface's ``prior_box.py`` and ``box_utils.py``, variances 0.1 and 0.2; also cells past the edge."""
    rng, grid = np.random.default_rng(2), list(places(2))
    boxes, scores, marks = outputs_of(rng, len(grid), 4, 2, 10)
    height, width = sides
    sizes = ((16, 32), (64, 128), (256, 512))
    spec = Detect(
        "anchors", input_size=sides, strides=STRIDES, x_first=True, background=True, score_form="softmax", points=5,
        anchor_sizes=tuple(float(s) for level in sizes for s in level for _ in range(2)),
        box_outputs=(0,), score_outputs=(1,), point_outputs=(2,),
    )  # fmt: skip
    wanted = []
    for k, (row, column, stride, anchor) in enumerate(grid):
        side = sizes[STRIDES.index(stride)][anchor]
        x, y = (column + 0.5) * stride, (row + 0.5) * stride
        dx, dy, dw, dh = boxes[0, k].tolist()
        x, y, w, h = (
            x + dx * 0.1 * side,
            y + dy * 0.1 * side,
            side * math.exp(dw * 0.2),
            side * math.exp(dh * 0.2),
        )
        middle = ((column + 0.5) * stride, (row + 0.5) * stride)
        spots = [middle[n % 2] + v * 0.1 * side for n, v in enumerate(marks[0, k].tolist())]
        odds = np.exp(scores[0, k].astype(float))
        scale = np.array([WIDTH / width, HEIGHT / height])  # shares of this image as pixels of the other
        box = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) * np.tile(scale, 2)
        spots = (np.reshape(spots, (5, 2)) * scale).ravel().tolist()
        wanted.append((float(odds[1] / odds.sum()), box.tolist(), spots))
    same(spec, [boxes, scores, marks], wanted)


def test_mediapipe_counts_pixels_from_the_middles_of_anchors() -> None:
    """MediaPipe's ``tensors_to_detections_calculator.cc`` with anchors of one size, x first, sizes no exponents."""
    rng, grid = np.random.default_rng(3), list(places(1))
    grid = [place for place in grid if place[2] == 8] + [p for p in grid if p[2] == 16 for _ in range(6)]
    boxes, scores = outputs_of(rng, len(grid), 16, 1)
    boxes *= 20
    spec = Detect(
        "anchors", boxes=0, scores_output=1, input_size=(HEIGHT, WIDTH), strides=(8, 16), anchor_counts=(1, 6),
        anchor_sizes=(WIDTH, HEIGHT) * 7, x_first=True, linear=True, points=6,
        box_scales=(HEIGHT, WIDTH, HEIGHT, WIDTH),
    )  # fmt: skip
    wanted = []
    for k, (row, column, stride, _) in enumerate(grid):
        middle = ((column + 0.5) * stride, (row + 0.5) * stride)
        x, y, w, h, *spots = boxes[0, k].tolist()
        x, y = x + middle[0], y + middle[1]
        box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        wanted.append((squash(scores[0, k, 0]), box, [v + middle[n % 2] for n, v in enumerate(spots)]))
    same(spec, [boxes, scores], wanted)


def test_centerface_has_shares_of_the_box_with_y_first() -> None:
    """CenterFace's ``centerface.py``: exponents of sizes, offsets from the middle of the cell, y before x."""
    rng, height, width = np.random.default_rng(4), HEIGHT // 4, WIDTH // 4
    heat, sizes, offsets, marks = (
        rng.normal(0, 1, (1, height, width, n)).astype(np.float32) for n in (1, 2, 2, 10)
    )
    spec = Detect(
        "centerface",
        scores_output=0,
        boxes=1,
        count=2,
        point_outputs=(3,),
        points=5,
        input_size=(HEIGHT, WIDTH),
    )
    wanted = []
    for row in range(height):
        for column in range(width):
            h, w = (4 * math.exp(v) for v in sizes[0, row, column].tolist())
            y, x = ((a + b + 0.5) * 4 for a, b in zip((row, column), offsets[0, row, column].tolist()))
            left, top = x - w / 2, y - h / 2
            spots = [(top + v * h, left + v * w)[n % 2] for n, v in enumerate(marks[0, row, column].tolist())]
            turned = np.reshape(spots, (5, 2))[:, ::-1].ravel().tolist()
            wanted.append((squash(heat[0, row, column, 0]), [left, top, left + w, top + h], turned))
    same(spec, [heat, sizes, offsets, marks], wanted)


def scrfd(net: Net, rows: bool) -> tuple[list[int], list[str]]:
    """Return scores, distances and key points of three levels, in SCRFD's order; ``rows``: as InsightFace exports."""
    kinds = []
    for kind, width in (("score", 1), ("bbox", 4), ("kps", 10)):
        maps = [net.conv(level, 2 * width) for level in deep(net)]
        if rows:
            maps = [net.reshape(t, 2 * net.count(t), width) for t in maps]
        kinds.append([squashed(net, t) for t in maps] if kind == "score" else maps)
    names = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in STRIDES]
    return [t for kind in kinds for t in kind], names


@pytest.mark.parametrize("rows", [True, False])
def test_scrfd_is_told_by_its_channels(rows: bool) -> None:
    model = ended(*(lambda net: (net, *scrfd(net, rows)))(Net(8)))
    reading = read_shapes(model)
    assert reading is not None
    assert "as SCRFD has them" in reading.what
    assert "--mean 127.5 --std 128" in reading.hint
    post = reading.postprocess
    assert post is not None
    assert (post.form, post.each, post.point_numbers, post.cell_middle) == ("yolov8", 2, 2, 0.0)
    assert post.score_form == ("sigmoid" if rows else "probabilities")
    scores, boxes, marks = (
        np.concatenate([o.reshape(-1, n) for o in Runner(model).predict([IMAGE])[first : first + 3]])
        for first, n in ((0, 1), (3, 4), (6, 10))
    )
    found = post.replace(**EVERYTHING).decode(Runner(reading.data).predict([IMAGE]))
    np.testing.assert_allclose(found.scores, scores[:, 0], atol=1e-5)
    joined = post.replace(
        box_outputs=(0,), score_outputs=(1,), point_outputs=(2,), score_form="probabilities"
    )
    wanted = joined.replace(**EVERYTHING).decode([boxes[None], scores[None], marks[None]])
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1e-5)
    np.testing.assert_allclose(found.points, wanted.points, atol=1e-5)


@pytest.mark.parametrize("how", ["rows", "logits"])
def test_retinaface_is_told_by_its_anchors(how: str) -> None:
    net = Net(9)
    maps = [[net.conv(level, 2 * n) for level in deep(net)] for n in (4, 2, 10)]
    outputs = [
        net.join([net.reshape(t, 1, 2 * net.count(t), n) for t in kind], 1)
        for kind, n in zip(maps, (4, 2, 10))
    ]
    if how == "rows":
        outputs[1] = net.op("SOFTMAX", [outputs[1]], net.editor.shape(outputs[1]), {"beta": 1.0})
    model = ended(net, outputs)
    reading = read_shapes(model)
    assert reading is not None
    assert "RetinaFace was published with" in reading.what
    post = reading.postprocess
    assert post is not None
    assert (post.form, post.points, post.background) == ("anchors", 5, True)
    assert post.score_form == ("probabilities" if how == "rows" else "softmax")
    assert classes_of(post, [o.shape for o in Runner(reading.data).predict([IMAGE])]) == 1
    found = post.replace(threshold=0.3, limit=1000).apply(Runner(reading.data).predict([IMAGE]), ("face",))
    assert len(found) > 5
    assert {len(d.points) for d in found} == {5}
    if how == "rows":
        boxes, scores, marks = Runner(model).predict([IMAGE])
        raw = post.replace(
            box_outputs=(0,), score_outputs=(1,), point_outputs=(2,), threshold=0.3, limit=1000
        )
        assert raw.apply([boxes, scores, marks], ("face",)) == found


def test_levels_of_retinaface_are_asked_for() -> None:
    """InsightFace's own and its port to PyTorch end alike, with other anchors."""
    net = Net(9)
    reading = read_shapes(ended(net, [net.conv(level, 2 * n) for n in (4, 2, 10) for level in deep(net)]))
    assert reading is not None
    assert reading.postprocess is None


def test_other_places_are_no_retinaface() -> None:
    net = Net(9)
    outputs = [net.flat([net.conv(level, n) for level in net.levels], n) for n in (4, 2, 10)]
    reading = read_shapes(ended(net, outputs))
    assert reading is not None
    assert reading.postprocess is None


@pytest.mark.parametrize(("numbers", "points"), [(16, 6), (18, 7), (12, 4)])
def test_mediapipe_is_told_by_as_many_places_as_its_anchors(numbers: int, points: int) -> None:
    net = Net(10)
    boxes, scores = (
        net.join(
            [net.reshape(net.conv(x, e * n), 1, e * net.count(x), n) for x, e in zip(net.levels, (2, 6))], 1
        )
        for n in (numbers, 1)
    )
    reading = read_shapes(ended(net, [scores, boxes]))
    assert reading is not None
    post = reading.postprocess
    assert post is not None
    assert (post.form, post.linear, post.points, post.anchor_counts) == ("anchors", True, points, (2, 6))
    assert (post.boxes, post.scores_output, post.box_scales) == (1, 0, (SIDE,) * 4)
    assert ("--range 0,1" if points == 7 else "--range=-1,1") in reading.hint
    found = post.replace(**EVERYTHING).decode(Runner(reading.data).predict([IMAGE]))
    assert found.points is not None
    assert found.points.shape == (len(found.scores), points, 3)


def test_centerface_is_told_by_its_channels_and_builds(tmp_path) -> None:
    net = Net(3)
    low = net.conv(net.image, 8, 5, 4)
    parts = [net.conv(low, n) for n in (1, 2, 2, 10)]
    (tmp_path / "net.tflite").write_bytes(ended(net, [squashed(net, parts[0]), *parts[1:]]))
    data = np.random.default_rng(0).normal(0, 1, (8, SIDE, SIDE, 3)).astype(np.float32)
    made = qedge.build(tmp_path / "net.tflite", data, targets="rpi", out=tmp_path / "build", method="minmax")
    (said,) = [f for f in made.report.findings if f.rule == "detector-outputs"]
    assert said.severity == "warning"
    assert "read as centerface, by their shapes alone" in said.message
    assert "--range 0,255" in said.hint
    with qedge.load(made.bundles["rpi"]) as model:
        assert isinstance(model.postprocess, Detect)
        assert model.postprocess.form == "centerface"
        found = model(data[0]).value
    assert len(found) > 3
    assert {len(d.points) for d in found} == {5}


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 0, 1), (2, 0, 3, 1)])
def test_centerface_in_any_order(order: tuple[int, ...]) -> None:
    net, names = Net(3), ["heat", "scale", "offset", "landmarks"]
    low = net.conv(net.image, 8, 5, 4)
    parts = [net.conv(low, n) for n in (1, 2, 2, 10)]
    reading = read_shapes(ended(net, [parts[k] for k in order], [names[k] for k in order]))
    assert reading is not None
    post = reading.postprocess
    assert post is not None
    read = (post.scores_output, post.boxes, post.count, *post.point_outputs)
    assert [names[order[k]] for k in read] == names


@pytest.mark.parametrize(
    "fields",
    [
        {"form": "anchors", "anchor_counts": (1, 2), "strides": (8,), "anchor_sizes": (8.0,) * 6},
        {"form": "anchors", "anchor_counts": (1, 2), "strides": (8, 16), "anchor_sizes": (8.0,) * 4},
        {"form": "yolov8", "each": 0},
        {"form": "yolov8", "each": 2},
        {"form": "yolov8", "point_numbers": 4},
        {"form": "centerface", "points": 5, "point_outputs": (3, 4)},
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict) -> None:
    with pytest.raises(UsageError):
        Detect(**fields)
