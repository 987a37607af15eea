"""The quantiser beside TF's converter and ai-edge-quantizer: same float model, same calibration samples, one run.

Needs the third-party models and data beside the project, and for the other tools TensorFlow and
ai-edge-quantizer. ``python benchmarks/quantize.py [--json] [--cost] [--memory] [name ...]``; without names all
models. ``--cost`` measures MobileNetV2 at 224 x 224 (random weights, 100 images) in processes of its own,
``--memory`` the peak with 100 and with 10,000 samples.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Subset
from qedge.graph import Graph, schema
from qedge.quantize import QuantizeOptions, compare, quantize

SHARED = next(
    (p / "shared" for p in Path(__file__).resolve().parents if (p / "shared/models").is_dir()), Path()
)
Array = npt.NDArray[Any]
TINY, HARD = "models/mlperf_tiny", "models/hard"


class Samples:
    """Samples in memory or in a mapped file, converted to float one by one."""

    class_names: tuple[str, ...] | None = None

    def __init__(self, values: Array, labels: Array | None = None, repeat: int = 1) -> None:
        self.values, self.repeat = values, repeat
        self.labels = None if labels is None else np.asarray(labels, np.int64)

    def __len__(self) -> int:
        return len(self.values) * self.repeat

    def __getitem__(self, i: int) -> list[npt.NDArray[np.float32]]:
        k = i % len(self.values)
        return [np.ascontiguousarray(self.values[k : k + 1], np.float32)]

    def subset(self, indices: Sequence[int]) -> Subset:
        """Return some of the samples."""
        return Subset(self, indices)

    def source(self, i: int) -> str:
        """Return where a sample comes from."""
        return f"sample {i}"


def kws() -> tuple[Samples, Samples]:
    """Return 100 keyword spectrograms to calibrate with and 900 others."""
    with np.load(SHARED / "data/kws01/kws01_1000.npz") as z:
        x, y = (z["x_int8"].astype(np.float32) - 83) * np.float32(0.5847029), z["y"]
    return Samples(x[:100], y[:100]), Samples(x[100:], y[100:])


def cifar() -> tuple[Samples, Samples]:
    """Return 200 pictures to calibrate with and the test set."""
    from PIL import Image

    def read(part: str, each: int) -> Samples:
        classes = sorted(p for p in (SHARED / "data/cifar10" / part).iterdir() if p.is_dir())
        files = [(f, k) for k, c in enumerate(classes) for f in sorted(c.glob("*.jpg"))[:each]]
        return Samples(
            np.stack([np.asarray(Image.open(f)) for f, _ in files]), np.array([k for _, k in files])
        )

    return read("calibration", 20), read("test", 200)


def digits(shape: tuple[int, ...]) -> Callable[[], tuple[Samples, Samples]]:
    """Return a reader of the spoken digits: 100 to calibrate with, 900 others."""

    def read() -> tuple[Samples, Samples]:
        with np.load(SHARED / "data/fsdd/fsdd_logmel_eval.npz") as z:
            x, test, y = z["x_cal"], z["x_test"], z["y_test"]
        return Samples(x.reshape(-1, *shape)), Samples(test.reshape(-1, *shape), y)

    return read


def wake_word() -> tuple[Samples, Samples]:
    """Return the 45 samples of the wake word model, for both."""
    with np.load(SHARED / "data/sww01/calibration_samples.npz") as z:
        samples = Samples(z["specs"].astype(np.float32), z["labels"])
    return samples, samples


def machine() -> tuple[Samples, Samples]:
    """Return 192 windows of one spectrogram, every second one to calibrate with."""
    frames = np.fromfile(SHARED / "data/ad01/normal_id_01_00000000_hist_librosa.bin", "<f4").reshape(-1, 128)
    x = np.stack([frames[i : i + 5].reshape(-1) for i in range(len(frames) - 4)])
    return Samples(x[::2]), Samples(x[1::2])


def photos() -> tuple[Samples, Samples]:
    """Return crops of photos and small pictures at 96 x 96, half of them to calibrate with."""
    from PIL import Image

    names = ("bird.bmp", "cat.bmp", "face.jpg", "grace_hopper.bmp", "parrot.jpg")
    files = [SHARED / "data/images" / f for f in names]
    files += sorted((SHARED / "data/cifar10/calibration").glob("*/000*.jpg"))[:115]
    x = np.stack([np.asarray(Image.open(f).convert("RGB").resize((96, 96)), np.float32) / 255 for f in files])
    return Samples(x[::2]), Samples(x[1::2])


MODELS: dict[str, tuple[str, Callable[[], tuple[Samples, Samples]]]] = {
    "kws": (f"{TINY}/kws01_dscnn_saved_model", kws),
    "ic": (f"{TINY}/ic01_resnet8.h5", cifar),
    "kws_spread": (f"{HARD}/kws_spread_float.tflite", kws),
    "fs_mbv2": (f"{HARD}/fs_mbv2_float.tflite", digits((49, 40, 1))),
    "fs_mbv3": (f"{HARD}/fs_mbv3_float.tflite", digits((49, 40, 1))),
    "fs_kwt": (f"{HARD}/fs_kwt_float.tflite", digits((49, 40))),
    "fs_gru": (f"{HARD}/fs_gru_float.tflite", digits((49, 40))),
    "fs_lstm": (f"{HARD}/fs_lstm.keras", digits((49, 40))),
    "vww": (f"{TINY}/vww01_mobilenet.h5", photos),
    "sww": (f"{TINY}/sww01.h5", wake_word),
    "ad": (f"{TINY}/ad01.h5", machine),
}


def with_tensorflow(model: bytes, values: Array) -> bytes:
    """Return TF's int8 model: the calibrator and quantiser behind ``tf.lite.TFLiteConverter``."""
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    started = time.perf_counter()
    measured = Calibrator(model).calibrate(lambda: ([v[None].astype(np.float32)] for v in values))
    print(f"calibration {time.perf_counter() - started:.3f}", file=sys.stderr)
    int8 = 9  # tensorflow.lite.python.lite_constants.INT8, as the schema numbers it
    return bytes(
        mlir_quantize(measured, False, True, inference_type=int8, input_data_type=int8, output_data_type=int8)
    )


