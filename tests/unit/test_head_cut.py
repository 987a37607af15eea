"""Detectors without their decoding: what is taken off, and that nothing else comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

import qedge
from qedge import pipeline
from qedge.bundle import read_bundle
from qedge.cli._inputs import request_from
from qedge.cli.build import figure_rows
from qedge.config import load_config
from qedge.datasets import InputInfo
from qedge.datasets.arrays import open_array
from qedge.datasets.random import RandomDataset
from qedge.errors import AccuracyError, DataError, UnsupportedError, UsageError
from qedge.frontends.exported import read_exported
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.pipeline.objects import data_file
from qedge.processing.detect import Detect
from qedge.processing.detection.grids import Candidates
from qedge.processing.image import ImagePreprocess
from qedge.quantize.heads import cut_head
from qedge.quantize.heads.cut import TOLERANCE, difference
from qedge.quantize.heads.gain import gain, nearest
from qedge.quantize.heads.head import Head
from qedge.quantize.heads.tail import find_tail
from qedge.quantize.interpreter import Runner
from qedge.report.verdict import verdict

SIDE, CLASSES, BINS = 64, 3, 8
STRIDES = (8, 16)
INT32 = 2  # TensorType of the schema
ANCHORS = ((10.0, 13.0), (33.0, 23.0), (61.0, 45.0), (116.0, 90.0))


class Net:
    """A backbone of strided convolutions, and what a head adds to it, written with the graph editor."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.editor = Editor.empty("test")
        self.image = self.editor.tensor("image", (1, SIDE, SIDE, 3), "float32")
        low = self.conv(self.image, 8, 5, 8)
        self.levels = [low, self.conv(low, 8, 3, 2)]

    def op(self, op, inputs, shape, options=None, name="") -> int:
        out = self.editor.tensor(name or f"t{len(self.editor.tensors)}", shape, "float32")
        self.editor.append(self.editor.operator(op, inputs, [out], options))
        return out

    def value(self, values, dtype=np.float32) -> int:
        return self.editor.constant(np.asarray(values, dtype))

    def conv(self, source, channels, size=1, stride=1, weights=None) -> int:
        _, height, width, depth = self.editor.shape(source)
        if weights is None:
            weights = self.rng.normal(0, 1, (channels, size, size, depth)) / (size * size * depth) ** 0.5
        fields = {"padding": "SAME", "stride_h": stride, "stride_w": stride}
        fields |= {"dilation_h_factor": 1, "dilation_w_factor": 1}
        shape = (1, -(-height // stride), -(-width // stride), channels)
        return self.op(
            "CONV_2D", [source, self.value(weights), self.value(np.zeros(channels))], shape, fields
        )

    def reshape(self, source, *shape) -> int:
        return self.op("RESHAPE", [source, self.value(shape, np.int32)], shape)

    def join(self, parts, axis) -> int:
        shape = list(self.editor.shape(parts[0]))
        shape[axis] = sum(self.editor.shape(p)[axis] for p in parts)
        return self.op("CONCATENATION", parts, shape, {"axis": axis % len(shape)})

    def pick(self, source, first, count) -> int:
        shape = self.editor.shape(source)
        begin = [0] * (len(shape) - 1) + [first]
        size = [*shape[:-1], count]
        return self.op("SLICE", [source, self.value(begin, np.int32), self.value(size, np.int32)], size)

    def both(self, op, a, b) -> int:
        return self.op(op, [a, b], np.broadcast_shapes(self.editor.shape(a), self.editor.shape(b)))

    def flat(self, parts, channels) -> int:
        return self.join([self.reshape(p, 1, -1 + self.count(p) + 1, channels) for p in parts], 1)

    def count(self, tensor) -> int:
        return int(np.prod(self.editor.shape(tensor)[1:3]))

    def anchor_free(
        self, classes, bins, strides, share: bool = False, marks: int = 0, doubled: bool = True
    ) -> bytes:
        boxes = self.flat([self.conv(level, 4 * bins) for level in self.levels], 4 * bins)
        scores = self.flat([self.conv(level, classes) for level in self.levels], classes)
        places = self.editor.shape(boxes)[1]
        shape = (1, places, 4, bins)
        weights = self.op("SOFTMAX", [self.reshape(boxes, *shape)], shape, {"beta": 1.0})
        mean = self.conv(weights, 1, weights=np.arange(bins).reshape(1, 1, 1, bins))
        mean = self.reshape(mean, 1, places, 4)
        points, steps = cells(strides=strides)
        middle = self.value(points + 0.5)
        low = self.both("SUB", middle, self.pick(mean, 0, 2))
        high = self.both("ADD", middle, self.pick(mean, 2, 2))
        centre = self.both("MUL", self.both("ADD", low, high), self.value(0.5))
        box = self.join([centre, self.both("SUB", high, low)], 2)
        box = self.both("MUL", box, self.value(steps / SIDE if share else steps))
        parts = [box, self.op("LOGISTIC", [scores], self.editor.shape(scores))]
        return self.finish(
            self.join([*parts, *([self.marks(marks, points, steps, doubled)] if marks else [])], 2)
        )

    def segmented(self, classes, bins, strides, masks) -> bytes:
        """Return rows with weights behind the scores, and maps with an activation of their own."""
        low = self.conv(self.image, masks, 3, 4)
        maps = self.both("MUL", low, self.op("LOGISTIC", [low], self.editor.shape(low)))
        self.anchor_free(classes, bins, strides)
        (rows,) = self.editor.outputs
        weights = self.flat([self.conv(level, masks) for level in self.levels], masks)
        rows = self.join([rows, weights], 2)
        self.editor.inputs, self.editor.outputs = [self.image], [rows, maps]
        self.editor.sign([("image", self.image)], [("rows", rows), ("maps", maps)])
        self.editor.sweep()
        return self.editor.pack()

    def marks(self, count, points, steps, doubled) -> int:
        """Return decoded key points, (x, y, score) each."""
        flat = self.flat([self.conv(level, 3 * count) for level in self.levels], 3 * count)
        places = self.editor.shape(flat)[1]
        each = self.reshape(flat, 1, places, count, 3)
        place = self.pick(each, 0, 2)
        if doubled:
            place = self.both("ADD", self.both("MUL", place, self.value(2.0)), self.value(points[:, None]))
        else:
            place = self.both("ADD", place, self.value(points[:, None] + 0.5))
        place = self.both("MUL", place, self.value(steps[:, None]))
        sure = self.op("LOGISTIC", [self.pick(each, 2, 1)], (1, places, count, 1))
        return self.reshape(self.join([place, sure], 3), 1, places, 3 * count)

    def apart(self, how: str) -> bytes:
        """Return the anchor-free net with boxes and scores as other exporters end it; ``how``: words of it."""
        self.anchor_free(CLASSES, BINS, STRIDES)
        (rows,) = self.editor.outputs
        places = self.editor.shape(rows)[1]
        box, scores = self.pick(rows, 0, 4), self.pick(rows, 4, CLASSES)
        if "corners" in how:
            half = self.both("MUL", self.pick(box, 2, 2), self.value(0.5))
            centre = self.pick(box, 0, 2)
            box = self.join([self.both("SUB", centre, half), self.both("ADD", centre, half)], 2)
        outputs = [box, scores]
        if "one" in how:
            outputs = [self.join(outputs, 2)]
        elif "best" in how:
            axis = self.value([2], np.int32)
            best = self.op("REDUCE_MAX", [scores, axis], (1, places), {"keep_dims": False})
            label = self.editor.tensor("label", (1, places), "int32")
            given = [scores, self.value(2, np.int32)]
            self.editor.append(self.editor.operator("ARG_MAX", given, [label], {"output_type": INT32}))
            outputs = [box, label, best]
        elif "turned" in how:
            order = self.value((0, 2, 1), np.int32)
            outputs = [
                self.op("TRANSPOSE", [t, order], (1, self.editor.shape(t)[2], places))
                for t in reversed(outputs)
            ]
        self.editor.inputs, self.editor.outputs = [self.image], outputs
        self.editor.sign([("image", self.image)], [(f"out{k}", t) for k, t in enumerate(outputs)])
        self.editor.sweep()
        return self.editor.pack()

    def finish_plain(self) -> bytes:
        return self.finish(self.conv(self.levels[1], 4))

    def finish(self, out) -> bytes:
        self.editor.inputs, self.editor.outputs = [self.image], [out]
        self.editor.sign([("image", self.image)], [("out", out)])
        self.editor.sweep()
        return self.editor.pack()


def cells(anchors: int = 1, strides=STRIDES) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, y) and stride of every cell; with anchors each one's grid by itself."""
    points, steps = [], []
    for stride in strides:
        y, x = np.mgrid[: SIDE // stride, : SIDE // stride]
        grid = np.stack([x, y], -1).reshape(-1, 2)
        points += [grid] * anchors
        steps += [np.full((len(grid), 1), stride)] * anchors
    return np.concatenate(points).astype(np.float32), np.concatenate(steps).astype(np.float32)


def anchor_free(share: bool = False) -> bytes:
    return Net().anchor_free(CLASSES, BINS, STRIDES, share)


def posed(doubled: bool = True) -> bytes:
    return Net(5).anchor_free(1, BINS, STRIDES, marks=4, doubled=doubled)


def segmented() -> bytes:
    return Net(6).segmented(CLASSES, BINS, STRIDES, masks=6)


def yolox(decoded: bool) -> bytes:
    net = Net(1)
    parts = []
    for level in net.levels:
        box, sure, scores = (net.conv(level, n) for n in (4, 1, CLASSES))
        squashed = [net.op("LOGISTIC", [p], net.editor.shape(p)) for p in (sure, scores)]
        parts.append(net.join([box, *squashed], 3))
    whole = net.flat(parts, 5 + CLASSES)
    if not decoded:
        return net.finish(whole)
    points, steps = (net.value(v) for v in cells())
    centre = net.both("MUL", net.both("ADD", net.pick(whole, 0, 2), points), steps)
    size = net.pick(whole, 2, 2)
    size = net.both("MUL", net.op("EXP", [size], net.editor.shape(size)), steps)
    return net.finish(net.join([centre, size, net.pick(whole, 4, 1 + CLASSES)], 2))


def anchored() -> bytes:
    net, each, deep = Net(2), 2, 5 + CLASSES
    parts = []
    for level in net.levels:
        side = net.editor.shape(level)[1]
        raw = net.reshape(net.conv(level, each * deep), 1, side * side, each, deep)
        turned = net.op("TRANSPOSE", [raw, net.value((0, 2, 1, 3), np.int32)], (1, each, side * side, deep))
        parts.append(net.reshape(turned, 1, each * side * side, deep))
    whole = net.join(parts, 1)
    whole = net.op("LOGISTIC", [whole], net.editor.shape(whole))
    points, steps = cells(each)
    counts = [(SIDE // s) ** 2 for s in STRIDES for _ in range(each)]
    sizes = np.repeat(np.array(ANCHORS, np.float32), counts, axis=0)
    centre = net.both("MUL", net.pick(whole, 0, 2), net.value(2.0))
    centre = net.both("MUL", net.both("ADD", centre, net.value(points - 0.5)), net.value(steps))
    size = net.both("MUL", net.pick(whole, 2, 2), net.value(2.0))
    size = net.both("MUL", net.both("MUL", size, size), net.value(sizes))
    return net.finish(net.join([centre, size, net.pick(whole, 4, 1 + CLASSES)], 2))


HEADS = {
    "anchor-free": (anchor_free, "yolov8", 4),
    "anchor-free, shares of the image": (lambda: anchor_free(True), "yolov8", 4),
    "key points": (posed, "yolov8", 6),
    "key points from the middles of cells": (lambda: posed(False), "yolov8", 6),
    "masks": (segmented, "yolov8", 7),
    "yolox": (lambda: yolox(False), "yolox", 6),
    "yolox, decoded": (lambda: yolox(True), "yolox", 6),
    "anchors": (anchored, "yolov5", 2),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_decoding_is_taken_off_and_nothing_changes(name) -> None:
    make, form, outputs = HEADS[name]
    model = make()
    found = cut_head(model)
    assert found is not None
    assert found.postprocess.form == form
    assert found.error <= 1e-4
    graph = Graph.from_bytes(found.data)
    assert len(graph.outputs) == outputs
    assert {op.op for op in graph} == {"CONV_2D"} | ({"LOGISTIC", "MUL"} if name == "masks" else set())
    assert len({graph.tensors[t].name for t in graph.outputs}) == outputs == len(set(graph.output_names))
    real, ended = Runner(model), Runner(found.data)
    rng = np.random.default_rng(9)
    everything = {"threshold": 0.3, "iou": 0.5, "limit": 500}
    for _ in range(3):
        image = [rng.normal(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)]
        wanted = found.whole.replace(**everything).apply(real.predict(image), ())
        boxes = found.postprocess.replace(**everything).apply(ended.predict(image), ())
        assert [d.label for d in boxes] == [d.label for d in wanted]
        assert np.allclose([d.box for d in boxes], [d.box for d in wanted], atol=1e-4)
        assert np.allclose([d.score for d in boxes], [d.score for d in wanted], atol=1e-4)
        assert np.allclose([d.points for d in boxes], [d.points for d in wanted], atol=1e-4)
        assert {len(d.points) for d in boxes} == {found.postprocess.points}
        assert [d.mask for d in boxes] == [d.mask for d in wanted]
        assert any(d.mask for d in boxes) == (name == "masks")
        assert len(boxes) > 5


@pytest.mark.parametrize(
    "how", ["apart", "turned", "corners", "turned corners", "one with corners", "best, corners"]
)
def test_outputs_that_were_taken_apart_are_put_together(how) -> None:
    model = Net(7).apart(how)
    found, plain = cut_head(model), cut_head(Net(7).anchor_free(CLASSES, BINS, STRIDES))
    assert found is not None
    assert plain is not None
    assert found.view is not None
    assert found.error <= 1e-4
    assert found.postprocess == plain.postprocess
    image = [np.random.default_rng(9).normal(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)]
    ended, other = (Runner(cut.data).predict(image) for cut in (found, plain))
    for a, b in zip(ended, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_sizes_of_anchors_are_read_off() -> None:
    found = cut_head(anchored())
    assert found is not None
    assert np.reshape(found.postprocess.anchor_sizes, (-1, 2)) == pytest.approx(np.array(ANCHORS), abs=0.01)


def test_what_is_no_known_decoding_stays() -> None:
    net = Net(3)
    assert find_tail(Graph.from_bytes(net.finish(net.levels[1]))) is None
    net = Net(4)
    odd = net.flat([net.conv(level, 4) for level in net.levels], 4)
    assert cut_head(net.finish(net.op("TANH", [odd], net.editor.shape(odd)))) is None
    # The right shapes, and another arithmetic: boxes that are twice as large.
    model = yolox(True)
    editor = Editor.from_bytes(model)
    for node in editor.operators:
        if editor.op(node) == "EXP":
            doubled = editor.tensor_like(int(node.outputs[0]), "doubled")
            after = editor.operator("ADD", [int(node.outputs[0])] * 2, [doubled])
            editor.redirect({int(node.outputs[0]): doubled})
            editor.replace([node], [node, after])
    assert cut_head(editor.pack()) is None


@pytest.mark.parametrize(
    "notes",
    [
        {},
        {"task": "detect"},
        {"task": "detect", "names": "__import__('os').system('true')"},
        {"task": "detect", "names": "{1: 'a', 2: 'b'}"},
        {"task": "detect", "names": "['a', 'b']"},
        {"names": "{0: 'a'}"},
    ],
)
def test_notes_of_other_exporters_are_left_alone(notes) -> None:
    assert read_exported(notes) is None


def test_notes_of_ultralytics() -> None:
    notes = {"task": "detect", "names": "{0: 'a b', 1: \"it's\"}", "imgsz": "[320, 640]", "stride": "32"}
    found = read_exported(notes)
    assert found is not None
    assert (found.names, found.size, found.stride) == (("a b", "it's"), (320, 640), 32)
    assert read_exported({**notes, "imgsz": "many", "stride": "x"}) == found.__class__(
        "detect", found.names, None, None
    )


@pytest.mark.parametrize("saturated", [False, True])
def test_rows_that_a_model_chose_are_proved_one_by_one(saturated: bool) -> None:
    """Scores that are all alike leave the order open, and nothing else: a wrong box among them is no proof."""
    rng = np.random.default_rng(3)
    boxes = [rng.normal(1, 1, (1, SIDE // s, SIDE // s, 4)).astype(np.float32) for s in STRIDES]
    scores = [rng.normal(0, 2, (1, SIDE // s, SIDE // s, CLASSES)).astype(np.float32) for s in STRIDES]
    scores = [np.full_like(s, 40) if saturated else s for s in scores]
    spec = Detect(
        "yolov8", bins=1, strides=STRIDES, input_size=(SIDE, SIDE), box_outputs=(0, 1), score_outputs=(2, 3),
        suppress=False, limit=20, threshold=0.0, candidates=1 << 20,
    )  # fmt: skip
    all_of = spec.replace(limit=1 << 20).decode([*boxes, *scores])
    best = rng.permutation(np.argsort(-all_of.scores, kind="stable")[:20])
    rows = np.concatenate(
        [all_of.boxes[best][:, [1, 0, 3, 2]] * SIDE, all_of.scores[best, None], all_of.classes[best, None]], 1
    )[None].astype(np.float32)
    head = Head((), (), spec, Detect("top_k", input_size=(SIDE, SIDE)))
    assert difference(head, [rows], [*boxes, *scores]) < TOLERANCE
    others = {0: rows[0, 7, 0] + 3, 4: 0.5 * rows[0, 7, 4], 5: (rows[0, 7, 5] + 1) % CLASSES}
    for column, other in others.items():
        wrong = rows.copy()
        wrong[0, 7, column] = other
        if column != 5 or not saturated:  # there the same box has every class
            assert difference(head, [wrong], [*boxes, *scores]) > TOLERANCE, column


def test_a_detector_is_a_detect_description() -> None:
    found = cut_head(anchor_free())
    assert found is not None
    assert Detect.from_json(found.postprocess.to_json()) == found.postprocess


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a bundle of the anchor-free head and the folder of its model and data."""
    folder = tmp_path_factory.mktemp("detector")
    (folder / "net.tflite").write_bytes(anchor_free())
    images = np.random.default_rng(2).normal(0, 1, (12, SIDE, SIDE, 3)).astype(np.float32)
    made = qedge.build(
        folder / "net.tflite",
        images,
        targets="rpi",
        out=folder / "build",
        method="minmax",
        labels=("a", "b", "c"),
    )
    return made, folder, images


def test_a_build_takes_the_decoding_off_and_says_what_that_gained(built) -> None:
    made, folder, images = built
    rules = {f.rule: f for f in made.report.findings}
    assert "(read as yolov8)" in rules["head-cut"].message
    assert "dB; without it" in rules["head-gain"].message
    with qedge.load(made.bundles["rpi"]) as model:
        assert model.postprocess.form == "yolov8"
        assert len(model.outputs) == 4
        assert len({o.scale for o in model.outputs}) == 4
        assert model.labels == ("a", "b", "c")
    whole = cut_head(anchor_free()).whole.replace(threshold=0.5, limit=10)
    wanted = whole.apply(Runner(anchor_free()).predict([images[:1]]), ("a", "b", "c"))
    floats = Runner((folder / "build/net/float.tflite").read_bytes()).predict([images[:1]])
    post = cut_head(anchor_free()).postprocess.replace(threshold=0.5, limit=10)
    found = post.apply(floats, ("a", "b", "c"))
    assert len(found) > 2
    assert [d.label for d in found] == [d.label for d in wanted]


def test_the_gain_is_of_each_place_whether_or_not_boxes_are_suppressed(built, tmp_path) -> None:
    """Heads that are trained to give an object once sort their places, and int8 never sorts them as float does."""
    _, _, images = built
    model = anchor_free()
    cut = cut_head(model)
    assert cut is not None
    np.save(tmp_path / "images.npy", images)
    data = open_array(tmp_path / "images.npy", [InputInfo("image", (1, SIDE, SIDE, 3), "float32", None)])
    once = replace(cut, postprocess=cut.postprocess.replace(suppress=False, limit=20))
    assert gain(model, once, data) == gain(model, cut, data)
    assert gain(model, once, data).after.boxes > 20


def test_rows_of_any_order_are_the_objects_next_to_them() -> None:
    rng = np.random.default_rng(0)
    corners, order = rng.random((30, 2)), rng.permutation(30)
    boxes = np.concatenate([corners, corners + 0.3], axis=1).astype(np.float32)
    wanted = Candidates(boxes, rng.integers(0, 3, 30), rng.random(30).astype(np.float32))
    shaken = boxes[order] + rng.normal(0, 1e-4, boxes.shape).astype(np.float32)
    found = Candidates(shaken, wanted.classes[order], wanted.scores[order])
    assert np.array_equal(order[nearest(wanted, found)], np.arange(30))


def test_the_decoding_stays_when_asked_for(built, tmp_path) -> None:
    _, folder, images = built
    kept = qedge.build(
        folder / "net.tflite", images, targets="rpi", out=tmp_path, method="minmax", cut_head=False
    )
    rules = {f.rule: f.message for f in kept.report.findings}
    assert "head-cut" not in rules
    assert rules["detector-outputs"] == "the outputs are read as yolov8, which the model decodes"
    assert kept.report.outputs[-1]["name"] == "objects"
    with qedge.load(kept.bundles["rpi"]) as model:
        assert len(model.outputs) == 1
        assert (model.postprocess.form, model.postprocess.box_outputs) == ("yolov8", ())
    (tmp_path / "plain.tflite").write_bytes(Net(3).finish_plain())
    with pytest.raises(UnsupportedError, match="no decoding of a detector that is known"):
        qedge.build(tmp_path / "plain.tflite", images, targets="rpi", out=tmp_path, cut_head=True)


def test_boxes_that_agree_are_no_share_of_the_samples(built) -> None:
    said = verdict(built[0].report).lost
    share = 100 * built[0].report.outputs[-1]["agreement"]
    assert said.startswith(f"the float model's boxes (F1 {share:.1f} %, overlapping by half), SQNR")


def test_another_number_of_labels_is_refused(built, tmp_path) -> None:
    _, folder, images = built
    with pytest.raises(DataError, match="found 2 labels, the detector has 3 classes"):
        qedge.build(folder / "net.tflite", images, targets="rpi", out=tmp_path, labels=("a", "b"))


def test_labelled_photos_give_the_precision_of_both_models(built, tmp_path) -> None:
    """Boxes that the float model finds are written as labels: its own mAP is near 1, and int8's near that."""
    _, folder, _ = built
    spec = ImagePreprocess(SIDE, SIDE, range=(0.0, 1.0))
    model = Runner((folder / "build/net/float.tflite").read_bytes())
    post = cut_head(anchor_free()).postprocess.replace(threshold=0.001, limit=100)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    rng = np.random.default_rng(8)
    for k in range(6):
        image = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / f"images/{k}.png")
        lines = []
        for found in post.apply(model.predict([spec.apply(image)]), ()):
            top, left, bottom, right = found.box
            lines.append(
                f"{found.label} {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}\n"
            )
        (tmp_path / f"labels/{k}.txt").write_text("".join(lines))
    (tmp_path / "data.yaml").write_text("val: images\nnames: [a, b, c]\n")
    options = {"targets": "rpi", "out": tmp_path / "build", "method": "minmax", "range": (0, 1)}
    made = qedge.build(folder / "net.tflite", tmp_path / "data.yaml", **options)
    objects = made.report.outputs[-1]
    assert (objects["name"], objects["metric"]) == ("objects", "map")
    assert objects["float_metric"] > 0.9  # boxes that are alike once the image ends are one label
    assert 0.3 < objects["quantized_metric"] <= objects["float_metric"]
    assert set(objects["boxes"]["int8"]["by_class"]) == {"a", "b", "c"}
    assert "of mAP50-95" in verdict(made.report).lost or "no mAP50-95" in verdict(made.report).lost
    rows = {row[0]: row[1:] for row in figure_rows(made.report.outputs)}
    assert {"same boxes (F1) of objects", "mAP50-95 of objects", "mAP50 of objects"} <= set(rows)
    assert rows["mAP50 of objects"][1] == f"{100 * objects['boxes']['int8']['map50']:.1f} %"
    again = qedge.evaluate(made.bundles["rpi"], tmp_path / "data.yaml")
    assert again.metric == "map"
    assert again.quantized_metric == pytest.approx(objects["quantized_metric"], abs=0.2)
    with pytest.raises(AccuracyError, match="map of the output 'objects' drops"):
        qedge.build(folder / "net.tflite", tmp_path / "data.yaml", max_drop=0.0, **options)


def yolo_like(classes: int = 5) -> bytes:
    """Return a head of three levels and 16 bins, as YOLOv8's."""
    net = Net(6)
    net.levels.append(net.conv(net.levels[1], 8, 3, 2))
    return net.anchor_free(classes, 16, (8, 16, 32))


def test_files_for_frigate(tmp_path) -> None:
    """Frigate reads two outputs, and levels from 0 to 255 as int8."""
    (tmp_path / "net.tflite").write_bytes(yolo_like())
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(3)
    for k in range(6):
        level = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
        level[0, 0], level[0, 1] = 0, 255
        Image.fromarray(level).save(tmp_path / f"photos/{k}.png")
    request = {
        "method": "minmax",
        "range": (0, 1),
        "export": "frigate",
        "labels": ["0", "no", "c: d", "d", "é"],
    }
    made = qedge.build(
        tmp_path / "net.tflite",
        tmp_path / "photos",
        targets=["coral", "rpi"],
        out=tmp_path / "build",
        **request,
    )
    assert not (made.bundles["rpi"] / "frigate").exists()
    with pytest.raises(UsageError, match="no target has an Edge TPU"):
        qedge.build(
            tmp_path / "net.tflite", tmp_path / "photos", targets="rpi", out=tmp_path, export="frigate"
        )
    folder = made.bundles["coral"] / "frigate"
    assert (folder / "labelmap.txt").read_text().splitlines() == [
        "0 0",
        "1 no",
        "2 c: d",
        "3 d",
        "4 é",
    ]
    stated = yaml.safe_load((folder / "config.yml").read_text())
    assert stated["objects"]["track"] == ["0", "no", "c: d"]  # texts, as Frigate wants them
    assert stated["model"]["path"] == "/config/model_cache/model_edgetpu.tflite"
    assert (folder / "config.yml").read_text().startswith("# model.tflite is not compiled yet")
    assert stated["detectors"]["edgetpu"]["type"] == "edgetpu"
    assert stated["model"]["model_type"] == "yolo-generic"
    assert (stated["model"]["width"], stated["model"]["height"]) == (SIDE, SIDE)
    with read_bundle(made.bundles["coral"]) as bundle:
        assert [o.shape for o in bundle.manifest.outputs] == [(1, 84, 64), (1, 84, 5)]
        entry = bundle.manifest.inputs[0]
        assert (entry.zero_point, entry.scale) == (-128, pytest.approx(1 / 255, rel=0.02))
    (tmp_path / "other.tflite").write_bytes(yolox(True))
    with pytest.raises(UnsupportedError, match="Frigate's yolo-generic cannot decode"):
        qedge.build(
            tmp_path / "other.tflite", tmp_path / "photos", targets="coral", out=tmp_path / "other",
            **{**request, "labels": ["a", "b", "c"]},
        )  # fmt: skip


def test_who_asks_before_there_is_data_is_told_where_it_runs(tmp_path) -> None:
    """A check without samples takes random ones: the same operators as with some, and no word of accuracy."""
    (tmp_path / "net.tflite").write_bytes(anchor_free())
    images = np.random.default_rng(0).uniform(0, 1, (4, SIDE, SIDE, 3)).astype(np.float32)
    reports, rules = [], []
    for data in (None, images):
        with data_file(data) as path:
            request = request_from(
                load_config(None), model=tmp_path / "net.tflite", data=path, target=["coral"], method="minmax"
            )
            prepared = pipeline.prepare(replace(request, judge=False), lambda *_: None)
        reports.append(pipeline.check(prepared, request.targets)["coral"])
        rules.append({f.rule for f in prepared.findings})
    assert rules[0] - rules[1] == {"random-samples"}
    assert not {"accuracy-loss", "head-gain"} & rules[0]
    without, with_data = ([(p.op, p.placement) for p in report.operators] for report in reports)
    assert without == with_data
    assert "a second, estimate" in dict(reports[0].figures)["USB 3, Raspberry Pi 4"]
    with pytest.raises(UsageError, match="needs a representative dataset"):
        qedge.build(tmp_path / "net.tflite", None, targets="rpi", out=tmp_path)


def test_random_samples_are_the_same_again_and_fit_the_inputs() -> None:
    infos = [InputInfo("a", (1, 3), "float32"), InputInfo("ids", (1, 5), "int32")]
    drawn = RandomDataset(infos)
    for k in range(len(drawn)):
        values, ids = drawn[k]
        assert np.array_equal(values, RandomDataset(infos)[k][0])
        assert 0 <= values.min() < values.max() <= 1
        assert not ids.any()
    spec = ImagePreprocess(4, 2, range=(-1.0, 1.0))
    (image,) = RandomDataset([InputInfo("x", spec.shape, "float32")], spec).subset([1])[0]
    assert (image.shape, image.min() < -0.5, image.max() > 0.5) == ((1, 2, 4, 3), True, True)
