"""Mel scales and float mel filter banks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_SLANEY_STEP = 200.0 / 3
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


def hertz_to_mel_htk(hertz: npt.ArrayLike) -> Any:
    """Return mels on HTK's scale.

    >>> round(float(hertz_to_mel_htk(1000.0)), 1)
    1000.0
    """
    return 1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0)


def _mel_to_hertz_htk(mel: Floats) -> Any:
    return 700.0 * np.expm1(mel / 1127.0)


def _hertz_to_mel_slaney(hertz: npt.ArrayLike) -> Any:
    hertz = np.asarray(hertz, np.float64)
    linear = hertz / _SLANEY_STEP
    above = (
        _SLANEY_BREAK_HZ / _SLANEY_STEP
        + np.log(np.maximum(hertz, 1e-9) / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    )
    return np.where(hertz < _SLANEY_BREAK_HZ, linear, above)


def _mel_to_hertz_slaney(mel: Floats) -> Any:
    break_mel = _SLANEY_BREAK_HZ / _SLANEY_STEP
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (mel - break_mel))
    return np.where(mel < break_mel, mel * _SLANEY_STEP, above)


def mel_matrix(
    *, sample_rate: int, n_fft: int, mels: int, fmin: float, fmax: float, scale: str, norm: str | None
) -> Floats:
    """Return ``(n_fft // 2 + 1, mels)`` triangles.

    ``scale`` "htk" draws them straight on the mel axis and leaves out bin 0, as ``tf.signal`` and HTK do;
    "slaney" draws them straight on the hertz axis, as ``librosa`` does. ``norm`` "slaney" divides each
    by half its width in hertz, None leaves the peaks at 1.
    """
    hertz = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    if scale == "htk":
        edges = np.linspace(hertz_to_mel_htk(fmin), hertz_to_mel_htk(fmax), mels + 2)
        position = hertz_to_mel_htk(hertz)
        edges_hertz = _mel_to_hertz_htk(edges)
    else:
        mel_edges = np.linspace(_hertz_to_mel_slaney(fmin), _hertz_to_mel_slaney(fmax), mels + 2)
        edges_hertz = edges = _mel_to_hertz_slaney(mel_edges)
        position = hertz
    rise = (position[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - position[:, None]) / (edges[2:] - edges[1:-1])
    matrix: Floats = np.maximum(0.0, np.minimum(rise, fall))
    if scale == "htk":
        matrix[0] = 0.0
    if norm == "slaney":
        matrix = matrix * (2.0 / (edges_hertz[2:] - edges_hertz[:-2]))
    return matrix


def dct_matrix(inputs: int, outputs: int) -> Floats:
    """Return the orthonormal DCT-II, ``(inputs, outputs)``; ``norm="ortho"`` of ``scipy``."""
    n = np.arange(inputs)[:, None]
    k = np.arange(outputs)[None, :]
    matrix: Floats = np.cos(np.pi * (2 * n + 1) * k / (2 * inputs)) * np.sqrt(2.0 / inputs)
    matrix[:, 0] *= np.sqrt(0.5)
    return matrix
