"""Spoken digits from raw sound: a network trained here, then built with no option, beside its float model.

Convolutions over 8 kHz samples: the input has far more than 256 levels, so 8 bits of it alone cost accuracy. Trains a
small network on the recordings that lie beside the project (some minutes, TensorFlow), once, into ``--work``; then
builds it for the Raspberry Pi, or ``--target``, and prints accuracy of both models on recordings that neither has seen,
the method that was chosen, and the bytes beside those of plain int8. ``python benchmarks/waveform.py [--json]``.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
SAMPLES = 8000
TEST_TAKES = 10  # of each speaker's recordings of a digit; the others train
CALIBRATION = 200


def recordings() -> Path | None:
    """Return the archive of the recordings, or None where it is not there."""
    folders = (p / "shared/data/fsdd/recordings.tar.gz" for p in Path(__file__).resolve().parents)
    return next((p for p in folders if p.is_file()), None)


def read(archive: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sounds (N, SAMPLES, 1) float32 in -1..1, their digits, and which take each one is."""
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name)
            file = (
                tar.extractfile(member) if name.suffix == ".wav" and not name.name.startswith(".") else None
            )
            if file is None:
                continue
            with wave.open(io.BytesIO(file.read())) as sound:
                pcm = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")[:SAMPLES]
            found[name.stem] = np.pad(pcm, (0, SAMPLES - len(pcm))).astype(np.float32) / 32768
    names = sorted(found)
    digits, takes = (np.array([int(name.split("_")[k]) for name in names]) for k in (0, 2))
    return np.stack([found[name] for name in names])[..., None], digits, takes


def train(x: np.ndarray, y: np.ndarray, path: Path) -> None:
    """Train and save the network: Conv1D layers on raw samples."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    inputs = t = layers.Input((SAMPLES, 1))
    for channels, taps, stride in ((16, 32, 8), (32, 8, 4), (48, 5, 2), (64, 5, 2), (64, 3, 2)):
        t = layers.Conv1D(channels, taps, strides=stride, padding="same", use_bias=False)(t)
        t = layers.ReLU()(layers.BatchNormalization()(t))
    t = layers.Dropout(0.3)(layers.GlobalAveragePooling1D()(t))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(t))
    epochs, batch = 28, 32
    steps = epochs * len(x) // batch
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
        "sparse_categorical_crossentropy",
    )
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        shift, gain = rng.integers(0, 1600), rng.uniform(0.5, 2.0, size=(len(x), 1, 1)).astype(np.float32)
        model.fit(np.roll(x, shift, axis=1) * gain, y, batch_size=batch, verbose=0)
    model.save(path)


def build(work: Path, target: str, *options: str) -> dict[str, Any]:
    """Build the network and return the report."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable,
            "-m",
            "qedge",
            "build",
            work / "waveform.keras",
            "--target",
            target,
            "--json",
        ]
        command += [
            "--data",
            work / "calibration.npz",
            "--eval-data",
            work / "test.npz",
            "--out",
            out,
            *options,
        ]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, cwd=PROJECT
        )
        if done.returncode:
            sys.exit(f"exit {done.returncode}: {done.stderr[-1000:]}")
        report: dict[str, Any] = json.loads(done.stdout)
        bundle = Path(report["targets"][target]["bundle"])
        return report | {"bytes": (bundle / "model.tflite").stat().st_size}


def plain(work: Path) -> dict[str, Any]:
    """Return the row of int8 alone: min-max, no layer in 16 bits."""
    from qedge.datasets import InputInfo, open_dataset
    from qedge.frontends import load_model
    from qedge.quantize import QuantizeOptions, compare, quantize

    with tempfile.TemporaryDirectory() as scratch:
        model = load_model(work / "waveform.keras", workdir=Path(scratch)).data
    inputs = [InputInfo("x", (1, SAMPLES, 1), "float32")]
    calibration, test = (open_dataset(work / f"{name}.npz", inputs) for name in ("calibration", "test"))
    data = quantize(model, calibration, QuantizeOptions("minmax")).data
    found = compare(model, data, test)
    return {
        "build": "int8 alone",
        "method": "minmax",
        "samples": found.samples,
        "float": found.float_metric,
        "int8": found.quantized_metric,
        "sqnr_db": round(found.sqnr_db, 2),
        "bytes": len(data),
        "warnings": [],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "qedge-waveform")
    parser.add_argument("--target", default="rpi")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    archive = recordings()
    if archive is None:
        print("the recordings lie beside the project, and are not there: nothing to do")
        return
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "waveform.keras").exists():
        x, y, takes = read(archive)
        seen = takes >= TEST_TAKES
        some = np.random.default_rng(0).permutation(np.flatnonzero(seen))[:CALIBRATION]
        np.savez(work / "calibration.npz", x=x[some], y=y[some])
        np.savez(work / "test.npz", x=x[~seen], y=y[~seen])
        train(x[seen], y[seen], work / "waveform.keras")
    report = build(work, arguments.target)
    output = report["outputs"][0]
    rows = [
        {
            "build": "no option",
            "method": report["quantization"]["method"],
            "samples": output["samples"],
            "float": output["float_metric"],
            "int8": output["quantized_metric"],
            "sqnr_db": output["sqnr_db"],
            "bytes": report["bytes"],
            "warnings": [f["rule"] for f in report["findings"] if f["severity"] == "warning"],
        },
        plain(work),
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(
            f"{row['build']:20} float {row['float']:.1%}  built {row['int8']:.1%}  {row['sqnr_db']:.1f} dB"
            f"  {row['bytes']} bytes  {row['method']}  {', '.join(row['warnings'])}"
        )


if __name__ == "__main__":
    main()
