"""FULLY_CONNECTED: int8 and int4 weights, per tensor and per channel, several rows."""

from __future__ import annotations

import numpy as np

from qedge.testing.cases import Case
from qedge.testing.opmodels import constant
from tests.ops.building import q, random_int8


def case(
    name: str,
    shape: tuple[int, ...],
    outputs: int,
    *,
    out: tuple[int, ...] | None = None,
    dtype: str = "int8",
    per_channel: bool = False,
    activation: str = "NONE",
    quantized_in: tuple[float, int] = (0.05, 3),
    quantized_out: tuple[float, int] = (0.2, -5),
    bias: bool = True,
    inputs: int | None = None,
) -> Case:
    """Return a case; ``inputs`` is the depth where it is not the last dimension of ``shape``."""
    depth = inputs or shape[-1]
    rows = 1
    for size in shape:
        rows *= size
    rows //= depth
    limit = 7 if dtype == "int4" else 127
    scales = [
        (0.004 if dtype == "int8" else 0.07) * (1 + 0.29 * i) for i in range(outputs if per_channel else 1)
    ]
    weights = random_int8(name, (outputs, depth), -limit, limit)
    specs = [
        q(shape, *quantized_in),
        constant(weights, dtype, scales),
        constant(random_int8(name, (outputs,)) * 9, "int32", [quantized_in[0] * s for s in scales])
        if bias
        else None,
    ]
    options = {"fused_activation_function": activation, "keep_num_dims": out is not None}
    # TFLite Micro refuses int4 weights with a scale for each channel: the same numbers as int8 mean the same.
    twin = (
        [specs[0], constant(weights, "int8", scales), specs[2]] if dtype == "int4" and per_channel else None
    )
    return Case(
        name,
        "FULLY_CONNECTED",
        specs,
        [q(out or (rows, outputs), *quantized_out)],
        options,
        oracle_inputs=twin,
    )


def computed(
    name: str, shape: tuple[int, ...], outputs: int, zeros: tuple[int, int, int], bias: bool
) -> Case:
    """Return a case whose weights are an activation too, as the scores of an attention have them."""
    rows = int(np.prod(shape[:-1]))
    none = constant(np.zeros(outputs), "int32", 0.05 * 0.04) if bias else None
    return Case(
        name,
        "FULLY_CONNECTED",
        [q(shape, 0.05, zeros[0]), q((outputs, shape[-1]), 0.04, zeros[1]), none],
        [q((rows, outputs), 0.2, zeros[2])],
    )


CASES = [
    computed("computed", (1, 10, 16), 1, (3, -5, 7), True),
    computed("computed-zeros", (4, 7), 5, (-128, 127, -128), False),
    case("8x8", (1, 8), 8),
    case("odd", (1, 13), 5, quantized_in=(0.05, -128), quantized_out=(0.2, 127)),
    case("one-output", (1, 33), 1, quantized_in=(0.05, 127), quantized_out=(0.2, -128)),
    case("one-input", (1, 1), 7),
    case("relu", (1, 32), 12, activation="RELU"),
    case("relu6", (1, 32), 12, activation="RELU6", quantized_out=(6 / 255, -128)),
    case("rows", (5, 12), 6),
    case("keeps-dimensions", (1, 3, 4, 10), 6, out=(1, 3, 4, 6)),
    case("flattens", (1, 3, 4, 5), 6, inputs=60),
    case("no-bias", (1, 16), 4, bias=False),
    case("saturates", (1, 40), 8, quantized_out=(0.001, 0)),
    case("per-channel", (1, 24), 7, per_channel=True),
    case("per-channel-rows", (3, 17), 9, per_channel=True, activation="RELU"),
    case("int4", (1, 16), 8, dtype="int4"),
    case("int4-odd", (1, 15), 5, dtype="int4"),
    case("int4-per-channel", (1, 24), 7, dtype="int4", per_channel=True),
    case("int4-rows", (4, 9), 3, dtype="int4", per_channel=True, quantized_in=(0.05, -128)),
]
