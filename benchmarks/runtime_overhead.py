"""What model.run and model(image) cost above the bare binding: CPU time, paired call by call in one process.

Run: python benchmarks/runtime_overhead.py [--json] [--calls N]; needs the models beside the project.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import qedge
from qedge.bundle import Manifest, write_bundle
from qedge.processing.image import ImagePreprocess
from qedge.runtime.litert import find_binding, tensor_specs

MODELS = {
    "kws": "mlperf_tiny/kws01_dscnn_int8.tflite",
    "MobileNetV2": "coral/tf2_mobilenet_v2_1.0_224_ptq.tflite",
}


def shared_models() -> Path:
    """Return the folder of third-party models beside the project."""
    here = Path(__file__).resolve().parent.parent
    for folder in (here.parent / "shared", here.parent.parent / "shared"):
        if (folder / "models").is_dir():
            return folder / "models"
    sys.exit("needs the models beside the project")


def bundle(place: Path, data: bytes, preprocess: ImagePreprocess | None) -> Path:
    """Write an rpi bundle around one model."""
    inputs, outputs = tensor_specs(data)
    manifest = Manifest("model", "0" * 64, "rpi", inputs, outputs, preprocess=preprocess)
    write_bundle(place, manifest, {"model.tflite": data})
    return place


def bare_call(data: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Return set_tensor, invoke and get_tensor of the plain binding, indices looked up once."""
    interpreter = find_binding().module.Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    x, y = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call(array: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(x, array)
        interpreter.invoke()
        return interpreter.get_tensor(y)

    return call


def paired_us(one: Callable[[], object], other: Callable[[], object], calls: int) -> tuple[float, float]:
    """Return the median CPU microseconds of ``one`` and of ``other`` minus ``one``, taken in turns."""
    clock = time.thread_time_ns
    first, difference = np.empty(calls), np.empty(calls)
    for i in range(calls):
        a = clock()
        one()
        b = clock()
        other()
        c = clock()
        first[i], difference[i] = b - a, (c - b) - (b - a)
    return float(np.median(first)) / 1e3, float(np.median(difference)) / 1e3


def cpu_us(call: Callable[[], object], calls: int) -> float:
    """Return the median CPU microseconds of one call."""
    times = []
    for _ in range(calls):
        start = time.thread_time_ns()
        call()
        times.append(time.thread_time_ns() - start)
    return float(np.median(times)) / 1e3


def measure_one(name: str, data: bytes, scratch: str, calls: int) -> dict[str, float]:
    """Return the figures of one model; those of images where its input is one."""
    spec = tensor_specs(data)[0][0]
    bare = bare_call(data)
    # The range that makes a level and the model's integer the same up to the top bit.
    low, high = (spec.scale * (q - spec.zero_point) for q in (-128, 127))
    preprocess = (
        ImagePreprocess(spec.shape[2], spec.shape[1], range=(low, high)) if spec.shape[3] == 3 else None
    )
    with qedge.load(bundle(Path(scratch, name), data, preprocess), threads=1) as model:
        rng = np.random.default_rng(0)
        array = rng.integers(-128, 128, spec.shape).astype(spec.dtype)
        invoke, extra = paired_us(lambda: bare(array), lambda: model.run(array), calls)
        found = {"bare_us": invoke, "run_overhead_us": extra}
        if preprocess:
            picture = rng.integers(0, 256, spec.shape[1:], np.uint8)
            pre = cpu_us(lambda: model.encode(picture), calls)
            general = ImagePreprocess(224, 224, range=(0, 1), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2))
            table = cpu_us(lambda: general.encode(picture, spec.scale, spec.zero_point, spec.dtype), calls)
            found |= {"preprocess_us": pre, "preprocess_percent": 100 * pre / invoke}
            found |= {"table_us": table, "table_percent": 100 * table / invoke}
    return found


def measure(calls: int) -> dict[str, dict[str, float]]:
    """Return the figures of every model."""
    with tempfile.TemporaryDirectory() as scratch:
        return {
            name: measure_one(
                name, (shared_models() / path).read_bytes(), scratch, calls if name == "kws" else calls // 50
            )
            for name, path in MODELS.items()
        }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--calls", type=int, default=20_000)
    options = parser.parse_args()
    found = measure(options.calls)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        print(f"{name:12} " + "  ".join(f"{key} {value:.2f}" for key, value in figures.items()))
    print("goals: run_overhead_us at most 5 on kws; preprocess_percent, table_percent at most 3")


if __name__ == "__main__":
    main()
