"""Small networks of the kinds that microcontrollers run, from Keras and from TFLiteConverter, to verified C.

    python benchmarks/mcu_networks.py [--network NAME ...] [--way keras --way int8 ...] [--core cortex-m4] [--json]

Each is built with ``-t mcu`` and verified against TFLite Micro, inner tensors included: exact, or refused with one
error and the documented exit code. Needs TensorFlow; a network takes some ten CPU seconds each way.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

NETWORKS: dict[str, Callable[[Any, Any], Any]] = {}
WAYS = ("keras", "int8", "float-ends", "float", "float16", "int16")
"""What is built from: the .keras file, or what TFLiteConverter makes of it."""
SAMPLES = 12


def network(make: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Register a function of ``keras`` and ``keras.layers`` under its name."""
    NETWORKS[make.__name__] = make
    return make


@network
def gestures(k: Any, n: Any) -> Any:
    """Two convolutions over three axes of acceleration."""
    first = [
        n.Input((128, 3, 1)),
        n.Conv2D(8, (4, 3), padding="same", activation="relu"),
        n.MaxPool2D((3, 3)),
    ]
    second = [n.Conv2D(16, (4, 1), padding="same", activation="relu"), n.MaxPool2D((3, 1), padding="same")]
    return k.Sequential([*first, *second, n.Flatten(), n.Dense(16, "relu"), n.Dense(4, "softmax")])


@network
def autoencoder(k: Any, n: Any) -> Any:
    """Dense layers with batch normalisation."""
    inner = [layer for width in (32, 8, 32) for layer in (n.Dense(width), n.BatchNormalization(), n.ReLU())]
    return k.Sequential([n.Input((64,)), *inner, n.Dense(64)])


@network
def inverted(k: Any, n: Any) -> Any:
    """An inverted residual with swish and squeeze-and-excite."""
    x = given = n.Input((24, 24, 3))
    x = n.Conv2D(8, 3, strides=2, padding="same", activation="swish")(x)
    y = n.Conv2D(24, 1, activation="swish")(x)
    y = n.DepthwiseConv2D(5, padding="same", activation="swish")(y)
    s = n.Reshape((1, 1, 24))(n.GlobalAveragePooling2D()(y))
    s = n.Conv2D(24, 1, activation="sigmoid")(n.Conv2D(6, 1, activation="swish")(s))
    x = n.Add()([x, n.Conv2D(8, 1)(n.Multiply()([y, s]))])
    return k.Model(given, n.Dense(5, activation="softmax")(n.GlobalAveragePooling2D()(x)))


@network
def residual(k: Any, n: Any) -> Any:
    """Odd sizes, strides and paddings."""
    given = n.Input((33, 29, 3))
    x = n.MaxPool2D(3, 2, padding="same")(n.Conv2D(8, 7, strides=2, padding="same", activation="relu")(given))
    for width in (8, 12):
        y = n.Conv2D(width, 3, strides=2, padding="same", activation="relu")(x)
        y = n.Conv2D(width, 3, padding="same")(y)
        x = n.ReLU()(n.Add()([n.Conv2D(width, 1, strides=2, padding="same")(x), y]))
    return k.Model(given, n.Dense(4, activation="softmax")(n.GlobalAveragePooling2D()(x)))


@network
def temporal(k: Any, n: Any) -> Any:
    """Dilated causal convolutions of one dimension."""
    x = given = n.Input((49, 10))
    for dilation in (1, 2, 4, 8):
        y = n.Conv1D(16, 3, dilation_rate=dilation, padding="causal", activation="relu")(x)
        x = n.Add()([n.Conv1D(16, 1)(x), n.Conv1D(16, 1)(y)])
    return k.Model(given, n.Dense(12, activation="softmax")(n.GlobalAveragePooling1D()(x)))


@network
def gated(k: Any, n: Any) -> Any:
    """WaveNet's gates."""
    given = n.Input((64, 1))
    x, skips = n.Conv1D(8, 2, padding="causal")(given), []
    for dilation in (1, 2, 4):
        halves = [
            n.Conv1D(8, 2, dilation_rate=dilation, padding="causal", activation=kind)(x)
            for kind in ("tanh", "sigmoid")
        ]
        skips.append(n.Conv1D(8, 1)(n.Multiply()(halves)))
        x = n.Add()([x, skips[-1]])
    return k.Model(given, n.Conv1D(4, 1, activation="softmax")(n.ReLU()(n.Add()(skips))))


@network
def pyramid(k: Any, n: Any) -> Any:
    """DeepLab's pyramid of dilations."""
    given = n.Input((33, 33, 3))
    x = n.ReLU(6.0)(n.BatchNormalization()(n.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(given)))
    parts = [n.Conv2D(8, 1)(x)]
    for rate in (2, 4, 6):
        y = n.BatchNormalization()(n.DepthwiseConv2D(3, dilation_rate=rate, padding="same")(x))
        parts.append(n.Conv2D(8, 3, dilation_rate=rate, padding="same", activation="relu")(y))
    return k.Model(given, n.Conv2D(4, 1)(n.Concatenate()(parts)))


@network
def attention(k: Any, n: Any) -> Any:
    """A transformer's block with GELU."""
    given = n.Input((16, 12))
    x = n.Dense(16)(given)
    y = n.LayerNormalization()(x)
    x = n.Add()([x, n.MultiHeadAttention(2, 8)(y, y)])
    y = n.Dense(16)(n.Dense(32, activation="gelu")(n.LayerNormalization()(x)))
    return k.Model(given, n.Dense(4, activation="softmax")(n.GlobalAveragePooling1D()(n.Add()([x, y]))))


