"""Operators with int16 activations, weights of int8 and biases of int64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant
from tests.ops.building import ints, q, random_int8
from tests.ops.cases import conv_2d, depthwise_conv_2d, pool_2d, transpose_conv


def w(shape: Sequence[int], scale: float = 0.0003, zero_point: int = 0) -> Spec:
    """Return an int16 tensor."""
    return Spec(tuple(shape), "int16", scale, zero_point)


def wide(case: Case, data: int = 0) -> Case:
    """Return a case of an operator with weights in its int16 form; position ``data`` is its input."""

    def convert(spec: Spec | None, scale: float) -> Spec | None:
        if spec is None or spec.data is None:
            return None if spec is None else replace(spec, dtype="int16", scale=scale, zero_point=0)
        if spec.dtype == "int32" and spec.scale is not None:
            return replace(spec, dtype="int64", data=np.asarray(spec.data) * 4000)
        return spec

    inputs = [
        convert(spec, 0.0002) if k == data or (spec is not None and spec.data is not None) else spec
        for k, spec in enumerate(case.inputs)
    ]
    outputs = [convert(spec, 0.0015) for spec in case.outputs]
    return replace(case, name=f"{case.op}-{case.name}", inputs=inputs, outputs=outputs)  # type: ignore[arg-type]


def pool(case: Case) -> Case:
    """Return the int16 form of a pool."""
    specs = [
        [replace(s, dtype="int16", scale=0.0007, zero_point=0) for s in side if s]
        for side in (case.inputs, case.outputs)
    ]
    return replace(case, inputs=specs[0], outputs=specs[1])


def unary(
    op: str,
    scale_in: float,
    scale_out: float,
    options: Mapping[str, Any] | None = None,
    zeros: tuple[int, int] = (0, 0),
) -> Case:
    """Return a case with 1,000 values."""
    name = f"{op}-{scale_in:.4g}-{scale_out:.4g}-{zeros}-{options or ''}"
    return Case(
        name, op, [w((1, 1000), scale_in, zeros[0])], [w((1, 1000), scale_out, zeros[1])], options or {}
    )


def binary(op: str, name: str, a: Spec, b: Spec, scale: float, zero_point: int = 0, **options: Any) -> Case:
    """Return a case of two inputs."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    return Case(f"{op}-{name}", op, [a, b], [w(shape, scale, zero_point)], options)


def quantize(name: str, a: Spec, b: Spec) -> Case:
    """Return a case of QUANTIZE."""
    return Case(f"QUANTIZE-{name}", "QUANTIZE", [a], [b])


def reduce(op: str, shape: Sequence[int], axes: Sequence[int], scales: tuple[float, float]) -> Case:
    """Return a case of MEAN or SUM."""
    out = [n for d, n in enumerate(shape) if d not in axes]
    return Case(
        f"{op}-{shape}-{axes}",
        op,
        [w(shape, scales[0]), ints(*axes)],
        [w(out, scales[1])],
        {"keep_dims": False},
    )


def windowed(table: Any, names: Sequence[str], data: int = 0) -> list[Case]:
    """Return int16 forms of some cases of a table."""
    chosen = [case for case in table.CASES if case.name in names]
    assert len(chosen) == len(names)
    return [wide(case, data) for case in chosen]


def dense(
    name: str, rows: int, inputs: int, outputs: int, scales: Sequence[float], bias: bool, activation: str
) -> Case:
    """Return a case of FULLY_CONNECTED."""
    weights = constant(random_int8(name, (outputs, inputs)), "int8", tuple(scales))
    offset = constant(random_int8(name, (outputs,)) * 70_000, "int64", 1e-6) if bias else None
    options = {"fused_activation_function": activation}
    return Case(
        f"FULLY_CONNECTED-{name}",
        "FULLY_CONNECTED",
        [w((rows, inputs)), weights, offset],
        [w((rows, outputs), 0.002)],
        options,
    )


