"""What 4-bit weights save on a Cortex-M4: flash, RAM and instructions beside int8, and the accuracy that is left.

Needs the third-party models and data beside the project. ``python benchmarks/int4.py [--json] [--tune] [--share S]
[name ...]``: each model is built with int8 weights and with ``--weights mixed --max-drop 1%``, verified byte for byte
on the emulated core, and measured on samples that calibrate neither. ``--share 0.72`` states ``--flash`` beside it, as
a share of what int8 takes: a search looks until that is met, where mixed weights alone stop at the first that fail.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import quantize as bench
from commands import printed, qedge

BOARD = "nucleo-l4r5zi"
MODELS = {
    "kws": "models/mlperf_tiny/kws01_dscnn_saved_model",
    "ic": "models/mlperf_tiny/ic01_resnet8_float.tflite",
    "vww": "models/mlperf_tiny/vww01_mobilenet_float.tflite",
}
PICTURES = 40
"""Of each class: the budget of 1 % is then 4 answers, which 50 pictures cannot tell."""


def pictures() -> tuple[bench.Samples, bench.Samples]:
    """Return all crops and small pictures at 96 x 96 to calibrate with, and others, without labels."""
    from PIL import Image

    first, second = bench.photos()
    classes = sorted(p for p in (bench.SHARED / "data/cifar10/test").iterdir() if p.is_dir())
    files = [f for folder in classes for f in sorted(folder.glob("*.jpg"))[:PICTURES]]
    x = [np.asarray(Image.open(f).convert("RGB").resize((96, 96)), np.float32) / 255 for f in files]
    return bench.Samples(np.concatenate([first.values, second.values])), bench.Samples(np.stack(x))


READ = {"kws": bench.kws, "ic": bench.cifar, "vww": pictures}


def write(samples: bench.Samples, place: Path) -> Path:
    """Write samples as the commands read them."""
    arrays = {"x": samples.values.astype(np.float32)}
    if samples.labels is not None:
        arrays["y"] = samples.labels
    np.savez(place, **arrays)
    return place


def measure(name: str, scratch: Path, extra: list[str], share: float | None) -> dict[str, Any]:
    """Return one model's figures: int8, then mixed, in a share of int8's flash where one is stated."""
    calibration, test = READ[name]()
    data, held = write(calibration, scratch / f"{name}.npz"), write(test, scratch / f"{name}_test.npz")
    row: dict[str, Any] = {"model": name}
    for kind, flags in (("int8", []), ("mixed", ["--weights", "mixed", "--max-drop", "1%", *extra])):
        out = scratch / kind
        if share is not None and kind == "mixed":
            flags = [*flags, "--flash", str(int(share * row["int8_flash"]))]
        built = qedge(
            "build", bench.SHARED / MODELS[name], "--data", data, "--eval-data", held, "-t", "mcu", "--board", BOARD,
            "--io", "int8", "-o", out, "--name", name, *flags,
        )  # fmt: skip
        proven = qedge("verify", built["targets"]["mcu"]["bundle"])
        row |= {
            f"{kind}_method": built["quantization"]["method"],
            f"{kind}_accuracy": built["int8"]["accuracy"],
            f"{kind}_agreement": built["quantization"]["agreement"],
            f"{kind}_flash": sum(proven["flash_bytes"].values()),
            f"{kind}_ram": proven["ram_bytes"]["arena"],
            f"{kind}_instructions": proven["instructions"],
            f"{kind}_bit_exact": proven["bit_exact"],
        }
    for figure in ("flash", "instructions", "ram"):
        row[f"{figure}_ratio"] = round(row[f"mixed_{figure}"] / row[f"int8_{figure}"], 3)
    return row


def main() -> None:
    """Print one row a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--share", type=float, help="flash that is asked for, as a share of int8's")
    given = parser.parse_args()
    if not (bench.SHARED / "models").is_dir():
        print("skipped: the third-party models and data are not beside the project")
        return
    options = ["--tune"] if given.tune else []
    with tempfile.TemporaryDirectory() as scratch:
        printed(
            (measure(name, Path(scratch), options, given.share) for name in given.names), as_json=given.json
        )


if __name__ == "__main__":
    main()
