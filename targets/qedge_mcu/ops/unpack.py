"""Weights of 4 bits for kernels that read 8: the program keeps them packed and unpacks a layer ahead of its call.

Two words become one: the half bytes of the first are the low halves, those of the second the high ones, each plus 8
so that none is negative. ``kernels/qe_unpack_s4.c`` takes them apart, four weights at a time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qedge.graph import Tensor
from qedge_mcu.ops.base import ConstArray, Emitted, OpContext, Unpack

WEIGHTS = ("int8", "int4")
"""Types of weights that the kernels beside this module take."""
LARGE = 4096
"""Weights of a dense layer from which on they are taken apart one by one: each is used only once there."""
Words = npt.NDArray[np.uint32]


def large(weights: Tensor) -> bool:
    """Whether int4 weights are too many to be unpacked as a whole for a single use."""
    return weights.dtype == "int4" and weights.elements > LARGE


def unpacked(c: OpContext, emitted: Emitted) -> Emitted:
    """Return an operator's call with its int4 weights packed, and unpacked into scratch memory first.

    A call without an array of 8-bit weights reads 4 bits itself and stays.
    """
    weights = c.optional(1)
    array = next((a for a in emitted.arrays if a.name == "weights"), None)
    if weights is None or weights.dtype != "int4" or array is None or array.values.nbytes < weights.elements:
        return emitted
    words, (groups, wide, plain) = _words(array)
    packed = np.concatenate([_packed(words[:, :wide], array.lanes is not None), words[:, wide:]], axis=1)
    offset = -(-emitted.scratch_bytes // 8) * 8
    stored = ConstArray("weights", packed.reshape(-1), "weights", overhead=array.overhead)
    assert emitted.params is not None
    members = tuple((name, None if name == "weights" else value) for name, value in emitted.params.members)
    return replace(
        emitted,
        params=replace(emitted.params, members=members),
        kernels=(*emitted.kernels, "qe_unpack_s4.c"),
        arrays=tuple(stored if a is array else a for a in emitted.arrays),
        scratch_bytes=offset + words.nbytes,
        unpack=Unpack("weights", groups, wide // 2, plain, array.lanes is not None, offset),
        note=f"{emitted.note}{', ' if emitted.note else ''}weights of 4 bits",
    )


def _words(array: ConstArray) -> tuple[Words, tuple[int, int, int]]:
    """Return an array as (groups, words), and how many groups, words of weights and other words there are."""
    if array.lanes is not None:
        wide, plain = array.lanes
        words = array.values.reshape(-1, wide + plain).astype(np.uint32)
        return words, (len(words), wide, plain)
    filled = np.pad(array.values.astype(np.int8), (0, -array.values.size % 8))
    words = filled.view(np.dtype("<u4")).astype(np.uint32)[None]
    return words, (1, words.shape[1], 0)


def _packed(words: Words, lanes: bool) -> Words:
    """Return pairs of words as one each.

    >>> [hex(w) for w in _packed(np.array([[0x04030201, 0xFF060507]], np.uint32), False)[0]]
    ['0x7cebdfa9']
    """
    if lanes:
        halves = np.stack([words & 0xFFFF, words >> 16], axis=-1).astype(np.int64)
        shifted = (halves + 0x0808) & 0xFFFF
        codes = shifted[..., 0] | shifted[..., 1] << 16
    else:
        places = 8 * np.arange(4)
        each = words.astype(np.int64)[..., None] >> places & 0xFF
        codes = ((each + 8 & 0xFF) << places).sum(axis=-1)
    if np.any(codes & 0xF0F0F0F0):
        raise ValueError("weights outside [-8, 7]")
    pairs = codes.reshape(len(codes), -1, 2)
    packed: Words = (pairs[..., 0] | pairs[..., 1] << 4).astype(np.uint32)
    return packed
