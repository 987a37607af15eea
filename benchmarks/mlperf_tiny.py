"""Build the five MLPerf Tiny float models for all three targets, verify every bundle, evaluate ResNet-8.

Needs the third-party models and data beside the project. ``python benchmarks/mlperf_tiny.py [--json] [name ...]``
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from commands import printed, qedge
from PIL import Image

PROJECT = Path(__file__).resolve().parent.parent
SHARED = next((p for p in (PROJECT.parent / "shared", PROJECT.parent.parent / "shared") if p.is_dir()), None)
TARGETS = ("rpi", "coral", "mcu")
MODELS = {
    "ad": "ad01.h5",
    "ic": "ic01_resnet8.h5",
    "kws": "kws01_dscnn_saved_model",
    "vww": "vww01_mobilenet.h5",
    "sww": "sww01.h5",
}


def calibration(name: str, shared: Path, scratch: Path) -> list[object]:
    """Return the ``--data`` and pre-processing flags of one model."""
    data = shared / "data"
    if name == "ic":
        return ["--data", data / "cifar10" / "calibration"]
    path = scratch / f"{name}.npz"
    if name == "kws":
        with np.load(data / "kws01" / "kws01_1000.npz") as z:
            x = (z["x_int8"].astype(np.float32) - 83) * np.float32(0.5847029)
            np.savez(path, x=x[:100], y=z["y"][:100])
    elif name == "sww":
        with np.load(data / "sww01" / "calibration_samples.npz") as z:
            np.savez(path, x=z["specs"].astype(np.float32), y=z["labels"].astype(np.int64))
    elif name == "ad":
        frames = np.fromfile(data / "ad01" / "normal_id_01_00000000_hist_librosa.bin", "<f4").reshape(-1, 128)
        np.savez(path, x=np.stack([frames[i : i + 5].reshape(-1) for i in range(len(frames) - 4)]))
    else:
        names = ("bird.bmp", "cat.bmp", "face.jpg", "grace_hopper.bmp", "parrot.jpg")
        files = [data / "images" / f for f in names]
        files += sorted((data / "cifar10" / "calibration").glob("*/000[0-5].jpg"))
        pixels = [np.asarray(Image.open(f).convert("RGB").resize((96, 96)), np.float32) / 255 for f in files]
        np.savez(path, x=np.stack(pixels))
    return ["--data", path]


def measure(name: str, shared: Path, scratch: Path) -> dict[str, Any]:
    """Return the figures of one model: built, verified on three targets."""
    started = time.monotonic()
    model = shared / "models" / "mlperf_tiny" / MODELS[name]
    flags = [f for t in TARGETS for f in ("-t", t)]
    built = qedge("build", model, *calibration(name, shared, scratch), *flags, "-o", scratch, "--name", name)
    row: dict[str, Any] = {
        "model": name,
        "float_bytes": built["float"]["bytes"],
        "int8_bytes": built["int8"]["bytes"],
        "method": built["quantization"]["method"],
        "sqnr_db": built["quantization"]["sqnr_db"],
    }
    for target in TARGETS:
        found = qedge("verify", built["targets"][target]["bundle"])
        row[f"{target}_passed"] = found["passed"]
        row[f"{target}_bit_exact"] = found["bit_exact"]
        if target == "mcu":
            row["oracle"] = found["oracle"]
            row["instructions"] = found["instructions"]
    if name == "ic":
        test = shared / "data" / "cifar10" / "test"
        found = qedge("evaluate", built["targets"]["rpi"]["bundle"], "--data", test)
        row |= {k: found[k] for k in ("samples", "float", "quantized")}
    row["seconds"] = round(time.monotonic() - started, 1)
    return row


def main() -> None:
    """Print one row a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if SHARED is None:
        print("skipped: the third-party models and data are not beside the project")
        return
    with tempfile.TemporaryDirectory() as scratch:
        printed((measure(name, SHARED, Path(scratch)) for name in options.names), as_json=options.json)


if __name__ == "__main__":
    main()
