"""Models trained with fake quantisation: how near int8 comes to what the simulation says.

``python benchmarks/trained.py [--json]``: a QDQ model by onnxruntime's quantiser (``[onnx]``), and a Keras model with
the wrappers of tensorflow-model-optimization where that and tf-keras are installed. Each is built by ``qedge build``,
and the int8 model's outputs are compared with the simulation's own, by its framework.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from commands import printed, qedge

from qedge.quantize.interpreter import Runner

Array = npt.NDArray[Any]
SAMPLES = 200
KERAS = """
import sys, numpy as np, tensorflow as tf, tf_keras as keras, tensorflow_model_optimization as tfmot
place = sys.argv[1]
keras.utils.set_random_seed(0)
x = np.load(f"{place}/x.npy")
y = np.load(f"{place}/y.npy")
layers = keras.layers
model = keras.Sequential([
    layers.Input((16, 16, 1)), layers.Conv2D(8, 3, padding="same", use_bias=False), layers.BatchNormalization(),
    layers.ReLU(), layers.DepthwiseConv2D(3, strides=2, padding="same"), layers.BatchNormalization(), layers.ReLU(),
    layers.Conv2D(16, 1, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(4, activation="softmax")])
model = tfmot.quantization.keras.quantize_model(model)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, epochs=80, verbose=0)
tf.saved_model.save(model, f"{place}/saved")
np.save(f"{place}/said.npy", model(x, training=False).numpy())
"""


def by_onnxruntime(place: Path) -> tuple[Path, Array, Array]:
    """Return a QDQ model, samples in channels-last order, and what onnxruntime says of them."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    rng = np.random.default_rng(0)

    def const(name: str, *shape: int) -> Any:
        return numpy_helper.from_array((rng.normal(size=shape) * 0.3).astype(np.float32), name)

    pads = [1, 1, 1, 1]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=pads),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2", "b2"], ["c"], pads=pads, group=8, strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "b2": (8,), "w3": (5, 8), "b3": (5,)}
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in (("x", [1, 3, 16, 16]), ("y", [1, 5]))
    ]
    graph = helper.make_graph(nodes, "m", values[:1], values[1:], [const(n, *s) for n, s in shapes.items()])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), place / "f.onnx"
    )
    x = rng.normal(size=(SAMPLES, 3, 16, 16)).astype(np.float32)
    rows = iter([{"x": v[None]} for v in x[:60]])

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return next(rows, None)

    found = place / "qdq.onnx"
    quantize_static(
        str(place / "f.onnx"), str(found), Reader(), quant_format=QuantFormat.QDQ, per_channel=True
    )
    session = onnxruntime.InferenceSession(str(found))
    said = np.concatenate([session.run(None, {"x": v[None]})[0] for v in x])
    np.savez(place / "data.npz", x=x)
    return found, x.transpose(0, 2, 3, 1), said


def by_keras(place: Path) -> tuple[Path, Array, Array] | None:
    """Return a SavedModel with wrappers, samples and what it says of them; None where the packages are not here."""
    if not all(map(importlib.util.find_spec, ("tensorflow_model_optimization", "tf_keras"))):
        return None
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(SAMPLES, 16, 16, 1)).astype(np.float32), rng.integers(0, 4, SAMPLES)
    for k in range(4):  # each class has brighter stripes of its own width
        x[y == k, :, :: k + 1] += 1.5
    np.save(place / "x.npy", x)
    np.save(place / "y.npy", y)
    np.savez(place / "data.npz", x=x)
    environment = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(
        [sys.executable, "-c", KERAS, str(place)],
        check=True,
        env=os.environ | environment,
        capture_output=True,
    )
    return place / "saved", x, np.load(place / "said.npy")


def measure(name: str, place: Path, model: Path, samples: Array, said: Array) -> dict[str, Any]:
    """Return how near the int8 model is."""
    built = qedge(
        "build", model, "--data", place / "data.npz", "-t", "rpi", "-o", place / "out", "--name", name
    )
    runner = Runner((Path(built["targets"]["rpi"]["bundle"]) / "model.tflite").read_bytes(), threads=1)
    step = float(runner.outputs[0]["quantization"][0])
    found = np.concatenate([runner.predict([v[None]])[0].reshape(1, -1) for v in samples])
    steps = np.abs(found - said) / step
    return {
        "model": name,
        "values": said.size,
        "within_one_step": float((steps < 1.01).mean()),
        "most_steps": round(float(steps.max()), 2),
        "method": built["quantization"]["method"],
    }


def main() -> None:
    """Print one row a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    printed(_rows(), as_json=arguments.json)


def _rows() -> Iterator[dict[str, Any]]:
    for name, make in (("qdq", by_onnxruntime), ("keras", by_keras)):
        with tempfile.TemporaryDirectory() as folder:
            made = make(Path(folder))
            yield {"model": name, "skipped": True} if made is None else measure(name, Path(folder), *made)


if __name__ == "__main__":
    main()
