"""Detectors that end with their last layers: what the shapes of their outputs tell, and what they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flatbuffers import flexbuffers
from test_head_cut import ANCHORS, CLASSES, SIDE, STRIDES, Net, anchored

import qedge
from qedge.errors import DataError, UnsupportedError
from qedge.frontends import SourceModel
from qedge.frontends.exported import OVERLAP
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.pipeline.detector import bring
from qedge.pipeline.request import BuildRequest
from qedge.processing.detect import Detect
from qedge.processing.detection.ssd import ssd_anchors
from qedge.processing.image import ImagePreprocess
from qedge.quantize.heads import cut_head
from qedge.quantize.heads import own as heads_own
from qedge.quantize.heads import rows as heads_rows
from qedge.quantize.heads.own import cut_own
from qedge.quantize.heads.shapes import read_shapes
from qedge.quantize.interpreter import Runner

IMAGE = np.random.default_rng(4).normal(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)
SSD = ssd_anchors((SIDE, SIDE), (16, 32, 64, 128, 256, 512), 0.2, 0.95, (1.0, 2.0, 0.5, 3.0, 0.3333))
NAMED = 4
"""Classes of that SSD: scores of four columns would look like boxes."""
EVERYTHING = {"threshold": 0.3, "iou": 0.5, "limit": 500}


def ended(net: Net, outputs: list[int], names: list[str] | None = None) -> bytes:
    net.editor.inputs, net.editor.outputs = [net.image], outputs
    names = names or [f"out{k}" for k in range(len(outputs))]
    net.editor.sign([("image", net.image)], list(zip(names, outputs)))
    net.editor.sweep()
    return net.editor.pack()


def squashed(net: Net, tensor: int) -> int:
    return net.op("LOGISTIC", [tensor], net.editor.shape(tensor))


def raw(how: str, bins: int = 16) -> bytes:
    """Return the layers of :meth:`Net.anchor_free` with the same weights, without its decoding."""
    net = Net(7)
    boxes = [net.conv(level, 4 * bins) for level in net.levels]
    scores = [net.conv(level, CLASSES) for level in net.levels]
    if "squashed" in how:
        scores = [squashed(net, t) for t in scores]
    if how == "a level each":
        return ended(net, [t for both in zip(boxes, scores) for t in both])
    first, second = (scores, boxes) if "scores first" in how else (boxes, scores)
    joined = [net.join([a, b], 3) for a, b in zip(first, second)]
    if "one" in how:
        return ended(net, [net.flat(joined, 4 * bins + CLASSES)])
    return ended(net, joined)


def found_by(model: bytes, post: Detect) -> list:
    return post.replace(**EVERYTHING).apply(Runner(model).predict([IMAGE]), ())


@pytest.mark.parametrize(
    "how", ["a level each", "joined", "joined, squashed", "one", "one, scores first, squashed"]
)
def test_distances_and_scores_are_told_by_their_channels(how: str) -> None:
    cut, reading = cut_head(Net(7).anchor_free(CLASSES, 16, STRIDES)), read_shapes(raw(how))
    assert cut is not None
    assert reading is not None
    assert reading.postprocess is not None
    assert "distances of 16 bins and scores of 3 classes at strides 8, 16" in reading.what
    assert not reading.proved
    wanted, boxes = found_by(cut.data, cut.postprocess), found_by(reading.data, reading.postprocess)
    assert len(wanted) > 5
    assert [d.label for d in boxes] == [d.label for d in wanted]
    np.testing.assert_allclose([d.box for d in boxes], [d.box for d in wanted], atol=1e-5)
    np.testing.assert_allclose([d.score for d in boxes], [d.score for d in wanted], atol=1e-5)


def test_nanodet_counts_from_the_corners_of_cells() -> None:
    pico, nano = (read_shapes(raw(how, 8)) for how in ("joined", "one, scores first, squashed"))
    assert pico is not None
    assert nano is not None
    assert (pico.postprocess.cell_middle, nano.postprocess.cell_middle) == (0.5, 0.0)
    everything = [
        r.postprocess.replace(threshold=0.0).decode(Runner(r.data).predict([IMAGE])) for r in (pico, nano)
    ]
    half = np.repeat([stride / SIDE / 2 for stride in STRIDES], [(SIDE // stride) ** 2 for stride in STRIDES])
    np.testing.assert_allclose(
        everything[0].boxes - everything[1].boxes, half[:, None].repeat(4, 1), atol=1e-5
    )


def test_the_last_cells_may_pass_the_edge_of_the_image(monkeypatch) -> None:
    side = 72  # the coarse grid has 5 cells of 16 pixels a row, as PicoDet's of 64 pixels has 13 of 800
    monkeypatch.setattr("test_head_cut.SIDE", side)
    reading = read_shapes(raw("a level each, squashed", 8))
    assert reading is not None
    assert reading.postprocess is not None
    assert "distances of 8 bins and scores of 3 classes at strides 8, 16" in reading.what
    image = np.random.default_rng(4).normal(0, 1, (1, side, side, 3)).astype(np.float32)
    outputs = Runner(reading.data).predict([image])
    boxes = reading.postprocess.replace(threshold=0.0).decode(outputs).boxes
    distances = [outputs[k].reshape(-1, 4, 8) for k in reading.postprocess.box_outputs]
    assert [len(d) for d in distances] == [81, 25]
    bins = np.exp(distances[1][-1]) / np.exp(distances[1][-1]).sum(axis=1, keepdims=True)
    left, top, right, bottom = 16 * (bins * np.arange(8)).sum(axis=1)
    np.testing.assert_allclose(boxes[-1] * side, [72 - top, 72 - left, 72 + bottom, 72 + right], atol=1e-3)


@pytest.mark.parametrize("joined", [True, False])
def test_boxes_objectness_and_scores_are_told_by_their_channels(joined: bool) -> None:
    net = Net(1)
    parts = [[net.conv(level, n) for n in (4, 1, CLASSES)] for level in net.levels]
    outputs = [net.join(p, 3) for p in parts] if joined else [t for p in parts for t in p]
    reading = read_shapes(ended(net, outputs))
    assert reading is not None
    assert reading.postprocess is not None
    assert (reading.postprocess.form, reading.postprocess.score_form) == ("yolox", "sigmoid")
    graph = Graph.from_bytes(reading.data)
    deep = [
        [graph.tensors[graph.outputs[k]].shape[3] for k in getattr(reading.postprocess, name)]
        for name in ("box_outputs", "object_outputs", "score_outputs")
    ]
    assert deep == [[4, 4], [1, 1], [CLASSES, CLASSES]]
    assert len(found_by(reading.data, reading.postprocess)) > 5


def test_anchors_are_asked_for() -> None:
    net = Net(2)
    reading = read_shapes(ended(net, [net.conv(level, 3 * (5 + CLASSES)) for level in net.levels]))
    assert reading is not None
    assert reading.postprocess is None
    assert "whose sizes the model does not hold" in reading.what
    assert "box_outputs = [0, 1], strides = [8, 16], input_size = [64, 64]" in reading.hint


def test_anchors_stated_as_the_hint_says_decode_what_the_head_means() -> None:
    """What the finding asks for is all that is missing: the same boxes as the head with its decoding."""
    net = Net(2)
    outputs = [net.conv(level, 2 * (5 + CLASSES)) for level in net.levels]
    cut = cut_head(anchored())
    assert cut is not None
    stated = Detect(
        "yolov5", decoded=False, box_outputs=(0, 1), strides=STRIDES, input_size=(SIDE, SIDE),
        anchor_sizes=tuple(np.ravel(ANCHORS)),
    )  # fmt: skip
    wanted, boxes = found_by(cut.data, cut.postprocess), found_by(ended(net, outputs), stated)
    assert len(wanted) > 5
    np.testing.assert_allclose([d.box for d in boxes], [d.box for d in wanted], atol=1e-4)


def against_anchors() -> tuple[Net, int, int]:
    """Return a net with boxes and scores (logits) of as many places as an SSD of its size has anchors."""
    net = Net(5)
    places, (_, height, width, _) = len(SSD), net.editor.shape(net.levels[-1])
    each, rest = divmod(places, height * width)
    assert not rest
    boxes, scores = (net.reshape(net.conv(net.levels[-1], each * n), 1, places, n) for n in (4, 1 + NAMED))
    return net, boxes, scores


@pytest.mark.parametrize("done", [False, True])
def test_an_ssd_is_told_by_how_many_anchors_it_has(done: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The boxes are those of LiteRT's own operator with the anchors of TensorFlow's SSDs of that size."""
    # On an image as small as this one it has no more places than a transformer has queries.
    monkeypatch.setattr(heads_rows, "MOST_QUERIES", len(SSD) - 1)
    net, boxes, scores = against_anchors()
    model = ended(net, [boxes, squashed(net, scores) if done else scores])
    reading = read_shapes(model)
    assert reading is not None
    assert f"the {len(SSD)} anchors" in reading.what
    assert not reading.proved
    post = reading.postprocess
    assert post is not None
    form = "probabilities" if done else "sigmoid"
    assert (post.form, post.background, post.score_form) == ("anchors", True, form)
    labelled = read_shapes(model, 1 + NAMED)
    assert labelled is not None
    assert labelled.postprocess == post.replace(background=False)
    net, boxes, scores = against_anchors()
    own = with_post_processing(net, boxes, scores, SSD, num_classes=NAMED)
    cut = cut_own(own)
    assert cut is not None
    wanted = cut.whole.replace(threshold=0.4).apply(Runner(own).predict([IMAGE]), ())
    asked = post.replace(threshold=0.4, iou=0.5, limit=10, per_class=False)  # as the operator is told
    found = asked.apply(Runner(model).predict([IMAGE]), ())
    assert len(found) > 3
    assert [d.label for d in found] == [d.label for d in wanted]
    np.testing.assert_allclose([d.box for d in found], [d.box for d in wanted], atol=1e-5)


