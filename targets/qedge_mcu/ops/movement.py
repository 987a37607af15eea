"""What the operators share that only move bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qedge.graph import Tensor
from qedge.graph.view import ITEM_BYTES
from qedge_mcu.ops.base import ConstArray, Emitted, Params, Reason, Ref, Value
from qedge_mcu.ops.walk import RANK, merge, steps_array

TYPES = ("int8", "int16", "int32", "float32", "bool")


def expect_movable(tensors: Sequence[Tensor]) -> list[Reason]:
    """Return reasons unless all tensors have one type whose bytes can be moved."""
    found = {t.dtype for t in tensors}
    if len(found) > 1:
        return [Reason(f"the types are {', '.join(sorted(found))}, expected one", None, "dtype")]
    return [
        Reason(f"the type is {t}, expected one of {', '.join(TYPES)}", None, "dtype")
        for t in found - {*TYPES}
    ]


def expect_rank(sizes: Sequence[int], a: Sequence[int], b: Sequence[int]) -> list[Reason]:
    """Return a reason when a walk over these strides needs too many loops."""
    found = len(merge(sizes, a, b))
    return (
        []
        if found <= RANK
        else [Reason(f"{found} dimensions that cannot be merged, expected {RANK} at most")]
    )


def copy_parts(
    tensor: Tensor,
    sizes: Sequence[int],
    a: Sequence[int],
    b: Sequence[int],
    in_start: int = 0,
    out_start: int = 0,
) -> tuple[tuple[tuple[str, Value], ...], ConstArray]:
    """Return the members of ``qe_copy_params`` and their array; strides and starts in elements."""
    item = ITEM_BYTES[tensor.dtype]
    levels = merge(sizes, a, b)
    run = item
    if levels[-1][1:] == (1, 1):
        run *= levels.pop()[0]
    in_bytes = [(size, x * item, y * item) for size, x, y in levels] or [(1, 0, 0)]
    members: tuple[tuple[str, Value], ...] = (
        ("steps", Ref("steps")),
        ("in_start", in_start * item),
        ("out_start", out_start * item),
        ("run", run),
        ("rank", len(in_bytes)),
    )
    return members, steps_array(in_bytes)


def copy(
    tensor: Tensor,
    sizes: Sequence[int],
    a: Sequence[int],
    b: Sequence[int],
    in_start: int = 0,
    note: str = "",
    source: int = 0,
) -> Emitted:
    """Return the call that copies ``sizes`` elements with input strides ``a`` and output strides ``b``.

    Args:
        source: position of the input that is copied.
    """
    members, steps = copy_parts(tensor, sizes, a, b, in_start)
    return Emitted(
        function="qe_copy",
        args=("{params}", f"{{in{source}}}", "{out0}"),
        kernels=("qe_copy.c",),
        headers=("qe_walk.h",),
        params=Params("qe_copy_params", members),
        arrays=(steps,),
        note=note,
    )


def parts(
    function: str, args: tuple[str, ...], kernel: str, outer: int, part_bytes: Sequence[int]
) -> Emitted:
    """Return the call that interleaves or deals out parts of so many bytes each time round."""
    return Emitted(
        function=function,
        args=args,
        kernels=(kernel,),
        headers=("qe_concatenation.h",),
        params=Params(
            "qe_parts_params", (("bytes", Ref("bytes")), ("outer", outer), ("parts", len(part_bytes)))
        ),
        arrays=(ConstArray("bytes", np.array(part_bytes, np.int32)),),
    )


def positive_axis(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    >>> positive_axis(-1, 4)
    3
    """
    return axis + rank if axis < 0 else axis
