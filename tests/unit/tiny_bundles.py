"""A tiny real model (convolution, mean, dense, softmax) and bundles of it, made without a converter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from qedge.bundle import Manifest, golden_files, write_bundle
from qedge.oracle.builtin import builtin_outputs
from qedge.processing.classify import Classify
from qedge.processing.image import ImagePreprocess
from qedge.runtime.litert import open_engine, tensor_specs
from qedge.testing.opmodels import ModelBuilder, Spec

LABELS = ("cat", "dog", "fish", "bird")


def tiny_model(scale: float = 1.0, zero_point: int = -128, side: int = 8, seed: int = 3) -> bytes:
    """Return an int8 classifier of (1, side, side, 3) images into four classes."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()
    graph = builder.subgraph()
    image = graph.input(Spec((1, side, side, 3), scale=scale, zero_point=zero_point, name="image"))
    conv_weights = rng.integers(-127, 128, (6, 3, 3, 3))
    conv = graph.tensor(Spec((1, side // 2, side // 2, 6), scale=scale / 2, zero_point=-10))
    weights = graph.tensor(Spec((6, 3, 3, 3), scale=0.002, data=conv_weights))
    bias = graph.tensor(Spec((6,), "int32", 0.002 * scale, data=rng.integers(-500, 500, 6)))
    options = {"padding": "SAME", "stride_h": 2, "stride_w": 2, "fused_activation_function": "RELU"}
    graph.operator("CONV_2D", [image, weights, bias], [conv], options, version=3)
    axes = graph.tensor(Spec((2,), "int32", data=[1, 2]))
    mean = graph.tensor(Spec((1, 6), scale=scale / 2, zero_point=-10))
    graph.operator("MEAN", [conv, axes], [mean], {"keep_dims": False}, version=2)
    dense = graph.tensor(Spec((4, 6), scale=0.01, data=rng.integers(-127, 128, (4, 6))))
    offset = graph.tensor(Spec((4,), "int32", 0.01 * scale / 2, data=rng.integers(-500, 500, 4)))
    logits = graph.tensor(Spec((1, 4), scale=0.2, zero_point=3))
    graph.operator("FULLY_CONNECTED", [mean, dense, offset], [logits], version=4)
    scores = graph.tensor(Spec((1, 4), scale=1 / 256, zero_point=-128, name="scores"))
    graph.operator("SOFTMAX", [logits], [scores], {"beta": 1.0}, version=2)
    graph.output(scores)
    return builder.pack()


def tiny_images(count: int = 6, side: int = 8, seed: int = 5) -> np.ndarray:
    """Return uint8 images (count, side, side, 3) of quite different colours."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (count, 1, 1, 3))
    return np.clip(base + rng.integers(-60, 60, (count, side, side, 3)), 0, 255).astype(np.uint8)


def make_bundle(
    place: Path, model: bytes | None = None, *, golden: list[np.ndarray] | None = None, **fields: Any
) -> Path:
    """Write a bundle for ``rpi`` and return its folder; ``fields`` are the manifest's."""
    data = model or tiny_model()
    inputs, outputs = tensor_specs(data)
    if golden is None:
        golden = [(image ^ 0x80).view(np.int8)[None] for image in tiny_images()]
    engine = open_engine(data, inputs, outputs, threads=1)
    expected = [engine.run([array]) for array in golden]
    engine.close()
    described = {
        "name": "tiny",
        "model_sha256": "0" * 64,
        "target": "rpi",
        "preprocess": ImagePreprocess(8, 8) if model is None else None,
        "postprocess": Classify(),
        "labels": LABELS if model is None else (),
        **fields,
    }
    inputs_of = [[array] for array in golden]
    files = {
        "model.tflite": data,
        **golden_files(inputs_of, expected, {"builtin": builtin_outputs(data, inputs_of)}),
    }
    write_bundle(place, Manifest(inputs=inputs, outputs=outputs, **described), files)
    return place
