"""Boxes and scores that a model decodes in a way that is not known: told by their numbers, or named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_head_cut import CLASSES, SIDE, STRIDES, Net, cells
from test_head_shapes import IMAGE, ended, raw, squashed

import qedge
from qedge.cli._app import run
from qedge.errors import DataError
from qedge.frontends import SourceModel
from qedge.frontends.exported import OVERLAP
from qedge.graph import Graph
from qedge.pipeline.detector import bring
from qedge.pipeline.request import BuildRequest
from qedge.processing.detect import Detect
from qedge.quantize.heads.columns import bounds_of, columns_apart
from qedge.quantize.heads.numbers import Boxes, anchors_of, on_a_grid, told_of_boxes
from qedge.quantize.heads.shapes import read_shapes
from qedge.quantize.interpreter import Runner

QUERIES = 150


def queries(net: Net, wide: int) -> int:
    """Return numbers (1, QUERIES, wide) that depend on the image, as a transformer's last layer gives them."""
    flat = net.reshape(net.conv(net.levels[1], 4), 1, 64)
    weights = net.value(net.rng.normal(0, 0.3, (QUERIES * wide, 64)))
    fields = {"keep_num_dims": False, "fused_activation_function": 0, "weights_format": 0}
    made = net.op("FULLY_CONNECTED", [flat, weights, -1], (1, QUERIES * wide), fields)
    return net.reshape(made, 1, QUERIES, wide)


def plain(model: bytes) -> list[np.ndarray]:
    return [np.asarray(o, np.float64) for o in Runner(model).predict([IMAGE])]


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """Return (top, left, bottom, right) of centres and sizes (x, y, w, h)."""
    x, y, w, h = boxes.T
    return np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=1)


@pytest.mark.parametrize("how", ["two", "two, scores first", "joined", "joined, probabilities", "turned"])
def test_queries_of_a_transformer_are_boxes_and_scores(how: str) -> None:
    net = Net(2)
    boxes, scores = squashed(net, queries(net, 4)), queries(net, CLASSES)
    if "probabilities" in how:
        scores = squashed(net, scores)
    if how == "turned":
        order = net.value([0, 2, 1], np.int32)
        joined = net.join([boxes, scores], 2)
        model = ended(net, [net.op("TRANSPOSE", [joined, order], (1, 4 + CLASSES, QUERIES))])
    elif "joined" in how:
        model = ended(net, [net.join([boxes, scores], 2)])
    else:
        model = ended(net, [scores, boxes] if "first" in how else [boxes, scores])
    reading = read_shapes(model)
    assert reading is not None
    assert (
        "150 queries of a transformer with boxes (centres and sizes, as shares of the image)" in reading.what
    )
    post = reading.postprocess
    assert post is not None
    assert (post.form, post.suppress, post.corners, post.input_size) == ("pairs", False, False, (1, 1))
    assert post.boxes != post.scores_output
    outputs = plain(model)
    if len(outputs) == 1:
        whole = outputs[0][0].T if how == "turned" else outputs[0][0]
        outputs = [whole[None, :, :4], whole[None, :, 4:]]
    elif "first" in how:
        outputs.reverse()
    sure = outputs[1][0] if "probabilities" in how else 1 / (1 + np.exp(-outputs[1][0]))
    found = post.replace(threshold=0.6).decode(Runner(reading.data).predict([IMAGE]))
    wanted = [(sure[k, c], c, *corners_of(outputs[0][0])[k]) for k, c in zip(*np.nonzero(sure >= 0.6))]
    assert len(found.scores) == len(wanted) > 5
    got = np.column_stack([found.scores, found.classes, found.boxes])
    np.testing.assert_allclose(sorted(got.tolist()), sorted(wanted), atol=1e-5)


def test_a_softmax_of_queries_has_a_class_for_none() -> None:
    net = Net(2)
    model = ended(net, [squashed(net, queries(net, 4)), queries(net, CLASSES + 1)], ["pred_boxes", "logits"])
    for labels, form in ((CLASSES, "softmax"), (CLASSES + 1, "sigmoid"), (None, "sigmoid")):
        reading = read_shapes(model, labels)
        assert reading is not None
        assert reading.postprocess is not None
        assert (reading.postprocess.score_form, reading.postprocess.last_is_none) == (form, form == "softmax")
    post = read_shapes(model, CLASSES).postprocess
    outputs = plain(model)
    odds = np.exp(outputs[1][0])
    odds /= odds.sum(axis=1, keepdims=True)
    found = post.replace(threshold=0.3, suppress=True, candidates=500).decode(Runner(model).predict([IMAGE]))
    keep = odds[:, :-1].max(axis=1) >= 0.3
    assert 5 < keep.sum() < QUERIES
    np.testing.assert_array_equal(found.classes, odds[keep, :-1].argmax(axis=1))
    np.testing.assert_allclose(found.boxes, corners_of(outputs[0][0][keep]), atol=1e-5)


