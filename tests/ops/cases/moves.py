"""Operators that only move values, of the types that TFLite Micro does not move there."""

from __future__ import annotations

from collections.abc import Sequence

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant

PAIR, BLOCKS = (2, 4), [[0, 0], [0, 0]]


def ints(*values: int) -> Spec:
    """Return a constant of int32."""
    return constant(list(values))


def moved(dtype: str, shape: Sequence[int]) -> Spec:
    """Return a tensor of a type: int16 with a scale."""
    return Spec(tuple(shape), dtype, *((0.1, 0) if dtype == "int16" else ()))


def wide(dtype: str) -> list[Case]:
    """Return the cases of what TFLite Micro moves as int8 and float32 alone."""

    def t(*shape: int) -> Spec:
        return moved(dtype, shape)

    sliced = t(1, 2, 1, 2, 3)
    table: list[tuple[str, list[Spec], Spec, dict[str, object]]] = [
        ("GATHER", [t(*PAIR), ints(1, 0, 1)], t(3, 4), {"axis": 0}),
        ("GATHER_ND", [t(*PAIR), constant([[1], [0]])], t(*PAIR), {}),
        ("EMBEDDING_LOOKUP", [ints(1, 0, 1), t(*PAIR)], t(3, 4), {}),
        ("MIRROR_PAD", [t(*PAIR), constant([[0, 0], [1, 1]])], t(2, 6), {"mode": "REFLECT"}),
        ("SPACE_TO_DEPTH", [t(1, 2, 2, 3)], t(1, 1, 1, 12), {"block_size": 2}),
        ("DEPTH_TO_SPACE", [t(1, 2, 2, 4)], t(1, 4, 4, 1), {"block_size": 2}),
        ("BATCH_TO_SPACE_ND", [t(4, 1, 1, 3), ints(2, 2), constant(BLOCKS)], t(1, 2, 2, 3), {}),
        ("SPACE_TO_BATCH_ND", [t(1, 1, 3, 3), ints(2, 2), constant([[1, 0], [0, 1]])], t(4, 1, 2, 3), {}),
        ("STRIDED_SLICE", [t(1, 2, 2, 2, 3), ints(*[0] * 5), ints(1, 2, 1, 2, 3), ints(*[1] * 5)], sliced, {}),
    ]  # fmt: skip
    return [Case(f"{op}-{dtype}", op, given, [made], options) for op, given, made, options in table]


def several(op: str, dtype: str) -> Case:
    """Return a case of an operator that takes tensors apart."""
    one, given = moved(dtype, (2, 2)), moved(dtype, PAIR)
    if op == "UNPACK":
        return Case(f"{op}-{dtype}", op, [given], [moved(dtype, (4,))] * 2, {"axis": 0, "num": 2})
    inputs = [ints(1), given] if op == "SPLIT" else [given, ints(2, 2), ints(1)]
    return Case(f"{op}-{dtype}", op, inputs, [one, one], {"num_splits": 2})


BOOL, INT32 = moved("bool", PAIR), moved("int32", PAIR)
CASES = [
    *(case for dtype in ("int16", "int32", "bool") for case in wide(dtype)),
    *(several(op, "bool") for op in ("UNPACK", "SPLIT", "SPLIT_V")),
    *(
        Case(f"{op}-{spec.dtype}", op, [spec, ints(1, 0) if op == "TRANSPOSE" else ints(0)], [made], {})
        for spec in (BOOL, INT32)
        for op, made in (
            ("TRANSPOSE", moved(spec.dtype, (4, 2))),
            ("EXPAND_DIMS", moved(spec.dtype, (1, 2, 4))),
        )
    ),
    *(
        Case(
            f"RESIZE-{d}",
            "RESIZE_NEAREST_NEIGHBOR",
            [moved(d, (1, 2, 2, 3)), ints(4, 3)],
            [moved(d, (1, 4, 3, 3))],
        )
        for d in ("int32", "bool")
    ),
    *(Case(f"FILL-{d}", "FILL", [ints(2, 2), moved(d, ())], [moved(d, (2, 2))]) for d in ("int16", "bool")),
    Case("PACK-bool", "PACK", [BOOL, BOOL], [moved("bool", (2, 2, 4))], {"axis": 0, "values_count": 2}),
    Case("PAD-bool", "PAD", [BOOL, constant([[0, 0], [1, 1]])], [moved("bool", (2, 6))]),
    Case("SELECT-bool", "SELECT_V2", [BOOL, BOOL, BOOL], [BOOL]),
    Case("UPDATE-bool", "DYNAMIC_UPDATE_SLICE", [BOOL, moved("bool", (1, 1)), ints(0, 1)], [BOOL]),
    Case("ZEROS-int16", "ZEROS_LIKE", [moved("int16", PAIR)], [moved("int16", PAIR)]),
    Case("edges", "ABS", [Spec((1, 5), "int8", 0.1, -128)], [Spec((1, 5), "int8", 0.1, 127)]),
]
