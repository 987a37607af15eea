"""TRANSPOSE_CONV."""

from __future__ import annotations

from qedge.testing.cases import Case
from qedge.testing.opmodels import constant
from tests.ops.building import ints, q, random_int8


def case(
    name: str,
    shape: tuple[int, int, int],
    filter: tuple[int, int, int],
    *,
    stride: tuple[int, int] = (2, 2),
    padding: str = "SAME",
    quantized_in: tuple[float, int] = (0.05, 3),
    quantized_out: tuple[float, int] = (0.3, -5),
    per_channel: bool = True,
    bias: bool = True,
    activation: str = "NONE",
) -> Case:
    """Return a case; ``shape`` is (height, width, channels), ``filter`` (height, width, output channels)."""
    out = [
        size * step if padding == "SAME" else (size - 1) * step + taps
        for size, step, taps in zip(shape, stride, filter)
    ]
    outputs = filter[2]
    scales = [0.003 * (1 + 0.37 * i) for i in range(outputs if per_channel else 1)]
    inputs = [
        ints(1, *out, outputs),
        constant(random_int8(name, (outputs, *filter[:2], shape[2])), "int8", scales),
        q((1, *shape), *quantized_in),
    ]
    if bias:
        inputs.append(
            constant(random_int8(name, (outputs,)) * 9, "int32", [quantized_in[0] * s for s in scales])
        )
    options = {
        "padding": padding,
        "stride_h": stride[0],
        "stride_w": stride[1],
        "fused_activation_function": activation,
    }
    return Case(name, "TRANSPOSE_CONV", inputs, [q((1, *out, outputs), *quantized_out)], options)


CASES = [
    case("2x2", (3, 5, 4), (2, 2, 3)),
    case("3x3", (3, 5, 4), (3, 3, 3), quantized_in=(0.05, -128), quantized_out=(0.2, 127)),
    case(
        "3x3-valid",
        (3, 5, 4),
        (3, 3, 3),
        padding="VALID",
        quantized_in=(0.05, 127),
        quantized_out=(0.2, -128),
    ),
    case("4x4", (3, 3, 3), (4, 4, 5)),
    case("1x1", (3, 3, 3), (1, 1, 2)),
    case("stride-1", (5, 3, 2), (3, 3, 2), stride=(1, 1)),
    case("stride-3-1", (3, 5, 2), (3, 2, 2), stride=(3, 1)),
    case("gaps", (3, 3, 2), (2, 2, 2), stride=(3, 3)),
    case("5x3-valid", (2, 3, 1), (5, 3, 1), padding="VALID"),
    case("per-tensor", (3, 3, 4), (3, 3, 4), per_channel=False),
    case("no-bias", (3, 3, 4), (3, 3, 4), bias=False),
    case("saturates", (3, 3, 4), (3, 3, 4), quantized_out=(0.002, 0)),
    case("relu", (3, 3, 4), (3, 3, 4), activation="RELU"),
]
