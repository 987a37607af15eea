"""What the drift monitor sees and what it costs, on ResNet-8 and CIFAR-10.

    python benchmarks/drift.py [--shared ../shared] [--windows 2000] [--json]

The sketch is of 500 calibration images; windows of 50 at 1 % false alarms, drawn from 2,000 test images that nothing
has seen. "in ten windows" is in how many of ten windows each alarm came. The C monitor runs on an emulated Cortex-M4
over the same samples and must say and count the same; its bytes are what it adds to the linked library.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "targets"), str(ROOT / "tests" / "unit")]

from monitors import CMonitor  # noqa: E402
from PIL import Image, ImageEnhance, ImageFilter  # noqa: E402

from qedge.drift.judge import distance, limits, shares  # noqa: E402
from qedge.drift.sketch import Sketch, make_sketch  # noqa: E402
from qedge.drift.watch import Monitor  # noqa: E402
from qedge.quantmath import quantize  # noqa: E402
from qedge.runtime.litert import open_engine, tensor_specs  # noqa: E402

WINDOW, RATE = 50, 0.01
C_WINDOWS = 2
Picture = Any


def noise(image: Picture) -> Picture:
    rng = np.random.default_rng(int(np.asarray(image).sum()))
    noisy = np.asarray(image, np.float64) + rng.normal(0, 12, (32, 32, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


SHIFTS: dict[str, Callable[[Picture], Picture]] = {
    "none": lambda image: image,
    "brightness 1.3": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "brightness 1.6": lambda image: ImageEnhance.Brightness(image).enhance(1.6),
    "brightness 0.6": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "blur 0.6": lambda image: image.filter(ImageFilter.GaussianBlur(0.6)),
    "blur 1.2": lambda image: image.filter(ImageFilter.GaussianBlur(1.2)),
    "noise 12": noise,
}


class Bench:
    """The model with the images of the two splits."""

    def __init__(self, shared: Path) -> None:
        self.model = (shared / "models/mlperf_tiny/ic01_resnet8_int8.tflite").read_bytes()
        (self.input,), outputs = tensor_specs(self.model)
        self.engine = open_engine(self.model, (self.input,), outputs, threads=1)
        self.data = shared / "data" / "cifar10"

    def images(self, split: str, each: int) -> list[Picture]:
        folders = sorted((self.data / split).iterdir())
        return [Image.open(f).convert("RGB") for d in folders for f in sorted(d.iterdir())[:each]]

    def run(self, images: list[Picture]) -> list[tuple[list[Any], list[Any]]]:
        found = []
        for image in images:
            x = quantize(np.asarray(image, np.float32), self.input.scale or 1, self.input.zero_point or 0)
            found.append(([x[None]], [np.array(a) for a in self.engine.run([x[None]])]))
        return found


def alarms(sketch: Sketch, runs: list[tuple[list[Any], list[Any]]], windows: int) -> tuple[int, int]:
    """Return in how many of ``windows`` windows of random samples each alarm came."""
    bins = np.array([(*sketch.input_bins(i), *sketch.output_bins(o)) for i, o in runs])
    bounds, rng, found = limits(sketch, WINDOW, RATE), np.random.default_rng(1), [0, 0]
    histograms = (*sketch.inputs, *sketch.outputs)
    for _ in range(windows):
        chosen = bins[rng.integers(0, len(bins), WINDOW)]
        over = [
            distance(np.bincount(chosen[:, k], minlength=len(h.counts)).tolist(), shares(h), WINDOW) > limit
            for k, (h, limit) in enumerate(zip(histograms, (*bounds.inputs, *bounds.outputs)))
        ]
        found[0] += any(over[: len(sketch.inputs)])
        found[1] += any(over[len(sketch.inputs) :])
    return found[0], found[1]


def c_monitor(bench: Bench, sketch: Sketch, runs: list[list[tuple[list[Any], list[Any]]]]) -> dict[str, Any]:
    """Return bytes, instructions and what differs between C and Python over the samples of all shifts."""
    with tempfile.TemporaryDirectory() as folder:
        c = CMonitor(bench.model, sketch, WINDOW, Path(folder), count=True)
    c.begin(2)
    python = Monitor(sketch, window=WINDOW, false_alarms=RATE)
    bins = sum(len(h.counts) for h in (*sketch.inputs, *sketch.outputs))
    different = samples = 0
    verdicts = []
    for shifted in runs:
        for inputs, outputs in shifted[: C_WINDOWS * WINDOW]:
            wanted = python.add(inputs, outputs)
            found = c.add(inputs, outputs)
            expected = None if wanted is None else wanted.inputs_changed + 2 * wanted.predictions_changed
            held = [n for row in (*python._now.inputs, *python._now.outputs) for n in row]
            different += found != expected or c.counts(bins) != held
            samples += 1
            if found is not None:
                verdicts.append(found)
    return {
        "code_bytes": c.code_bytes,
        "table_bytes": c.table_bytes,
        "instructions_before": c.instructions[0],
        "instructions_after": c.instructions[1],
        "samples": samples,
        "different": different,
        "verdicts": verdicts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not (arguments.shared / "data" / "cifar10").is_dir():
        print(f"drift: skipped: no CIFAR-10 in {arguments.shared}")
        return
    bench = Bench(arguments.shared)
    sketch = make_sketch(*zip(*bench.run(bench.images("calibration", 50))), classes=True)
    assert sketch is not None
    test = bench.images("test", 200)
    np.random.default_rng(0).shuffle(test)
    runs = {name: bench.run([shift(image) for image in test]) for name, shift in SHIFTS.items()}
    rows = {name: alarms(sketch, found, 10) for name, found in runs.items() if name != "none"}
    false = alarms(sketch, runs["none"], arguments.windows)
    c = c_monitor(bench, sketch, list(runs.values()))
    inputs, outputs = runs["none"][0]
    began = time.process_time()
    for _ in range(1000):
        sketch.input_bins(inputs), sketch.output_bins(outputs)
    python_us = 1000 * (time.process_time() - began)
    if arguments.json:
        document = {
            "sketch_bytes": len(sketch.encoded()), "windows": arguments.windows, "false_alarms": false,
            "in_ten_windows": rows, "c": c, "python_us": python_us,
        }  # fmt: skip
        print(json.dumps(document))
        return
    print(f"sketch: {len(sketch.encoded())} bytes in the bundle; Python: {python_us:.0f} us a sample (CPU)")
    print(
        f"false alarms over {arguments.windows} windows at {RATE:.0%}: "
        f"inputs {false[0] / arguments.windows:.2%}, predictions {false[1] / arguments.windows:.2%}"
    )
    print(f"{'shift':16} inputs changed, predictions changed, in ten windows of {WINDOW}")
    for name, (seen, said) in rows.items():
        print(f"{name:16} {seen:2} {said:2}")
    print(
        f"C on the emulated Cortex-M4: {c['code_bytes']} bytes of code, {c['table_bytes']} of tables; "
        f"{c['instructions_before']:,} + {c['instructions_after']:,} instructions a sample; "
        f"{c['different']} of {c['samples']} samples differ from Python, verdicts {c['verdicts']}"
    )


if __name__ == "__main__":
    main()
