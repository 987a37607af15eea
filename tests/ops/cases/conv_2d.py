"""CONV_2D: 1x1, k x k, strides, dilation, groups, per channel and per tensor, with and without bias."""

from __future__ import annotations

from qedge.testing.cases import Case
from qedge.testing.opmodels import constant
from tests.ops.building import q, random_int8


def case(
    name: str,
    shape: tuple[int, int, int],
    filter: tuple[int, int, int],
    *,
    depth: int | None = None,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: str = "SAME",
    activation: str = "NONE",
    quantized_in: tuple[float, int] = (0.05, 3),
    quantized_out: tuple[float, int] = (0.3, -5),
    scales: tuple[float, ...] = (),
    bias: bool = True,
    dtype: str = "int8",
) -> Case:
    """Return a case; ``shape`` is (height, width, channels), ``filter`` (height, width, output channels)."""
    height, width, channels = shape
    depth = depth or channels
    out = []
    for size, taps, step, gap in zip((height, width), filter, stride, dilation):
        whole = size if padding == "SAME" else size - (taps - 1) * gap
        out.append(-(-whole // step))
    outputs = filter[2]
    narrow = dtype == "int4"
    weight_scale = scales or tuple((0.03 if narrow else 0.002) * (1 + 0.37 * i) for i in range(outputs))
    weights = random_int8(name, (outputs, *filter[:2], depth), *((-8, 7) if narrow else ()))
    bias_scale = [quantized_in[0] * s for s in weight_scale]
    inputs = [q((1, *shape), *quantized_in), constant(weights, dtype, weight_scale)]
    inputs.append(constant(random_int8(name, (outputs,)) * 9, "int32", bias_scale) if bias else None)  # type: ignore[arg-type]
    options = {
        "padding": padding,
        "stride_h": stride[0],
        "stride_w": stride[1],
        "dilation_h_factor": dilation[0],
        "dilation_w_factor": dilation[1],
        "fused_activation_function": activation,
    }
    return Case(name, "CONV_2D", inputs, [q((1, *out, outputs), *quantized_out)], options)


CASES = [
    case("1x1", (5, 7, 8), (1, 1, 8)),
    case("1x1-odd", (5, 3, 7), (1, 1, 5), quantized_in=(0.05, -128), quantized_out=(0.1, 127)),
    case("1x1-one-channel", (3, 3, 1), (1, 1, 1)),
    case("1x1-relu6", (5, 7, 16), (1, 1, 12), activation="RELU6", quantized_out=(6 / 255, -128)),
    case("1x1-stride", (5, 7, 4), (1, 1, 6), stride=(2, 2)),
    case("1x1-one-pixel", (1, 1, 33), (1, 1, 17), activation="RELU"),
    case("1x1-one-pixel-even", (1, 1, 9), (1, 1, 6)),
    case("1x1-two-pixels", (1, 2, 34), (1, 1, 18), activation="RELU", quantized_out=(0.3, -128)),
    case("3x3-two-pixels", (3, 4, 5), (3, 3, 6), padding="VALID"),
    case("3x3-one-pixel-padded", (2, 2, 8), (3, 3, 4), stride=(2, 2), activation="RELU"),
    case("1xk-two-pixels", (1, 10, 4), (1, 5, 4), stride=(1, 5), padding="VALID", activation="RELU"),
    case("3x3", (5, 7, 3), (3, 3, 5)),
    case("3x3-aligned", (6, 8, 8), (3, 3, 8), quantized_in=(0.05, 127), quantized_out=(0.5, -128)),
    case("3x3-valid", (5, 7, 4), (3, 3, 4), padding="VALID"),
    case("3x3-stride", (7, 9, 3), (3, 3, 8), stride=(2, 2), activation="RELU"),
    case("3x3-stride-1-2", (7, 9, 3), (3, 3, 4), stride=(1, 2)),
    case("3x3-dilated", (9, 9, 3), (3, 3, 4), dilation=(2, 3)),
    case("3x3-dilated-valid", (9, 9, 4), (3, 3, 4), dilation=(2, 2), padding="VALID"),
    case("3x3-grouped", (5, 5, 8), (3, 3, 4), depth=4),
    case("1x1-grouped", (5, 5, 9), (1, 1, 6), depth=3),
    case("3x3-depthwise", (5, 5, 4), (3, 3, 4), depth=1),
    case("10x4", (13, 10, 1), (10, 4, 8), stride=(2, 2), activation="RELU"),
    case("1xk", (1, 17, 5), (1, 5, 6)),
    case("kx1", (17, 1, 5), (5, 1, 6), stride=(2, 1)),
    case("2x2", (5, 5, 3), (2, 2, 3), stride=(2, 2)),
    case("filter-larger-than-input", (2, 2, 3), (5, 5, 3)),
    case("per-tensor", (5, 5, 4), (3, 3, 4), scales=(0.004,)),
    case("no-bias", (5, 5, 4), (3, 3, 4), bias=False),
    case("saturates", (5, 5, 8), (3, 3, 6), quantized_out=(0.003, 0)),
    case("scales-up", (3, 3, 2), (1, 1, 2), scales=(0.9, 1.7), quantized_out=(0.01, 0)),
    case("tiny-scales", (3, 3, 2), (1, 1, 2), scales=(1e-9, 1e-7)),
    case("300-taps", (1, 700, 1), (1, 300, 4), stride=(1, 260)),
    case("300-taps-dilated", (1200, 1, 2), (4, 1, 3), dilation=(300, 1)),
    case("relu-n1-to-1", (3, 3, 4), (1, 1, 4), activation="RELU_N1_TO_1", quantized_out=(0.02, 10)),
    case("int4-1x1", (5, 7, 8), (1, 1, 8), dtype="int4"),
    case("int4-1x1-odd", (5, 3, 7), (1, 1, 5), dtype="int4", quantized_in=(0.05, -128)),
    case("int4-3x3", (5, 7, 3), (3, 3, 6), dtype="int4", activation="RELU"),
    case("int4-3x3-stride", (7, 9, 4), (3, 3, 8), dtype="int4", stride=(2, 2), quantized_out=(0.5, -128)),
    case("int4-grouped", (5, 5, 8), (3, 3, 4), dtype="int4", depth=4),
    case("int4-per-tensor-no-bias", (5, 5, 4), (3, 3, 4), dtype="int4", scales=(0.06,), bias=False),
    case("int4-saturates", (5, 5, 8), (3, 3, 6), dtype="int4", quantized_out=(0.003, 0)),
]
