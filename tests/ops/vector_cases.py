"""What vectors are prone to: sizes that are no multiples of them, windows at edges, values at both ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec
from tests.ops.building import binary, q
from tests.ops.cases import (
    batch_matmul,
    conv_2d,
    depthwise_conv_2d,
    fully_connected,
    pool_2d,
    transpose_conv,
)

LOW, HIGH = (0.05, -128), (0.05, 127)
"""Zero points at the ends: the input is up to 255 away from them."""


def with_weights(case: Case, change: Callable[[Any], Any]) -> Case:
    """Return a case with other weights."""
    first, weights, *others = case.inputs
    assert isinstance(weights, Spec)
    assert weights.data is not None
    return replace(case, inputs=[first, replace(weights, data=change(np.asarray(weights.data))), *others])


def smallest(weights: Any) -> Any:
    """Return weights that are all -128."""
    return np.full_like(weights, -128)


def every_fourth(weights: Any) -> Any:
    """Return weights with -128 at every fourth input of an output."""
    found = weights.copy().reshape(len(weights), -1)
    found[:, ::4] = -128
    return found.reshape(weights.shape)


def both_ends(weights: Any) -> Any:
    """Return weights of -127 and 127 in turn."""
    return np.where(np.arange(weights.size) % 3 == 0, -127, 127).reshape(weights.shape)


def _convolutions() -> list[Case]:
    build = conv_2d.case
    # 1 to 11 pixels, so that each number is left over; depths about eights.
    found = [build(f"1x1-depth-{n}", (1, 1 + n % 11, n), (1, 1, 4 * (1 + n % 3))) for n in range(1, 18)]
    for n, zero in ((1, LOW), (2, HIGH), (3, LOW), (5, HIGH), (8, LOW), (11, HIGH)):
        for padding in ("SAME", "VALID"):
            found.append(
                build(f"3x3-{padding}-{n}", (5, 4, n), (3, 3, 8), padding=padding, quantized_in=zero)
            )
        found.append(build(f"4x3-strides-{n}", (9, 8, n), (4, 3, 4), stride=(3, 2), quantized_in=zero))
    return [
        *found,
        build("5x5-of-2x2", (2, 2, 3), (5, 5, 4), quantized_in=LOW),
        build("1x7-of-3", (4, 3, 2), (1, 7, 4), activation="RELU", quantized_out=(0.3, -100)),
        build("depth-8201", (1, 5, 8201), (1, 1, 4), quantized_out=(20.0, 1)),
        with_weights(build("deep-both-ends", (1, 5, 4099), (1, 1, 4), quantized_out=(40.0, 1)), both_ends),
        with_weights(build("pairs-of-128", (3, 3, 8), (3, 3, 8), quantized_in=LOW), every_fourth),
        with_weights(build("all-128", (3, 3, 7), (3, 3, 8), quantized_in=LOW), smallest),
        with_weights(build("groups-of-128", (3, 3, 24), (1, 1, 10), depth=12, quantized_in=LOW), smallest),
        build("groups", (4, 5, 22), (3, 3, 6), depth=11, quantized_in=HIGH),
        build("dilated", (9, 9, 11), (3, 3, 6), dilation=(2, 3), quantized_in=LOW),
        build("outputs-by-threes", (4, 5, 9), (1, 1, 7), quantized_in=HIGH),
        build("left-and-right", (3, 3, 9), (1, 1, 4), scales=(0.9, 0.001, 7.0, 1e-8)),
    ]


def _depthwise() -> list[Case]:
    build = depthwise_conv_2d.case
    found = []
    for n in range(8, 26):
        zero, padding = (LOW, HIGH)[n % 2], ("SAME", "VALID")[n // 2 % 2]
        step = (1 + n % 3, 1 + n % 2)
        found.append(build(f"3x3-{n}", (6, 5, n), (3, 3), stride=step, padding=padding, quantized_in=zero))
    return [
        *found,
        build("dilated", (9, 11, 12), (3, 3), dilation=(3, 2), quantized_in=HIGH),
        build("dilated-strides", (11, 9, 9), (2, 3), dilation=(2, 3), padding="VALID", quantized_in=LOW),
        build("5x5-of-2x2", (2, 2, 9), (5, 5), quantized_in=LOW),
        build("1x4", (3, 7, 16), (1, 4), activation="RELU6", quantized_out=(6 / 200, -100)),
        build("whole", (7, 7, 8), (7, 7), padding="VALID"),
        with_weights(build("all-128", (5, 5, 11), (3, 3), quantized_in=LOW), smallest),
        with_weights(build("all-128-high", (5, 5, 8), (3, 3), quantized_in=HIGH), smallest),
        *(build(f"one-channel-{n}", (7, 6, 1), (4, 3), multiplier=n, stride=(2, 1)) for n in (4, 5, 8, 12)),
        build("multiplier-2", (5, 5, 9), (3, 3), multiplier=2),
        build("scales-up", (3, 3, 8), (3, 3), quantized_out=(0.0001, 0)),
        build("int4", (5, 5, 13), (3, 3), dtype="int4"),
        build("int4-one-channel", (7, 6, 1), (3, 3), multiplier=8, dtype="int4"),
    ]


def _fully_connected() -> list[Case]:
    build = fully_connected.case
    found = [
        build(
            f"{n}-inputs", (1 + n % 3, n), 1 + n % 9, per_channel=bool(n % 2), quantized_in=(LOW, HIGH)[n % 2]
        )
        for n in range(1, 26)
    ]
    return [
        *found,
        with_weights(build("all-128", (1, 37), 9, quantized_in=LOW), smallest),
        with_weights(build("deep", (1, 9001), 5, quantized_out=(30.0, 0)), both_ends),
    ]


def _products() -> list[Case]:
    build = batch_matmul.case
    ends = {"zeros": (-128, 127, 0), "scale_out": 9.0}
    found = [build(f"terms-{n}", (1, 3, n), (1, 5, n), adj_y=True, **ends) for n in (1, 7, 8, 9, 16, 25)]
    found += [build(f"columns-{n}", (1, 3, 11), (1, 11, n), **ends) for n in (8, 9, 16, 23)]
    return [
        *found,
        build("even-depth", (2, 3, 8), (2, 8, 17), zeros=(127, -128, 5), scale_out=7.0),
        build("scales-up", (1, 3, 8), (1, 8, 12), scale_out=1e-5),
        build("four-columns", (1, 3, 9), (1, 4, 9), adj_y=True),
        build("three-columns", (1, 3, 9), (1, 3, 9), adj_y=True),
        build("one-term", (1, 3, 1), (1, 1, 9), zeros=(127, -128, 5), scale_out=1.0),
        build("heads", (1, 4, 9, 24), (1, 4, 9, 24), adj_y=True),
        build("fixed", (1, 3, 8), (1, 8, 12), fixed=True),
        build("deep", (1, 2, 3001), (1, 3, 3001), adj_y=True, zeros=(-128, -128, -128), scale_out=900.0),
    ]


def _transposed() -> list[Case]:
    build = transpose_conv.case
    found = [
        build(f"3x3-{n}", (4, 3, n), (3, 3, 1 + n % 5), quantized_in=(LOW, HIGH)[n % 2]) for n in range(7, 18)
    ]
    return [
        *found,
        build("stride-1", (5, 3, 16), (3, 2, 2), stride=(1, 1)),
        build("scales-up", (2, 3, 8), (2, 2, 4), quantized_out=(1e-5, 0)),
        build("stride-3-1-valid", (3, 5, 12), (4, 2, 3), stride=(3, 1), padding="VALID"),
        build("gaps", (3, 3, 8), (2, 2, 2), stride=(3, 3), activation="RELU"),
        with_weights(build("all-128", (3, 3, 11), (3, 3, 4), quantized_in=LOW), smallest),
    ]


def _multiples() -> list[Case]:
    found = [
        binary("MUL", f"row-of-{n}", q((1, 3, 2, n), 0.1, -128), q((1, 1, 1, n), 0.05, 127), (3.0, -3))
        for n in (1, 7, 8, 9, 24, 31)
    ]
    return [
        *found,
        binary("MUL", "number", q((1, 3, 19), 0.1, 127), q((1, 1, 1), 0.05, -128), (2.0, 127)),
        binary("MUL", "first-repeats", q((1, 5, 1), 0.1, 127), q((1, 5, 18), 0.05, -128), (2.0, -128)),
        binary("MUL", "scales-up", q((1, 2, 9), 1.0, 0), q((1, 1, 9), 1.0, 3), (0.1, 0)),
        binary("MUL", "ties", q((1, 40, 11), 0.5, 0), q((1, 1, 11), 0.5, 1), (1.0, 0)),
    ]


def _pools() -> list[Case]:
    return [
        pool_2d.case(op, name, shape, filter, stride, padding, activation, zero=zero)
        for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D")
        for name, shape, filter, stride, padding, activation, zero in (
            ("8", (7, 5, 8), (3, 2), (2, 2), "SAME", "NONE", -128),
            ("11", (6, 7, 11), (3, 3), (1, 2), "VALID", "RELU6", 5),
            ("17", (4, 4, 17), (5, 5), (1, 1), "SAME", "NONE", 127),
            ("global", (25, 19, 24), (25, 19), (25, 19), "VALID", "NONE", 0),
        )
    ]


def _sums() -> list[Case]:
    return [
        binary("ADD", f"of-{n}-{ratio}", q((1, n), 0.1, a), q((1, n), 0.1 * ratio, b), (0.15 * ratio, c))
        for n, a, b, c, ratio in (
            *((n, -128, 127, 3, 1.0) for n in (1, 7, 8, 9, 250)),
            *((251, 127, -128, -128, ratio) for ratio in (0.5, 2.0, 0.01, 31.0)),
        )
    ]


CASES = [
    replace(case, name=f"{name}/{case.name}")
    for name, cases in (
        ("conv_2d", _convolutions()),
        ("depthwise_conv_2d", _depthwise()),
        ("fully_connected", _fully_connected()),
        ("batch_matmul", _products()),
        ("transpose_conv", _transposed()),
        ("mul", _multiples()),
        ("pool_2d", _pools()),
        ("add", _sums()),
    )
    for case in cases
]
