"""Audio clips and streams to model inputs: log-mel, MFCC, the integer log-mel, or the waveform itself.

`AudioPreprocess.apply` fits a clip to the model's length and returns its features. `AudioPreprocess.stream`
returns the same features for sound that keeps coming, as each frame depends on its own window only.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from qedge.errors import DataError, UsageError
from qedge.processing import wav
from qedge.processing.log_mel_int import OUTPUT_FRACTION_BITS, LogMelInt
from qedge.processing.mel import dct_matrix, mel_matrix
from qedge.processing.spec import Preprocess, is_int, is_number, quantize_in_place, require

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Samples = npt.NDArray[Any]

FEATURES = ("log_mel", "mfcc", "log_mel_int", "waveform")
_LOGS = ("ln", "log10", "log2", "db", "none")


LOUDEST = 2.0
"""Float samples lie in [-1, 1]; a resampler may overshoot, but not by this much."""
_TYPE_HINTS = {
    "int32": "32-bit samples: (sound / 2**31).astype(np.float32)",
    "uint8": "8-bit samples: ((sound.astype(np.float32) - 128) / 128)",
    "uint16": "unsigned samples: (sound.astype(np.int32) - 32768).astype(np.int16)",
    "int8": "the model's own integers go to model.run; sound is int16 or float",
}


class AudioPreprocess(Preprocess):
    """What turns a WAV file, int16 or float samples into ``(1, frames, coefficients[, 1])`` float32.

    Args:
        features: "log_mel", "mfcc", "log_mel_int" (fixed point, the same bits on a microcontroller; see
            `qedge.processing.log_mel_int`) or "waveform" (``(1, samples[, 1])``, in [-1, 1]).
        sample_rate: Hz; files are resampled to it, arrays must be at this rate already.
        samples: length of a clip; shorter ones are padded with zeros, longer ones cut.
        fit: where a clip of another length goes: "center", "start" or "loudest" (the part with most energy).
        window, hop, n_fft: samples. A frame is ``window`` samples in a periodic Hann window.
        center: pad ``n_fft // 2`` zeros at both ends and put the window in the middle of the FFT, as
            ``librosa`` does; False starts at the first sample, as ``tf.signal`` does.
        mels, fmin, fmax: filters and their outer edges in Hz.
        mel_scale, mel_norm: "htk" or "slaney"; "slaney" (by width) or "none" (peak 1).
        power: 1 magnitude, 2 power.
        log: "ln", "log10", "log2" of the energy plus ``log_offset``; "db" is 10 log10 of the energy, at least
            ``log_offset``; "none".
        log_offset: what keeps the logarithm of silence finite; 0 or more.
        coefficients: of the DCT, for "mfcc".
        dct: "ortho", or "htk" (coefficient 0 is sqrt(2) times as large, as in ``tf.signal``).
        floor_bits: for "log_mel_int".
        mean, std: the result is ``(features - mean) / std``; one number, or one a coefficient.
        channel_axis: end the shape with an axis of 1.
    """

    kind: ClassVar[str] = "audio"

    features: str = "log_mel"
    sample_rate: int = 16_000
    samples: int = 16_000
    fit: str = "center"
    window: int = 512
    hop: int = 320
    n_fft: int = 512
    center: bool = False
    mels: int = 40
    fmin: float = 20.0
    fmax: float = 4_000.0
    mel_scale: str = "htk"
    mel_norm: str = "none"
    power: int = 2
    log: str = "ln"
    log_offset: float = 1e-6
    coefficients: int = 10
    dct: str = "ortho"
    floor_bits: int = 24
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    channel_axis: bool = True

    def __post_init__(self) -> None:
        choices = {
            "features": FEATURES,
            "fit": ("center", "start", "loudest"),
            "mel_scale": ("htk", "slaney"),
            "mel_norm": ("none", "slaney"),
            "log": _LOGS,
            "dct": ("ortho", "htk"),
        }
        for name, allowed in choices.items():
            require(getattr(self, name) in allowed, name, getattr(self, name), "one of " + ", ".join(allowed))
        for name, low, high in (("sample_rate", 1000, 768_000), ("samples", 1, 1 << 26), ("hop", 1, 1 << 20)):
            value = getattr(self, name)
            require(is_int(value) and low <= value <= high, name, value, f"an integer from {low} to {high}")
        for name in ("center", "channel_axis"):
            require(isinstance(getattr(self, name), bool), name, getattr(self, name), "true or false")
        if self.features != "waveform":
            self._check_spectrum()
        width = self._coefficients
        for name in ("mean", "std"):
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            ok = all(is_number(v) for v in values) and len(values) in (1, width)
            require(ok, name, value, f"one number, or {width} numbers")
            require(name == "mean" or all(v > 0 for v in values), name, value, "above 0")

    def _check_spectrum(self) -> None:
        require(is_int(self.n_fft) and 16 <= self.n_fft <= 1 << 16, "n_fft", self.n_fft, "16 to 65536")
        ok = is_int(self.window) and 1 <= self.window <= self.n_fft
        require(ok, "window", self.window, f"1 to n_fft ({self.n_fft})")
        require(is_int(self.mels) and 1 <= self.mels <= 512, "mels", self.mels, "1 to 512")
        half = self.sample_rate / 2
        ok = is_number(self.fmax) and 0 < self.fmax <= half
        require(ok, "fmax", self.fmax, f"above 0, at most half the sample rate ({half:g})")
        require(is_number(self.fmin) and 0 <= self.fmin < self.fmax, "fmin", self.fmin, "0 to fmax")
        require(self.power in (1, 2), "power", self.power, "1 or 2")
        require(
            is_number(self.log_offset) and self.log_offset >= 0, "log_offset", self.log_offset, "0 or more"
        )
        ok = is_int(self.coefficients) and 1 <= self.coefficients <= self.mels
        require(ok or self.features != "mfcc", "coefficients", self.coefficients, f"1 to mels ({self.mels})")
        require(self.frames > 0, "samples", self.samples, f"at least one window ({self.window})")
        if self.features == "log_mel_int":
            try:
                _ = self.integer_front_end
            except ValueError as error:
                raise UsageError(f"features: {error}") from error
            require(not self.center, "center", self.center, 'false with "log_mel_int"')

    @property
    def _coefficients(self) -> int:
        return {"mfcc": self.coefficients, "waveform": 1}.get(self.features, self.mels)

    @property
    def frames(self) -> int:
        """Frames in a clip."""
        if self.center:
            return self.samples // self.hop + 1
        return max(0, (self.samples - self.window) // self.hop + 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what :meth:`apply` returns, batch 1 first."""
        inner = (self.samples,) if self.features == "waveform" else (self.frames, self._coefficients)
        return (1, *inner, *((1,) if self.channel_axis else ()))

    @cached_property
    def integer_front_end(self) -> LogMelInt:
        """The fixed-point front end of "log_mel_int", with its tables."""
        return LogMelInt(
            sample_rate=self.sample_rate,
            window=self.window,
            hop=self.hop,
            n_fft=self.n_fft,
            mels=self.mels,
            fmin=self.fmin,
            fmax=self.fmax,
            floor_bits=self.floor_bits,
        )

    def example(self) -> npt.NDArray[np.int16]:
        """Return a silent clip of the right length, int16 (samples,)."""
        return np.zeros(self.samples, np.int16)

    def apply(self, sample: Any) -> Floats:
        """Return the features of a WAV file's path, or of int16 or float (in [-1, 1]) samples.

        Arrays are ``(samples,)`` or ``(samples, channels)``, at ``sample_rate``.

        Raises:
            DataError: a file that cannot be read, or an array of another type or shape.
        """
        return self.frame_features(self._fitted(self.load(sample))).reshape(self.shape)

    def load(self, sample: Any) -> Samples:
        """Return ``(samples,)`` int16 or float32, of any length, from what `apply` takes."""
        if isinstance(sample, (str, os.PathLike)):
            return wav.read_wav(os.fspath(sample), self.sample_rate)[0]
        array = np.asarray(sample)
        if array.ndim == 2 and array.shape[1] <= 8:
            mixed = array.mean(axis=1)
            array = np.rint(mixed).astype(np.int16) if array.dtype == np.int16 else mixed
        if array.ndim != 1 or not (array.dtype == np.int16 or array.dtype.kind == "f"):
            raise DataError(
                f"the sound is {array.dtype} of shape {array.shape}, expected int16 or float, (samples,)",
                hint=_TYPE_HINTS.get(
                    array.dtype.name, f"give a WAV file, or samples at {self.sample_rate} Hz"
                ),
            )
        if array.dtype == np.int16:
            return array
        if not np.isfinite(array).all():
            raise DataError("the sound holds NaN or infinity, expected numbers in [-1, 1]")
        peak = float(np.abs(array).max(initial=0.0))
        if peak > LOUDEST:
            raise DataError(
                f"the sound is {array.dtype} up to {peak:g}, expected float in [-1, 1], or int16",
                hint="levels of 16 bits? sound.astype(np.int16)",
            )
        return array.astype(np.float32)

    def _fitted(self, sound: Samples) -> Samples:
        missing = self.samples - sound.size
        if missing >= 0:
            before = missing // 2 if self.fit == "center" else 0
            return np.pad(sound, (before, missing - before))
        start = {"center": -missing // 2, "start": 0}.get(self.fit)
        if start is None:
            energy = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
            start = int(np.argmax(energy[self.samples :] - energy[: -self.samples]))
        return sound[start : start + self.samples]

    def frame_features(self, sound: Samples) -> Floats:
        """Return ``(frames, coefficients)`` float32 of the whole frames in int16 or float ``sound``."""
        if self.features == "log_mel_int":
            pcm = sound if sound.dtype == np.int16 else wav.to_int16(sound)
            return self.scale_octaves(self.integer_front_end.frames(pcm).astype(np.float32))
        signal = sound / np.float32(32768) if sound.dtype == np.int16 else sound
        features = signal[:, None] if self.features == "waveform" else self._spectral(signal)
        return self._normalised(features)

    def scale_octaves(self, octaves_q8: Floats) -> Floats:
        """Return the model's features for the integer front end's octaves in Q8, given as float32."""
        return self._normalised(octaves_q8 * np.float32(1 / (1 << OUTPUT_FRACTION_BITS)))

    def _normalised(self, features: npt.NDArray[Any]) -> Floats:
        scaled = (features - np.asarray(self.mean, features.dtype)) / np.asarray(self.std, features.dtype)
        return np.asarray(scaled, np.float32)

    def _spectral(self, signal: Samples) -> npt.NDArray[np.float64]:
        hann = self._hann
        if self.center:
            signal = np.pad(signal, self.n_fft // 2)
        count = (signal.size - hann.size) // self.hop + 1
        if count <= 0:
            return np.zeros((0, self._coefficients))
        views = np.lib.stride_tricks.sliding_window_view(signal, hann.size)[:: self.hop][:count]
        spectrum = np.abs(np.fft.rfft(views * hann, self.n_fft))
        energy = (spectrum**2 if self.power == 2 else spectrum) @ self._mel
        features = self._logarithm(energy)
        return features @ self._dct if self.features == "mfcc" else features

    def _logarithm(self, energy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self.log == "none":
            return energy
        if self.log == "db":
            return cast(
                "npt.NDArray[np.float64]", 10 * np.log10(np.maximum(energy, max(self.log_offset, 1e-30)))
            )
        function = {"ln": np.log, "log10": np.log10, "log2": np.log2}[self.log]
        return cast("npt.NDArray[np.float64]", function(energy + max(self.log_offset, 1e-30)))

    @cached_property
    def _hann(self) -> npt.NDArray[np.float64]:
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        if not self.center:
            return hann
        before = (self.n_fft - self.window) // 2
        return np.pad(hann, (before, self.n_fft - self.window - before))

    @cached_property
    def _mel(self) -> npt.NDArray[np.float64]:
        return mel_matrix(
            sample_rate=self.sample_rate,
            n_fft=self.n_fft,
            mels=self.mels,
            fmin=self.fmin,
            fmax=self.fmax,
            scale=self.mel_scale,
            norm=None if self.mel_norm == "none" else self.mel_norm,
        )

    @cached_property
    def _dct(self) -> npt.NDArray[np.float64]:
        matrix = dct_matrix(self.mels, self.coefficients)
        if self.dct == "htk":
            matrix[:, 0] *= np.sqrt(2.0)
        return matrix

    def stream(self) -> AudioStream:
        """Return a stream of frames for sound that comes in pieces.

        Raises:
            UsageError: with ``center``, whose first and last frames need the clip's ends.
        """
        require(not self.center, "center", self.center, "false for a stream")
        require(self.features != "waveform", "features", self.features, "a spectrum for a stream")
        return AudioStream(self)


class AudioStream:
    """Features of sound that keeps coming: push pieces of any length, read the newest window.

    ``window`` is ``(1, frames, coefficients[, 1])`` float32, the newest frames last; before enough sound has
    come its older part is what silence gives.
    """

    def __init__(self, preprocess: AudioPreprocess) -> None:
        self._preprocess = preprocess
        quiet = preprocess.frame_features(np.zeros(preprocess.window, np.int16))
        self._frames = np.repeat(quiet, preprocess.frames, axis=0)
        self._pending: Samples = np.zeros(0, np.int16)
        self.frames_seen = 0

    def push(self, sound: Samples) -> int:
        """Take ``(samples,)`` int16 or float samples; return how many new frames they completed."""
        self._pending = np.concatenate([self._pending, sound]) if self._pending.size else sound
        new = self._preprocess.frame_features(self._pending)
        if not len(new):
            return 0
        self._pending = self._pending[len(new) * self._preprocess.hop :].copy()
        self._frames = np.concatenate([self._frames, new])[-self._preprocess.frames :]
        self.frames_seen += len(new)
        return len(new)

    @property
    def window(self) -> Floats:
        """The newest frames, as the model takes them."""
        return self._frames.reshape(self._preprocess.shape)

    def encode(self, scale: float | None, zero_point: int | None, dtype: Any) -> npt.NDArray[Any]:
        """Return :attr:`window` quantised, or a copy as it is for a float32 input, which has no ``scale``."""
        if scale is None or zero_point is None:
            return self.window.copy()
        return quantize_in_place(self.window.copy(), scale, zero_point, dtype)
