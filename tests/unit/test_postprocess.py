"""Post-processing against LiteRT's own operator, real models and plain arithmetic."""

from __future__ import annotations

import copy
import json
import pickle
import sys

import numpy as np
import pytest
from flatbuffers import flexbuffers

from qedge.errors import DataError, IntegrityError, UsageError
from qedge.processing.classify import Classify, softmax
from qedge.processing.detect import Detect
from qedge.processing.detection.nms import non_max_suppression
from qedge.processing.detection.ssd import ssd_anchors
from qedge.processing.image import ImagePreprocess
from qedge.processing.keypoints import COCO, Keypoints
from qedge.processing.regression import Embedding, Regression
from qedge.processing.segment import Segment, shares
from qedge.processing.spec import POSTPROCESS_KINDS, postprocess_from_json
from qedge.runtime.litert import find_binding
from qedge.testing.opmodels import ModelBuilder, Spec

ANCHORS, CLASSES, LIMIT = 120, 5, 10


def f32(*values) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize("kind", sorted(POSTPROCESS_KINDS))
def test_every_kind_survives_json(kind) -> None:
    made = postprocess_from_json({"kind": kind})
    assert made is not None
    assert postprocess_from_json(json.loads(json.dumps(made.to_json()))) == made
    with pytest.raises(IntegrityError, match=r"\$\.post\.nonsense: unknown key"):
        postprocess_from_json({"kind": kind, "nonsense": 1}, "$.post", IntegrityError)


def test_a_description_is_a_frozen_record() -> None:
    made = Regression(1, std=2.0)
    assert repr(made) == "Regression(output=1, mean=0.0, std=2.0)"
    assert made == Regression(output=1, mean=0.0, std=2.0)
    assert made != Regression(2, std=2.0)
    assert made != Embedding(1)
    assert len({made, Regression(1, std=2.0), Regression()}) == 2
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert (twin, hash(twin), vars(twin)) == (made, hash(made), vars(made))
    with pytest.raises(AttributeError, match="frozen"):
        made.std = 1.0  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del made.std


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Regression(1, 2.0, 3.0, 4.0), "takes 3 fields, found 4"),
        (lambda: Regression(1, output=2), "twice 'output'"),
        (lambda: Regression(nonsense=1), "the unknown field 'nonsense'"),
        (lambda: ImagePreprocess(8), "lacks 'height'"),
    ],
)
def test_fields_that_a_description_does_not_have_are_a_type_error(call, said) -> None:
    with pytest.raises(TypeError, match=said):
        call()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "classify", "form": "softmax"},
        {"kind": "classify", "output": -1},
        {"kind": "detect", "form": "yolo"},
        {"kind": "detect", "threshold": 2},
        {"kind": "detect", "anchors": [1, 2, 3]},
        {"kind": "detect", "input_size": [300]},
        {"kind": "detect", "strides": []},
        {"kind": "keypoints", "stride": 0},
        {"kind": "keypoints", "offsets": "1"},
        {"kind": "regression", "std": 0},
        {"kind": "embedding", "normalize": 1},
        {"kind": "segment", "threshold": None},
        {"kind": "poem"},
    ],
)
def test_a_wrong_field_is_named(wrong) -> None:
    field = next((k for k in wrong if k != "kind"), "kind")
    with pytest.raises(IntegrityError, match=rf"\$\.post\.{field}: found"):
        postprocess_from_json(wrong, "$.post", IntegrityError)


def test_classify_forms() -> None:
    logits = f32([1.0, 3.0, -2.0])
    assert np.allclose(Classify("logits").scores([logits]), softmax(logits[0]))
    assert np.allclose(Classify("sigmoid").scores([logits]), 1 / (1 + np.exp(-logits[0])))
    probabilities = f32([0.25, 0.5, 0.25])
    assert np.array_equal(Classify().scores([probabilities]), probabilities[0])
    assert np.allclose(Classify().scores([logits]), softmax(logits[0]))
    assert np.allclose(Classify(output=1).scores([probabilities, logits]), softmax(logits[0]))
    assert np.allclose(Classify().scores([f32([0.75])]), [0.25, 0.75])
    assert np.allclose(Classify("logits").scores([f32([0.0])]), [0.5, 0.5])
    assert Classify().apply([probabilities], ["a", "b"]) == [("b", 0.5), ("a", 0.25), ("2", 0.25)]
    assert np.isfinite(softmax(f32(1e4, -1e4))).all()


