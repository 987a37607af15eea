"""Constants for the DSP kernels: channel records and weight streams in the order the kernels read them.

``kernels/include/qe_dsp.h`` and ``qe_dot_dsp.h`` say what each word means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qedge.quantmath import multiply_double
from qedge_mcu.ops.base import ConstArray
from qedge_mcu.ops.requantize import Requantize

Words = npt.NDArray[np.uint32]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Output:
    """Zero point and clamp of an output, all in [-128, 127]."""

    zero_point: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Channels:
    """What the kernels need of every channel.

    Args:
        words: shape (channels, 2), as ``qe_dsp.h`` says.
        fixed: channels whose output never changes, shape (channels,); their weights must be stored as 0.
    """

    words: Words
    fixed: npt.NDArray[np.bool_]

    @property
    def multiplier(self) -> int | None:
        """The multiplier of all channels, or None where they have several."""
        first = int(self.words[0, 1])
        return first if np.all(self.words[:, 1] == first) else None


def channel_words(
    reach: Int64s, bias: Int64s, requantize: Requantize, out: Output, *, shift_bits: int = 8
) -> Channels | None:
    """Return the words of every channel, or None where they cannot hold them.

    Args:
        reach: how far a channel's sum can be from its bias: 128 times the sum of its absolute weights.
        bias: with the input's zero point folded in, shape (channels,).
        requantize: multipliers and shifts (positive to the left), shape (channels,).
        shift_bits: low bits of the first word that hold the shift; the bias has the others.

    A channel needs a shift to the right by at least 1, a bias that fits its bits, and sums small enough that
    neither twice the sum nor the rounded product with its offset leaves 32 bits. A channel whose output is
    the same at both ends of its sum is fixed: its words give that output for a sum of 0.
    """
    multiplier = requantize.multiplier.astype(np.int64)
    right = -requantize.shift.astype(np.int64)
    ends = [_output(bias + sign * reach, requantize, out) for sign in (-1, 1)]
    bounded = (np.abs(bias) + reach) << np.maximum(-right, 0) < 1 << 31
    fixed = (ends[0] == ends[1]) & (bounded | (reach == 0))
    # The high multiply gives twice the output, less than half off, and its half is exact.
    twice = 2.0 * (ends[0] - out.zero_point)
    bias = np.where(
        fixed, np.rint(twice * (1 << 31) / np.maximum(multiplier, 1 << 30)).astype(np.int64), bias
    )
    reach = np.where(fixed, 0, reach)
    multiplier = np.where(fixed, np.maximum(multiplier, 1 << 30), multiplier)
    right = np.where(fixed, 1, right)
    fits = (np.abs(bias) + reach < 1 << 30) & (np.abs(bias) < 1 << (31 - shift_bits))
    fits &= (right >= 1) & (right <= 21)
    if not np.all(fits):
        return None
    words = np.stack([bias << shift_bits | (right - 1), multiplier], axis=1)
    return Channels((words & 0xFFFFFFFF).astype(np.uint32), fixed)


def _output(sums: Int64s, requantize: Requantize, out: Output) -> Int64s:
    scaled = multiply_double(sums, requantize.multiplier, requantize.shift).astype(np.int64)
    return np.clip(scaled + out.zero_point, out.low, out.high)


def defines(out: Output, signed: str, plain: str | None = None) -> frozenset[str]:
    """Return the macros that an output needs: ``QE_DSP_CLAMP`` where its clamp is narrower than 8 bits.

    Args:
        signed: where negative sums can end above the lower clamp, so that their ties must be told apart
            (``qe_dsp.h``).
        plain: elsewhere.
    """
    found = set()
    if out.low < out.zero_point:
        found.add(signed)
    elif plain is not None:
        found.add(plain)
    if (out.low, out.high) != (-128, 127):
        found.add("QE_DSP_CLAMP")
    return frozenset(found)


def stream_array(
    name: str, stream: Words, model_bytes: int, lanes: tuple[int, int] | None = None
) -> ConstArray:
    """Return a stream that holds ``model_bytes`` of the model's own weights and biases beside other words."""
    overhead = max(stream.nbytes - model_bytes, 0)
    return ConstArray(name, stream, "weights", overhead=overhead, lanes=lanes)


def pair_stream(weights: npt.NDArray[np.int8], channels: Words) -> Words | None:
    """Return the stream of ``qe_dot_3x2_dsp``, or None when a sum may leave 24 bits.

    Args:
        weights: shape (even number of channels, depth a multiple of 4).
        channels: shape (channels, 2), from `channel_words`.
    """
    lanes = _lane_words(weights)
    if lanes is None:
        return None
    pairs = len(weights) // 2
    return np.concatenate([lanes.reshape(pairs, -1), channels.reshape(pairs, 4)], axis=1).reshape(-1)


def quad_stream(weights: npt.NDArray[np.int8], channels: Words) -> Words | None:
    """Return the stream of ``qe_dot_4_dsp``; as `pair_stream`, with any number of channels filled up to fours.

    ``qe_dot_4_shared_dsp`` takes only the first word of a channel.
    """
    missing = -len(weights) % 4
    weights = np.pad(weights, ((0, missing), (0, 0)))
    channels = np.pad(channels, ((0, missing), (0, 0)))
    lanes = _lane_words(weights)
    if lanes is None:
        return None
    groups = len(weights) // 4
    together = lanes.reshape(groups, 2, -1, 2).transpose(0, 2, 1, 3).reshape(groups, -1)
    return np.concatenate([together, channels.reshape(groups, -1)], axis=1).reshape(-1)


def _lane_words(weights: npt.NDArray[np.int8]) -> Words | None:
    """Return two words for every pair of channels and four k, shape (pairs, depth / 4, 2)."""
    count, depth = weights.shape
    values = weights.astype(np.int64)
    lanes = 256 * values[1::2] + values[0::2]
    if np.any(128 * np.abs(values[1::2]).sum(axis=1) >= 1 << 23) or lanes.min(initial=0) < -32768:
        return None
    quads = (lanes & 0xFFFF).reshape(count // 2, depth // 4, 4)
    words = np.stack([quads[..., 0] | quads[..., 2] << 16, quads[..., 1] | quads[..., 3] << 16], axis=-1)
    return words.astype(np.uint32)
