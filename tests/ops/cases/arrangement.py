"""REVERSE_V2, BROADCAST_TO, FILL, ZEROS_LIKE, SHAPE, BROADCAST_ARGS, SELECT_V2, DYNAMIC_UPDATE_SLICE: values moved."""

from __future__ import annotations

from collections.abc import Sequence

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant
from tests.ops.building import bools, ints, q, scalar


def reverse(shape: Sequence[int], axes: Sequence[int], zero: int = 3) -> Case:
    """Return a case of REVERSE_V2."""
    return Case(
        f"reverse-{shape}-{axes}", "REVERSE_V2", [q(shape, 0.1, zero), ints(*axes)], [q(shape, 0.1, zero)]
    )


def broadcast(shape: Sequence[int], out: Sequence[int]) -> Case:
    """Return a case of BROADCAST_TO."""
    return Case(f"broadcast-{shape}-{out}", "BROADCAST_TO", [q(shape), ints(*out)], [q(out)])


def select(
    name: str, condition: Sequence[int], a: Sequence[int], b: Sequence[int], out: Sequence[int]
) -> Case:
    """Return a case of SELECT_V2."""
    return Case(f"select-{name}", "SELECT_V2", [bools(condition), q(a), q(b)], [q(out)])


def update(shape: Sequence[int], block: Sequence[int], starts: Sequence[int], zero: int = 3) -> Case:
    """Return a case of DYNAMIC_UPDATE_SLICE."""
    name = f"update-{shape}-{block}-{starts}"
    return Case(
        name,
        "DYNAMIC_UPDATE_SLICE",
        [q(shape, 0.1, zero), q(block, 0.1, zero), ints(*starts)],
        [q(shape, 0.1, zero)],
    )


S = (2, 3, 4)
CASES = [
    reverse((5,), (0,), -128),
    reverse((2, 5, 3), (1,), 127),
    reverse((2, 5, 3), (2,)),
    reverse((3, 4), (0,)),
    broadcast((1, 3), (4, 3)),
    broadcast((3, 1), (2, 3, 4)),
    broadcast((1,), (5, 2)),
    Case("fill", "FILL", [ints(3, 4), constant(-7, "int8", 0.1, 3)], [q((3, 4))]),
    Case("zeros", "ZEROS_LIKE", [Spec((3, 5), "int32")], [Spec((3, 5), "int32")]),
    Case("shape", "SHAPE", [q((3, 5, 2))], [Spec((3,), "int32")]),
    Case("broadcast-args", "BROADCAST_ARGS", [ints(3, 1), ints(1, 4)], [Spec((2,), "int32")]),
    select("same", S, S, S, S),
    select("condition-repeats", (3, 1), S, S, S),
    select("values-repeat", S, (4,), (2, 1, 1), S),
    select("one-value", S, S, (1,), S),
    Case(
        "select-int16",
        "SELECT_V2",
        [bools(S), Spec(S, "int16", 0.1), Spec(S, "int16", 0.1)],
        [Spec(S, "int16", 0.1)],
    ),
    Case("select-int32", "SELECT_V2", [bools(S), Spec(S, "int32"), Spec((4,), "int32")], [Spec(S, "int32")]),
    update((5, 4), (2, 3), (1, 1)),
    update((5, 4), (2, 3), (9, -4), -128),
    update((2, 3, 4), (1, 3, 2), (1, 0, 2), 127),
    Case("update-at-run-time", "DYNAMIC_UPDATE_SLICE", [q((6,)), q((2,)), Spec((1,), "int32")], [q((6,))]),
    Case("fill-floats", "FILL", [ints(2, 3), constant(1.5, "float32")], [Spec((2, 3), "float32")]),
    Case("fill-scalar", "FILL", [ints(7), scalar(-9)], [Spec((7,), "int32")]),
]
