"""Arrays in any units to every pre-processing: the right answer or a refusal, and never another picture or sound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qedge.errors import DataError
from qedge.processing.audio import AudioPreprocess
from qedge.processing.image import ImagePreprocess
from qedge.processing.spec import Preprocess

IMAGENET = {"range": (0.0, 1.0), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
IMAGES: dict[str, dict[str, Any]] = {
    "levels": {},
    "0 to 1": {"range": (0.0, 1.0)},
    "-1 to 1": {"range": (-1.0, 1.0)},
    "standardised": IMAGENET,
    "caffe": {"color": "bgr", "mean": (103.939, 116.779, 123.68)},
    "centred": {"mean": (127.5,), "std": (127.5,)},
    "cropped": {"fit": "crop", "crop_fraction": 0.75},
}
PICTURE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
STANDARD = (PICTURE / 255 - np.array(IMAGENET["mean"])) / np.array(IMAGENET["std"])
FORMS: dict[str, Any] = {
    "uint8": PICTURE,
    "float32 levels": PICTURE.astype(np.float32),
    "float64 levels": PICTURE.astype(np.float64),
    "float16 levels": PICTURE.astype(np.float16),
    "int64 levels": PICTURE.astype(np.int64),
    "float32 in -1..1": (PICTURE / 127.5 - 1).astype(np.float32),
    "float32 in 0..1": (PICTURE / 255).astype(np.float32),
    "float16 in 0..1": (PICTURE / 255).astype(np.float16),
    "standardised": STANDARD.astype(np.float32),
    "standardised float64": STANDARD,
    "uint16": PICTURE.astype(np.uint16) * 257,
    "int16": PICTURE.astype(np.int16) * 128,
    "int8": (PICTURE.astype(np.int16) - 128).astype(np.int8),
    "12 bit": PICTURE.astype(np.uint16) * 16,
    "bool": PICTURE > 127,
}
SAME = ("uint8", "float32 levels", "float64 levels", "float16 levels")


def answer(preprocess: Preprocess, sample: Any) -> tuple[Any, str | None]:
    """Return what the model gets, or None and the hint of the refusal."""
    try:
        return preprocess.apply(sample), None
    except DataError as refused:
        return None, refused.hint


@pytest.mark.parametrize("stated", IMAGES)
@pytest.mark.parametrize("form", FORMS)
def test_an_image_in_any_units_is_right_or_refused(form: str, stated: str) -> None:
    preprocess = ImagePreprocess(8, 8, **IMAGES[stated])
    right = preprocess.apply(PICTURE)
    found, hint = answer(preprocess, FORMS[form])
    if found is None:
        assert hint
        assert form not in SAME, f"{form} is what an image is"
        with pytest.raises(DataError):
            preprocess.encode(FORMS[form], 0.01, 0, "int8")
        return
    one = (preprocess.apply(np.full((8, 8, 3), level, np.uint8)) for level in (199, 200))
    level = float(np.abs(np.subtract(*one)).max())
    rounded = 1.6 if stated == "cropped" else 0.01  # resizing rounds levels that are whole numbers
    assert np.abs(found - right).max() <= rounded * level, f"{form} was taken for another picture"
    codes = [preprocess.encode(sample, 2 * level, 0, "int8").astype(int) for sample in (FORMS[form], PICTURE)]
    assert np.abs(np.subtract(*codes)).max() <= (1 if stated == "cropped" else 0)


RATE = 8000
TONE = 0.4 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
CLIP = np.round(TONE * 32768).astype(np.int16)
SOUNDS: dict[str, Any] = {
    "int16": CLIP,
    "float32 in -1..1": (CLIP / 32768).astype(np.float32),
    "float64 in -1..1": CLIP / 32768,
    "float32 in int16's units": CLIP.astype(np.float32),
    "float32 in percent": (100 * TONE).astype(np.float32),
    "int32 full scale": CLIP.astype(np.int32) * 65536,
    "int32 in int16's units": CLIP.astype(np.int32),
    "uint8": (TONE * 127 + 128).astype(np.uint8),
    "int8": (TONE * 127).astype(np.int8),
    "uint16": (CLIP.astype(np.int32) + 32768).astype(np.uint16),
    "bool": TONE > 0,
}


FRAMES = {"window": 256, "hop": 128, "n_fft": 256, "mels": 20, "fmin": 60.0, "fmax": 3500.0}


@pytest.mark.parametrize("features", ["waveform", "mfcc", "log_mel", "log_mel_int"])
@pytest.mark.parametrize("form", SOUNDS)
def test_sound_in_any_units_is_right_or_refused(form: str, features: str) -> None:
    fields = {} if features == "waveform" else FRAMES | ({"coefficients": 10} if features == "mfcc" else {})
    preprocess = AudioPreprocess(sample_rate=RATE, samples=RATE, features=features, **fields)
    right = preprocess.apply(CLIP)
    found, hint = answer(preprocess, SOUNDS[form])
    if found is None:
        assert hint
        assert form not in ("int16", "float32 in -1..1", "float64 in -1..1")
        return
    spread = float(np.abs(right).max())
    assert np.abs(found - right).max() <= 0.02 * spread, f"{form} was taken for another sound"
