"""SVDF: what one run leaves behind, the next one finds; and SOFTMAX into int16, which stands behind it."""

from __future__ import annotations

import numpy as np

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant
from tests.ops.building import q, random_int8


def case(
    name: str,
    inputs: int,
    units: int,
    rank: int,
    memory: int,
    *,
    state: str = "int8",
    zeros: tuple[int, int, int] = (3, 0, -5),
    batches: int = 1,
) -> Case:
    """Return a case; ``zeros`` are those of input, state and output."""
    filters = units * rank
    high = 127 if state == "int8" else 32767
    times = np.random.default_rng(len(name)).integers(-high, high, (filters, memory))
    state_scale = 0.05 if state == "int8" else 0.0002
    time_scale = 0.003 if state == "int8" else 0.00001
    specs = [
        q((batches, inputs), 0.05, zeros[0]),
        constant(random_int8(name, (filters, inputs)), "int8", 0.002),
        constant(times, state, time_scale),
        constant(random_int8(name, (units,)) * 9, "int32", state_scale * time_scale),
        Spec((batches, filters * memory), state, state_scale, zeros[1], variable=True),
    ]
    return Case(name, "SVDF", specs, [q((batches, units), 0.04, zeros[2])], {"rank": rank})


CASES = [
    case("int8", 12, 6, 1, 8),
    case("int8-rank-2", 7, 3, 2, 5, zeros=(-128, 0, 127)),
    case("int8-zero-point", 7, 4, 1, 3, zeros=(127, 4, -128)),
    case("int16", 12, 6, 1, 8, state="int16"),
    case("int16-rank-2", 5, 4, 2, 9, state="int16", zeros=(-3, 0, 4)),
    case("batches", 6, 3, 1, 4, batches=2),
    Case(
        "softmax-int16",
        "SOFTMAX",
        [q((4, 9), 0.1, 3)],
        [Spec((4, 9), "int16", 1 / 65536, -32768)],
        {"beta": 1.0},
    ),
]
