"""What the linter says about good and about deliberately broken sets, for every model with data beside us.

``python benchmarks/linter.py [--json]``. A row is one set; ``expected`` is the rule that must be named, or
``none`` for a good set. The exit status is 1 when a row differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qedge.datasets import Dataset, InputInfo, lint, open_dataset
from qedge.frontends import load_model
from qedge.graph import Graph
from qedge.processing.image import ImagePreprocess

SHARED = next(
    (p / "shared" for p in Path(__file__).resolve().parents if (p / "shared/models").is_dir()), Path()
)


@dataclass
class Model:
    """A float model and a folder for the sets that are made for it."""

    name: str
    data: bytes
    folder: Path

    @property
    def inputs(self) -> list[InputInfo]:
        graph = Graph.from_bytes(self.data)
        tensors = [(n, graph.tensors[t]) for n, t in zip(graph.input_names, graph.inputs)]
        return [InputInfo(n, t.shape, t.dtype) for n, t in tensors]

    def arrays(self, x: np.ndarray, y: Any = None) -> Dataset:
        """Save samples and open them as a user's would be."""
        path = self.folder / f"{self.name}{len(list(self.folder.iterdir()))}.npz"
        np.savez(path, x=x, **({} if y is None else {"y": y}))
        return open_dataset(path, self.inputs)


Case = tuple[str, str, Dataset]  # what the set is, the rule that must be named, the set


def image_cases(
    model: Model, images: Path, levels: tuple[float, float], knows_colors: bool = True
) -> Iterator[Case]:
    shape = model.inputs[0].shape
    good = ImagePreprocess.for_input(shape, range=levels)
    swapped = ImagePreprocess.for_input(shape, range=levels, color="bgr")
    wrong = ImagePreprocess.for_input(shape, range=(0.0, 1.0) if levels[1] == 255 else (0.0, 255.0))

    def opened(
        preprocess: ImagePreprocess, limit: int | None, seed: int = 0, where: Path = images
    ) -> Dataset:
        return open_dataset(where, model.inputs, preprocess, limit=limit, seed=seed)

    def stacked(preprocess: ImagePreprocess, limit: int) -> np.ndarray:
        data = opened(preprocess, limit)
        return np.concatenate([data[i][0] for i in range(len(data))])

    for limit in (20, 50, 100, 200):
        for seed in range(3):
            yield f"good, {limit}, seed {seed}", "none", opened(good, limit, seed)
    for kind in sorted(p for p in images.iterdir() if p.is_dir()):
        yield f"good, flat, {kind.name} only", "none", opened(good, None, where=kind)
    yield "good, no labels", "none", model.arrays(stacked(good, 100))
    for limit in (30, 50, 100, 200) if knows_colors else ():
        yield f"red and blue swapped, {limit}", "channel-order", opened(swapped, limit)
    if knows_colors:
        yield "swapped, no labels", "channel-order", model.arrays(stacked(swapped, 100))
    for limit in (12, 200):
        yield f"another normalisation, {limit}", "normalization", opened(wrong, limit)
    yield "three samples", "few-samples", opened(good, 3)
    yield "one class", "one-class", opened(good, 200).subset(np.arange(20))
    yield "all duplicates", "duplicate-samples", opened(good, 200).subset([5] * 50)
    x = stacked(good, 60)
    yield "planes reshaped", "planar-layout", model.arrays(x.transpose(0, 3, 1, 2).reshape(x.shape))


def array_cases(model: Model, x: np.ndarray, y: Any = None) -> Iterator[Case]:
    for count in (20, 50, 100, 1000):
        yield f"good, first {count}", "none", model.arrays(x[:count])
    if y is not None:
        yield "good, with labels", "none", model.arrays(x, y)
    yield "three samples", "few-samples", model.arrays(x[:3])
    yield "all duplicates", "duplicate-samples", model.arrays(x[[7] * 40])
    far = x[:50].copy()
    far[20] *= 20
    yield "one far outside", "uncovered-range", model.arrays(far)
    empty = x[:50].copy()
    half = len(empty[::2])
    empty[::2] = np.arange(half).reshape(-1, *[1] * (x.ndim - 1)) / half
    yield "half of it constant", "constant-input", model.arrays(empty)


def cases(folder: Path) -> Iterator[tuple[Model, Case]]:
    data = SHARED / "data"

    def load(name: str, path: str) -> Model:
        return Model(name, load_model(SHARED / "models" / path, workdir=folder).data, folder)

    cifar = data / "cifar10" / "calibration"
    ic = load("ic01", "mlperf_tiny/ic01_resnet8_float.tflite")
    yield from ((ic, c) for c in image_cases(ic, cifar, (0.0, 255.0)))
    vww = load("vww01", "mlperf_tiny/vww01_mobilenet_float.tflite")
    # Nobody is in these images, and the person detector says so whatever their colours are.
    yield from ((vww, c) for c in image_cases(vww, cifar, (0.0, 1.0), knows_colors=False))
    kws = load("kws", "hard/kws_spread_float.tflite")
    with np.load(data / "kws01" / "kws01_1000.npz") as file:
        x = (file["x_int8"].astype(np.float32) - 83) * np.float32(0.5847029)
        yield from ((kws, c) for c in array_cases(kws, x, file["y"]))
        yield kws, ("int8 values", "quantized-values", kws.arrays(file["x_int8"][:100]))
    with np.load(data / "fsdd" / "fsdd_logmel_eval.npz") as file:
        for name in ("gru", "kwt", "mbv2", "mbv3"):
            model = load(f"fs_{name}", f"hard/fs_{name}_float.tflite")
            yield from ((model, c) for c in array_cases(model, file["x_test"], file["y_test"]))
    ad = load("ad01", "mlperf_tiny/ad01_float.tflite")
    spectra = np.fromfile(data / "ad01" / "normal_id_01_00000000_hist_librosa.bin", np.float32)
    yield from ((ad, c) for c in array_cases(ad, spectra[: spectra.size // 640 * 640].reshape(-1, 640)))


def run(model: Model, case: Case) -> dict[str, Any]:
    title, expected, data = case
    start = time.perf_counter()
    findings = lint(data, model.inputs, float_model=model.data)
    seconds = time.perf_counter() - start
    rules = sorted({f.rule for f in findings if f.severity != "info"})
    return {
        "model": model.name,
        "set": title,
        "samples": len(data),
        "expected": expected,
        "found": rules,
        "good": rules == ([] if expected == "none" else [expected]),
        "seconds": round(seconds, 2),
        "messages": [f.message for f in findings],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = [run(model, case) for model, case in cases(Path(folder))]
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            mark = "ok  " if row["good"] else "FAIL"
            found = ", ".join(row["found"]) or "none"
            print(
                f"{mark} {row['model']:8} {row['set']:28} {row['samples']:5} {row['seconds']:5.2f} s"
                f"  expected {row['expected']:18} found {found}"
            )
        print(f"{sum(r['good'] for r in rows)} of {len(rows)} as expected")
    return 0 if all(r["good"] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
