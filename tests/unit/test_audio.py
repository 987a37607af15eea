"""Features against TensorFlow and exact arithmetic; clips, streams and their JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qedge.errors import DataError, UsageError
from qedge.processing.audio import AudioPreprocess
from qedge.processing.log_mel_int import LogMelInt
from qedge.processing.spec import preprocess_from_json
from qedge.processing.wav import write_wav

GOOD: dict[str, Any] = {"features": "log_mel_int", "mels": 32, "fmin": 60.0, "mean": 10.0, "std": 5.0}
INTEGER = AudioPreprocess(**GOOD)


def speech_like(samples: int = 16_000, level: float = 0.3) -> np.ndarray:
    """Return float32 harmonics that glide, and noise."""
    rng = np.random.default_rng(3)
    time = np.arange(samples) / 16_000
    pitch = 2 * np.pi * (120 * time + 30 * time**2)
    voice = sum(np.sin(k * pitch) / k for k in range(1, 20))
    return ((voice * np.sin(np.pi * time) + rng.normal(0, 0.05, samples)) * level / 3).astype(np.float32)


_TF = {"window": 480, "hop": 320, "n_fft": 512, "fmin": 20.0, "fmax": 4000.0}
_LIBROSA = {
    "window": 480,
    "hop": 320,
    "n_fft": 512,
    "fmin": 20.0,
    "fmax": 8000.0,
    "log": "db",
    "log_offset": 1e-10,
}
FLOAT_CASES: dict[str, dict[str, Any]] = {
    "tensorflow log-mel": {**_TF, "features": "log_mel"},
    "tensorflow log-mel of magnitudes": {**_TF, "features": "log_mel", "power": 1},
    "tensorflow mfcc": {**_TF, "features": "mfcc", "coefficients": 13, "dct": "htk"},
    "librosa log-mel slaney": {
        **_LIBROSA,
        "features": "log_mel",
        "center": True,
        "mels": 40,
        "mel_scale": "slaney",
        "mel_norm": "slaney",
    },
    "librosa log-mel, peaks of 1": {
        **_LIBROSA,
        "features": "log_mel",
        "center": True,
        "mels": 40,
        "mel_scale": "slaney",
    },
    "librosa mfcc": {
        **_LIBROSA,
        "features": "mfcc",
        "center": True,
        "mels": 32,
        "coefficients": 13,
        "mel_scale": "slaney",
        "mel_norm": "slaney",
    },
}


@pytest.mark.parametrize("name", FLOAT_CASES)
def test_float_features_equal_a_trusted_implementation(name: str) -> None:
    """The vectors are those of ``tests/golden/make_audio_features.py``, every twelfth frame."""
    vectors = json.loads((Path(__file__).parents[1] / "golden" / "audio_features.json").read_text())
    features = AudioPreprocess(**FLOAT_CASES[name], channel_axis=False).apply(speech_like())[0]
    np.testing.assert_allclose(features[0:49:12], vectors[name]["rows"], atol=1e-4)


def exact_octaves(front_end: LogMelInt, pcm: np.ndarray) -> np.ndarray:
    """Return what the integer front end approximates, in float64."""
    views = np.lib.stride_tricks.sliding_window_view(pcm.astype(np.float64), front_end.window)[
        :: front_end.hop
    ]
    hann = 32768 * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(front_end.window) / front_end.window))
    bins = np.fft.rfft(views * hann, front_end.n_fft) / front_end.n_fft
    bins = bins[:, front_end.first_bin : front_end.first_bin + front_end.bin_filter.size]
    energy = np.zeros((views.shape[0], front_end.mels + 2))
    for i, (filter_above, weight) in enumerate(zip(front_end.bin_filter, front_end.bin_weight)):
        energy[:, filter_above + 1] += np.abs(bins[:, i]) ** 2 * weight / 4096
        energy[:, filter_above] += np.abs(bins[:, i]) ** 2 * (4096 - weight) / 4096
    return np.log2(energy[:, 1:-1] + 2.0**front_end.floor_bits) - front_end.floor_bits


@pytest.mark.parametrize("level", [0.0001, 0.003, 0.1, 0.9])
@pytest.mark.parametrize(("window", "n_fft"), [(512, 512), (480, 512), (256, 256), (1024, 1024)])
def test_integer_features_are_close_to_exact_ones(level: float, window: int, n_fft: int) -> None:
    front_end = LogMelInt(
        sample_rate=16000, window=window, hop=320, n_fft=n_fft, mels=20, fmin=60, fmax=7600, floor_bits=24
    )
    pcm = np.rint(speech_like(level=1.0) * level * 32767 / np.abs(speech_like(level=1.0)).max()).astype(
        np.int16
    )
    error = front_end.frames(pcm) / 256 - exact_octaves(front_end, pcm)
    assert np.abs(error).max() < 0.02


def test_integer_features_follow_the_htk_filters_of_the_float_kind() -> None:
    """Both kinds draw the same triangles: log2 of the float energies, up to the scale."""
    signal = np.rint(speech_like() * 32767) / 32768
    floats = AudioPreprocess(log="log2", log_offset=2.0**24 * 2.0**-48, mels=32, fmin=60.0)
    integers = AudioPreprocess(features="log_mel_int", mels=32, fmin=60.0)
    # Float bins are X / 2**15 of the samples, integer ones X * 2**15 / 512: a factor of 2**21 in X.
    expected = floats.apply(signal.astype(np.float32)) + 42 - 24
    floor = np.log2(1 + 2.0**18)
    loud = expected > floor
    assert np.abs(integers.apply(signal.astype(np.float32)) - expected)[loud].max() < 0.03


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 30.0, 3000.0, 1e6]))
@settings(max_examples=25, deadline=None)
def test_no_input_leaves_the_range(seed: int, level: float) -> None:
    noise = np.random.default_rng(seed).normal(0, level, 2048)
    pcm = np.clip(np.rint(noise), -32768, 32767).astype(np.int16)
    front_end = INTEGER.integer_front_end
    features = front_end.frames(pcm)
    assert features.min() >= 0
    assert np.abs(features / 256 - exact_octaves(front_end, pcm)).max() < 0.5


def test_extreme_squares_and_steps_do_not_overflow() -> None:
    for period in (2, 3, 8, 17, 100, 512, 4096):
        pcm = np.where(np.arange(4096) // period % 2 == 0, 32767, -32768).astype(np.int16)
        loud = exact_octaves(INTEGER.integer_front_end, pcm)
        error = np.abs(INTEGER.integer_front_end.frames(pcm) / 256 - loud)
        # Far from a full-scale line the twiddles' 16 bits leave a floor some 80 dB under it.
        assert error[loud > 12].max(initial=0.0) < 0.1


def test_digital_silence_is_zero() -> None:
    assert not INTEGER.integer_front_end.frames(np.zeros(16_000, np.int16)).any()


def test_shapes() -> None:
    assert INTEGER.shape == INTEGER.apply(np.zeros(16_000, np.int16)).shape == (1, 49, 32, 1)
    mfcc = AudioPreprocess(features="mfcc", channel_axis=False)
    assert mfcc.shape == mfcc.apply(np.zeros(10, np.int16)).shape == (1, 49, 10)
    raw = AudioPreprocess(features="waveform", samples=100, channel_axis=False)
    np.testing.assert_array_equal(
        raw.apply(np.full(100, 16384, np.int16)), np.full((1, 100), 0.5, np.float32)
    )
    assert AudioPreprocess(center=True).shape == AudioPreprocess(center=True).apply(np.zeros(1)).shape


def test_path_int16_and_float_give_the_same_bytes(tmp_path: Path) -> None:
    pcm = np.rint(speech_like() * 32767).astype(np.int16)
    write_wav(tmp_path / "a.wav", pcm, 16_000)
    expected = INTEGER.apply(pcm)
    assert INTEGER.apply(tmp_path / "a.wav").tobytes() == expected.tobytes()
    assert INTEGER.apply(str(tmp_path / "a.wav")).tobytes() == expected.tobytes()
    assert INTEGER.apply(pcm.astype(np.float64) / 32768).tobytes() == expected.tobytes()
    assert INTEGER.apply(np.stack([pcm, pcm], axis=1)).tobytes() == expected.tobytes()


@pytest.mark.parametrize(("fit", "start"), [("start", 0), ("center", 2000), ("loudest", 3500)])
def test_where_a_long_clip_is_cut(fit: str, start: int) -> None:
    sound = np.zeros(5000, np.float32)
    sound[3600:4400] = 0.5
    sound[3499] = 0.01
    cut = AudioPreprocess(features="waveform", samples=1000, fit=fit, channel_axis=False)
    result = cut.apply(sound)[0]
    np.testing.assert_array_equal(
        result if fit != "loudest" else result[result > 0.4],
        {"loudest": sound[3600:4400]}.get(fit, sound[start : start + 1000]),
    )


@pytest.mark.parametrize("preprocess", [INTEGER, AudioPreprocess(features="mfcc", mean=1.0, std=2.0)])
def test_a_stream_in_odd_pieces_equals_the_clip(preprocess: AudioPreprocess) -> None:
    pcm = np.rint(speech_like(20_000) * 32767).astype(np.int16)
    stream, position, pieces = preprocess.stream(), 0, np.random.default_rng(0)
    while position < pcm.size:
        step = int(pieces.integers(1, 700))
        stream.push(pcm[position : position + step])
        position += step
    whole = preprocess.frame_features(pcm)
    assert stream.frames_seen == len(whole)
    np.testing.assert_array_equal(stream.window.reshape(preprocess.frames, -1), whole[-preprocess.frames :])


@pytest.mark.parametrize("preprocess", [INTEGER, AudioPreprocess(mels=2, mean=(1.0, 2.0), std=(1.0, 0.5))])
def test_json_round_trip(preprocess: AudioPreprocess) -> None:
    assert preprocess_from_json(preprocess.to_json()) == preprocess


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("features", "mel"),
        ("sample_rate", 0),
        ("samples", 100),
        ("samples", 1.5),
        ("fit", "end"),
        ("window", 600),
        ("hop", 0),
        ("n_fft", 500),
        ("center", 1),
        ("center", True),
        ("mels", 0),
        ("fmin", 5000.0),
        ("fmax", 9000.0),
        ("mel_scale", "bark"),
        ("mel_norm", None),
        ("power", 3),
        ("log", "e"),
        ("log_offset", -1.0),
        ("dct", "fast"),
        ("floor_bits", 60),
        ("mean", (1.0, 2.0)),
        ("std", 0.0),
        ("channel_axis", "yes"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^({field}|features|window): "):
        AudioPreprocess(**{**GOOD, field: value})


@pytest.mark.parametrize(
    "sample",
    [np.zeros(10, np.uint8), np.zeros((2, 2, 2), np.int16), np.array([np.nan]), "no_such_file.wav"],
    ids=["uint8", "rank 3", "nan", "missing"],
)
def test_what_is_no_sound_is_refused(sample: Any) -> None:
    with pytest.raises(DataError):
        INTEGER.apply(sample)


def test_no_stream_of_centred_frames() -> None:
    with pytest.raises(UsageError, match="center"):
        AudioPreprocess(center=True).stream()


@pytest.mark.parametrize("spec", [INTEGER, AudioPreprocess(samples=16_000)])
@pytest.mark.parametrize(
    ("sound", "hint"),
    [
        (np.full(16_000, 900.0, np.float32), "int16"),
        (np.full(16_000, 1 << 20, np.int32), "31"),
        (np.full(16_000, 128, np.uint8), "128"),
        (np.zeros(16_000, np.int8), r"model\.run"),
    ],
)
def test_sound_in_other_units_is_refused_with_what_to_do(spec, sound, hint) -> None:
    with pytest.raises(DataError) as caught:
        spec.apply(sound)
    assert re.search(hint, str(caught.value.hint))