def decoded(net: Net, how: str) -> bytes:
    """Return boxes of sides that no head of YOLO has (a hyperbolic tangent), and scores, as ``how`` says."""
    sides, low = 4, 0.0
    boxes = net.flat([net.conv(level, sides) for level in net.levels], sides)
    scores = squashed(net, net.flat([net.conv(level, CLASSES) for level in net.levels], CLASSES))
    points, steps = cells(strides=STRIDES)
    width = net.op("TANH", [boxes], net.editor.shape(boxes))
    width = net.both("ADD", width, net.value(1.5 + low))
    middle, steps = net.value(points + 0.5), net.value(steps)
    first = net.both("SUB", middle, net.pick(width, 0, 2))
    last = net.both("ADD", middle, net.pick(width, 2, 2))
    if "corners" not in how:
        first, last = (
            net.both("MUL", net.both("ADD", first, last), net.value(0.5)),
            net.both("SUB", last, first),
        )
    first, last = (net.both("MUL", part, steps) for part in (first, last))
    if "shares" in how:
        first, last = (net.both("MUL", part, net.value(1 / SIDE)) for part in (first, last))
    if "objects" in how:
        sure = squashed(net, net.flat([net.conv(level, 1) for level in net.levels], 1))
        return ended(net, [net.join([first, last, sure, scores], 2)])
    if "joined" in how:
        return ended(net, [net.join([first, last, scores], 2)])
    if "other layout" in how:
        places = net.editor.shape(scores)[1]
        scores = net.op("TRANSPOSE", [scores, net.value([0, 2, 1], np.int32)], (1, CLASSES, places))
    return ended(net, [net.join([first, last], 2), scores])


@pytest.mark.parametrize(
    "how",
    ["centres", "corners", "corners, shares", "centres, joined", "corners, joined", "corners, other layout"],
)
def test_decoded_boxes_are_told_by_their_numbers(how: str) -> None:
    model = decoded(Net(5), how)
    reading = read_shapes(model)
    assert reading is not None
    assert reading.told_by == "by the numbers that they have for random images"
    post = reading.postprocess
    assert post is not None
    assert (post.form, post.suppress, post.corners) == ("pairs", True, "corners" in how)
    assert post.input_size == ((1, 1) if "shares" in how else (SIDE, SIDE))
    outputs = plain(model)
    if len(outputs) == 1:
        outputs = [outputs[0][..., :4], outputs[0][..., 4:]]
    boxes, scores = outputs[0][0], outputs[1][0].T if "layout" in how else outputs[1][0]
    boxes = boxes[:, [1, 0, 3, 2]] if "corners" in how else corners_of(boxes)
    found = post.replace(threshold=0.0).decode(Runner(reading.data).predict([IMAGE]))
    np.testing.assert_allclose(found.boxes, boxes / post.input_size[0], atol=1e-5)
    np.testing.assert_allclose(found.scores, scores.max(axis=1), atol=1e-6)
    graph = Graph.from_bytes(reading.data)
    assert len(graph.outputs) == 2  # a scale each


def test_objectness_is_told_by_the_labels_or_by_where_it_is_joined() -> None:
    model = decoded(Net(5), "objects")
    whole = plain(model)[0][0]
    for labels in (None, CLASSES):
        reading = read_shapes(model, labels)
        assert reading is not None
        assert reading.postprocess is not None
        assert reading.postprocess.form == "yolox"
        graph = Graph.from_bytes(reading.data)
        assert set(graph.output_names) == {"boxes", "objectness", "scores"}
        names = [t.name for t in graph.tensors]
        assert all(names.count(name) == 1 for name in graph.output_names)  # figures are looked up by name
        found = reading.postprocess.replace(threshold=0.0).decode(Runner(reading.data).predict([IMAGE]))
        np.testing.assert_allclose(found.scores, (whole[:, 5:] * whole[:, 4:5]).max(axis=1), atol=1e-6)
        np.testing.assert_allclose(found.boxes, corners_of(whole[:, :4]) / SIDE, atol=1e-5)
    plainly = read_shapes(model, CLASSES + 1)
    assert plainly is not None
    assert plainly.postprocess is not None
    assert plainly.postprocess.form == "pairs"