def detection_model(iou: float, threshold: float, anchors: np.ndarray) -> bytes:
    """Return a float model of nothing but ``TFLite_Detection_PostProcess``."""
    options = flexbuffers.Dumps(
        {
            "max_detections": LIMIT,
            "max_classes_per_detection": 1,
            "num_classes": CLASSES,
            "nms_iou_threshold": iou,
            "nms_score_threshold": threshold,
            "y_scale": 10.0,
            "x_scale": 10.0,
            "h_scale": 5.0,
            "w_scale": 5.0,
        }
    )
    builder = ModelBuilder()
    graph = builder.subgraph()
    boxes = graph.input(Spec((1, ANCHORS, 4), "float32", name="boxes"))
    scores = graph.input(Spec((1, ANCHORS, CLASSES + 1), "float32", name="scores"))
    table = graph.tensor(Spec((ANCHORS, 4), "float32", data=anchors))
    shapes = ((1, LIMIT, 4), (1, LIMIT), (1, LIMIT), (1,))
    results = [graph.tensor(Spec(shape, "float32")) for shape in shapes]
    graph.custom("TFLite_Detection_PostProcess", [boxes, scores, table], results, bytes(options))
    for index in results:
        graph.output(index)
    return builder.pack()


def test_raw_anchors_give_what_litert_s_own_operator_gives() -> None:
    rng = np.random.default_rng(3)
    anchors = ssd_anchors((64, 64), (16, 32), 0.2, 0.9, (1.0, 2.0, 0.5, 3.0, 0.3333))[:ANCHORS]
    anchors = np.resize(anchors, (ANCHORS, 4)).astype(np.float32)
    iou, threshold = 0.5, 0.4
    interpreter = find_binding().module.Interpreter(model_content=detection_model(iou, threshold, anchors))
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()
    outputs = interpreter.get_output_details()
    labels = [f"class {k}" for k in range(CLASSES)]
    raw = Detect(
        "anchors", 0, 1, 1, threshold=threshold, iou=iou, per_class=False, limit=LIMIT, background=True,
        score_form="probabilities", anchors=tuple(anchors.ravel().tolist()),
    )  # fmt: skip
    done = Detect("ssd", threshold=threshold, limit=LIMIT)
    counts = set()
    for _ in range(12):
        boxes = rng.normal(0, 3, (1, ANCHORS, 4)).astype(np.float32)
        scores = (rng.random((1, ANCHORS, CLASSES + 1)) * rng.random()).astype(np.float32)
        interpreter.set_tensor(details[0]["index"], boxes)
        interpreter.set_tensor(details[1]["index"], scores)
        interpreter.invoke()
        expected = done.apply([interpreter.get_tensor(o["index"]) for o in outputs], labels)
        found = raw.apply([boxes, scores], labels)
        assert [d.label for d in found] == [d.label for d in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-6)
            assert one.box == pytest.approx(other.box, abs=1e-5)
        counts.add(len(found))
    assert max(counts) == LIMIT
    assert min(counts) < LIMIT


def test_generated_anchors_are_those_of_the_object_detection_api() -> None:
    anchors = ssd_anchors((300, 300), (16, 32, 64, 128, 256, 512), 0.2, 0.95, (1.0, 2.0, 0.5, 3.0, 0.3333))
    # ssd_mobilenet: 19 x 19 x 3 + (10 x 10 + 5 x 5 + 3 x 3 + 2 x 2 + 1) x 6
    assert anchors.shape == (1917, 4)
    assert np.allclose(anchors[0], [0.5 / 19, 0.5 / 19, 0.1, 0.1], atol=1e-6)
    assert np.allclose(anchors[1], [0.5 / 19, 0.5 / 19, 0.2 / 2**0.5, 0.2 * 2**0.5], atol=1e-6)
    assert np.allclose(anchors[-1], [0.5, 0.5, 0.95**0.5, 0.95**0.5], atol=1e-6)


def test_suppression_keeps_other_classes_and_the_limit() -> None:
    boxes = f32([0, 0, 1, 1], [0, 0, 1, 0.9], [0.5, 0.5, 1, 1], [0, 0, 1, 1])
    scores = f32(0.9, 0.95, 0.6, 0.5)
    kept = non_max_suppression(boxes, scores, np.array([0, 0, 0, 1]), 0.5, 10)
    assert kept.tolist() == [1, 2, 3]
    assert non_max_suppression(boxes, scores, np.zeros(4, int), 0.5, 1).tolist() == [1]
    assert non_max_suppression(boxes[:0], scores[:0], np.zeros(0, int), 0.5, 9).tolist() == []


def test_another_number_of_anchors_is_refused() -> None:
    with pytest.raises(DataError, match="the model has 7 boxes"):
        Detect("anchors").apply([np.zeros((1, 7, 4)), np.zeros((1, 7, 3)), np.zeros((1, 7, 3))], [])


