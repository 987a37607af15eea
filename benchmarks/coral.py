"""Hold what is predicted of the Edge TPU against published latencies and compiled models.

    python benchmarks/coral.py [--json] [--keras] [--shared ../shared]

Latency: fits the model of ``qedge_coral.latency`` to ``coral_latencies.json`` and leaves each row out in turn. Pairs:
placement and parameter bytes of models beside what the compiler made of them. ``--keras`` also builds networks
with random weights from Keras, quantises them and counts what maps before and after the rewrites (minutes).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
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

PAIRS = ("pairs", "pairs_more")
TABLE = Path(__file__).with_name("coral_latencies.json")
SHARED = ("gmac", "mvalue")
CPU_FITTED = {"usb3": "segmentation", "usb3_pi4": "detection", "usb3_pi5": "detection"}
"""Links with rows that tell the CPU's part, and the class of those rows."""
HUBER = 0.1
"""Relative error from which on a row counts for less in the fit."""


def names() -> list[str]:
    """Return what is fitted: two rates of the chip, and three or four of each link."""
    found = list(SHARED)
    for link in latency.LINKS:
        found += [f"{link}.{part}" for part in ("fixed", "sent", "taken")]
        found += [f"{link}.cpu_mvalue"] if link in CPU_FITTED else []
    return found


def rows() -> list[dict[str, Any]]:
    """Return the table of published latencies, one row for each measurement."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))["rows"]
    return [{**r, "link": link, "measured_ms": ms} for r in table for link, ms in r["ms"].items()]


def work_of(row: dict[str, Any]) -> latency.Work:
    """Return what an inference of a row has to do."""
    fields = [f.name for f in dataclasses.fields(latency.Work)]
    return latency.Work(**{name: row[name] for name in fields})


def features(row: dict[str, Any], order: list[str]) -> tuple[np.ndarray, float]:
    """Return what the fitted rates multiply, and the milliseconds that are not fitted."""
    work, link = work_of(row), latency.LINKS[row["link"]]
    parts = {
        "gmac": work.gmacs,
        "mvalue": work.mvalues,
        f"{row['link']}.fixed": 1.0,
        f"{row['link']}.sent": work.sent_bytes(row["streamed_bytes"]) / 1e6,
        f"{row['link']}.taken": work.output_bytes / 1e6,
        f"{row['link']}.cpu_mvalue": work.cpu_mvalues,
    }
    held = link.cpu_mmac * work.cpu_mmacs
    held += 0.0 if row["link"] in CPU_FITTED else link.cpu_mvalue * work.cpu_mvalues
    return np.array([parts.get(name, 0.0) for name in order]), held


def positive(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the least-squares solution without negative values, dropping columns that would have one."""
    left = list(range(a.shape[1]))
    while True:
        found = np.linalg.lstsq(a[:, left], b, rcond=None)[0]
        if (found >= 0).all():
            result = np.zeros(a.shape[1])
            result[left] = found
            return result
        left = [i for i, v in zip(left, found) if v >= 0]


def fit(given: list[dict[str, Any]]) -> dict[str, float]:
    """Return the rates that make the relative errors least; large errors count less than squared."""
    order = names()
    both = [(*features(r, order), r["measured_ms"]) for r in given]
    a = np.array([x / ms for x, _, ms in both])
    b = np.array([1 - held / ms for _, held, ms in both])
    weights = np.ones(len(given))
    for _ in range(15):
        found = positive(a * weights[:, None], b * weights)
        weights = 1 / np.sqrt(np.maximum(np.abs(a @ found - b), HUBER))
    return dict(zip(order, map(float, found)))


