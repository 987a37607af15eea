"""Convolutions, products, pools and sums for cores with SSE4.1 or NEON, which the compiler tells of.

One C source serves every architecture that a bundle has a library for, so that the constants are those of the
portable kernels, and where there are no vectors these run.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qedge_mcu.ops import conv_2d_pairs
from qedge_mcu.ops.base import Emitted, OpContext, constant
from qedge_mcu.ops.geometry import window

HEADERS = ("qe_vectors.h", "qe_vectors_neon.h", "qe_vectors_sse.h")


def conv_2d(c: OpContext) -> Emitted | None:
    """Return the call of the kernel, or None where it does not apply.

    It takes what `conv_2d_pairs.call` takes, in layers of any size.
    """
    weights = c.input(1)
    if weights.shape[3] != c.input(0).shape[3]:
        return None
    return _pairs(c, constant(weights).reshape(weights.shape[0], -1).astype(np.int64))


def depthwise_conv_2d(c: OpContext, portable: Emitted) -> Emitted | None:
    """Return the call of the kernel in place of the portable one, or None where it does not apply.

    It takes at least eight channels of depth multiplier 1 and shifts to the right. With one input channel it is a
    convolution.
    """
    channels, outputs = c.input(0).shape[3], c.output.shape[3]
    if channels == 1:
        return _pairs(c, constant(c.input(1)).reshape(-1, outputs).T.astype(np.int64))
    if channels != outputs or channels < 8 or _shifts_left(portable):
        return None
    return _by_eights(c, portable, "qe_depthwise_conv_2d_s8_vec")


def with_dots(c: OpContext, portable: Emitted) -> Emitted:
    """Return a call of a kernel that uses ``qe_dot_s8.h``, by vectors where the core has them."""
    if c.core.family != "vector":
        return portable
    return replace(
        portable,
        headers=(*portable.headers, *HEADERS),
        defines=portable.defines | {"QE_DOT_VECTORS"},
    )


def pool_2d(c: OpContext, portable: Emitted) -> Emitted:
    """Return a call of a pool, by vectors where the core has them and there are eight channels."""
    if c.core.family != "vector" or c.output.shape[3] < 8:
        return portable
    return replace(
        portable,
        function=f"{portable.function}_vec",
        # one file for both kinds, which falls back on either
        kernels=("qe_pool_2d_s8_vec.c", "qe_average_pool_2d_s8.c", "qe_max_pool_2d_s8.c"),
        headers=(*portable.headers, *HEADERS),
        note="eight channels at a time",
    )


def transpose_conv(c: OpContext, portable: Emitted) -> Emitted:
    """Return a call of TRANSPOSE_CONV, by vectors where the core has them and all shifts are to the right."""
    if c.core.family != "vector" or _shifts_left(portable):
        return portable
    return _by_eights(c, portable, "qe_transpose_conv_s8_vec")


def _by_eights(c: OpContext, portable: Emitted, function: str) -> Emitted:
    """Return the call of a kernel that takes eight channels at a time, and their taps in its scratch memory."""
    filter_height, filter_width = c.input(1).shape[1:3]
    return replace(
        portable,
        function=function,
        args=(*portable.args, "{scratch}"),
        kernels=(f"{function}.c", *portable.kernels),
        headers=HEADERS,
        scratch_bytes=8 * filter_height * filter_width,
        note="eight channels at a time",
    )


def batch_matmul(c: OpContext, portable: Emitted, columns: int, transposed: tuple[bool, bool]) -> Emitted:
    """Return a call of BATCH_MATMUL with a shift to the right, by vectors where core and both sides allow them.

    Args:
        columns: of the right side and the output.
        transposed: whether a side is stored the other way round.
    """
    if c.core.family != "vector" or transposed[0] or not (transposed[1] or columns >= 8):
        return portable
    return replace(
        portable,
        function="qe_batch_matmul_s8_vec",
        kernels=("qe_batch_matmul_s8_vec.c", *portable.kernels),
        headers=(*portable.headers, *HEADERS),
        note="eight terms at a time" if transposed[1] else "eight columns at a time",
    )


def mul(c: OpContext, portable: Emitted) -> Emitted:
    """Return a call of MUL with a shift to the right, by vectors where the core has them."""
    if c.core.family != "vector":
        return portable
    return replace(
        portable,
        function="qe_mul_s8_vec",
        kernels=("qe_mul_s8_vec.c", *portable.kernels),
        headers=(*portable.headers, *HEADERS),
        note="eight values at a time",
    )


def _shifts_left(portable: Emitted) -> bool:
    return any(np.any(a.values > 0) for a in portable.arrays if a.name == "shift")


def _pairs(c: OpContext, values: conv_2d_pairs.Weights) -> Emitted | None:
    """Return the call of the convolution with weights (outputs, inputs of a window), or None."""
    w = window(c, *c.input(1).shape[1:3])
    portable = conv_2d_pairs.call(c, w, values)
    filled = np.pad(values, ((0, 0), (0, -values.shape[1] % 4)))
    if portable is None or np.any((filled.reshape(-1, 4) == -128).sum(axis=1) > 1):
        return None
    return replace(
        portable,
        function="qe_conv_2d_pairs_s8_vec",
        kernels=("qe_conv_2d_pairs_s8_vec.c", *portable.kernels),
        headers=HEADERS,
        scratch_bytes=8 * (-(-values.shape[1] // 8) * 8) + 16,
        note="four pixels by four channels at a time",
    )