def test_segment_and_shares() -> None:
    scores = np.zeros((1, 2, 3, 4), np.float32)
    scores[0, 0, :, 2] = 1
    assert Segment().apply([scores], []).tolist() == [[2, 2, 2], [0, 0, 0]]
    assert Segment().apply([f32([[0.2, 0.7]])[..., None]], []).tolist() == [[0, 1]]
    assert Segment().apply([f32([[3, 1]])], []).tolist() == [[3, 1]]
    assert shares(np.array([[2, 2, 9]], np.int32), ["a", "b", "c"])[0] == ("c", pytest.approx(2 / 3))
    with pytest.raises(DataError, match="expected"):
        Segment().apply([f32([1, 2])], [])


def test_keypoints() -> None:
    points = np.arange(51, dtype=np.float32).reshape(1, 1, 17, 3) / 51
    found = Keypoints(threshold=0.5).apply([points], [])
    assert found[-1] == (
        "right_ankle",
        pytest.approx(50 / 51),
        pytest.approx(48 / 51),
        pytest.approx(49 / 51),
    )
    assert [p.label for p in found] == list(COCO[-len(found) :])
    heat = np.full((1, 3, 5, 2), -9, np.float32)
    heat[0, 2, 1, 0] = heat[0, 0, 4, 1] = 2
    peaks = Keypoints("heatmaps").apply([heat], ["a", "b"])
    assert [(p.label, p.y, p.x) for p in peaks] == [
        ("a", pytest.approx(2.5 / 3), pytest.approx(1.5 / 5)),
        ("b", pytest.approx(0.5 / 3), pytest.approx(4.5 / 5)),
    ]
    offsets = np.zeros((1, 3, 5, 4), np.float32)
    offsets[0, 2, 1] = (-8, 0, 4, 0)
    moved = Keypoints("heatmaps", offsets=1, stride=16).apply([heat, offsets], ["a", "b"])
    assert moved[0][2:] == (pytest.approx((32 - 8) / 32), pytest.approx((16 + 4) / 64))


def test_regression_and_embedding() -> None:
    assert Regression(mean=10, std=2).apply([f32([1, -1])], ["w"]) == [("w", 12.0), ("1", 8.0)]
    assert np.allclose(Embedding().apply([f32([3, 4])], []), [0.6, 0.8])
    assert np.array_equal(Embedding(normalize=False).apply([f32([3, 4])], []), [3, 4])
    assert np.array_equal(Embedding().apply([f32([0, 0])], []), [0, 0])


@pytest.mark.parametrize("size", [(40, 80), (80, 40), (64, 64), (33, 50)])
@pytest.mark.parametrize("fields", [{}, {"fit": "crop", "crop_fraction": 0.8}, {"fit": "letterbox"}])
def test_boxes_come_back_to_where_they_were_in_the_image(size, fields) -> None:
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2 - 3, width // 2 - 2
    image[top : top + 8, left : left + 6] = 255
    spec = ImagePreprocess(96, 96, resize="nearest", **fields)
    bright = np.argwhere(spec.pixels(image)[:, :, 0] > 128)
    box = np.array([*bright.min(axis=0), *(bright.max(axis=0) + 1)]) / 96
    found = spec.to_source(box, height, width)
    assert found == pytest.approx([top, left, top + 8, left + 6], abs=1.01)


@pytest.mark.shared
def test_a_real_segmentation_model_finds_the_person(shared) -> None:
    data = (shared / "models/coral/deeplabv3_mnv2_dm05_pascal_quant.tflite").read_bytes()
    from qedge.runtime.litert import open_engine, tensor_specs

    inputs, outputs = tensor_specs(data)
    engine = open_engine(data, inputs, outputs)
    spec = ImagePreprocess.for_input(inputs[0].shape)
    picture = next(p for p in sorted((shared / "data/images").iterdir()) if p.stem.startswith("cat"))
    raw = engine.run([spec.pixels(picture)[None]])
    mask = Segment().apply([raw[0].astype(np.float32)], [])
    assert mask.shape == tuple(outputs[0].shape[1:3])
    # PASCAL VOC: 0 background, 8 cat.
    assert {name for name, share in shares(mask, []) if share > 0.1} <= {"0", "8"}
    assert dict(shares(mask, []))["8"] > 0.1


def test_replace_changes_fields_and_checks_them_again() -> None:
    post = Detect(threshold=0.4, iou=0.5)
    assert post.replace(threshold=0.7) == Detect(threshold=0.7, iou=0.5)
    assert post.threshold == 0.4
    if sys.version_info >= (3, 13):
        assert copy.replace(post, threshold=0.7) == post.replace(threshold=0.7)
    with pytest.raises(UsageError, match="threshold"):
        post.replace(threshold=2)
    with pytest.raises(TypeError, match="unknown field 'treshold'"):
        post.replace(treshold=0.7)
