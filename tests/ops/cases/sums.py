"""ADD_N, CUMSUM, DIV, LOG_SOFTMAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qedge.testing.cases import Case
from qedge.testing.opmodels import constant
from tests.ops.building import binary, q, random_int8, scalar


def cumsum(
    shape: tuple[int, ...], axis: int, exclusive: bool, reverse: bool, zeros: tuple[int, int] = (3, -5)
) -> Case:
    """Return a case of CUMSUM."""
    name = f"cumsum-{shape}-{axis}-{exclusive}-{reverse}-{zeros}"
    options = {"exclusive": exclusive, "reverse": reverse}
    inputs = [q(shape, 0.05, zeros[0]), scalar(axis)]
    return Case(name, "CUMSUM", inputs, [q(shape, 0.2, zeros[1])], options)


def add_n(count: int, zeros: tuple[int, int], scale: float) -> Case:
    """Return a case of ADD_N."""
    shape = (2, 3, 17)
    name = f"add-n-{count}-{zeros}-{scale}"
    return Case(name, "ADD_N", [q(shape, 0.1, zeros[0])] * count, [q(shape, scale, zeros[1])])


def divide(
    name: str,
    shape: tuple[int, ...],
    zeros: tuple[int, int],
    out: tuple[float, int],
    options: Mapping[str, Any] | None = None,
) -> Case:
    """Return a case of DIV by constants, neither side ever zero.

    A quotient of the scales of 32 or more keeps TFLite Micro's shift below 32, beyond which it has no defined result.
    """
    values = random_int8(name, shape)
    b = constant(np.where(values == zeros[1], -1, values), "int8", 0.002, zeros[1])
    limits = (-127, 127) if zeros[0] == -128 else (-128, 126)
    return binary("DIV", name, q((3, 50), 0.05, zeros[0]), b, out, options, limits)


CASES = [
    cumsum((2, 5, 3), 1, False, False),
    cumsum((2, 5, 3), 1, True, False, (-128, 127)),
    cumsum((2, 5, 3), 2, False, True, (127, -128)),
    cumsum((7,), 0, True, True),
    cumsum((2, 5, 3), -3, False, False),
    add_n(2, (3, -5), 0.2),
    add_n(3, (-128, 127), 0.1),
    add_n(5, (127, -128), 0.9),
    divide("same", (3, 50), (-128, 5), (0.35, -2)),
    divide("broadcast", (50,), (-128, -128), (0.4, 127)),
    divide("scalar", (1,), (127, 127), (0.3, -128)),
    divide("relu", (3, 50), (-128, 5), (0.3, -128), {"fused_activation_function": "RELU"}),
    *(
        Case(
            f"log-softmax-{scale}-{depth}",
            "LOG_SOFTMAX",
            [q((4, depth), scale, zero)],
            [q((4, depth), 1 / 16, 127)],
        )
        for scale, depth, zero in ((0.1, 10, 3), (0.01, 50, -128), (0.5, 3, 127), (0.9, 12, 0), (0.1, 1, 5))
    ),
]