def test_what_is_read_by_its_numbers_builds_with_a_scale_each(tmp_path) -> None:
    (tmp_path / "net.tflite").write_bytes(decoded(Net(5), "corners, joined"))
    data = np.random.default_rng(0).normal(0, 1, (8, SIDE, SIDE, 3)).astype(np.float32)
    made = qedge.build(
        tmp_path / "net.tflite",
        data,
        targets="rpi",
        out=tmp_path / "build",
        method="minmax",
        labels=["a", "b", "c"],
    )
    (said,) = [f for f in made.report.findings if f.rule == "detector-outputs"]
    assert said.severity == "warning"
    assert "read as pairs, by the numbers that they have for random images: 80 places" in said.message
    with qedge.load(made.bundles["rpi"]) as model:
        assert isinstance(model.postprocess, Detect)
        scales = [o.scale for o in model.outputs]
    assert max(scales) > 20 * min(scales)
    with pytest.raises(DataError, match="found 5 labels, the detector has 3 classes"):
        qedge.build(
            tmp_path / "net.tflite", data, targets="rpi", out=tmp_path / "other", labels=list("abcde")
        )


def test_the_overlap_of_a_suppression_that_was_left_out_holds(tmp_path) -> None:
    model = decoded(Net(5), "corners")
    source = SourceModel(model, "float", "onnx", "net", "0" * 64, (), {}, {OVERLAP: "0.45"})
    brought = bring(source, BuildRequest(tmp_path / "net.onnx", [], tmp_path))
    assert isinstance(brought.postprocess, Detect)
    assert (brought.postprocess.form, brought.postprocess.iou) == ("pairs", 0.45)


def test_planar_images_and_outputs_without_a_batch_are_read_too() -> None:
    """SSD of torchvision without its suppression: channels first, boxes (n, 4), a softmax with the background first."""
    net = Net(5)
    decoded(net, "corners, shares")
    boxes, scores = net.editor.outputs
    places = net.editor.shape(boxes)[1]
    spread = net.op("SOFTMAX", [scores], net.editor.shape(scores), {"beta": 30.0})
    flat = net.reshape(boxes, places, 4)
    planar = net.editor.tensor("planar", (1, 3, SIDE, SIDE), "float32")
    order = net.value([0, 2, 3, 1], np.int32)
    first = net.editor.operators[0]
    turn = net.editor.operator("TRANSPOSE", [planar, order], [net.image])
    net.editor.replace([first], [turn, first])
    net.editor.inputs, net.editor.outputs = [planar], [spread, flat]
    net.editor.sign([("planar", planar)], [("scores", spread), ("boxes", flat)])
    model = net.editor.pack()
    reading = read_shapes(model)
    assert reading is not None
    post = reading.postprocess
    assert post is not None
    assert (post.form, post.background, post.corners, post.input_size) == ("pairs", True, True, (1, 1))
    image = [IMAGE.transpose(0, 3, 1, 2)]
    odds, corners = Runner(model).predict(image)
    found = post.replace(threshold=0.0).decode(Runner(reading.data).predict(image))
    np.testing.assert_allclose(found.boxes, corners[:, [1, 0, 3, 2]], atol=1e-6)
    np.testing.assert_array_equal(found.classes, odds[0, :, 1:].argmax(axis=1))


def test_what_cannot_be_decoded_is_told_without_being_asked(tmp_path, capfd) -> None:
    net = Net(3)
    parts = [net.conv(net.levels[0], n) for n in (1, 2, 2, 8)]  # four key points, where CenterFace has five
    (tmp_path / "net.tflite").write_bytes(ended(net, [squashed(net, parts[0]), *parts[1:]]))
    np.save(
        tmp_path / "data.npy", np.random.default_rng(0).normal(0, 1, (4, SIDE, SIDE, 3)).astype(np.float32)
    )
    asked = [str(tmp_path / "net.tflite"), "--data", str(tmp_path / "data.npy"), "-t", "rpi"]
    for command in (["check"], ["build", "--out", str(tmp_path / "build"), "--method", "minmax"]):
        assert run([*command, *asked]) == 0
        told = " ".join("".join(capfd.readouterr()).split())
        assert "the outputs are maps at stride 8" in told
        assert "hint: end the model with decoded boxes" in told


