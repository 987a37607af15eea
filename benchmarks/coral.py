"""Hold what is predicted of the Edge TPU against published latencies and compiled models.

    python benchmarks/coral.py [--json] [--keras] [--shared ../shared]

Latency: fits the model of ``qedge_coral.latency`` to the published table and leaves each row out in turn. Pairs:
placement and parameter bytes of models beside what the compiler made of them. ``--keras`` also builds networks
with random weights from Keras, quantises them and counts what maps before and after the rewrites (minutes).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qedge.graph import Graph
from qedge_coral import latency, memory, rewrite
from qedge_coral.package import read_compiled
from qedge_coral.predict import predict

# Classification models that map wholly. Convolution and depthwise multiply-accumulates in 10^9, weights in 10^6,
# input side. MobileNet, ResNet, VGG, Inception v3: counted from keras.applications at this input; Inception v1, v2
# and v4: Szegedy et al. 2015 and 2017, Ioffe and Szegedy 2015; SqueezeNet 1.0: Iandola et al. 2016.
# Left out: Inception-ResNet V2 (57 ms is less than its 56 MB of weights need on the bus, so it cannot have run
# wholly on the Edge TPU), DenseNet (its batch normalisations come before the convolutions, cannot be folded and
# run as operators of their own), EfficientNet-EdgeTPU (multiply-accumulates not published).
MODELS: dict[str, tuple[float, float, float, int]] = {
    "MobileNet v1": (0.551, 0.0175, 4.21, 224),
    "MobileNet v2": (0.280, 0.0203, 3.47, 224),
    "MobileNet V1 0.25": (0.0121, 0.00143, 0.466, 128),
    "SqueezeNet": (0.837, 0.0, 1.24, 224),
    "Inception v1": (1.50, 0.0, 6.62, 224),
    "Inception V2": (1.94, 0.0, 11.2, 224),
    "Inception V3": (5.71, 0.0, 23.8, 299),
    "Inception v4": (12.27, 0.0, 42.7, 299),
    "ResNet-50 V1": (7.21, 0.0, 25.5, 299),
    "ResNet-50 V2": (6.54, 0.0, 25.5, 299),
    "ResNet-152 V2": (20.21, 0.0, 60.0, 299),
    "VGG16": (15.47, 0.0, 138.3, 224),
    "VGG19": (19.63, 0.0, 143.7, 224),
}
PADDED = 1.03
"""Padded parameter bytes of a network of wide layers, as a multiple of its weights."""
PAIRS = ("pairs", "pairs_more")
CSV = {
    "Inception v1": "inception_v1_224_quant",
    "Inception v4": "inception_v4_299_quant",
    "MobileNet v1": "mobilenet_v1_1.0_224_quant",
    "MobileNet v2": "mobilenet_v2_1.0_224_quant",
}


def measured(table: dict[str, Any], link: str) -> dict[str, float]:
    """Return published milliseconds by model for a link."""
    if link in ("usb2", "usb3_pi4"):
        host = table["reference_csv"]["hosts"]["rp3b" if link == "usb2" else "rp4b"]
        return {name: host[key] for name, key in CSV.items()}
    column = "desktop_usb_edgetpu" if link == "usb3" else "devboard_edgetpu"
    found = {r["model"]: r[column] for r in table["benchmarks_page"]["rows"] if r["model"] in MODELS}
    if link == "usb3":
        for row in table["models_pages"]["rows"]:
            name = row["model"].split(" (")[0]
            if name in MODELS and name not in found and str(row["input"]).startswith(str(MODELS[name][3])):
                found[name] = row["latency_ms"]
    return found


def features(name: str, link: str) -> tuple[np.ndarray, float]:
    """Return what the coefficients of a link multiply, and the milliseconds of arithmetic beside them."""
    conv, depthwise, weights, side = MODELS[name]
    streamed = max(0.0, weights * PADDED - memory.USUAL_ROOM / 1e6)
    arithmetic = (conv + latency.DEPTHWISE_COST * depthwise) * latency.MS_PER_GMAC
    given = side * side * 3 / 1e6
    return np.array([1.0, given, streamed] if link == "usb3" else [1.0, streamed]), arithmetic


def fit(rows: dict[str, float], link: str) -> np.ndarray:
    """Return the coefficients that make the relative errors least (squares)."""
    x = np.array([features(n, link)[0] / ms for n, ms in rows.items()])
    y = np.array([1 - features(n, link)[1] / ms for n, ms in rows.items()])
    return np.linalg.lstsq(x, y, rcond=None)[0]


def latency_table(table: dict[str, Any], link: str) -> dict[str, Any]:
    """Return the fit, and for each model the estimate of a fit without it."""
    rows = measured(table, link)
    models = []
    for name, ms in rows.items():
        rest = fit({n: v for n, v in rows.items() if n != name}, link)
        x, arithmetic = features(name, link)
        estimate = float(x @ rest + arithmetic)
        models.append({"model": name, "measured_ms": ms, "estimate_ms": round(estimate, 2)})
        models[-1]["error_percent"] = round(100 * (estimate / ms - 1), 1)
    errors = [abs(m["error_percent"]) for m in models]
    return {
        "coefficients": [round(float(c), 3) for c in fit(rows, link)],
        "mean_error_percent": round(float(np.mean(errors)), 1),
        "worst_error_percent": max(errors),
        "models": models,
    }


def pairs(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield, for every model and its compiled form, how far the prediction was off."""
    for entry in json.loads((folder / "ground_truth.json").read_text()):
        graph = Graph.from_file(folder / entry["source"])
        found = predict(graph)
        compiled = read_compiled(Graph.from_file(folder / entry["compiled"]), entry["compiled"])
        real = sum(p.cached_bytes + p.streamed_bytes for p in compiled.packages)
        guess = memory.estimate(graph, found.mapped).total_bytes
        yield {
            "model": entry["source"].removesuffix(".tflite"),
            "operators": len(graph.operators),
            "wrong_placements": len(set(found.mapped) ^ set(entry["delegated_indices"])),
            "parameter_bytes": real,
            "predicted_bytes": guess,
            "bytes_error_percent": round(100 * (guess - real) / max(real, 1), 2),
        }


