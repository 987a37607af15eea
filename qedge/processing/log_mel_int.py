"""The integer log-mel front end: int16 PCM in, integer octaves out, the same bits in Python and in C.

Each frame depends on its own window only. With an FFT of ``n`` points (a power of two):

1. window: ``v[i] = x[i] * hann[i]``, Q15 weights, so ``|v| <= 2**30``;
2. real FFT: ``n / 2`` complex points ``v[2i] + j v[2i+1]``, radix 2, decimation in time, every stage halves:
   ``t = W b / 2`` as four products ``(int32 * int16) >> 16`` (rounding down), ``a / 2 +- t``;
   then the split into the real signal's bins, which halves once more: bins are ``X[k] / n`` in Q15;
3. power ``(re**2 + im**2) >> 12``, at most ``2**49``;
4. mel: HTK triangles of height 1, as Q12 weights: between two centres a bin gives ``w`` to the upper filter
   and ``4096 - w`` to the lower one;
5. ``log2(energy + 2**floor_bits) - floor_bits`` in Q8 from a table of 33 values with linear interpolation.

No step can overflow 32 (FFT) or 64 bits (power): the halving keeps every complex magnitude at or under
``sqrt(2) * 2**30``, and the power of a frame sums to at most ``2**60``.
The C twin is ``targets/qedge_mcu/frontend/qe_frontend.c``; it takes its tables from `LogMelInt`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.processing.mel import hertz_to_mel_htk

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

OUTPUT_FRACTION_BITS = 8
LOG_TABLE_BITS = 5
_POWER_SHIFT = 12
_MEL_ONE = 1 << 12


class LogMelInt:
    """The front end for one set of parameters; holds its tables.

    Args:
        sample_rate: Hz.
        window: samples of a frame, at most ``n_fft``; shorter frames are followed by zeros.
        hop: samples between frames.
        n_fft: a power of two, 64 to 2048.
        mels: number of filters; each must cover at least one bin.
        fmin, fmax: Hz, the outer edges of the first and the last filter.
        floor_bits: ``log2`` of the energy that is added before the logarithm, 8 to 48.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        window: int,
        hop: int,
        n_fft: int,
        mels: int,
        fmin: float,
        fmax: float,
        floor_bits: int = 24,
    ) -> None:
        if n_fft & (n_fft - 1) or not 64 <= n_fft <= 2048:
            raise ValueError(f"n_fft is {n_fft}, expected a power of two from 64 to 2048")
        if not 8 <= floor_bits <= 48:
            raise ValueError(f"floor_bits is {floor_bits}, expected 8 to 48")
        self.window, self.hop, self.n_fft, self.mels, self.floor_bits = window, hop, n_fft, mels, floor_bits
        index = np.arange(window)
        phase = 2 * np.pi * np.minimum(index, window - index) / window
        self.hann = np.rint(32767 * (0.5 - 0.5 * np.cos(phase))).astype(np.int64)
        angle = 2 * np.pi * np.arange(n_fft // 2) / n_fft
        self.cosine = np.rint(32767 * np.cos(angle)).astype(np.int64)
        self.sine = np.rint(32767 * np.sin(angle)).astype(np.int64)
        table = np.log2(1 + np.arange((1 << LOG_TABLE_BITS) + 1) / (1 << LOG_TABLE_BITS))
        self.log_table = np.rint(table * 32768).astype(np.int64)
        self._place_filters(sample_rate, fmin, fmax)
        self._reversal = _bit_reversal(n_fft // 2)

    def _place_filters(self, sample_rate: int, fmin: float, fmax: float) -> None:
        """Set ``first_bin``, and for each bin from there on ``bin_filter`` and ``bin_weight``.

        Bin ``first_bin + i`` gives ``bin_weight[i]`` to filter ``bin_filter[i]`` and the rest of 4096 to the
        filter below; filter 0 has none below, and filter ``mels`` does not exist.
        """
        edges = np.linspace(hertz_to_mel_htk(fmin), hertz_to_mel_htk(fmax), self.mels + 2)
        bins = np.arange(1, self.n_fft // 2)
        mel = hertz_to_mel_htk(bins * sample_rate / self.n_fft)
        inside = (mel > edges[0]) & (mel < edges[-1])
        bins, mel = bins[inside], mel[inside]
        segment = np.searchsorted(edges, mel, side="right") - 1
        rise = (mel - edges[segment]) / (edges[segment + 1] - edges[segment])
        self.first_bin = int(bins[0]) if bins.size else 0
        self.bin_filter = segment.astype(np.int64)
        self.bin_weight = np.rint(rise * _MEL_ONE).astype(np.int64)
        matrix = np.zeros((bins.size, self.mels + 2), np.int64)
        rows = np.arange(bins.size)
        matrix[rows, self.bin_filter + 1] = self.bin_weight
        matrix[rows, self.bin_filter] = _MEL_ONE - self.bin_weight
        self._matrix = matrix[:, 1:-1]
        empty = np.flatnonzero(self._matrix.sum(axis=0) == 0)
        if empty.size:
            raise ValueError(
                f"mel filter {empty[0]} of {self.mels} covers no FFT bin: fewer mels or a longer n_fft"
            )

    def frame_count(self, samples: int) -> int:
        """Return how many whole frames ``samples`` samples hold."""
        return max(0, (samples - self.window) // self.hop + 1)

    def frames(self, pcm: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """Return ``(frames, mels)`` int16, octaves above the floor in Q8, of ``(samples,)`` int16."""
        count = self.frame_count(pcm.size)
        if count == 0:
            return np.zeros((0, self.mels), np.int16)
        views = np.lib.stride_tricks.sliding_window_view(pcm, self.window)[:: self.hop][:count]
        return self._log2(self._energies(views.astype(np.int64) * self.hann))

    def _energies(self, windowed: Ints) -> Ints:
        count = windowed.shape[0]
        if self.window < self.n_fft:
            padding = np.zeros((count, self.n_fft - self.window), np.int64)
            windowed = np.concatenate([windowed, padding], axis=1)
        real, imag = self._complex_fft(windowed[:, 0::2], windowed[:, 1::2])
        k = np.arange(self.first_bin, self.first_bin + self.bin_filter.size)
        mirror = (self.n_fft // 2 - k) % (self.n_fft // 2)
        a_real, a_imag = real[:, k] >> 1, imag[:, k] >> 1
        b_real, b_imag = real[:, mirror] >> 1, imag[:, mirror] >> 1
        even_real, even_imag = a_real + b_real, a_imag - b_imag
        odd_real, odd_imag = a_imag + b_imag, b_real - a_real
        cosine, sine = self.cosine[k], self.sine[k]
        x_real = (even_real >> 1) + ((odd_real * cosine) >> 16) + ((odd_imag * sine) >> 16)
        x_imag = (even_imag >> 1) + ((odd_imag * cosine) >> 16) - ((odd_real * sine) >> 16)
        power = (x_real * x_real + x_imag * x_imag) >> _POWER_SHIFT
        energies: Ints = power @ self._matrix
        return energies

    def _complex_fft(self, real: Ints, imag: Ints) -> tuple[Ints, Ints]:
        points = self.n_fft // 2
        real, imag = real[:, self._reversal].copy(), imag[:, self._reversal].copy()
        half = 1
        while half < points:
            shape = (real.shape[0], points // (2 * half), 2, half)
            re, im = real.reshape(shape), imag.reshape(shape)
            step = self.n_fft // (2 * half)
            cosine, sine = self.cosine[::step][:half], self.sine[::step][:half]
            b_re, b_im = re[:, :, 1], im[:, :, 1]
            t_re = ((b_re * cosine) >> 16) + ((b_im * sine) >> 16)
            t_im = ((b_im * cosine) >> 16) - ((b_re * sine) >> 16)
            a_re, a_im = re[:, :, 0] >> 1, im[:, :, 0] >> 1
            re[:, :, 0], im[:, :, 0] = a_re + t_re, a_im + t_im
            re[:, :, 1], im[:, :, 1] = a_re - t_re, a_im - t_im
            half *= 2
        return real, imag

    def _log2(self, energies: Ints) -> npt.NDArray[np.int16]:
        energy = energies + (1 << self.floor_bits)
        # float64 exponents are exact but where rounding to 53 bits carries into the next power of two.
        exponent = np.frexp(energy.astype(np.float64))[1].astype(np.int64) - 1
        exponent -= (energy >> exponent) == 0
        below = np.where(
            exponent > 16, energy >> np.maximum(exponent - 16, 0), energy << np.maximum(16 - exponent, 0)
        )
        fraction = below & 0xFFFF
        shift = 16 - LOG_TABLE_BITS
        index, rest = fraction >> shift, fraction & ((1 << shift) - 1)
        low = self.log_table[index]
        mantissa = low + (((self.log_table[index + 1] - low) * rest) >> shift)
        octaves = ((exponent - self.floor_bits) << 15) + mantissa
        result: npt.NDArray[Any] = (octaves >> (15 - OUTPUT_FRACTION_BITS)).astype(np.int16)
        return result


def _bit_reversal(points: int) -> Ints:
    order = np.zeros(1, np.int64)
    while order.size < points:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order