def test_a_quantised_model_is_read_as_it_is(tmp_path) -> None:
    """What Ultralytics' full-integer TFLite has: one int8 output of shares and probabilities, in one scale."""
    net = Net(5)
    decoded(net, "centres, shares, joined")
    model = net.editor.pack()
    data = np.random.default_rng(0).random((8, SIDE, SIDE, 3)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=data)
    (tmp_path / "net.tflite").write_bytes(model)
    made = qedge.build(
        tmp_path / "net.tflite", data, targets="rpi", out=tmp_path / "build", method="minmax", cut_head=False
    )
    (tmp_path / "int8.tflite").write_bytes((made.bundles["rpi"] / "model.tflite").read_bytes())
    again = qedge.build(tmp_path / "int8.tflite", data, targets="rpi", out=tmp_path / "build")
    (said,) = [f for f in again.report.findings if f.rule == "detector-outputs"]
    assert "80 places with boxes (centres and sizes, as shares of the image)" in said.message
    assert "one int8 output of boxes and scores together is coarse" in said.hint
    with qedge.load(again.bundles["rpi"]) as loaded:
        post = loaded.postprocess
        assert isinstance(post, Detect)
        (rows,) = loaded(data[0])._real
    assert (post.form, post.boxes, post.scores_output, post.input_size) == ("pairs", 0, 0, (1, 1))
    found = post.replace(threshold=0.0).decode([rows])
    np.testing.assert_allclose(found.boxes, corners_of(rows[0, :, :4]), atol=1e-6)
    np.testing.assert_allclose(found.scores, rows[0, :, 4:].max(axis=1))


@pytest.mark.parametrize(
    ("widths", "said"),
    [
        ((2, 4, 10), "2, 4, 10 numbers for each of 80 places"),
        ((CLASSES, 4, 4), "3, 4, 4 numbers"),
    ],
)
@pytest.mark.parametrize("joined", [True, False])
def test_rows_of_more_than_boxes_and_scores_are_named(widths: tuple, said: str, joined: bool) -> None:
    """FCOS, RetinaFace: something that is multiplied in, or key points."""
    net = Net(3)
    parts = [
        [net.reshape(net.conv(level, n), 1, net.count(level), n) for level in net.levels] for n in widths
    ]
    outputs = [net.join(part, 1) for part in parts] if joined else [t for part in parts for t in part]
    reading = read_shapes(ended(net, outputs))
    assert reading is not None
    assert reading.postprocess is None
    assert "decode them in your program" in reading.hint
    assert said in reading.what or "maps at strides 8, 16" in reading.what


def test_maps_against_anchors_are_named() -> None:
    """SSD's and EfficientDet's, as many anchors a cell at every level or not."""
    for each in ((9, 9), (3, 6)):
        net = Net(3)
        maps = [net.conv(level, n * a) for level, a in zip(net.levels, each) for n in (4, CLASSES)]
        reading = read_shapes(ended(net, maps))
        assert reading is not None
        assert reading.postprocess is None
        assert "two maps a level at strides 8, 16" in reading.what
        assert "anchors" in reading.what


def test_peaks_with_more_than_sizes_and_offsets_are_named() -> None:
    net = Net(3)
    heat, *others = (net.conv(net.levels[0], n) for n in (1, 2, 2, 8))
    reading = read_shapes(ended(net, [squashed(net, heat), *others]))
    assert reading is not None
    assert reading.postprocess is None
    assert "CenterFace" in reading.what


