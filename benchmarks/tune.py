"""What tuning gives on the public models: accuracy before and after, on the same samples, and its CPU seconds.

Needs the third-party models and data beside the project, and TensorFlow.
``python benchmarks/tune.py [--json] [--weights int4] [name ...]``; without names all models. ``wave`` is a network on
raw sound (8 kHz digits, five convolutions, channels of unlike size) that is trained here; in int8 it and ``kws_spread``
start from plain min-max.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import quantize as bench
from commands import cpu_seconds, printed

from qedge.frontends import load_model
from qedge.quantize import QuantizeOptions, compare, quantize
from qedge.tune import tuner_of

Array = npt.NDArray[Any]
CLIP = 4000  # half a second
SPREAD = 2.0  # octaves that the channels' scales differ by either way
STARTS = {"kws_spread": "minmax", "wave": "minmax"}
"""Where tuning to int8 starts, where that is not the best of the search."""


def digits() -> tuple[Array, Array, Array]:
    """Return clips (count, CLIP, 1) in [-1, 1], their digits, and which of them test."""
    clips, named, test = [], [], []
    with tarfile.open(bench.SHARED / "data/fsdd/recordings.tar.gz") as archive:
        members = sorted((m for m in archive if m.name.endswith(".wav")), key=lambda m: m.name)
        for member in members:
            digit, _, number = Path(member.name).stem.split("_")
            with wave.open(archive.extractfile(member)) as clip:  # type: ignore[arg-type]
                pcm = np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / 32768
            clips.append(np.pad(pcm[:CLIP], (0, max(CLIP - len(pcm), 0))))
            named.append(int(digit))
            test.append(int(number) < 5)
    return np.stack(clips)[..., None], np.array(named), np.array(test)


def train_waveform(place: Path, epochs: int = 12, seed: int = 0) -> tuple[bench.Samples, bench.Samples]:
    """Train a network on raw sound and save it as ``place``; return 100 samples to calibrate with and the test set."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    layers = tf.keras.layers
    x, y, test = digits()
    given = layers.Input((CLIP, 1))
    h = given
    for channels, kernel, stride in ((16, 32, 4), (24, 8, 4), (32, 8, 4), (48, 4, 2), (64, 4, 2)):
        h = layers.Conv1D(channels, kernel, strides=stride, padding="same", use_bias=False)(h)
        h = layers.ReLU()(layers.BatchNormalization()(h))
    h = layers.Dropout(0.2)(layers.GlobalAveragePooling1D()(h))
    model = tf.keras.Model(given, layers.Dense(10, activation="softmax")(h))
    train, rng = np.flatnonzero(~test), np.random.default_rng(seed)
    steps = len(train) // 64
    rate = tf.keras.optimizers.schedules.CosineDecay(3e-3, epochs * steps)
    model.compile(tf.keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")

    def batches() -> Any:
        while True:
            order = rng.permutation(train)
            for first in range(0, steps * 64, 64):
                chosen = order[first : first + 64]
                moved = [np.roll(x[i], rng.integers(-200, 200), 0) * rng.uniform(0.4, 1.6) for i in chosen]
                yield np.stack(moved).astype(np.float32), y[chosen]

    model.fit(batches(), steps_per_epoch=steps, epochs=epochs, verbose=0)
    _spread(model, rng)
    model.save(place)
    some = rng.permutation(train)[:100]
    return bench.Samples(x[some]), bench.Samples(x[test], y[test])


def _spread(model: Any, rng: np.random.Generator) -> None:
    """Scale the channels between layers apart, as training without normalisation does; the model computes the same."""
    import tensorflow as tf

    layers = tf.keras.layers
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    readers = [layer for layer in model.layers if isinstance(layer, (layers.Conv1D, layers.Dense))][1:]
    for norm, reader in zip(norms, readers):
        factor = np.exp2(rng.uniform(-SPREAD, SPREAD, norm.gamma.shape[0])).astype(np.float32)
        gamma, beta, *rest = norm.get_weights()
        norm.set_weights([gamma * factor, beta * factor, *rest])
        kernel, *bias = reader.get_weights()
        reader.set_weights([kernel / (factor[:, None]), *bias])


def measure(name: str, scratch: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return one model's figures before and after tuning."""
    if name == "wave":
        calibration, test = train_waveform(scratch / "wave.keras")
        model = load_model(scratch / "wave.keras", workdir=scratch).data
    else:
        path, read = bench.MODELS[name]
        model = load_model(bench.SHARED / path, workdir=scratch).data
        calibration, test = read()
    method = "auto" if "weights" in options else STARTS.get(name, "auto")
    started = cpu_seconds()
    plain = quantize(model, calibration, QuantizeOptions(method=method, **options))
    searched = cpu_seconds()
    chosen = QuantizeOptions(method=method, tune="on", **options)
    tuned = quantize(model, calibration, chosen, refiner=tuner_of(chosen))
    seconds = cpu_seconds() - searched
    before, after = (compare(model, found.data, test) for found in (plain, tuned))
    said = [f.message for f in tuned.findings if f.rule in ("tuned", "not-tuned")]
    return {
        "model": name,
        "samples": len(test),
        "start": plain.method,
        "method": tuned.method,
        "float": before.float_metric,
        "before": before.quantized_metric,
        "after": after.quantized_metric,
        "agreement_before": before.agreement,
        "agreement_after": after.agreement,
        "sqnr_before": round(before.sqnr_db, 2),
        "sqnr_after": round(after.sqnr_db, 2),
        "bytes": len(tuned.data),
        "search_cpu_s": round(searched - started, 1),
        "tuned_cpu_s": round(seconds, 1),
        "said": "; ".join(said),
    }


def main() -> None:
    """Print one row a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--weights", default="int8", choices=("int8", "int4"))
    given = parser.parse_args()
    if not bench.SHARED.is_dir() or not (bench.SHARED / "models").is_dir():
        print("skipped: the third-party models and data are not beside the project")
        return
    options: dict[str, Any] = {} if given.weights == "int8" else {"weights": given.weights}
    names: list[str] = given.names or ["wave", *bench.MODELS]
    with tempfile.TemporaryDirectory() as scratch:
        printed((measure(name, Path(scratch), options) for name in names), as_json=given.json)


if __name__ == "__main__":
    main()
