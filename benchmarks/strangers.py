"""Networks of kinds that nobody tuned for, trained here in seconds and built with no option.

Raw units, branches, recurrent layers on counts, rare labels, large targets: what people bring. A row is right where the
file in the bundle, run by LiteRT on samples that the build has not been given, is within half a point of accuracy or
holds 30 dB in every column (of several sigmoids: says the same of 99.5 % of the labels), or where the build warns of a
loss and names the way out.
``python benchmarks/strangers.py [--target rpi|mcu] [--work FOLDER] [--json] [name ...]``; needs TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cases import Built, Case, Row

from qedge.bundle import read_bundle
from qedge.quantize.interpreter import Runner

Arrays = dict[str, np.ndarray]
POINTS, DECIBELS = 0.5, 30.0


@dataclass
class Stranger:
    """A trained network, samples by input name, and labels of classes where there are any."""

    model: Any
    x: Arrays
    y: np.ndarray | None = None
    trained: int = 800
    given: int = 200


def fitted(model: Any, x: Any, y: np.ndarray, loss: Any, epochs: int, rate: float = 3e-3) -> Any:
    """Return the model after training."""
    import keras

    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return model


def two_branches(rng: np.random.Generator) -> Stranger:
    """A photo in 0..255 and five sensors in units of their own, joined."""
    import keras
    from keras import layers

    y = rng.integers(0, 4, 1200)
    photo = rng.uniform(0, 255, (1200, 24, 24, 3)).astype(np.float32)
    photo[y % 2 == 1, 6:18, 6:18] += 60
    z = rng.normal(size=(1200, 5))
    z[:, 1] += 1.5 * (y // 2 * 2 - 1)
    sensors = (z * [3e4, 12, 0.02, 500, 1] + [1e5, 40, 0, 1e3, 0]).astype(np.float32)
    a, b = first, second = layers.Input((24, 24, 3), name="photo"), layers.Input((5,), name="sensors")
    a = layers.BatchNormalization()(layers.Conv2D(12, 3, strides=2, activation="relu")(a))
    a = layers.GlobalAveragePooling2D()(layers.Conv2D(24, 3, strides=2, activation="relu")(a))
    b = layers.Dense(16, activation="relu")(layers.BatchNormalization()(b))
    joined = layers.Dense(24, activation="relu")(layers.Concatenate()([a, b]))
    model = keras.Model([first, second], layers.Dense(4, activation="softmax")(joined))
    x = {"photo": photo, "sensors": sensors}
    fitted(model, {k: v[:800] for k, v in x.items()}, y[:800], "sparse_categorical_crossentropy", 25)
    return Stranger(model, x, y)


def counts_in_time(rng: np.random.Generator) -> Stranger:
    """BatchNormalization on raw counts, a convolution, two directions of an LSTM and another one."""
    import keras
    from keras import layers

    y = rng.integers(0, 6, 1200)
    counts = rng.gamma(2.0, 400.0, (1200, 32, 8)).astype(np.float32)
    for k in range(6):
        counts[y == k, 5 * k : 5 * k + 5, k] += 2500
    counts = np.rint(counts)
    inputs = layers.Input((32, 8))
    t = layers.Conv1D(16, 5, padding="same", activation="relu")(layers.BatchNormalization()(inputs))
    t = layers.BatchNormalization()(layers.MaxPooling1D(2)(t))
    t = layers.LSTM(16)(layers.Bidirectional(layers.LSTM(12, return_sequences=True))(t))
    model = keras.Model(inputs, layers.Dense(6, activation="softmax")(t))
    fitted(model, counts[:800], y[:800], "sparse_categorical_crossentropy", 15)
    return Stranger(model, {"x": counts}, y)


def rare_labels(rng: np.random.Generator) -> Stranger:
    """Twelve sigmoids, of which one in forty is true."""
    import keras
    from keras import layers

    x, rows = rng.normal(size=(1200, 40)).astype(np.float32), rng.normal(size=(40, 12))
    y = (x @ rows + rng.normal(size=(1200, 12)) > 12).astype(np.float32)
    model = keras.Sequential(
        [layers.Input((40,)), layers.Dense(64, activation="relu"), layers.Dense(12, activation="sigmoid")]
    )
    return Stranger(fitted(model, x[:800], y[:800], "binary_crossentropy", 30), {"x": x})


def price(rng: np.random.Generator) -> Stranger:
    """One number around 250,000."""
    import keras
    from keras import layers

    x = rng.normal(size=(1200, 10)).astype(np.float32)
    y = 250_000 + 60_000 * np.tanh(x[:, 0] + x[:, 1] * x[:, 2]) + 3000 * rng.normal(size=1200)
    model = keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(1),
        ]
    )
    model.layers[-1].bias.assign([250_000.0])
    model.layers[-1].kernel.assign(30_000 * model.layers[-1].kernel.numpy())
    return Stranger(fitted(model, x[:800], y[:800], "mse", 60, 1e-2), {"x": x})


def autoencoder(rng: np.random.Generator) -> Stranger:
    """24 features from 0.01 to 1000 in size, and the same 24 as output."""
    import keras
    from keras import layers

    size = 10.0 ** rng.uniform(-2, 3, 24)
    z = np.tanh(rng.normal(size=(1200, 4)) @ rng.normal(size=(4, 24)))
    x = ((z + 0.05 * rng.normal(size=z.shape)) * size + 3 * size).astype(np.float32)
    mean, spread = x[:800].mean(axis=0), x[:800].std(axis=0)
    inputs = layers.Input((24,))
    t = layers.Dense(16, activation="relu")(layers.Normalization(mean=mean, variance=spread**2)(inputs))
    t = layers.Dense(16, activation="relu")(layers.Dense(6)(t))
    t = layers.Dense(24)(t)
    fitted(keras.Model(inputs, t), x[:800], (x[:800] - mean) / spread, "mse", 40)
    turned = layers.Normalization(mean=mean, variance=spread**2, invert=True)(t)
    return Stranger(keras.Model(inputs, turned), {"x": x})


def gated_waves(rng: np.random.Generator) -> Stranger:
    """Gated dilated convolutions on acceleration and rotation, whose units differ by 200 times."""
    import keras
    from keras import layers

    y, time = rng.integers(0, 3, 1200), np.arange(128) / 128
    wave = np.sin(2 * np.pi * (3 + 4 * y[:, None]) * time)[..., None]
    x = (wave * [9.8, 0.05] + rng.normal(size=(1200, 128, 2)) * [2.0, 0.02] + [9.8, 0]).astype(np.float32)
    inputs = layers.Input((128, 2))
    t, kept = layers.Conv1D(16, 1)(inputs), []
    for dilation in (1, 2, 4, 8):
        pair = [
            layers.Conv1D(16, 3, dilation_rate=dilation, padding="causal", activation=a)(t)
            for a in ("tanh", "sigmoid")
        ]
        part = layers.Conv1D(16, 1)(layers.Multiply()(pair))
        kept.append(part)
        t = layers.Add()([t, part])
    pooled = layers.GlobalMaxPooling1D()(layers.ReLU()(layers.Add()(kept)))
    model = keras.Model(inputs, layers.Dense(3)(pooled))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Stranger(fitted(model, x[:800], y[:800], loss, 10), {"x": x}, y)


def depth_map(rng: np.random.Generator) -> Stranger:
    """A small U-Net with transposed convolutions that ends in a softplus: metres, a map a photo."""
    import keras
    from keras import layers

    rows = rng.uniform(0, 1, (500, 32, 32))
    smooth = np.stack([[np.convolve(r, np.ones(5) / 5, "same") for r in photo] for photo in rows])
    x = smooth[..., None].repeat(3, axis=-1).astype(np.float32)
    y = 80 * x.mean(axis=-1, keepdims=True) ** 2
    inputs, same = layers.Input((32, 32, 3)), {"padding": "same", "activation": "relu"}
    a = layers.Conv2D(12, 3, **same)(inputs)
    b = layers.Conv2D(24, 3, strides=2, **same)(a)
    t = layers.Conv2D(32, 3, strides=2, **same)(b)
    t = layers.Concatenate()([layers.Conv2DTranspose(24, 3, strides=2, **same)(t), b])
    t = layers.Concatenate()([layers.Conv2DTranspose(12, 3, strides=2, **same)(t), a, inputs])
    model = keras.Model(inputs, layers.Conv2D(1, 3, padding="same", activation="softplus")(t))
    return Stranger(fitted(model, x[:300], y[:300], "mse", 12), {"x": x}, trained=300, given=100)


def large_embedding(rng: np.random.Generator) -> Stranger:
    """Token ids, an embedding of magnitude 30, attention and layer normalisation: a small language model."""
    import keras
    from keras import layers

    y = rng.integers(0, 4, 1200)
    ids = rng.integers(0, 100, (1200, 16))
    for _ in range(3):
        ids[np.arange(1200), rng.integers(0, 16, 1200)] = 100 + 10 * y + rng.integers(0, 10, 1200)
    inputs = layers.Input((16,), dtype="int32")
    t = layers.Embedding(140, 32, embeddings_initializer=keras.initializers.RandomNormal(stddev=30.0))(inputs)
    for _ in range(2):
        normal = layers.LayerNormalization()(t)
        t = layers.Add()([t, layers.MultiHeadAttention(4, 8)(normal, normal)])
        wide = layers.Dense(64, activation="gelu")(layers.LayerNormalization()(t))
        t = layers.Add()([t, layers.Dense(32)(wide)])
    pooled = layers.GlobalMaxPooling1D()(layers.LayerNormalization()(t))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(pooled))
    fitted(model, ids[:800], y[:800], "sparse_categorical_crossentropy", 20, 2e-3)
    return Stranger(model, {"x": ids.astype(np.int32)}, y)


def weather(rng: np.random.Generator) -> Stranger:
    """Five numbers in units of their own, from 1013 hPa to thousandths of a millimetre."""
    import keras
    from keras import layers

    x = rng.normal(size=(1200, 12)).astype(np.float32)
    a, b, c = np.tanh(x[:, 0] + x[:, 1] / 2), np.sin(x[:, 2]) * x[:, 3], np.tanh(x[:, 4] - x[:, 5])
    y = np.stack([1013 + 8 * a, 15 + 10 * b, 0.5 + 0.2 * c, 3 * np.abs(x[:, 6]), 0.001 * (a + c)], axis=1)
    mean, size = y[:800].mean(axis=0), y[:800].std(axis=0)
    model = keras.Sequential(
        [layers.Input((12,)), layers.Dense(64, "elu"), layers.Dense(64, "elu"), layers.Dense(5)]
    )
    fitted(model, x[:800], (y[:800] - mean) / size, "mse", 40)
    units = layers.Rescaling(size.tolist(), mean.tolist())(model.outputs[0])
    return Stranger(keras.Model(model.inputs, units), {"x": x})


STRANGERS: dict[str, Callable[[np.random.Generator], Stranger]] = {
    f.__name__: f
    for f in (
        two_branches,
        counts_in_time,
        rare_labels,
        price,
        autoencoder,
        gated_waves,
        depth_map,
        large_embedding,
        weather,
    )
}


def make(name: str, folder: Path) -> None:
    """Train a network and write it with the samples that it is built and tried with."""
    import keras

    keras.utils.set_random_seed(1)
    made = STRANGERS[name](np.random.default_rng(1))
    first, last = made.trained, made.trained + made.given
    folder.mkdir(parents=True, exist_ok=True)
    labels = {} if made.y is None else {"y": made.y[first:last]}
    np.savez(folder / "data.npz", **{k: v[first:last] for k, v in made.x.items()}, **labels)
    rest = {k: v[last:] for k, v in made.x.items()}
    outputs = made.model.predict(rest if len(rest) > 1 else next(iter(rest.values())), verbose=0)
    truths = {} if made.y is None else {"truth": made.y[last:]}
    np.savez(folder / "test.npz", **{f"in_{k}": v for k, v in rest.items()}, out=outputs, **truths)
    made.model.save(folder / "model.keras")


def answers(built: Built, target: str, test: Arrays) -> np.ndarray:
    """Return the outputs of the file in the bundle, one row a sample."""
    bundle = read_bundle(Path(built.report["targets"][target]["bundle"]))
    inputs = {k[3:]: v for k, v in test.items() if k.startswith("in_")}
    names = [spec.name for spec in bundle.manifest.inputs]
    order = [inputs[name] if len(inputs) > 1 else next(iter(inputs.values())) for name in names]
    runner = Runner(bundle.read("model.tflite"), threads=1)
    rows = zip(*order)
    return np.stack([runner.predict([v[None] for v in row])[0].reshape(-1) for row in rows])


def weakest(real: np.ndarray, found: np.ndarray) -> float:
    """Return the SQNR in dB of the worst column, or over all values where there are many columns."""
    signal, noise = np.square(real), np.square(real - found)
    if real.shape[1] > 32:
        signal, noise = signal.sum(keepdims=True), noise.sum(keepdims=True)
    return float((10 * np.log10(signal.sum(axis=0) / np.maximum(noise.sum(axis=0), 1e-30))).min())


def run(name: str, target: str, work: Path) -> Row:
    """Build a network, made where it is not there, and return its row."""
    folder = work / name
    if not (folder / "model.keras").exists():
        make(name, folder)
    with tempfile.TemporaryDirectory() as scratch, np.load(folder / "test.npz") as arrays:
        test = {k: arrays[k] for k in arrays}
        built = Case(folder, target, Path(scratch)).build()
        if not built.report:
            message = str(built.error.get("message"))[:150]
            return Row(
                name, target, "WRONG", "-", "-", "", round(built.seconds, 1), f"exit {built.code}: {message}"
            )
        real = test["out"].reshape(len(test["out"]), -1).astype(np.float64)
        found = answers(built, target, test)
    noise, method = weakest(real, found), built.report["quantization"]["method"]
    before, after, right = "-", "-", noise >= DECIBELS
    if built.report["outputs"][0]["task"] == "many_labels":
        same = float(((real >= 0.5) == (found >= 0.5)).mean())
        after, right = f"{same:.1%}", same >= 1 - POINTS / 100
    elif "truth" in test:
        shares = [float((v.argmax(axis=1) == test["truth"]).mean()) for v in (real, found)]
        before, after = (f"{share:.1%}" for share in shares)
        right = shares[0] - shares[1] <= POINTS / 100 + 1e-9
    said = next((f["message"] for f in built.findings if f["rule"] == "accuracy-loss"), "")
    verdict = "right" if right or built.warned else "WRONG"
    note = f"{method} {said[:90]}"
    return Row(name, target, verdict, before, after, f"{noise:.1f} dB", round(built.seconds, 1), note)


def main() -> int:
    """Print a row for each network and target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=" ".join(STRANGERS))
    parser.add_argument("--target", action="append", help="rpi (default), mcu; repeatable")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "qedge-strangers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for name in options.names or STRANGERS:
        for target in options.target or ["rpi"]:
            found = run(name, target, options.work.resolve())
            rows.append(found)
            if not options.json:
                print(
                    f"{found.case:16} {target:4} {found.verdict:6} float {found.float_figure:>6} built"
                    f" {found.int8_figure:>6}  worst column {found.worst_output:>8} {found.seconds:6.1f} s "
                    f" {found.note}",
                    flush=True,
                )
    if options.json:
        print(json.dumps([asdict(r) for r in rows], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
