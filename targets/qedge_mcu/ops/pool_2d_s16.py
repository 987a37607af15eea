"""AVERAGE_POOL_2D, MAX_POOL_2D: int16; bit-exact to TFLite Micro."""

from __future__ import annotations

from qedge_mcu.ops import pool_2d
from qedge_mcu.ops.base import Emitted, OpContext, Reason

INT16 = pool_2d.NAMES


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types, batches, a change of scale."""
    return pool_2d.expect_pool(c, "int16")


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    return pool_2d.pool(c, "s16", "qe_pool_2d_s16_params")