@pytest.mark.parametrize(("numbers", "said"), [(4, "state them"), (16, "in your program")])
def test_boxes_against_anchors_are_named(numbers: int, said: str) -> None:
    net = Net(9)
    boxes, scores = (
        net.join([net.reshape(net.conv(x, 2 * n), 1, 2 * net.count(x), n) for x in net.levels], 1)
        for n in (numbers, 1)
    )
    reading = read_shapes(ended(net, [boxes, scores]))
    assert reading is not None
    assert reading.postprocess is None
    assert said in reading.hint


def test_two_maps_that_may_both_be_distances_are_told_by_their_names() -> None:
    for names, told in (([], False), (["cls_8", "reg_8", "cls_16", "reg_16"], True)):
        net = Net(6)
        level = [[net.conv(level, 64), net.conv(level, 32)] for level in net.levels]
        reading = read_shapes(ended(net, [t for both in level for t in both], names))
        assert reading is not None
        assert (reading.postprocess is not None) == told
        assert "distances of 8 bins" in reading.what if told else "either may be distances" in reading.what


@pytest.mark.parametrize("turned", [True, False])
def test_centres_have_sizes_and_offsets(turned: bool) -> None:
    net = Net(3)
    heat, one, two = (net.conv(net.levels[0], n) for n in (CLASSES, 2, 2))
    names = ["hm", "reg", "wh"] if turned else ["hm", "wh", "reg"]
    reading = read_shapes(ended(net, [squashed(net, heat), one, two], names))
    assert reading is not None
    assert reading.postprocess is not None
    assert (reading.postprocess.form, reading.postprocess.score_form) == ("centernet", "probabilities")
    assert (reading.postprocess.boxes, reading.postprocess.count) == ((2, 1) if turned else (1, 2))