@network
def activations(k: Any, n: Any) -> Any:
    """Dense layers, each with another activation."""
    kinds = [n.PReLU(), n.LeakyReLU(), n.ELU(), *(n.Activation(a) for a in ("selu", "tanh", "hard_swish"))]
    inner = [layer for kind in kinds for layer in (n.Dense(12), kind)]
    return k.Sequential([n.Input((18,)), n.BatchNormalization(), *inner, n.Dense(3)])


@network
def decoder(k: Any, n: Any) -> Any:
    """A U-Net with every way up."""
    given = n.Input((24, 24, 1))
    a = n.Conv2D(6, 3, padding="same", activation="relu")(given)
    b = n.Conv2D(8, 3, padding="same", activation="relu")(n.MaxPool2D()(a))
    x = n.Conv2D(8, 3, padding="same", activation="relu")(n.MaxPool2D()(b))
    x = n.Concatenate()([n.UpSampling2D(interpolation="bilinear")(x), b])
    x = n.Concatenate()([n.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu")(x), a])
    return k.Model(given, n.Conv2D(1, 1, activation="sigmoid")(n.UpSampling2D()(x)))


@network
def recurrent(k: Any, n: Any) -> Any:
    """Layers that read in both directions."""
    layers = [n.Bidirectional(n.GRU(6, return_sequences=True)), n.LSTM(5), n.Dense(2, activation="sigmoid")]
    return k.Sequential([n.Input((12, 4)), *layers])


@network
def words(k: Any, n: Any) -> Any:
    """The places of an embedding."""
    given = n.Input((8,), dtype="int32")
    x = n.GlobalAveragePooling1D()(n.Embedding(20, 6)(given))
    return k.Model(given, n.Dense(2, activation="softmax")(x))


def files(name: str, ways: list[str], folder: Path) -> Iterator[tuple[str, Path]]:
    """Write a network in every way and yield (way, file); its samples lie beside as ``samples.npy``."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(1)
    model = NETWORKS[name](tf.keras, tf.keras.layers)
    rng, shape = np.random.default_rng(0), (SAMPLES, *model.inputs[0].shape[1:])
    places = model.inputs[0].dtype == "int32"
    samples = (
        rng.integers(0, 20, shape).astype(np.int32) if places else rng.normal(size=shape).astype(np.float32)
    )
    np.save(folder / "samples.npy", samples)
    for way in ways:
        if way == "keras":
            model.save(folder / f"{name}.keras")
            yield way, folder / f"{name}.keras"
            continue
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if way != "float":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if way == "float16":
            converter.target_spec.supported_types = [tf.float16]
        elif way != "float":
            converter.representative_dataset = lambda: ([row[None]] for row in samples)
        if way == "int8" and not places:
            converter.inference_input_type = converter.inference_output_type = tf.int8
        if way == "int16":
            kinds = tf.lite.OpsSet
            converter.target_spec.supported_ops = [
                kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
            converter.inference_input_type = converter.inference_output_type = tf.int16
        place = folder / f"{name}_{way.replace('-', '_')}.tflite"
        try:
            place.write_bytes(converter.convert())
        except Exception as problem:  # what the converter itself refuses is none of ours
            said = (str(problem).strip().splitlines() or [type(problem).__name__])[-1]
            print(f"{name:12} {way:10} TFLiteConverter refuses it: {said[:90]}", file=sys.stderr)
            continue
        yield way, place


def verdict(model: Path, core: str) -> dict[str, Any]:
    """Return the exit codes of build and verify, and the error where there was one."""
    out = model.parent / "out" / model.name
    command = [
        sys.executable,
        "-m",
        "qedge",
        "build",
        str(model),
        "-t",
        "mcu",
        "--core",
        core,
        "-o",
        str(out),
    ]
    data = ["--data", str(model.parent / "samples.npy")]
    built = subprocess.run([*command, *data], capture_output=True, text=True)
    if built.returncode:
        errors = [line for line in built.stderr.splitlines() if line.startswith("error: ")]
        return {"build": built.returncode, "verify": None, "error": (errors or [built.stderr[-200:]])[0]}
    (bundle,) = out.glob("*/mcu")
    checked = subprocess.run(
        [sys.executable, "-m", "qedge", "verify", str(bundle)], capture_output=True, text=True
    )
    return {"build": 0, "verify": checked.returncode, "error": checked.stderr.strip()[-200:] or None}


def main() -> int:
    """Print the table; exit with 1 where a build is neither exact nor refused as documented."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", action="append", choices=sorted(NETWORKS))
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--core", default="cortex-m4")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for name in args.network or NETWORKS:
        with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
            for way, model in files(name, args.way or ["keras", "int8"], Path(folder)):
                row = {"network": name, "way": way, **verdict(model, args.core)}
                rows.append(row)
                if not args.json:
                    said = (
                        "exact"
                        if row["verify"] == 0
                        else f"exit {row['build'] or row['verify']}: {row['error']}"
                    )
                    print(f"{name:12} {way:10} {said}", flush=True)
    if args.json:
        print(json.dumps({"schema_version": 1, "core": args.core, "rows": rows}, indent=2))
    return int(any(row["verify"] not in (0, None) or row["build"] not in (0, 2, 3, 4) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
