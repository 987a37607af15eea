"""The automatic choice of this checkout beside another one: CPU seconds, bytes and SQNR, on equal models and samples.

``python benchmarks/against.py --other FOLDER [--work FOLDER] [--repeat N] [--json] [name ...]``; FOLDER holds an older
checkout (``git worktree add FOLDER COMMIT``). Each choice runs in a process of its own, on one thread, the two
checkouts by turns; the CPU seconds are the fewest of ``--repeat`` runs. Both results are compared with the float model
by this checkout, on samples that neither has seen. Without ``--other`` this checkout is measured alone.
Needs the third-party models and data beside the project, and TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import quantize as benchmark

PROJECT = Path(__file__).resolve().parent.parent
EFFICIENT = "fs_effnet"
NAMES = ("kws", "ic", EFFICIENT)
CHILD = """
import sys, time
import numpy as np
import ai_edge_litert.interpreter
from qedge.datasets.protocol import Subset
from qedge.graph import Graph
from qedge.quantize import QuantizeOptions, quantize

class Samples:
    class_names = labels = None
    def __init__(self, values): self.values = values
    def __len__(self): return len(self.values)
    def __getitem__(self, i): return [np.ascontiguousarray(self.values[i : i + 1], np.float32)]
    def subset(self, indices): return Subset(self, indices)
    def source(self, i): return f"sample {i}"

model, values, out = sys.argv[1:]
data, samples = open(model, "rb").read(), Samples(np.load(values))
Graph.from_bytes(data)  # what is loaded once counts for neither
started = time.process_time()
found = quantize(data, samples, QuantizeOptions(threads=1))
print(time.process_time() - started, len(found.candidates), found.method)
open(out, "wb").write(found.data)
"""


def efficient_net(path: Path) -> None:
    """Write an EfficientNet in small for spoken digits, trained on half of the evaluation's samples."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    with np.load(benchmark.SHARED / "data/fsdd/fsdd_logmel_eval.npz") as z:
        x, y = z["x_test"].reshape(-1, 49, 40, 1)[::2], z["y_test"][::2]

    def block(t: Any, channels: int, stride: int, expand: int = 4) -> Any:
        start, wide = t, t.shape[-1] * expand
        t = layers.Activation("swish")(
            layers.BatchNormalization(momentum=0.8)(layers.Conv2D(wide, 1, use_bias=False)(t))
        )
        t = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(t)
        t = layers.Activation("swish")(layers.BatchNormalization(momentum=0.8)(t))
        squeezed = layers.GlobalAveragePooling2D(keepdims=True)(t)
        squeezed = layers.Conv2D(max(4, wide // 16), 1, activation="swish")(squeezed)
        t = layers.Multiply()([t, layers.Conv2D(wide, 1, activation="sigmoid")(squeezed)])
        t = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(channels, 1, use_bias=False)(t))
        return layers.Add()([start, t]) if stride == 1 and start.shape[-1] == channels else t

    inputs = layers.Input((49, 40, 1))
    t = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(inputs)
    t = layers.Activation("swish")(layers.BatchNormalization(momentum=0.8)(t))
    for channels, stride in ((16, 1), (24, 2), (24, 1), (40, 2), (40, 1)):
        t = block(t, channels, stride)
    t = layers.Activation("swish")(
        layers.BatchNormalization(momentum=0.8)(layers.Conv2D(96, 1, use_bias=False)(t))
    )
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(t))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, epochs=12, verbose=0)
    model.save(path)


def float_model(name: str, work: Path) -> Path:
    """Return the float ``.tflite`` of a model, converted once."""
    from qedge.frontends import load_model

    path = work / f"{name}.tflite"
    if not path.exists():
        if name == EFFICIENT:
            efficient_net(work / "fs_effnet.keras")
            source = work / "fs_effnet.keras"
        else:
            source = benchmark.SHARED / benchmark.MODELS[name][0]
        with tempfile.TemporaryDirectory() as scratch:
            path.write_bytes(load_model(source, workdir=Path(scratch)).data)
    return path


def samples_of(name: str) -> tuple[benchmark.Samples, benchmark.Samples]:
    """Return the samples to choose with and the others."""
    if name == EFFICIENT:
        calibration, test = benchmark.digits((49, 40, 1))()
        return calibration, benchmark.Samples(test.values[1::2], test.labels[1::2])
    return benchmark.MODELS[name][1]()


def choose(checkout: Path, model: Path, values: Path, out: Path) -> tuple[float, int, str]:
    """Return CPU seconds, candidates and the method of one choice; the model is written to ``out``."""
    path = os.pathsep.join(map(str, (checkout, checkout / "targets")))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(model), str(values), str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": path},
    )
    if done.returncode:
        sys.exit(f"{checkout}: {done.stderr[-2000:]}")
    seconds, count, method = done.stdout.strip().splitlines()[-1].split(maxsplit=2)
    return float(seconds), int(count), method


def measure(
    name: str, checkouts: Sequence[tuple[str, Path]], work: Path, repeat: int
) -> list[dict[str, Any]]:
    """Return one row for each checkout on one model."""
    from qedge.quantize import compare

    model = float_model(name, work)
    calibration, test = samples_of(name)
    values = work / f"{name}.npy"
    np.save(values, calibration.values)
    runs: dict[str, list[tuple[float, int, str]]] = {}
    for _ in range(repeat):
        for which, folder in checkouts:
            found = choose(folder, model, values, work / f"{name}.{which}.tflite")
            runs.setdefault(which, []).append(found)
    rows = []
    for which, _ in checkouts:
        seconds, candidates, method = min(runs[which])
        data = (work / f"{name}.{which}.tflite").read_bytes()
        figures = compare(model.read_bytes(), data, test, threads=1)
        rows.append(
            {
                "model": name,
                "checkout": which,
                "cpu_s": round(seconds, 2),
                "candidates": candidates,
                "sqnr_db": round(figures.sqnr_db, 2),
                "float": figures.float_metric,
                "int8": figures.quantized_metric,
                "bytes": len(data),
                "method": method,
            }
        )
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows of one model, and the last beside the first."""
    for row in rows:
        right = "" if row["float"] is None else f"{row['float']:7.2%} {row['int8']:7.2%}"
        print(
            f"{row['model']:11} {row['checkout']:6} {row['cpu_s']:7.2f} s {row['candidates']:3} tried"
            f" {row['sqnr_db']:6.2f} dB {right:15} {row['bytes']:8} B  {row['method']}",
            flush=True,
        )
    if len(rows) == 2:
        other, this = rows
        print(
            f"{'':11} this checkout: {this['cpu_s'] / other['cpu_s']:.2f} of the CPU seconds,"
            f" {this['sqnr_db'] - other['sqnr_db']:+.2f} dB, {this['bytes'] / other['bytes'] - 1:+.2%} bytes",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [*benchmark.MODELS, EFFICIENT]
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"{', '.join(known)}; by default {' '.join(NAMES)}"
    )
    parser.add_argument("--other", type=Path, help="folder of another checkout")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "qedge-against")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not benchmark.SHARED.is_dir():
        sys.exit("needs the third-party models and data beside the project")
    arguments.work.mkdir(parents=True, exist_ok=True)
    checkouts = [("this", PROJECT)]
    if arguments.other:
        checkouts.insert(0, ("other", arguments.other.resolve()))
    rows: list[dict[str, Any]] = []
    for name in arguments.names or NAMES:
        found = measure(name, checkouts, arguments.work.resolve(), arguments.repeat)
        rows += found
        if not arguments.json:
            show(found)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