def narrow(case: Case) -> Case:
    """Return a case of 16-bit activations with a bias of 32 bits, or none of 32 bits."""
    inputs = [
        replace(spec, dtype="int32") if spec is not None and spec.dtype == "int64" else spec
        for spec in case.inputs
    ]
    typed = case.op in ("CONV_2D", "FULLY_CONNECTED")
    options = {**case.options, **({"quantized_bias_type": "INT32"} if typed else {})}
    return replace(case, name=f"{case.name}-32", inputs=inputs, options=options)


SHAPE = (1, 3, 5, 7)
_DENSE = [
    dense("plain", 1, 33, 17, [0.004], True, "NONE"),
    dense("rows", 3, 16, 5, [0.004], True, "RELU"),
    dense("channels", 2, 24, 6, [0.004 * (i + 1) for i in range(6)], True, "NONE"),
    dense("no-bias", 1, 300, 3, [0.01], False, "NONE"),
]
_NARROW = [
    "1x1-relu6",
    "3x3",
    "3x3-stride",
    "3x3-dilated",
    "3x3-grouped",
    "10x4",
    "no-bias",
    "per-tensor",
    "saturates",
]
CASES = [
    *windowed(
        conv_2d,
        [
            "1x1",
            "1x1-odd",
            "1x1-relu6",
            "3x3",
            "3x3-valid",
            "3x3-stride",
            "3x3-dilated",
            "3x3-grouped",
            "10x4",
            "no-bias",
            "per-tensor",
            "saturates",
            "300-taps",
        ],
    ),
    *windowed(
        depthwise_conv_2d,
        [
            "3x3",
            "3x3-stride",
            "3x3-valid",
            "3x3-dilated",
            "5x5-stride",
            "multiplier-2",
            "multiplier-8-of-1",
            "per-tensor",
            "no-bias",
        ],
    ),
    *windowed(transpose_conv, ["2x2", "3x3", "3x3-valid", "stride-3-1", "gaps", "per-tensor", "no-bias"], 2),
    *(pool(case) for case in pool_2d.CASES if "relu6" not in case.name),
    *_DENSE,
    *(narrow(case) for case in (*windowed(conv_2d, _NARROW), *_DENSE)),
    *(narrow(case) for case in windowed(transpose_conv, ["2x2", "per-tensor"], 2)),
    *(narrow(case) for case in windowed(depthwise_conv_2d, ["3x3-stride", "multiplier-2"])),
    binary("ADD", "same", w(SHAPE, 0.0003), w(SHAPE, 0.0003), 0.0006),
    binary("ADD", "zero-points", w(SHAPE, 0.0003, 100), w(SHAPE, 0.0007, -3000), 0.001, 77),
    binary("ADD", "broadcast", w(SHAPE, 0.0009), w((5, 1), 0.0002), 0.001),
    binary("ADD", "relu", w(SHAPE, 0.0009), w(SHAPE, 0.0002), 0.0001, fused_activation_function="RELU"),
    binary("SUB", "same", w(SHAPE, 0.0003), w(SHAPE, 0.0003), 0.0006),
    binary("SUB", "broadcast", w(SHAPE, 0.0003, 5), w((7,), 0.0007, -9), 0.001, 7),
    binary("SUB", "relu6", w(SHAPE, 0.0009), w(SHAPE, 0.0002), 0.0005, fused_activation_function="RELU6"),
    binary("MUL", "same", w(SHAPE), w(SHAPE), 0.003),
    binary("MUL", "no-range", w(SHAPE), constant(np.zeros(SHAPE), "int16", 0.0), 3.6e-43),
    binary("MUL", "broadcast", w(SHAPE), w((1, 7)), 0.0001, fused_activation_function="RELU_N1_TO_1"),
    binary("SQUARED_DIFFERENCE", "same", w(SHAPE, 0.0003), w(SHAPE, 0.0002), 0.01),
    binary("SQUARED_DIFFERENCE", "broadcast", w(SHAPE, 0.0003), w((1,), 0.0003), 0.001),
    binary("PRELU", "slopes", w(SHAPE, 0.0003), q((7,), 0.01, 0), 0.0004),
    binary("PRELU", "one-slope", w(SHAPE, 0.0003, 4), q((1,), 0.002, -9), 0.0002, -44),
    binary("MAXIMUM", "same", w(SHAPE), w(SHAPE), 0.0003),
    binary("MINIMUM", "broadcast", w(SHAPE, 0.0003, 17), w((5, 1), 0.0003, 17), 0.0003, 17),
    unary("RELU", 0.0003, 0.0002),
    unary("RELU", 0.0003, 0.0009),
    unary("RELU6", 0.0003, 0.0003),
    unary("RELU6", 0.001, 0.001, zeros=(50, 50)),
    unary("LEAKY_RELU", 0.0003, 0.0002, {"alpha": 0.3}),
    unary("LEAKY_RELU", 0.0003, 0.0005, {"alpha": -0.2}, (100, -30)),
    *(
        unary(op, scale, 2.0**-15)
        for op in ("LOGISTIC", "TANH")
        for scale in (2.0**-12, 2.0**-11, 0.0003, 0.0021, 1.7)
    ),
    Case("SOFTMAX-3", "SOFTMAX", [w((5, 3), 0.001)], [w((5, 3), 2.0**-15)], {"beta": 1.0}),
    Case("SOFTMAX-50", "SOFTMAX", [w((4, 50), 0.0002)], [w((4, 50), 2.0**-15)], {"beta": 1.0}),
    Case("SOFTMAX-1", "SOFTMAX", [w((4, 1), 0.0002)], [w((4, 1), 2.0**-15)], {"beta": 0.5}),
    reduce("MEAN", (1, 5, 7, 3), (1, 2), (0.0003, 0.0003)),
    reduce("MEAN", (2, 9), (1,), (0.0003, 0.0001)),
    reduce("SUM", (1, 5, 7, 3), (1, 2), (0.0003, 0.01)),
    quantize("16-16", w((1, 500), 0.0003, 7), w((1, 500), 0.0004, -7)),
    quantize("8-16", q((1, 500), 0.1, -3), w((1, 500), 0.0004, 12)),
    quantize("16-8", w((1, 500), 0.0003, 7), q((1, 500), 0.1, -128)),
    quantize("16-32", w((1, 500), 0.0003), Spec((1, 500), "int32", 1e-6)),
    quantize("8-32", q((1, 500), 0.1, 5), Spec((1, 500), "int32", 1e-6)),
    quantize("float-16", Spec((1, 500), "float32"), w((1, 500), 0.001, 9)),
    Case("PAD", "PAD", [w((1, 2, 5, 3)), constant([[0, 0], [1, 0], [2, 3], [0, 0]])], [w((1, 3, 10, 3))]),
    Case(
        "STRIDED_SLICE",
        "STRIDED_SLICE",
        [w((1, 4, 5, 3)), ints(0, 1, 0, 0), ints(1, 4, 5, 3), ints(1, 2, 1, 1)],
        [w((1, 2, 5, 3))],
    ),
    Case("CONCATENATION", "CONCATENATION", [w((1, 2, 3)), w((1, 4, 3))], [w((1, 6, 3))], {"axis": 1}),
    Case("TRANSPOSE", "TRANSPOSE", [w((2, 3, 4)), ints(2, 0, 1)], [w((4, 2, 3))]),
    Case("RESHAPE", "RESHAPE", [w((2, 3, 4)), ints(6, 4)], [w((6, 4))]),
    Case("DEQUANTIZE", "DEQUANTIZE", [w((2, 30), 0.001, 5)], [Spec((2, 30), "float32")]),
]