def test_a_grid_of_classes_is_told_by_its_softmax() -> None:
    net = Net(4)
    grid = net.conv(net.levels[0], 1 + CLASSES)
    plain = Net(4)
    reading = read_shapes(ended(net, [net.op("SOFTMAX", [grid], net.editor.shape(grid), {"beta": 1.0})]))
    assert reading is not None
    assert reading.postprocess is not None
    assert (reading.postprocess.form, reading.postprocess.background) == ("fomo", True)
    bare = ended(plain, [plain.conv(plain.levels[0], 1 + CLASSES)])
    named, told = read_shapes(bare), read_shapes(bare, CLASSES)
    assert named is not None
    assert named.postprocess is None
    assert "perhaps FOMO's grid of 3 classes" in named.what
    assert told is not None
    assert told.postprocess is not None
    assert (told.postprocess.form, told.postprocess.score_form) == ("fomo", "softmax")
    first, second = (
        r.postprocess.replace(threshold=0.4).decode(Runner(r.data).predict([IMAGE])) for r in (reading, told)
    )
    assert len(first.boxes) > 3
    np.testing.assert_allclose(first.boxes, second.boxes)
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-6)


def with_own_operator(**fields: object) -> bytes:
    """Return a net that ends with LiteRT's own post-processing, whose outputs are in another order than usual."""
    net = Net(5)
    boxes, scores = (net.flat([net.conv(level, n) for level in net.levels], n) for n in (4, 1 + CLASSES))
    places = net.editor.shape(boxes)[1]
    corners = np.random.default_rng(1).random((places, 2))
    anchors = np.concatenate([corners, np.full((places, 2), 0.3)], axis=1)
    return with_post_processing(net, boxes, scores, anchors, **fields)