def test_plain_distances_count_in_cells_and_lose_their_stride() -> None:
    """RTMDet multiplies the stride in; what it multiplies is cells, from their corners."""
    net = Net(4)
    boxes = [net.conv(level, 4) for level in net.levels]
    boxes = [net.op("EXP", [t], net.editor.shape(t)) for t in boxes]
    scaled = [net.both("MUL", t, net.value(float(stride))) for t, stride in zip(boxes, STRIDES)]
    scores = [net.conv(level, CLASSES) for level in net.levels]
    model = ended(net, [*scores, *scaled])
    reading = read_shapes(model)
    assert reading is not None
    assert "distances in cells and scores of 3 classes at strides 8, 16, from the corners" in reading.what
    outputs = plain(model)
    wanted = []
    for level, stride in enumerate(STRIDES):
        sides = outputs[2 + level][0]
        y, x = np.mgrid[: sides.shape[0], : sides.shape[1]] * stride
        box = np.stack([y - sides[..., 1], x - sides[..., 0], y + sides[..., 3], x + sides[..., 2]], axis=-1)
        wanted.append(box.reshape(-1, 4) / SIDE)
    found = reading.postprocess.replace(threshold=0.0).decode(Runner(reading.data).predict([IMAGE]))
    np.testing.assert_allclose(found.boxes, np.concatenate(wanted), atol=1e-5)


def test_fcos_is_not_taken_for_yolox() -> None:
    net = Net(4)
    parts = [[net.conv(level, n) for n in (CLASSES, 4, 1)] for level in net.levels]
    for part in parts:
        part[1] = net.op("EXP", [part[1]], net.editor.shape(part[1]))
    reading = read_shapes(ended(net, [t for part in parts for t in part]))
    assert reading is not None
    assert reading.postprocess is None
    assert "FCOS" in reading.what


def test_maps_with_anchors_of_five_dimensions_are_asked_for() -> None:
    """YOLOv5 and v7 as trained: (1, anchors, h, w, 5 + classes) a level, the coarse ones first or last."""
    for turned, sigmoid in ((False, False), (True, False), (False, True)):
        net, outputs = Net(2), []
        for level in net.levels:
            wide = net.conv(level, 3 * (5 + CLASSES))
            _, height, width, _ = net.editor.shape(wide)
            deep = net.reshape(wide, 1, height, width, 3, 5 + CLASSES)
            order = net.value([0, 3, 1, 2, 4], np.int32)
            shape = (1, 3, height, width, 5 + CLASSES)
            outputs.append(net.op("TRANSPOSE", [deep, order], shape))
        outputs = [squashed(net, t) for t in outputs] if sigmoid else outputs
        model = ended(net, outputs[::-1] if turned else outputs)
        reading = read_shapes(model)
        assert reading is not None
        assert reading.postprocess is None
        if sigmoid:
            assert "before any sigmoid" in reading.hint
            continue
        places = [1, 0] if turned else [0, 1]
        assert f"box_outputs = {places}, strides = [8, 16], input_size = [64, 64]" in reading.hint
        sizes = (10.0, 13.0, 16.0, 30.0, 33.0, 23.0, 30.0, 61.0, 62.0, 45.0, 59.0, 119.0)
        stated = Detect(
            "yolov5", decoded=False, box_outputs=tuple(places), strides=STRIDES, input_size=(SIDE, SIDE),
            anchor_sizes=sizes, threshold=0.0, candidates=1 << 20,
        )  # fmt: skip
        found = stated.decode(Runner(model).predict([IMAGE]))
        x = plain(model)[places[0]][0, 1, 2, 5]  # the second anchor of row 2, column 5 of the finest level
        s = 1 / (1 + np.exp(-x))
        middle = (2 * s[:2] - 0.5 + (5, 2)) * 8
        half = (2 * s[2:4]) ** 2 * (16, 30) / 2
        box = np.concatenate([middle - half, middle + half])[[1, 0, 3, 2]] / SIDE
        k = (2 * 8 + 5) * 3 + 1
        np.testing.assert_allclose(found.boxes[k], box, atol=1e-5)
        assert found.scores[k] == pytest.approx(s[4] * s[5:].max(), abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.3, 3.0, 30.0]), st.floats(-2, 2))
