"""Small int8 models that the conformance kit shows to a target, made without a converter."""

from __future__ import annotations

import numpy as np

from qedge.testing.opmodels import ModelBuilder, Spec, constant

UNKNOWN_OPERATOR = "AnOperatorThatNoDeviceHas"


def small_classifier(classes: int = 5, seed: int = 4) -> bytes:
    """Return a classifier of (1, 12, 10, 4) int8: CONV_2D, DEPTHWISE_CONV_2D, CONV_2D, ADD, AVERAGE_POOL_2D, RESHAPE,
    FULLY_CONNECTED, SOFTMAX; its outputs differ from sample to sample."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()
    g = builder.subgraph()
    window = {"stride_h": 1, "stride_w": 1, "padding": "SAME"}
    dilation = {"dilation_h_factor": 1, "dilation_w_factor": 1}

    def weights(*shape: int, axis: int) -> tuple[int, list[float]]:
        scales = rng.uniform(0.002, 0.004, shape[axis]).tolist()
        return g.tensor(
            constant(rng.integers(-127, 128, shape), "int8", scales, [0] * len(scales), axis)
        ), scales

    def bias(count: int, scales: list[float]) -> int:
        return g.tensor(constant(rng.integers(-900, 900, count), "int32", scales, [0] * count))

    def convolution(op: str, source: int, scale: float, target: Spec, extra: dict[str, object]) -> int:
        depthwise = op == "DEPTHWISE_CONV_2D"
        shape = (1, 3, 3, 8) if depthwise else (8, 3, 3, 4) if extra.pop("first", False) else (8, 1, 1, 8)
        kernel, scales = weights(*shape, axis=3 if depthwise else 0)
        out = g.tensor(target)
        operands = [source, kernel, bias(8, [scale * s for s in scales])]
        g.operator(op, operands, [out], {**window, **dilation, **extra}, version=3)
        return out

    def activations(name: str, *shape: int, scale: float, zero: int) -> Spec:
        return Spec(shape, "int8", scale, zero, name=name)

    image = g.input(activations("image", 1, 12, 10, 4, scale=0.03, zero=-3))
    first = convolution(
        "CONV_2D",
        image,
        0.03,
        activations("first", 1, 12, 10, 8, scale=0.04, zero=-128),
        {"first": True, "fused_activation_function": "RELU"},
    )
    second = convolution(
        "DEPTHWISE_CONV_2D",
        first,
        0.04,
        activations("second", 1, 12, 10, 8, scale=0.04, zero=5),
        {"depth_multiplier": 1},
    )
    third = convolution("CONV_2D", second, 0.04, activations("third", 1, 12, 10, 8, scale=0.05, zero=2), {})
    total = g.tensor(activations("total", 1, 12, 10, 8, scale=0.06, zero=-10))
    g.operator("ADD", [first, third], [total], {"fused_activation_function": "RELU"})
    pooled = g.tensor(activations("pooled", 1, 6, 5, 8, scale=0.06, zero=-10))
    pool = {"stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2, "padding": "VALID"}
    g.operator("AVERAGE_POOL_2D", [total], [pooled], pool, version=2)
    flat = g.tensor(activations("flat", 1, 240, scale=0.06, zero=-10))
    g.operator("RESHAPE", [pooled, g.tensor(constant([1, 240]))], [flat], {"new_shape": [1, 240]})
    logits = g.tensor(activations("logits", 1, classes, scale=0.2, zero=7))
    dense = g.tensor(constant(rng.integers(-127, 128, (classes, 240)), "int8", 0.004))
    offset = g.tensor(constant(rng.integers(-900, 900, classes), "int32", 0.004 * 0.06))
    g.operator("FULLY_CONNECTED", [flat, dense, offset], [logits], version=4)
    scores = g.tensor(activations("scores", 1, classes, scale=1 / 256, zero=-128))
    g.operator("SOFTMAX", [logits], [scores], {"beta": 1.0}, version=2)
    g.output(scores)
    return builder.pack()


def unknown_operator() -> bytes:
    """Return a model whose second of three operators is a custom one that no device has."""
    builder = ModelBuilder()
    g = builder.subgraph()
    spec = Spec((1, 8), "int8", 0.1, 0)
    image, middle, after, out = g.input(spec), g.tensor(spec), g.tensor(spec), g.tensor(spec)
    g.operator("RELU", [image], [middle], version=2)
    g.custom(UNKNOWN_OPERATOR, [middle], [after], b"")
    g.operator("RELU", [after], [out], version=2)
    g.output(out)
    return builder.pack()