def with_post_processing(net: Net, boxes: int, scores: int, anchors: np.ndarray, **fields: object) -> bytes:
    results = [
        net.editor.tensor(name, shape, "float32")
        for name, shape in (("b", (1, 10, 4)), ("c", (1, 10)), ("s", (1, 10)), ("n", (1,)))
    ]
    said = {"max_detections": 10, "max_classes_per_detection": 1, "num_classes": CLASSES}
    said |= {"nms_iou_threshold": 0.5, "nms_score_threshold": 0.3, "use_regular_nms": False}
    said |= {"y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0, **fields}
    inputs = [boxes, squashed(net, scores), net.value(anchors)]
    options = bytes(flexbuffers.Dumps(said))
    name = "TFLite_Detection_PostProcess"
    net.editor.append(net.editor.operator("CUSTOM", inputs, results, custom=name, custom_options=options))
    return ended(net, [results[3], results[0], results[2], results[1]])


def test_the_models_own_post_processing_is_told_by_its_name() -> None:
    reading = read_shapes(with_own_operator())
    assert reading is not None
    assert reading.proved
    post = reading.postprocess
    assert post is not None
    assert (post.form, post.boxes, post.classes, post.scores_output, post.count) == ("ssd", 1, 3, 2, 0)


def test_the_models_own_post_processing_is_taken_off_with_its_anchors(tmp_path) -> None:
    model = with_own_operator()
    cut = cut_own(model)
    assert cut is not None
    assert (cut.postprocess.form, cut.postprocess.background, cut.postprocess.limit) == ("anchors", True, 10)
    assert "CUSTOM" not in {op.op for op in Graph.from_bytes(cut.data)}
    wanted = cut.whole.replace(threshold=0.4).apply(Runner(model).predict([IMAGE]), ())
    found = cut.postprocess.replace(threshold=0.4).apply(Runner(cut.data).predict([IMAGE]), ())
    assert len(wanted) > 3
    assert [d.label for d in found] == [d.label for d in wanted]
    np.testing.assert_allclose([d.box for d in found], [d.box for d in wanted], atol=1e-5)
    (tmp_path / "net.tflite").write_bytes(model)
    data = np.repeat(IMAGE, 4, axis=0)
    made = qedge.build(tmp_path / "net.tflite", data, targets="rpi", out=tmp_path / "build", method="minmax")
    rules = {f.rule: f.message for f in made.report.findings}
    assert "the last operator decodes boxes (read as anchors)" in rules["head-cut"]
    assert "stays-float" not in rules


def test_anchors_on_grids_are_noted_by_their_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """EfficientDet and FPN-Lite have up to 76,725 anchors: the manifest takes those of a cell, however many cells."""
    monkeypatch.setattr(heads_own, "MOST_ANCHORS", 8)
    net, each = Net(5), 3
    boxes, scores = (
        net.join([net.reshape(net.conv(x, n * each), 1, each * net.count(x), n) for x in net.levels], 1)
        for n in (4, 1 + CLASSES)
    )
    sizes = np.array([(10, 20), (30, 30), (40, 24), (50, 50), (60, 90), (70, 75)], np.float32)
    anchors = []
    for k, stride in enumerate(STRIDES):
        y, x = np.mgrid[: SIDE // stride, : SIDE // stride].reshape(2, -1, 1) * stride + stride / 2
        own = np.broadcast_to(sizes[k * each : (k + 1) * each], (x.size, each, 2))
        places = np.stack([np.broadcast_to(v, (x.size, each)) for v in (y, x)], axis=-1)
        anchors.append(np.concatenate([places, own[..., ::-1]], axis=-1).reshape(-1, 4) / SIDE)
    model = with_post_processing(net, boxes, scores, np.concatenate(anchors).astype(np.float32))
    cut = cut_own(model)
    assert cut is not None
    post = cut.postprocess
    assert (post.anchors, post.strides, post.anchor_sizes) == ((), STRIDES, tuple(sizes.ravel()))
    wanted = cut.whole.replace(threshold=0.4).apply(Runner(model).predict([IMAGE]), ())
    found = post.replace(threshold=0.4).apply(Runner(cut.data).predict([IMAGE]), ())
    assert len(wanted) > 3
    assert [d.label for d in found] == [d.label for d in wanted]
    np.testing.assert_allclose([d.box for d in found], [d.box for d in wanted], atol=1e-5)
    odd = np.concatenate(anchors).astype(np.float32)
    odd[7, 0] += 0.1
    net = Net(5)
    boxes, scores = (
        net.join([net.reshape(net.conv(x, n * each), 1, each * net.count(x), n) for x in net.levels], 1)
        for n in (4, 1 + CLASSES)
    )
    assert cut_own(with_post_processing(net, boxes, scores, odd)) is None


@pytest.mark.parametrize(
    "fields",
    [{"y_scale": 0.0}, {"nms_score_threshold": 2.0}, {"max_detections": "ten"}, {"use_regular_nms": True}],
)
def test_an_operator_that_is_not_met_stays(fields: dict) -> None:
    """Fields that are none, nothing that is found, and a suppression a class with a limit of its own."""
    model = with_own_operator(detections_per_class=1, **fields)
    assert cut_own(model) is None


def test_what_is_no_detector_is_left_alone() -> None:
    net = Net(6)
    assert read_shapes(ended(net, [net.conv(net.levels[0], 40)])) is None
    net = Net(6)  # two backbone features of other widths
    assert read_shapes(ended(net, [net.conv(net.levels[0], 16), net.conv(net.levels[1], 40)])) is None
    net = Net(6)
    row = net.reshape(net.conv(net.levels[1], 1), 1, 16)
    assert read_shapes(ended(net, [row])) is None


def test_a_build_says_what_it_reads_and_a_stated_meaning_holds(tmp_path) -> None:
    (tmp_path / "net.tflite").write_bytes(raw("joined"))
    options = {"targets": "rpi", "out": tmp_path / "build", "method": "minmax"}
    data = np.repeat(IMAGE, 4, axis=0)
    made = qedge.build(tmp_path / "net.tflite", data, **options)
    said = {f.rule: f for f in made.report.findings}["detector-outputs"]
    assert said.severity == "warning"
    assert "read as yolov8, by their shapes alone: distances of 16 bins" in said.message
    with qedge.load(made.bundles["rpi"]) as model:
        assert isinstance(model.postprocess, Detect)
        assert len(model.outputs) == 4
    kept = qedge.build(tmp_path / "net.tflite", data, **options, cut_head=False)
    assert "detector-outputs" not in {f.rule for f in kept.report.findings}


def test_turned_boxes_are_not_taken_for_upright_ones(tmp_path) -> None:
    net = Net(8)
    outputs = net.flat([net.conv(level, 4 + CLASSES + 1) for level in net.levels], 4 + CLASSES + 1)
    model = ended(net, [outputs])
    notes = {"task": "obb", "names": "{0: 'a', 1: 'b', 2: 'c'}"}
    source = SourceModel(model, "float", "onnx", "net", "0" * 64, (), {}, notes)
    request = BuildRequest(tmp_path / "net.onnx", [], tmp_path)
    brought = bring(source, request)
    assert brought.postprocess is None
    (said,) = [f for f in brought.findings if f.rule == "detector-outputs"]
    assert "the boxes are turned" in said.message
    with pytest.raises(UnsupportedError, match="the boxes are turned"):
        bring(source, replace(request, cut_head=True))


def test_outputs_of_a_known_task_that_are_not_decoded_are_named(tmp_path) -> None:
    """Rows of a box, score, class and key points, as YOLO26 ends with where it chooses itself."""
    net = Net(8)
    rows = net.reshape(net.conv(net.levels[1], 9), 1, 16, 9)
    model = ended(net, [net.op("TANH", [rows], (1, 16, 9))])
    for task, told in (("pose", 1), ("classify", 0)):
        notes = {"task": task, "names": "{0: 'a'}"}
        source = SourceModel(model, "float", "onnx", "net", "0" * 64, (), {}, notes)
        brought = bring(source, BuildRequest(tmp_path / "net.onnx", [], tmp_path))
        said = [f for f in brought.findings if f.rule == "detector-outputs"]
        assert len(said) == told
        assert all("end2end=False" in f.hint for f in said)


def test_a_batch_of_several_images_is_named(tmp_path) -> None:
    net = Net(8)
    pair = net.editor.tensor("pair", (2, SIDE, SIDE, 3), "float32")
    net.editor.inputs = [pair]
    twice = net.op("LOGISTIC", [pair], (2, SIDE, SIDE, 3))
    net.editor.outputs = [twice]
    net.editor.sign([("image", pair)], [("out", twice)])
    net.editor.remove([node for node in net.editor.operators if twice not in node.outputs])
    net.editor.sweep()
    notes = {"task": "detect", "names": "{0: 'a'}"}
    source = SourceModel(net.editor.pack(), "float", "onnx", "net", "0" * 64, (), {}, notes)
    brought = bring(source, BuildRequest(tmp_path / "net.onnx", [], tmp_path))
    (said,) = [f for f in brought.findings if f.rule == "detector-outputs"]
    assert "takes 2 images at once" in said.hint


def test_the_overlap_of_a_suppression_that_was_left_out_is_taken_over(tmp_path) -> None:
    model = Net(7).anchor_free(CLASSES, 16, STRIDES)
    source = SourceModel(model, "float", "onnx", "net", "0" * 64, (), {}, {OVERLAP: "0.45"})
    request = BuildRequest(tmp_path / "net.onnx", [], tmp_path)
    for asked, iou in ((request, 0.45), (replace(request, postprocess=Detect("yolov8", iou=0.2)), 0.2)):
        brought = bring(source, asked)
        assert isinstance(brought.postprocess, Detect)
        assert brought.postprocess.iou == iou


def test_the_editor_keeps_the_layers_as_they_were() -> None:
    reading = read_shapes(raw("one"))
    assert reading is not None
    assert {op.op for op in Graph.from_bytes(reading.data)} == {"CONV_2D"}
    assert Editor.from_bytes(reading.data).inputs == (0,)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((3, 8, 8), "a batch of one"), ((2, 8, 8, 3), "a batch of one"), ((1, 8), "in the model's own units")],
)
def test_an_input_that_is_no_single_image_says_how_to_export_it(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(DataError, match="expected") as told:
        ImagePreprocess.for_input(shape)
    assert said in str(told.value.hint)