@example(seed=5972007, spread=0.3, shift=0.0)
@settings(max_examples=60, deadline=None)
def test_encodings_against_anchors_are_no_boxes(seed: int, spread: float, shift: float) -> None:
    """Whatever their spread and mean: of random weights they are nearly the same everywhere."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(shift, 1, 4)
    values = [mean + rng.normal(0, spread, (336, 4)) for _ in range(2)]
    assert told_of_boxes(values, (128, 128), True) is None


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.sampled_from([1, 3]))
@settings(max_examples=40, deadline=None)
def test_boxes_around_a_grid_are_told_as_they_are(seed: int, corners: bool, pixels: bool, each: int) -> None:
    rng = np.random.default_rng(seed)
    middles = [np.stack(np.meshgrid(*[np.arange(s / 2, 128, s)] * 2), -1).reshape(-1, 2) for s in (8, 16, 32)]
    middle = np.repeat(np.concatenate(middles), each, axis=0)
    middle = middle + rng.normal(0, 4, middle.shape)
    size = np.exp(rng.normal(3, 0.7, middle.shape))
    boxes = (
        np.concatenate([middle - size / 2, middle + size / 2], axis=1)
        if corners
        else np.concatenate([middle, size], axis=1)
    )
    boxes = boxes if pixels else boxes / 128
    assert told_of_boxes([boxes], (128, 128), True) == Boxes(corners, pixels)
    assert anchors_of(len(boxes), (128, 128)) == each
    assert on_a_grid(middle / 128, (128, 128))


@given(st.lists(st.integers(1, 3), min_size=2, max_size=5), st.booleans(), st.booleans(), st.data())
@settings(max_examples=25, deadline=None)
def test_pieces_are_what_slices_of_the_whole_are(widths: list[int], levels: bool, turned: bool, data) -> None:
    """Whatever joined them: channels, places, both, and turned or reshaped behind it."""
    bound = data.draw(st.sampled_from(np.cumsum(widths)[:-1].tolist()))
    net = Net(1)

    def rows(level: int) -> int:
        parts = [net.reshape(net.conv(level, w), 1, net.count(level), w) for w in widths]
        return net.join(parts, 2)

    whole = net.join([rows(level) for level in net.levels], 1) if levels else rows(net.levels[0])
    axis, wide = 2, sum(widths)
    if turned:
        places = net.editor.shape(whole)[1]
        axis, order = 1, net.value([0, 2, 1], np.int32)
        whole = net.op("TRANSPOSE", [whole, order], (1, wide, places))
    other = net.conv(net.levels[1], 2)
    model = ended(net, [whole, other])
    graph = Graph.from_bytes(model)
    assert bounds_of(graph, graph.outputs[0], axis) == set(np.cumsum(widths)[:-1].tolist())
    apart = columns_apart(model, graph.outputs[0], axis, (0, bound, wide), ("first", "second"))
    assert apart is not None
    before, (first, second, last) = plain(model), plain(apart)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=axis), before[0])
    np.testing.assert_array_equal(last, before[1])
    assert Graph.from_bytes(apart).output_names[:2] == ("first", "second")


def test_what_no_concatenation_made_is_not_taken_apart() -> None:
    net = Net(1)
    whole = net.reshape(net.conv(net.levels[0], 7), 1, net.count(net.levels[0]), 7)
    model = ended(net, [whole])
    graph = Graph.from_bytes(model)
    assert bounds_of(graph, graph.outputs[0], 2) == set()
    assert columns_apart(model, graph.outputs[0], 2, (0, 4, 7), ("first", "second")) is None


def test_a_map_with_the_sum_of_the_scores_is_left_out() -> None:
    """As Rockchip's exporter of YOLOv8 ends: distances, scores and their sum, a level each."""
    net, other = Net(7), Net(7)
    parts = [[net.conv(level, n) for level in net.levels] for n in (64, CLASSES, 1)]
    same = [[other.conv(level, n) for level in other.levels] for n in (64, CLASSES)]
    reading = read_shapes(ended(net, [t for level in zip(*parts) for t in level]))
    plainly = read_shapes(ended(other, [t for level in zip(*same) for t in level]))
    assert reading is not None
    assert plainly is not None
    assert reading.postprocess is not None
    assert len(Graph.from_bytes(reading.data).outputs) == 4
    boxes, wanted = (
        r.postprocess.replace(threshold=0.3).decode(Runner(r.data).predict([IMAGE]))
        for r in (reading, plainly)
    )
    assert len(wanted.boxes) > 5
    np.testing.assert_array_equal(boxes.boxes, wanted.boxes)


@pytest.mark.parametrize("prototypes", [False, True])
def test_levels_with_key_points_or_masks_are_named(prototypes: bool) -> None:
    net = Net(7)
    maps = [net.conv(level, n) for level in net.levels for n in (64, CLASSES, 12)]
    if prototypes:
        maps.append(net.conv(net.image, 12, 3, 4))
    reading = read_shapes(ended(net, maps))
    assert reading is not None
    assert reading.postprocess is None
    assert "key points or weights of masks" in reading.what


