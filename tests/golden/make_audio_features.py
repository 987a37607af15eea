"""Rebuild ``audio_features.json``: what TensorFlow and librosa make of one signal.

``pip install librosa tensorflow``, then ``python tests/golden/make_audio_features.py``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from test_audio import FLOAT_CASES, speech_like

SHOWN = slice(0, 49, 12)


def by_tensorflow(case: dict[str, object], signal: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    power, mels = int(case.get("power", 2)), int(case.get("mels", 40))
    sound = tf.constant(signal, tf.float64)
    spectrum = tf.abs(tf.signal.stft(sound, case["window"], case["hop"], case["n_fft"])) ** power
    filters = tf.signal.linear_to_mel_weight_matrix(
        mels, case["n_fft"] // 2 + 1, 16000, case["fmin"], case["fmax"], dtype=tf.float64
    )
    log_mel = tf.math.log(spectrum @ filters + 1e-6)
    if case["features"] == "mfcc":
        log_mel = tf.signal.mfccs_from_log_mel_spectrograms(log_mel)[:, : case["coefficients"]]
    return log_mel.numpy()


def by_librosa(case: dict[str, object], signal: np.ndarray) -> np.ndarray:
    import librosa

    power = librosa.feature.melspectrogram(
        y=signal.astype(np.float64),
        sr=16000,
        n_fft=case["n_fft"],
        win_length=case["window"],
        hop_length=case["hop"],
        n_mels=case["mels"],
        fmin=case["fmin"],
        fmax=case["fmax"],
        htk=case["mel_scale"] == "htk",
        norm=None if case.get("mel_norm", "none") == "none" else "slaney",
        power=case.get("power", 2),
    )
    features = librosa.power_to_db(power, amin=case["log_offset"], top_db=None)
    if case["features"] == "mfcc":
        features = librosa.feature.mfcc(S=features, n_mfcc=case["coefficients"])
    return features.T


def main() -> None:
    """Write the vectors of the library that is installed; keep those of the other."""
    path = Path(__file__).with_name("audio_features.json")
    vectors = json.loads(path.read_text()) if path.exists() else {}
    signal = speech_like()
    for name, case in FLOAT_CASES.items():
        make = by_tensorflow if name.startswith("tensorflow") else by_librosa
        try:
            library = __import__(name.split()[0])
        except ImportError:
            continue
        rows = make(case, signal)[SHOWN]
        vectors[name] = {
            "version": library.__version__,
            "rows": [[round(float(v), 6) for v in row] for row in rows],
        }
    path.write_text(json.dumps(vectors, indent=None, separators=(",", ":")).replace("],[", "],\n[") + "\n")


if __name__ == "__main__":
    main()