def with_ai_edge_quantizer(model: bytes, values: Array) -> bytes:
    """Return what ai-edge-quantizer's static int8 recipe gives."""
    from ai_edge_quantizer import quantizer, recipe

    graph = Graph.from_bytes(model)
    (name,) = graph.input_names
    tool = quantizer.Quantizer(bytearray(model), recipe.static_wi8_ai8())
    data = {"serving_default": [{name: v[None].astype(np.float32)} for v in values]}
    return bytes(tool.quantize(tool.calibrate(data, num_threads=2)).quantized_model)


OTHERS = {"tf": with_tensorflow, "aeq": with_ai_edge_quantizer}


def in_child(tool: str, model: bytes, values: Array, scratch: Path) -> tuple[bytes | None, float, str]:
    """Run another tool in a process of its own, as it may crash; return its model, seconds and last words."""
    (scratch / "model.tflite").write_bytes(static(model))
    np.save(scratch / "values.npy", values)
    result = scratch / f"{tool}.tflite"
    result.unlink(missing_ok=True)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--tool", tool, str(scratch)], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    words = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
    return (result.read_bytes() if result.exists() else None), seconds, words[0]


def static(model: bytes) -> bytes:
    """Return the model with a static batch and a signature, which ai-edge-quantizer asks for."""
    tree, graph, s = schema.unpack(model), Graph.from_bytes(model), schema.generated()
    for tensor in tree.subgraphs[0].tensors:
        tensor.shapeSignature = None
    if not tree.signatureDefs:
        signature = s.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        for key, names, tensors in (
            ("inputs", graph.input_names, graph.inputs),
            ("outputs", graph.output_names, graph.outputs),
        ):
            entries = []
            for name, index in zip(names, tensors):
                entry = s.TensorMapT()
                entry.name, entry.tensorIndex = name, index
                entries.append(entry)
            setattr(signature, key, entries)
        tree.signatureDefs = [signature]
    return schema.pack(tree)