def test_a_head_and_its_auxiliary_one_are_named() -> None:
    net = Net(7)
    wide = 4 + CLASSES
    rows = [net.flat([net.conv(level, wide) for level in net.levels], wide) for _ in range(2)]
    reading = read_shapes(ended(net, [net.op("TANH", [t], net.editor.shape(t)) for t in rows]))
    assert reading is not None
    assert reading.postprocess is None
    assert "2 times 80 places of 7 numbers" in reading.what
    assert "auxiliary head" in reading.hint


def test_numbers_behind_the_box_that_are_no_scores_are_not_read_as_such() -> None:
    """An angle, or key points in pixels, among scores from 0 to 1: turned boxes, faces of YOLOv5."""
    for factor in (2.5, 90.0):
        net = Net(5)
        decoded(net, "centres, joined")
        (whole,) = net.editor.outputs
        places = net.editor.shape(whole)[1]
        more = net.flat([net.conv(level, 1) for level in net.levels], 1)
        more = net.both("MUL", net.op("TANH", [more], (1, places, 1)), net.value(factor))
        model = ended(net, [net.join([whole, more], 2)])
        for labels in (None, CLASSES):
            reading = read_shapes(model, labels)
            assert reading is not None
            assert reading.postprocess is None
            assert "80 places of 8 numbers, whose decoding is not known" in reading.what


def test_rows_with_maps_beside_them_are_named() -> None:
    net = Net(5)
    decoded(net, "centres, joined")
    (whole,) = net.editor.outputs
    weights = net.flat([net.conv(level, 6) for level in net.levels], 6)
    rows = net.join([whole, net.op("TANH", [weights], net.editor.shape(weights))], 2)
    reading = read_shapes(ended(net, [rows, net.conv(net.image, 6, 3, 4)]))
    assert reading is not None
    assert reading.postprocess is None
    assert "masks are made of the maps" in reading.what


@pytest.mark.parametrize("rows", [True, False])
def test_four_maps_a_level_are_faces_with_key_points(rows: bool) -> None:
    """YuNet's twelve outputs, as OpenCV's file has them (rows behind a sigmoid) or as maps."""
    net = Net(3)
    parts = [[net.conv(level, n) for level in net.levels] for n in (1, 1, 4, 10)]
    if rows:
        deep = (1, 1, 4, 10)
        parts = [[net.reshape(t, 1, net.count(t), n) for t in part] for n, part in zip(deep, parts)]
    parts[:2] = [[squashed(net, t) for t in part] for part in parts[:2]]
    model = ended(net, [t for part in parts for t in part])
    reading = read_shapes(model)
    assert reading is not None
    post = reading.postprocess
    assert post is not None
    assert (post.form, post.root, post.points, post.iou) == ("yolox", True, 5, 0.3)
    assert "5 key points at strides 8, 16, as YuNet has them" in reading.what
    outputs = [o.reshape(1, -1, n) for o, n in zip(plain(model), (1, 1, 1, 1, 4, 4, 10, 10))]
    one, two, box, marks = (np.concatenate(outputs[k : k + 2], axis=1)[0] for k in (0, 2, 4, 6))
    points, steps = cells(strides=STRIDES)
    found = post.replace(threshold=0.0).decode(Runner(reading.data).predict([IMAGE]))
    np.testing.assert_allclose(found.scores, np.sqrt(one * two)[:, 0], atol=1e-5)
    whole = np.concatenate([(box[:, :2] + points) * steps, np.exp(box[:, 2:]) * steps], axis=1)
    np.testing.assert_allclose(found.boxes, corners_of(whole) / SIDE, atol=1e-4)
    spots = (marks.reshape(-1, 5, 2) + points[:, None]) * steps[:, None] / SIDE
    np.testing.assert_allclose(found.points[..., :2], spots[..., ::-1], atol=1e-4)


def test_maps_of_a_quantised_model_that_would_have_to_be_taken_apart_are_named(tmp_path) -> None:
    source = SourceModel(raw("joined"), "int8", "tflite", "net", "0" * 64, (), {}, {})
    brought = bring(source, BuildRequest(tmp_path / "net.tflite", [], tmp_path))
    (said,) = [f for f in brought.findings if f.rule == "detector-outputs"]
    assert brought.postprocess is None
    assert brought.source is source
    assert "distances of 16 bins" in said.message
    assert "bring the float model" in said.hint