def keras_models() -> Iterator[dict[str, Any]]:
    """Yield, for networks from Keras with random weights, what maps before and after the rewrites."""
    import keras
    import tensorflow as tf

    layers = keras.layers
    keras.utils.set_random_seed(1)

    def unet() -> Any:
        x = given = layers.Input((128, 128, 3))
        skips = []
        for k in range(4):
            x = layers.Conv2D(8 << k, 3, padding="same")(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
            skips.append(x)
            x = layers.MaxPooling2D()(x)
        x = layers.Conv2D(128, 3, padding="same", activation="relu")(x)
        for k in (3, 2, 1, 0):
            x = layers.Concatenate()([layers.UpSampling2D(2, interpolation="nearest")(x), skips[k]])
            x = layers.Conv2D(8 << k, 3, padding="same", activation="relu")(x)
        return keras.Model(given, layers.Conv2D(1, 1, activation="sigmoid")(x))

    def detector() -> Any:
        base = keras.applications.MobileNetV2((160, 160, 3), alpha=0.35, include_top=False, weights=None)
        boxes, scores = [], []
        for source, anchors in ((base.get_layer("block_13_expand_relu").output, 3), (base.output, 6)):
            for values, out in ((4, boxes), (5, scores)):
                head = layers.SeparableConv2D(32, 3, padding="same", activation="relu")(source)
                head = layers.Conv2D(anchors * values, 3, padding="same")(head)
                out.append(layers.Reshape((-1, values))(head))
        joined = layers.Concatenate(axis=1)(boxes)
        return keras.Model(
            base.input, [joined, layers.Activation("sigmoid")(layers.Concatenate(axis=1)(scores))]
        )

    made = {
        "MobileNetV2 224": lambda: keras.applications.MobileNetV2(weights=None),
        "ResNet-50 224": lambda: keras.applications.ResNet50(weights=None),
        "U-Net 128, nearest up-sampling": unet,
        "detector head on MobileNetV2": detector,
    }
    for name, make in made.items():
        model = make()
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        rng = np.random.default_rng(0)
        shape = (1, *model.inputs[0].shape[1:])
        data = [[rng.uniform(-1, 1, shape).astype(np.float32)] for _ in range(2)]
        converter.representative_dataset = lambda data=data: iter(data)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        with contextlib.redirect_stdout(sys.stderr):
            data_model = converter.convert()
        yield {"model": name, **rewritten(data_model)}
        keras.backend.clear_session()


def rewritten(model: bytes) -> dict[str, Any]:
    """Return what maps before and after the rewrites, and the largest difference between the two on the CPU."""
    from qedge.runtime.litert import open_engine, tensor_specs

    after = rewrite.rewrite(model)
    worst = 0
    engines = [open_engine(m, *tensor_specs(m), threads=2) for m in (model, after.model)]
    rng = np.random.default_rng(7)
    for _ in range(3):
        x = [rng.integers(-128, 128, t.shape).astype(np.int8) for t in engines[0].inputs]
        for a, b in zip(*(e.run(x) for e in engines)):
            worst = max(worst, int(np.abs(a.astype(int) - b.astype(int)).max()))
    before, now = predict(Graph.from_bytes(model)), predict(Graph.from_bytes(after.model))
    return {
        "operators_before": len(before.placements),
        "mapped_percent_before": round(before.mapped_percent, 1),
        "operators": len(now.placements),
        "mapped_percent": round(now.mapped_percent, 1),
        "rewrites": len(after.changes),
        "largest_difference": worst,
    }


def shown(title: str, rows: list[dict[str, Any]]) -> str:
    """Return rows as a table."""
    names = list(rows[0])
    lines = [[str(r[n]) for n in names] for r in rows]
    widths = [max(len(c) for c in column) for column in zip(names, *lines)]
    text = ["  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip() for line in (names, *lines)]
    return "\n".join([title, *text, ""])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keras", action="store_true", help="also build networks from Keras (minutes)")
    project = Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=Path, default=project.parent / "shared")
    given = parser.parse_args()
    table = json.loads((given.shared / "coral/latency.json").read_text())
    result: dict[str, Any] = {"latency": {link: latency_table(table, link) for link in latency.LINKS}}
    result["pairs"] = [p for name in PAIRS for p in pairs(given.shared / "coral" / name)]
    if given.keras:
        result["keras"] = list(keras_models())
    if given.json:
        json.dump(result, sys.stdout, indent=2)
        return
    for link, found in result["latency"].items():
        title = (
            f"{latency.LINKS[link].title}: leave-one-out, mean error {found['mean_error_percent']} %, worst"
        )
        print(
            shown(f"{title} {found['worst_error_percent']} %; fit {found['coefficients']}", found["models"])
        )
    print(shown("Models beside their compiled form", result["pairs"]))
    if given.keras:
        print(shown("Keras networks, random weights", result["keras"]))


if __name__ == "__main__":
    main()
