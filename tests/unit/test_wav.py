"""WAV files of every kind that people have, and resampling against exact sines."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from qedge.errors import DataError
from qedge.processing.wav import parse_wav, read_wav, resample, to_int16, write_wav

SAMPLES = np.array([0.0, 0.5, -0.5, 0.25, -1.0, 0.125], np.float64)


def chunks(kind: int, channels: int, rate: int, bits: int, raw: bytes, *, before: bytes = b"") -> bytes:
    layout = struct.pack(
        "<HHIIHH", kind, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits
    )
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(layout)) + layout
    body += b"data" + struct.pack("<I", len(raw)) + raw
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("kind", "bits", "raw"),
    [
        (1, 8, (SAMPLES * 128 + 128).astype(np.uint8).tobytes()),
        (1, 16, (SAMPLES * (1 << 15)).astype("<i2").tobytes()),
        (1, 24, b"".join(int(v).to_bytes(3, "little", signed=True) for v in SAMPLES * (1 << 23))),
        (1, 32, (SAMPLES * (1 << 31)).astype("<i4").tobytes()),
        (3, 32, SAMPLES.astype("<f4").tobytes()),
        (3, 64, SAMPLES.astype("<f8").tobytes()),
    ],
)
def test_every_sample_format_reads_to_the_same_numbers(kind: int, bits: int, raw: bytes) -> None:
    samples, rate = parse_wav(chunks(kind, 1, 16000, bits, raw))
    assert rate == 16000
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, SAMPLES.astype(np.float32))


def test_channels_are_averaged() -> None:
    stereo = np.stack([SAMPLES, -SAMPLES / 2], axis=1)
    raw = (stereo * (1 << 15)).astype("<i2").tobytes()
    samples, _ = parse_wav(chunks(1, 2, 44100, 16, raw))
    np.testing.assert_allclose(samples, SAMPLES / 4, atol=1e-7)


def test_other_chunks_of_odd_length_are_skipped() -> None:
    raw = (SAMPLES * (1 << 15)).astype("<i2").tobytes()
    note = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    samples, _ = parse_wav(chunks(1, 1, 8000, 16, raw, before=note))
    np.testing.assert_array_equal(samples, SAMPLES.astype(np.float32))


def test_extensible_format() -> None:
    raw = (SAMPLES * (1 << 15)).astype("<i2").tobytes()
    layout = struct.pack("<HHIIHHHHIH14s", 0xFFFE, 1, 16000, 32000, 2, 16, 22, 16, 4, 1, bytes(14))
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(raw)) + raw
    samples, _ = parse_wav(b"RIFF" + struct.pack("<I", len(body)) + body)
    np.testing.assert_array_equal(samples, SAMPLES.astype(np.float32))


def test_what_is_written_python_reads(tmp_path: Path) -> None:
    pcm = np.arange(-300, 300, dtype=np.int16) * 100
    write_wav(tmp_path / "a.wav", pcm, 16000)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        np.testing.assert_array_equal(np.frombuffer(file.readframes(10_000), "<i2"), pcm)
    samples, _ = read_wav(tmp_path / "a.wav")
    np.testing.assert_array_equal(to_int16(samples), pcm)


def test_a_cut_file_gives_the_whole_samples_that_are_there() -> None:
    data = chunks(1, 1, 16000, 16, (SAMPLES * (1 << 15)).astype("<i2").tobytes())
    samples, _ = parse_wav(data[:-3])
    np.testing.assert_array_equal(samples, SAMPLES[:4].astype(np.float32))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a WAV"),
        (b"ID3\x04" + bytes(60), "not a WAV"),
        (chunks(1, 1, 16000, 12, bytes(6)), "12 bits"),
        (chunks(2, 1, 16000, 4, bytes(6)), "format 2"),
        (chunks(1, 0, 16000, 16, bytes(6)), "0 channels"),
        (chunks(1, 1, 16000, 16, b"")[:36], "no sound"),
        (b"RIFF\0\0\0\0WAVEdata\x02\0\0\0ab", "before its format"),
        (b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0ab", "damaged"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse_wav(data)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.wav"):
        read_wav(tmp_path / "no.wav")


@pytest.mark.parametrize(
    ("source", "target"), [(8000, 16000), (22050, 16000), (44100, 16000), (48000, 16000)]
)
def test_a_sine_stays_a_sine(source: int, target: int) -> None:
    def sine(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)

    result = resample(sine(source), source, target)
    assert result.shape == (target,)
    assert np.abs(result - sine(target))[300:-300].max() < 2e-4


def test_what_the_new_rate_cannot_carry_is_gone() -> None:
    tone = np.sin(2 * np.pi * 9000 * np.arange(48000) / 48000).astype(np.float32)
    assert np.abs(resample(tone, 48000, 16000))[300:-300].max() < 2e-4