def instructions() -> list[float]:
    """Return the bytes of instructions of a model, an operator and 10^6 values that fit the compiled files best."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))["rows"]
    known = [r for r in table if r["instruction_bytes"]]
    x = np.array([[1.0, r["operators"], r["mvalues"]] for r in known])
    size = np.array([float(r["instruction_bytes"]) for r in known])
    return [float(v) for v in positive(x / size[:, None], np.ones(len(known)))]


def latency_table() -> dict[str, Any]:
    """Return the fit, and for each row the estimate of a fit without it and whether the printed range holds it."""
    everything = rows()
    found = []
    for i, row in enumerate(everything):
        rest = fit(everything[:i] + everything[i + 1 :])
        x, held = features(row, list(rest))
        estimate = float(x @ np.array(list(rest.values())) + held)
        streamed = int(row["streamed_bytes"])
        low, middle, high = latency.bounds(row["link"], work_of(row), memory.Memory(streamed, 0, 0, 0))
        low, high = low * estimate / middle, high * estimate / middle
        found.append(
            {
                "link": row["link"],
                "kind": row["kind"],
                "model": row["model"],
                "measured_ms": row["measured_ms"],
                "estimate_ms": round(estimate, 2),
                "error_percent": round(100 * (estimate / row["measured_ms"] - 1), 1),
                "low_ms": round(low, 2),
                "high_ms": round(high, 2),
                "inside": bool(low <= row["measured_ms"] <= high),
            }
        )
    return {
        "instructions": instructions(),
        "rates": {k: round(v, 4) for k, v in fit(everything).items()},
        "rows": found,
        **summary(found),
    }


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the errors of all rows, of each link, and of each class of model."""

    def of(some: list[dict[str, Any]]) -> dict[str, Any]:
        errors = [abs(r["error_percent"]) for r in some]
        apart = [100 * abs(r["measured_ms"] / r["estimate_ms"] - 1) for r in some]
        return {
            "rows": len(some),
            "median_error_percent": round(float(np.median(errors)), 1),
            "mean_error_percent": round(float(np.mean(errors)), 1),
            "nine_of_ten_percent": round(float(np.quantile(apart, 0.9, method="higher")), 1),
            "worst_error_percent": max(errors),
            "inside_percent": round(100 * sum(r["inside"] for r in some) / len(some), 1),
        }

    links = {k: of([r for r in found if r["link"] == k]) for k in latency.LINKS}
    both = sorted({(r["link"], r["kind"]) for r in found})
    kinds = {f"{a}/{b}": of([r for r in found if (r["link"], r["kind"]) == (a, b)]) for a, b in both}
    return {"all": of(found), "links": links, "kinds": kinds}


def pairs(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield, for every model and its compiled form, how far the prediction was off."""
    for entry in json.loads((folder / "ground_truth.json").read_text()):
        graph = Graph.from_file(folder / entry["source"])
        found = predict(graph)
        compiled = read_compiled(Graph.from_file(folder / entry["compiled"]), entry["compiled"])
        cached = sum(p.cached_bytes for p in compiled.packages)
        streamed = sum(p.streamed_bytes for p in compiled.packages)
        guess = memory.estimate(graph, found.mapped)
        real = cached + streamed
        yield {
            "model": entry["source"].removesuffix(".tflite"),
            "operators": len(graph.operators),
            "wrong_placements": len(set(found.mapped) ^ set(entry["delegated_indices"])),
            "parameter_bytes": real,
            "bytes_error_percent": round(100 * (guess.total_bytes - real) / max(real, 1), 2),
            "cached": cached,
            "predicted_cached": guess.cached_bytes,
            "streamed": streamed,
            "predicted_streamed": guess.streamed_bytes,
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
    result: dict[str, Any] = {"latency": latency_table()}
    result["pairs"] = [p for name in PAIRS for p in pairs(given.shared / "coral" / name)]
    yolo = given.shared / "coral/pairs_more/yolov10n.tflite"
    result["rewritten"] = [{"model": "yolov10n", **rewritten(yolo.read_bytes())}]
    if given.keras:
        result["keras"] = list(keras_models())
    if given.json:
        json.dump(result, sys.stdout, indent=2)
        return
    found = result["latency"]
    print(shown("Latency, each row left out in turn", found["rows"]))
    for title in ("links", "kinds"):
        lines = [{title[:-1]: name, **figures} for name, figures in found[title].items()]
        print(shown(f"Latency by {title[:-1]}", [*lines, {title[:-1]: "all", **found["all"]}]))
    print("fit:", json.dumps(found["rates"]), "\n")
    print(shown("Models beside their compiled form", result["pairs"]))
    print(shown("Before and after the rewrites, run on the CPU", result["rewritten"]))
    if given.keras:
        print(shown("Keras networks, random weights", result["keras"]))


if __name__ == "__main__":
    main()
