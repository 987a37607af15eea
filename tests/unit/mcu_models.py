"""A small residual network and its bundle, for tests of the microcontroller target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qedge.bundle import Manifest, TensorSpec, golden_files, write_bundle
from qedge.graph import Graph, Tensor
from qedge.target import Compiled
from qedge.testing.opmodels import ModelBuilder, Spec, constant
from qedge.testing.requests import request
from qedge_mcu.target import TARGET


def residual_network(classes: int = 5, seed: int = 3, activation: str = "RELU") -> bytes:
    """Return a model with CONV_2D, DEPTHWISE_CONV_2D, ADD, AVERAGE_POOL_2D, FULLY_CONNECTED and SOFTMAX."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()
    g = builder.subgraph()

    def weights(*shape: int, axis: int) -> Spec:
        scales = rng.uniform(0.002, 0.01, shape[axis]).tolist()
        return constant(rng.integers(-127, 128, shape), "int8", scales, 0, axis)

    def bias(count: int) -> Spec:
        return constant(rng.integers(-2000, 2000, count), "int32")

    def activations(*shape: int, scale: float, zero: int, name: str) -> Spec:
        return Spec(shape, "int8", scale, zero, name=name)

    window = {"stride_h": 1, "stride_w": 1, "padding": "SAME"}
    dilation = {"dilation_h_factor": 1, "dilation_w_factor": 1}
    image = g.input(activations(1, 9, 7, 3, scale=0.03, zero=-3, name="image"))
    first = g.tensor(activations(1, 9, 7, 8, scale=0.05, zero=-128, name="first;fused/Relu"))
    g.operator(
        "CONV_2D",
        [image, g.tensor(weights(8, 3, 3, 3, axis=0)), g.tensor(bias(8))],
        [first],
        {**window, **dilation, "fused_activation_function": activation},
    )
    second = g.tensor(activations(1, 9, 7, 8, scale=0.04, zero=5, name="second"))
    g.operator(
        "DEPTHWISE_CONV_2D",
        [first, g.tensor(weights(1, 3, 3, 8, axis=3)), g.tensor(bias(8))],
        [second],
        {**window, **dilation, "depth_multiplier": 1},
    )
    third = g.tensor(activations(1, 9, 7, 8, scale=0.06, zero=2, name="third"))
    g.operator(
        "CONV_2D",
        [second, g.tensor(weights(8, 1, 1, 8, axis=0)), g.tensor(bias(8))],
        [third],
        {**window, **dilation},
    )
    total = g.tensor(activations(1, 9, 7, 8, scale=0.07, zero=-10, name="total"))
    g.operator("ADD", [first, third], [total], {"fused_activation_function": "RELU"})
    pooled = g.tensor(activations(1, 4, 3, 8, scale=0.07, zero=-10, name="pooled"))
    pool = {"stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2, "padding": "VALID"}
    g.operator("AVERAGE_POOL_2D", [total], [pooled], pool)
    flat = g.tensor(activations(1, 96, scale=0.07, zero=-10, name="flat"))
    g.operator("RESHAPE", [pooled, g.tensor(constant([1, 96]))], [flat])
    logits = g.tensor(activations(1, classes, scale=0.1, zero=7, name="logits"))
    g.operator(
        "FULLY_CONNECTED",
        [
            flat,
            g.tensor(constant(rng.integers(-127, 128, (classes, 96)), "int8", 0.004)),
            g.tensor(bias(classes)),
        ],
        [logits],
    )
    result = g.tensor(activations(1, classes, scale=1 / 256, zero=-128, name="result"))
    g.operator("SOFTMAX", [logits], [result], {"beta": 1.0})
    g.output(result)
    return builder.pack()


def spec_of(tensor: Tensor) -> TensorSpec:
    """Return what a manifest says about a tensor."""
    scale, zero = tensor.quantization.scalar if tensor.quantization else (None, None)
    return TensorSpec(tensor.name, tensor.shape, tensor.dtype, scale, zero)


def compile_model(model: bytes, folder: Path, **options: Any) -> Compiled:
    """Return what the target compiles."""
    return TARGET.compile(request(model, folder, **{"name": "tiny"} | options))


def bundle_of(
    model: bytes, folder: Path, replaced: Mapping[str, bytes] | None = None, **options: Any
) -> Path:
    """Write a bundle with three golden samples; ``replaced`` files take the place of what was compiled."""
    graph = Graph.from_bytes(model)
    compiled = compile_model(model, folder, **options)
    rng = np.random.default_rng(1)
    samples = [
        [rng.integers(-128, 128, graph.tensors[t].shape, np.int8) for t in graph.inputs] for _ in range(3)
    ]
    outputs = TARGET.golden_outputs(model, samples)
    assert outputs is not None
    files = {"model.tflite": model, **golden_files(samples, outputs), **compiled.files, **(replaced or {})}
    manifest = Manifest(
        name="tiny",
        model_sha256=graph.sha256,
        target="mcu",
        inputs=tuple(spec_of(graph.tensors[t]) for t in graph.inputs),
        outputs=tuple(spec_of(graph.tensors[t]) for t in graph.outputs),
        target_data=dict(compiled.extra),
    )
    write_bundle(folder / "bundle", manifest, files)
    return folder / "bundle"
