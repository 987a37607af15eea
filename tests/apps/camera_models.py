"""Real models for the camera app whose answer is known by construction, and their bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from qedge.bundle import Manifest, write_bundle
from qedge.processing.classify import Classify
from qedge.processing.detect import Detect
from qedge.processing.image import ImagePreprocess
from qedge.processing.keypoints import Keypoints
from qedge.runtime.litert import tensor_specs
from qedge.testing.opmodels import ModelBuilder, Spec, SubgraphBuilder

COLORS = ("red", "green", "blue")
CELLS = 4


def bundle(place: Path, data: bytes, **fields: Any) -> Path:
    """Write a bundle for ``rpi``."""
    inputs, outputs = tensor_specs(data)
    write_bundle(place, Manifest("tiny", "0" * 64, "rpi", inputs, outputs, **fields), {"model.tflite": data})
    return place


def color_bundle(place: Path, side: int = 8, work: int = 0, **fields: Any) -> Path:
    """Return a classifier that says which of red, green and blue is the most; ``work`` convolutions slow it down."""
    builder = ModelBuilder()
    graph = builder.subgraph()
    image = graph.input(Spec((1, side, side, 3), scale=1.0, zero_point=-128, name="image"))
    mean = graph.tensor(Spec((1, 3), scale=1.0, zero_point=-128))
    axes = graph.tensor(Spec((2,), "int32", data=[1, 2]))
    graph.operator("MEAN", [image, axes], [mean], {"keep_dims": False}, version=2)
    scores = graph.tensor(Spec((1, 3), scale=1 / 256, zero_point=-128, name="scores"))
    graph.operator("SOFTMAX", [mean], [scores], {"beta": 0.05}, version=2)
    graph.output(scores)
    if work:
        graph.output(_work(graph, image, side, work))
    fields = {
        "preprocess": ImagePreprocess(side, side),
        "postprocess": Classify(),
        "labels": COLORS,
        **fields,
    }
    return bundle(place, builder.pack(), **fields)


def _work(graph: SubgraphBuilder, image: int, side: int, layers: int) -> int:
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "fused_activation_function": "NONE"}
    found, channels, rng = image, 3, np.random.default_rng(0)
    for _ in range(layers):
        weights = graph.tensor(
            Spec((32, 3, 3, channels), scale=0.01, data=rng.integers(-9, 9, (32, 3, 3, channels)))
        )
        bias = graph.tensor(Spec((32,), "int32", 0.01, data=np.zeros(32, np.int32)))
        result = graph.tensor(Spec((1, side, side, 32), scale=1.0, zero_point=-128))
        graph.operator("CONV_2D", [found, weights, bias], [result], options, version=3)
        found, channels = result, 32
    return found


def square_bundle(place: Path, own: bool = False, **fields: Any) -> Path:
    """Return a detector of what is bright: one anchor a cell of a 4 by 4 grid, whose score is the cell's brightness.

    Args:
        own: whether the model ends with ``TFLite_Detection_PostProcess``, as SSDs do, instead of raw anchors.
    """
    side, size = 16 // CELLS, 16
    builder = ModelBuilder()
    graph = builder.subgraph()
    image = graph.input(Spec((1, size, size, 3), scale=1.0, zero_point=-128, name="image"))
    options = {"padding": "VALID", "stride_h": side, "stride_w": side, "fused_activation_function": "NONE"}

    def head(name: str, weights: tuple[int, ...], scale: float, out: float, zero_point: int) -> int:
        channels = len(weights)
        filters = np.tile(np.reshape(weights, (channels, 1, 1, 1)), (1, side, side, 3))
        values = graph.tensor(Spec(filters.shape, scale=scale, data=filters))
        bias = graph.tensor(Spec((channels,), "int32", scale, data=np.zeros(channels, np.int32)))
        grid = graph.tensor(Spec((1, CELLS, CELLS, channels), scale=out, zero_point=zero_point))
        graph.operator("CONV_2D", [image, values, bias], [grid], options, version=3)
        rows = graph.tensor(Spec((1, CELLS * CELLS, channels), scale=out, zero_point=zero_point, name=name))
        to = graph.tensor(Spec((3,), "int32", data=[1, CELLS * CELLS, channels]))
        graph.operator("RESHAPE", [grid, to], [rows], {"new_shape": [1, CELLS * CELLS, channels]})
        return rows

    brightness = (0, 127) if own else (127,)  # the operator's class 0 is the background
    boxes = head("boxes", (0, 0, 0, 0), 0.01, 0.1, 0)
    scores = head("scores", brightness, 1 / (side * side * 3 * 255 * 127), 1 / 256, -128)
    centres = (np.indices((CELLS, CELLS)).reshape(2, -1).T + 0.5) / CELLS
    anchors = np.concatenate([centres, np.full_like(centres, 1 / CELLS)], axis=1)
    if own:
        _decoded(graph, boxes, scores, anchors)
        detect = Detect()
    else:
        graph.output(boxes)
        graph.output(scores)
        told = tuple(float(v) for v in anchors.reshape(-1))
        detect = Detect("anchors", scores_output=1, classes=1, score_form="probabilities", anchors=told)
    fields = {
        "preprocess": ImagePreprocess(size, size, resize="area"),
        "postprocess": detect,
        "labels": ("square",),
        **fields,
    }
    return bundle(place, builder.pack(), **fields)


def _decoded(graph: SubgraphBuilder, boxes: int, scores: int, anchors: np.ndarray) -> None:
    """End a detector of one class with ``TFLite_Detection_PostProcess``, in float."""
    places = len(anchors)
    real = [graph.tensor(Spec((1, places, n), "float32")) for n in (4, 2)]
    for codes, values in zip((boxes, scores), real):
        graph.operator("DEQUANTIZE", [codes], [values], version=2)
    table = graph.tensor(Spec(anchors.shape, "float32", data=anchors))
    shapes = ((1, places, 4), (1, places), (1, places), (1,))
    results = [graph.tensor(Spec(shape, "float32")) for shape in shapes]
    said = {"max_detections": places, "max_classes_per_detection": 1, "num_classes": 1}
    said |= {"nms_iou_threshold": 0.5, "nms_score_threshold": 0.0, "use_regular_nms": False}
    said |= {"y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}
    options = bytes(flexbuffers.Dumps(said))
    graph.custom("TFLite_Detection_PostProcess", [*real, table], results, options)
    for index in results:
        graph.output(index)


def points_bundle(place: Path, points: list[tuple[float, float, float]], **fields: Any) -> Path:
    """Return a model that finds the same ``points`` (y, x, score; multiples of 1/256 below 1) in every picture."""
    builder = ModelBuilder()
    graph = builder.subgraph()
    image = graph.input(Spec((1, 8, 8, 3), scale=1.0, zero_point=-128, name="image"))
    mean = graph.tensor(Spec((1, 3), scale=1.0, zero_point=-128))
    axes = graph.tensor(Spec((2,), "int32", data=[1, 2]))
    graph.operator("MEAN", [image, axes], [mean], {"keep_dims": False}, version=2)
    count = 3 * len(points)
    weights = graph.tensor(Spec((count, 3), scale=1 / 256, data=np.zeros((count, 3), np.int8)))
    values = np.rint(256 * np.array(points).reshape(-1)).astype(np.int32)
    bias = graph.tensor(Spec((count,), "int32", 1 / 256, data=values))
    row = graph.tensor(Spec((1, count), scale=1 / 256, zero_point=-128))
    graph.operator("FULLY_CONNECTED", [mean, weights, bias], [row], version=4)
    shape = (1, 1, len(points), 3)
    found = graph.tensor(Spec(shape, scale=1 / 256, zero_point=-128, name="points"))
    to = graph.tensor(Spec((4,), "int32", data=shape))
    graph.operator("RESHAPE", [row, to], [found], {"new_shape": list(shape)})
    graph.output(found)
    fields = {"preprocess": ImagePreprocess(8, 8), "postprocess": Keypoints(threshold=0.6), **fields}
    return bundle(place, builder.pack(), **fields)
