"""Cold start and memory of qedge.load and a first inference against the bare binding, by turns.

Run: python benchmarks/cold_start.py [--json] [--runs N]; needs the models beside the project. CPU seconds from
nothing to the first result (``own``: without Python's own and numpy's), and peak RSS. The two run in pairs, and the
ratio is the median of the pairs' ratios: what else the machine does hits both of a pair. The bundles are complete:
pre-processing, 1001 labels, golden vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from runtime_overhead import MODELS, shared_models

from qedge.bundle import Manifest, golden_files, write_bundle
from qedge.oracle.builtin import builtin_outputs
from qedge.oracle.golden import reference_outputs
from qedge.processing.classify import Classify
from qedge.processing.image import ImagePreprocess
from qedge.runtime.litert import tensor_specs

BARE = """
import sys, time, numpy
begun = time.process_time()
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
x = interpreter.get_input_details()[0]
interpreter.set_tensor(x["index"], numpy.zeros(x["shape"], x["dtype"]))
interpreter.invoke()
interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
"""
FIGURES = """
now = time.process_time()
print(now, now - begun)
with open("/proc/self/status") as status:
    print([line.split()[1] for line in status if line.startswith("VmHWM")][0])
"""
OURS = """
import sys, time, numpy
begun = time.process_time()
import qedge
model = qedge.load(sys.argv[1], threads=1)
x = model.inputs[0]
model.run(numpy.zeros(x.shape, x.dtype))
"""
NUMPY = "import time\nbegun = time.process_time()\nimport numpy"
QEDGE = "import time\nbegun = time.process_time()\nimport qedge, numpy"


def process(code: str, argument: str) -> tuple[float, float, float]:
    """Return (CPU seconds, those since ``begun``, peak RSS in MiB) of a fresh interpreter.

    Byte code is cached, as pip leaves it.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir(), "qedge-cold-start"))
    done = subprocess.run(
        [sys.executable, "-c", code + FIGURES, argument], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    seconds, own, memory = done.stdout.split()
    return float(seconds), float(own), int(memory) / 1024


def compare(one: tuple[str, str], other: tuple[str, str], runs: int) -> dict[str, float]:
    """Return the figures of two programs run in pairs, each first in every other pair."""
    process(*one), process(*other)
    pairs = []
    for i in range(runs):
        first, second = (one, other) if i % 2 == 0 else (other, one)
        found = process(*first), process(*second)
        pairs.append(found if i % 2 == 0 else found[::-1])
    return {
        "bare_s": median(bare[0] for bare, _ in pairs),
        "qedge_s": median(ours[0] for _, ours in pairs),
        "ratio": median(ours[0] / bare[0] for bare, ours in pairs),
        "bare_own_s": median(bare[1] for bare, _ in pairs),
        "qedge_own_s": median(ours[1] for _, ours in pairs),
        "own_ratio": median(ours[1] / bare[1] for bare, ours in pairs),
        "rss_more_mb": median(ours[2] - bare[2] for bare, ours in pairs),
    }


def complete_bundle(place: Path, data: bytes) -> Path:
    """Write a bundle with all that a build puts into one."""
    inputs, outputs = tensor_specs(data)
    shape, classes = inputs[0].shape, outputs[0].shape[-1]
    image = ImagePreprocess(shape[2], shape[1], range=(-1, 1)) if shape[3] == 3 else None
    rng = np.random.default_rng(0)
    samples = [[rng.integers(-128, 128, shape).astype(inputs[0].dtype)] for _ in range(4)]
    manifest = Manifest(
        "model",
        "0" * 64,
        "rpi",
        inputs,
        outputs,
        image,
        Classify(),
        tuple(f"class {i}" for i in range(classes)),
    )
    golden = golden_files(
        samples, reference_outputs(data, samples), {"builtin": builtin_outputs(data, samples)}
    )
    write_bundle(place, manifest, {"model.tflite": data, **golden})
    return place


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    found = {"import": compare((NUMPY, ""), (QEDGE, ""), options.runs)}
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in MODELS.items():
            model = shared_models() / path
            place = complete_bundle(Path(scratch, name), model.read_bytes())
            found[name] = compare((BARE, str(model)), (OURS, str(place)), options.runs)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        print(f"{name:12} " + "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    print("goals: ratio at most 1.1 (import, against numpy: 1.2), rss_more_mb at most 5")


if __name__ == "__main__":
    main()
