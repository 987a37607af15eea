"""DEPTHWISE_CONV_2D: every multiplier, strides, dilation."""

from __future__ import annotations

from qedge.testing.cases import Case
from qedge.testing.opmodels import constant
from tests.ops.building import q, random_int8


def case(
    name: str,
    shape: tuple[int, int, int],
    filter: tuple[int, int],
    *,
    multiplier: int = 1,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: str = "SAME",
    activation: str = "NONE",
    quantized_in: tuple[float, int] = (0.05, 3),
    quantized_out: tuple[float, int] = (0.1, -5),
    per_channel: bool = True,
    bias: bool = True,
    dtype: str = "int8",
) -> Case:
    """Return a case; ``shape`` is (height, width, channels)."""
    out = []
    for size, taps, step, gap in zip(shape[:2], filter, stride, dilation):
        whole = size if padding == "SAME" else size - (taps - 1) * gap
        out.append(-(-whole // step))
    outputs = shape[2] * multiplier
    narrow = dtype == "int4"
    scales = [(0.06 if narrow else 0.004) * (1 + 0.29 * i) for i in range(outputs if per_channel else 1)]
    limits = (-8, 7) if narrow else ()
    inputs = [
        q((1, *shape), *quantized_in),
        constant(random_int8(name, (1, *filter, outputs), *limits), dtype, scales, axis=3),
    ]
    if bias:
        values = random_int8(name, (outputs,)) * 9
        inputs.append(constant(values, "int32", [quantized_in[0] * s for s in scales]))
    options = {
        "padding": padding,
        "stride_h": stride[0],
        "stride_w": stride[1],
        "dilation_h_factor": dilation[0],
        "dilation_w_factor": dilation[1],
        "depth_multiplier": multiplier,
        "fused_activation_function": activation,
    }
    return Case(name, "DEPTHWISE_CONV_2D", inputs, [q((1, *out, outputs), *quantized_out)], options)


CASES = [
    case("3x3", (5, 7, 8), (3, 3)),
    case("3x3-odd-channels", (5, 7, 5), (3, 3), quantized_in=(0.05, -128), quantized_out=(0.1, 127)),
    case("3x3-one-channel", (5, 7, 1), (3, 3), quantized_in=(0.05, 127), quantized_out=(0.1, -128)),
    case("3x3-stride", (7, 9, 8), (3, 3), stride=(2, 2), activation="RELU"),
    case("3x3-stride-odd", (8, 6, 6), (3, 3), stride=(2, 2), activation="RELU6"),
    case("3x3-valid", (5, 7, 4), (3, 3), padding="VALID"),
    case("3x3-valid-stride-2-1", (7, 7, 4), (3, 3), stride=(2, 1), padding="VALID"),
    case("3x3-wide", (3, 17, 4), (3, 3)),
    case("3x3-one-row", (1, 9, 4), (3, 3)),
    case("3x3-one-column", (9, 1, 4), (3, 3)),
    case("3x3-dilated", (9, 9, 4), (3, 3), dilation=(2, 2)),
    case("5x5", (7, 7, 4), (5, 5)),
    case("5x5-stride", (9, 9, 3), (5, 5), stride=(2, 2)),
    case("1xk", (1, 17, 8), (1, 5), padding="VALID"),
    case("kx1", (17, 1, 5), (9, 1), padding="VALID"),
    case("2x3", (6, 7, 4), (2, 3)),
    case("multiplier-2", (5, 5, 3), (3, 3), multiplier=2),
    case("multiplier-8-of-1", (9, 7, 1), (3, 3), multiplier=8, stride=(2, 2)),
    case("multiplier-3", (5, 5, 4), (3, 3), multiplier=3, activation="RELU"),
    case("whole-input", (5, 5, 4), (5, 5), padding="VALID"),
    case("larger-than-input", (2, 2, 4), (5, 5)),
    case("per-tensor", (5, 5, 4), (3, 3), per_channel=False),
    case("no-bias", (5, 5, 4), (3, 3), bias=False),
    case("saturates", (5, 5, 4), (3, 3), quantized_out=(0.001, 0)),
    case("300-taps", (1, 700, 4), (1, 300), stride=(1, 260)),
    case("300-taps-dilated", (1200, 1, 3), (4, 1), dilation=(300, 1)),
    case("33-channels", (4, 4, 33), (3, 3)),
    case("int4-3x3", (5, 7, 8), (3, 3), dtype="int4"),
    case("int4-3x3-odd", (5, 7, 5), (3, 3), dtype="int4", stride=(2, 2), activation="RELU"),
    case("int4-5x5", (7, 7, 4), (5, 5), dtype="int4", quantized_in=(0.05, -128)),
    case("int4-multiplier-2", (5, 5, 3), (3, 3), dtype="int4", multiplier=2, per_channel=False),
]