def measure(name: str, scratch: Path, others: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each tool on one model."""
    from qedge.frontends import load_model

    path, read = MODELS[name]
    model = load_model(SHARED / path, workdir=scratch).data
    calibration, test = read()
    values = calibration.values
    rows = []

    def add(tool: str, data: bytes | None, seconds: float, note: str) -> None:
        row: dict[str, Any] = {"model": name, "tool": tool, "seconds": round(seconds, 2), "note": note}
        if data is not None:
            found = compare(model, data, test)
            row |= {"sqnr_db": round(found.sqnr_db, 2), "bytes": len(data), "agreement": found.agreement}
            row |= {"float": found.float_metric, "quantized": found.quantized_metric}
        rows.append(row)

    started = time.perf_counter()
    result = quantize(model, calibration, QuantizeOptions())
    add("qedge", result.data, time.perf_counter() - started, result.method)
    for tool in others:
        data, seconds, words = in_child(tool, model, values, scratch)
        add(tool, data, seconds, "" if data is not None else words[:60])
    return rows


def cost(scratch: Path) -> list[dict[str, Any]]:
    """Return wall time and peak memory of whole processes on MobileNetV2, 100 images."""
    code = (
        "import tensorflow as tf; tf.keras.utils.set_random_seed(0); x = tf.keras.Input((224, 224, 3), batch_size=1);"
        "m = tf.keras.Model(x, tf.keras.applications.MobileNetV2(weights=None)(x));"
        f"open({str(scratch / 'model.tflite')!r}, 'wb').write(tf.lite.TFLiteConverter.from_keras_model(m).convert())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    images = np.random.default_rng(0).random((100, 224, 224, 3), np.float32) * 2 - 1
    np.save(scratch / "values.npy", images)
    rows = []
    for tool in ("minmax", "mse", "auto", "tf"):
        done = subprocess.run(
            ["/usr/bin/env", "time", "-f", "%e %M", sys.executable, __file__, "--tool", tool, str(scratch)],
            capture_output=True,
            text=True,
            check=True,
        )
        wall, peak = done.stderr.strip().splitlines()[-1].split()
        spent = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("calibration ")]
        rows.append(
            {
                "model": "mobilenet_v2",
                "tool": tool,
                "seconds": float(wall),
                "peak_mb": int(peak) // 1024,
                "calibration_seconds": float(spent[0]) if spent else None,
            }
        )
    return rows


def memory(scratch: Path) -> list[dict[str, Any]]:
    """Return the peak memory of one method with 100 and with 10,000 samples."""
    rows = []
    for count in (100, 10_000):
        done = subprocess.run(
            [sys.executable, __file__, "--tool", f"repeat:{count // 100}", str(scratch)],
            capture_output=True,
            text=True,
            check=True,
        )
        rows.append(
            {"model": "kws", "tool": "mse", "samples": count, "peak_mb": round(float(done.stdout), 1)}
        )
    return rows


def run_tool(tool: str, scratch: Path) -> None:
    """Be the child: run one tool on what lies in ``scratch``."""
    if tool.startswith("repeat:"):
        from qedge.frontends import load_model

        samples = Samples(kws()[0].values, repeat=int(tool.split(":")[1]))
        quantize(
            load_model(SHARED / MODELS["kws_spread"][0], workdir=scratch).data,
            samples,
            QuantizeOptions("mse"),
        )
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    model = (scratch / "model.tflite").read_bytes()
    values = np.load(scratch / "values.npy", mmap_mode="r")
    if tool in OTHERS:
        data = OTHERS[tool](model, values)
    else:
        marks: dict[str, float] = {}

        def note(stage: str, done: int, total: int) -> None:
            marks.setdefault(f"{stage} first", time.perf_counter())
            marks[f"{stage} last"] = time.perf_counter()

        data = quantize(model, Samples(values), QuantizeOptions(tool), note).data
        print(f"calibration {marks['calibrate last'] - marks['calibrate first']:.3f}", file=sys.stderr)
    (scratch / f"{tool}.tflite").write_bytes(data)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"models: {', '.join(MODELS)}")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--only", action="store_true", help="leave the other tools out")
    parser.add_argument("--tool", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.tool:
        run_tool(arguments.tool[0], Path(arguments.tool[1]))
        return
    if not SHARED.is_dir():
        sys.exit("needs the third-party models and data beside the project")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if arguments.cost:
            rows += cost(scratch)
        if arguments.memory:
            rows += memory(scratch)
        if arguments.names or not (arguments.cost or arguments.memory):
            for name in arguments.names or MODELS:
                found = measure(name, scratch, [] if arguments.only else list(OTHERS))
                rows += found
                if not arguments.json:
                    show(found)
    if arguments.json:
        print(json.dumps(rows))
    elif arguments.cost or arguments.memory:
        show([r for r in rows if "peak_mb" in r])


def show(rows: list[dict[str, Any]]) -> None:
    """Print rows as aligned columns."""
    for row in rows:
        cells = [f"{row['model']:11}", f"{row['tool']:6}"]
        for key, form in (
            ("sqnr_db", "{:6.2f} dB"),
            ("float", "float {:.4f}"),
            ("quantized", "int8 {:.4f}"),
            ("agreement", "agree {:.4f}"),
            ("bytes", "{:7d} B"),
            ("samples", "{:6d} samples"),
            ("seconds", "{:6.2f} s"),
            ("calibration_seconds", "calibration {:.2f} s"),
            ("peak_mb", "{} MB"),
            ("note", "{}"),
        ):
            if row.get(key) is not None:
                cells.append(form.format(row[key]))
        print("  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
