"""Read and write WAV files, mix to mono, resample; numpy only."""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_MAX_RATE = 768_000


def read_wav(path: Path | str, sample_rate: int | None = None) -> tuple[npt.NDArray[np.float32], int]:
    """Return mono samples in [-1, 1] and their rate, resampled where ``sample_rate`` is given.

    Reads PCM of 8, 16, 24 and 32 bits and 32 and 64 bit float, any number of channels (their mean is taken).
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    samples, rate = parse_wav(data, str(path))
    if sample_rate is not None and sample_rate != rate:
        return resample(samples, rate, sample_rate), sample_rate
    return samples, rate


def parse_wav(data: bytes, name: str = "wav data") -> tuple[npt.NDArray[np.float32], int]:
    """Return mono samples in [-1, 1] and their rate, of a whole WAV file."""
    hint = "convert it: ffmpeg -i IN -ac 1 -ar 16000 -c:a pcm_s16le OUT.wav"
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise DataError(
            f"{name} is not a WAV file (it starts with {data[:4]!r}, expected b'RIFF')", hint=hint
        )
    layout: tuple[int, int, int, int] | None = None
    position = 12
    while position + 8 <= len(data):
        tag, size = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        body = data[position + 8 : position + 8 + size]
        if tag == b"fmt ":
            layout = _parse_format(body, name, hint)
        elif tag == b"data":
            if layout is None:
                raise DataError(f"{name} has its data before its format", hint=hint)
            kind, channels, rate, bits = layout
            width = channels * bits // 8
            # A stream that was cut, or written to a pipe, states a size that it does not have.
            return _to_mono(body[: len(body) // width * width], kind, channels, bits), rate
        position += 8 + size + (size & 1)
    raise DataError(f"{name} has no sound in it (no 'data' chunk)", hint=hint)


def _parse_format(body: bytes, name: str, hint: str) -> tuple[int, int, int, int]:
    if len(body) < 16:
        raise DataError(f"{name} has a damaged 'fmt ' chunk of {len(body)} bytes", hint=hint)
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if kind == _EXTENSIBLE and len(body) >= 26:
        kind = struct.unpack_from("<H", body, 24)[0]
    known = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}
    if bits not in known.get(kind, ()) or not 1 <= channels <= 64 or not 1 <= rate <= _MAX_RATE:
        raise DataError(
            f"{name} is format {kind}, {bits} bits, {channels} channels, {rate} Hz; "
            "expected PCM (8, 16, 24, 32 bits) or float",
            hint=hint,
        )
    return kind, channels, rate, bits


def _to_mono(raw: bytes, kind: int, channels: int, bits: int) -> npt.NDArray[np.float32]:
    values: npt.NDArray[Any]
    if kind == _FLOAT:
        values = np.nan_to_num(np.frombuffer(raw, "<f4" if bits == 32 else "<f8").astype(np.float32))
    elif bits == 8:
        values = (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / np.float32(128)
    elif bits == 16:
        values = np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(1 << 15)
    elif bits == 24:
        triples = np.frombuffer(raw, np.uint8).reshape(-1, 3).astype(np.int32)
        signed = (triples[:, 0] << 8 | triples[:, 1] << 16 | triples[:, 2] << 24) >> 8
        values = signed.astype(np.float32) / np.float32(1 << 23)
    else:
        values = (np.frombuffer(raw, "<i4") / float(1 << 31)).astype(np.float32)
    if channels > 1:
        values = values.reshape(-1, channels).mean(axis=1, dtype=np.float32)
    return np.asarray(values, np.float32)


def write_wav(path: Path | str, pcm: npt.NDArray[np.int16], sample_rate: int) -> None:
    """Write ``(samples,)`` int16 as a mono 16-bit WAV file."""
    raw = np.ascontiguousarray(pcm, "<i2").tobytes()
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(raw), b"WAVE", b"fmt ", 16, _PCM, 1),
        *(sample_rate, 2 * sample_rate, 2, 16, b"data", len(raw)),
    )
    with open(path, "wb") as file:
        file.write(header + raw)


def to_int16(samples: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int16]:
    """Return ``round(samples * 32768)``, saturated; exact for what was 16-bit PCM.

    >>> to_int16(np.array([0.5, -1.0, 1.0], np.float32)).tolist()
    [16384, -32768, 32767]
    """
    scaled = np.rint(np.asarray(samples, np.float64) * 32768)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def resample(samples: npt.NDArray[np.float32], source_rate: int, rate: int) -> npt.NDArray[np.float32]:
    """Return ``samples`` at ``rate`` Hz: polyphase, Kaiser-windowed sinc, about 80 dB, no delay.

    The output has ``ceil(len(samples) * rate / source_rate)`` samples.
    """
    divisor = math.gcd(source_rate, rate)
    up, down = rate // divisor, source_rate // divisor
    if up == down or samples.size == 0:
        return np.asarray(samples, np.float32)
    if up > 4096:
        raise DataError(
            f"cannot resample {source_rate} Hz to {rate} Hz exactly",
            hint="use a usual rate, such as 16000 Hz",
        )
    phases, lead = _phases(up, down)
    taps = phases.shape[1]
    count = -(-samples.size * up // down)
    position = np.arange(count, dtype=np.int64) * down
    phase, start = position % up, position // up - lead
    padded = np.concatenate([np.zeros(lead, np.float32), samples, np.zeros(taps + lead, np.float32)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    result = np.empty(count, np.float32)
    for block in range(0, count, 1 << 15):
        part = slice(block, min(count, block + (1 << 15)))
        result[part] = np.einsum("ij,ij->i", windows[start[part] + lead], phases[phase[part]])
    return result


@lru_cache(maxsize=8)
def _phases(up: int, down: int) -> tuple[npt.NDArray[np.float32], int]:
    """Return the filter's phases ``(up, taps)``, and how many input samples lie before the output's place."""
    cutoff = min(1.0, up / down) * 0.95
    lead = math.ceil(24 / cutoff)
    offsets = np.arange(-lead, lead + 1)[None, :] - (np.arange(up) / up)[:, None]
    window = np.i0(8.0 * np.sqrt(np.maximum(0.0, 1 - (offsets / (lead + 1)) ** 2))) / np.i0(8.0)
    phases = cutoff * np.sinc(cutoff * offsets) * window
    phases /= phases.sum(axis=1, keepdims=True)
    return phases.astype(np.float32), lead
