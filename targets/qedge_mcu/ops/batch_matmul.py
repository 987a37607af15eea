"""BATCH_MATMUL: int8, adj_x and adj_y, batches that broadcast, either side constant; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge_mcu.ops import broadcast, vector
from qedge_mcu.ops.base import Emitted, OpContext, Params, Reason, Ref, scalar
from qedge_mcu.ops.requantize import per_tensor
from qedge_mcu.ops.walk import RANK, Level, broadcast_strides, merge, steps_array

NAMES = ("BATCH_MATMUL",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, sizes that do not meet."""
    reasons = broadcast.expect_int8(c)
    rows, depth = _sides(c, 0, "adj_x")
    other_depth, columns = _sides(c, 1, "adj_y")
    if depth != other_depth or c.output.shape[-2:] != (rows, columns):
        reasons.append(Reason(f"{rows} x {depth} times {other_depth} x {columns} for {list(c.output.shape)}"))
    if len(_batches(c)) > RANK:
        reasons.append(Reason(f"more than {RANK} batch dimensions that cannot be merged"))
    return reasons


def emit(c: OpContext) -> Emitted:
    """Return the call; a transposed side is only read with other strides."""
    rows, depth = _sides(c, 0, "adj_x")
    _, columns = _sides(c, 1, "adj_y")
    transposed = bool(c.option("adj_x", False)), bool(c.option("adj_y", False))
    return product(c, (rows, depth, columns), transposed, _batches(c))


def product(
    c: OpContext, sizes: tuple[int, int, int], transposed: tuple[bool, bool], levels: list[Level]
) -> Emitted:
    """Return the call for input 0 (rows x depth) times input 1 (depth x columns).

    Args:
        sizes: rows, depth, columns.
        transposed: whether a side is stored the other way round.
        levels: the loops over batches, see :func:`qedge_mcu.ops.walk.merge`.
    """
    rows, depth, columns = sizes
    requantize = per_tensor(c.input(0), c.input(1), c.output)
    portable = Emitted(
        function="qe_batch_matmul_s8",
        args=("{params}", "{in0}", "{in1}", "{out0}"),
        kernels=("qe_batch_matmul_s8.c",),
        headers=("qe_walk.h",),
        params=Params(
            "qe_batch_matmul_params",
            (
                ("steps", Ref("steps")),
                ("multiplier", int(requantize.multiplier[0])),
                ("rows", rows),
                ("columns", columns),
                ("depth", depth),
                ("a_row", 1 if transposed[0] else depth),
                ("a_step", rows if transposed[0] else 1),
                ("b_column", depth if transposed[1] else 1),
                ("b_step", 1 if transposed[1] else columns),
                ("offset_a", -scalar(c.input(0))[1]),
                ("offset_b", -scalar(c.input(1))[1]),
                ("rank", len(levels)),
                ("shift", int(requantize.shift[0])),
                ("output_zero_point", scalar(c.output)[1]),
            ),
        ),
        arrays=(steps_array(levels),),
    )
    if requantize.shift[0] > 0:
        return portable
    return vector.batch_matmul(c, portable, columns, transposed)


def _sides(c: OpContext, position: int, adjoint: str) -> tuple[int, int]:
    first, second = c.input(position).shape[-2:]
    return (second, first) if c.option(adjoint, False) else (first, second)


def _batches(c: OpContext) -> list[Level]:
    """Return the loops over the batches, with strides in elements of both sides."""
    out = c.output.shape[:-2]
    sides = []
    for position in (0, 1):
        shape = c.input(position).shape
        matrix = shape[-2] * shape[-1]
        sides.append([matrix * s for s in broadcast_strides(shape[:-2], out)])
    return merge(out, sides[0], sides[1])
