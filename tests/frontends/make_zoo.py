"""Build small models of every kind that a front end meets, with the outputs of the framework that made them.

``python make_zoo.py FOLDER`` runs in a process of its own: it is the only part of the tests that imports
TensorFlow directly. ``truth.npz`` holds ``<model>/in/<name>`` and ``<model>/out/<name>``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

TRUTH: dict[str, np.ndarray] = {}
RNG = np.random.default_rng(0)


def remember(
    name: str, model: Any, inputs: dict[str, np.ndarray], outputs: list[str], call: Any = None
) -> None:
    """Keep a model's inputs and what the framework computes from them."""
    values = list(inputs.values())
    found = call(values) if call else model(values[0] if len(values) == 1 else values, training=False)
    for key, value in inputs.items():
        TRUTH[f"{name}/in/{key}"] = value
    for key, value in zip(outputs, tf.nest.flatten(found)):
        TRUTH[f"{name}/out/{key}"] = np.asarray(value, np.float32)


def noise(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def shake(model: Any) -> Any:
    """Give every weight a value of its own, moving averages included."""
    model.set_weights([w + RNG.uniform(0.05, 0.4, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def cnn(k: Any) -> Any:
    layers = k.layers
    x = inputs = layers.Input((8, 8, 3), name="picture")
    x = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Dropout(0.5)(x)
    x = layers.Flatten()(x)
    return shake(k.Model(inputs, layers.Dense(3, activation="softmax", name="class")(x)))


def keras3(folder: Path) -> None:
    layers = keras.layers
    model = cnn(keras)
    model.save(folder / "cnn3.keras")
    model.save(folder / "cnn3.h5")
    remember("cnn3", model, {"picture": noise(1, 8, 8, 3)}, ["class"])
    model.export(folder / "exported", verbose=False)
    TRUTH.update(
        {k.replace("cnn3/", "exported/").replace("/class", "/output_0"): v for k, v in TRUTH.items()}
    )

    z, a = layers.Input((4,), name="zeta"), layers.Input((3, 2), name="alpha")
    joined = layers.Concatenate()([layers.Dense(3)(z), layers.Flatten()(a)])
    outputs = [layers.Dense(2, name="second")(joined), layers.Dense(5, name="first")(joined)]
    model = shake(keras.Model([z, a], outputs))
    model.save(folder / "several.keras")
    remember("several", model, {"zeta": noise(1, 4), "alpha": noise(1, 3, 2)}, ["second", "first"])

    for name, layer in (
        ("lstm", layers.LSTM(4, return_sequences=True)),
        ("gru", layers.GRU(4)),
        ("both_ways", layers.Bidirectional(layers.LSTM(3))),
        ("simple_rnn", layers.SimpleRNN(3)),
    ):
        model = shake(
            keras.Sequential([layers.Input((5, 3), name="steps"), layer, layers.Dense(2, name="d")])
        )
        model.save(folder / f"{name}.keras")
        remember(name, model, {"steps": noise(1, 5, 3)}, ["d"])

    inner = keras.Sequential([layers.Input((6,)), layers.Dense(4, activation="gelu")], name="inner")
    x = layers.Input((6,), name="v")
    y = layers.LayerNormalization()(inner(layers.Rescaling(0.5, offset=1.0)(x)))
    model = shake(keras.Model(x, {"b": layers.Dense(2, name="two")(y), "a": layers.Dense(1, name="one")(y)}))
    model.save(folder / "nested.keras")
    found = model(np.ones((1, 6), np.float32))
    TRUTH["nested/in/v"] = np.ones((1, 6), np.float32)
    TRUTH.update({f"nested/out/{k}": np.asarray(v) for k, v in found.items()})

    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([layers.Input((6,), name="v"), layers.Dense(4), layers.Dense(2, name="d")])
    keras.config.set_dtype_policy("float32")
    model.save(folder / "half.keras")
    remember_dense(model, "half")

    model = keras.Sequential([layers.Input((None, None, 3), name="any"), layers.Conv2D(2, 3, name="c")])
    model.save(folder / "open.keras")
    remember("open", model, {"any": noise(1, 6, 5, 3)}, ["c"])

    x = layers.Input((4,), dtype="int32", name="ids")
    y = layers.Flatten()(layers.Embedding(10, 3)(x))
    model = shake(keras.Model(x, layers.Dense(2, name="d")(y)))
    model.save(folder / "embedding.keras")
    remember("embedding", model, {"ids": np.array([[1, 9, 0, 3]], np.int32)}, ["d"])

    class Custom(layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2.0

    model = keras.Sequential([layers.Input((3,)), Custom()])
    model.save(folder / "custom.keras")
    keras.Sequential([layers.Input((3,)), layers.Lambda(lambda x: x * 2)]).save(folder / "lambda.keras")
    states = keras.Sequential([layers.Input(batch_shape=(1, 5, 3)), layers.GRU(2, stateful=True)])
    states.save(folder / "stateful.keras")
    a, b = layers.Input((None, 4), name="a"), layers.Input((None, None, 3), name="b")
    flat = [layers.GlobalAveragePooling1D()(a), layers.GlobalAveragePooling2D()(b)]
    keras.Model([a, b], layers.Dense(2, name="d")(layers.Concatenate()(flat))).save(folder / "open_two.keras")
    x = layers.Input((6, 4), name="x")
    found = keras.ops.argmax(layers.Dense(5)(x), axis=-1)
    model = shake(keras.Model(x, found))
    model.save(folder / "largest.keras")
    remember("largest", model, {"x": noise(1, 6, 4)}, ["argmax"])
    x = layers.Input((6, 4), name="x")
    gru = layers.GRU(3, name="reader")
    model = keras.Model(x, gru(layers.Masking(name="holes")(x)))
    model.save(folder / "masked.keras")
    remember(
        "masked", model, {"x": noise(1, 6, 4) * np.float32([[[1], [1], [0], [1], [0], [0]]])}, ["reader"]
    )
    model.export(folder / "exported_loop", verbose=False)
    lookup = layers.StringLookup(vocabulary=["a", "b"])
    keras.Sequential([layers.Input((1,), dtype="string"), lookup]).save(folder / "text.keras")
    cnn(keras).save_weights(folder / "only.weights.h5")


def keras2(folder: Path) -> None:
    model = cnn(tf_keras)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(noise(4, 8, 8, 3), np.zeros(4), verbose=0)
    model.save(folder / "cnn2.h5")
    model.save(folder / "saved2")
    remember("cnn2", model, {"picture": noise(1, 8, 8, 3)}, ["class"])
    TRUTH.update({k.replace("cnn2/", "saved2/"): v for k, v in TRUTH.items() if k.startswith("cnn2/")})
    layers = tf_keras.layers
    x = layers.Input((5, 3), name="steps")
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x) / 2.0
    y = layers.TimeDistributed(layers.Dense(2))(layers.GRU(4, return_sequences=True)(y))
    model = shake(tf_keras.Model(x, layers.Dense(2, name="d")(layers.Flatten()(y))))
    model.save(folder / "recurrent2.h5")
    remember("recurrent2", model, {"steps": noise(1, 5, 3)}, ["d"])
    model.save(folder / "old.keras")
    model.save(folder / "recurrent_saved2")
    for name in ("old", "recurrent_saved2"):
        TRUTH.update({k.replace("recurrent2/", f"{name}/"): v for k, v in truth_of("recurrent2")})

    mark = str(folder / "ran")
    function = eval(f"lambda x: (open({mark!r}, 'w').close(), x)[1]")
    layers_ = [
        layers.Input((4, 3)),
        layers.Lambda(function, output_shape=(4, 3), name="scale"),
        layers.LSTM(2),
    ]
    model = tf_keras.Sequential(layers_)
    model.save(folder / "code2.h5")
    model.save(folder / "code_saved2")
    Path(mark).unlink(missing_ok=True)

    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    x = layers.Input((6,), name="v")
    model = tf_keras.Model(x, layers.Dense(2, name="d")(layers.Dense(4)(x)))
    tf_keras.mixed_precision.set_global_policy("float32")
    model.save(folder / "half2.h5")
    remember_dense(model, "half2")


def truth_of(name: str) -> list[tuple[str, np.ndarray]]:
    return [(k, v) for k, v in TRUTH.items() if k.startswith(f"{name}/")]


def remember_dense(model: Any, name: str) -> None:
    """Keep what two dense layers without bias values compute in float32, whatever their policy."""
    first, second = (layer for layer in model.layers if "Dense" in type(layer).__name__)
    x = TRUTH[f"{name}/in/v"] = noise(1, 6)
    TRUTH[f"{name}/out/d"] = x @ first.kernel.numpy() @ second.kernel.numpy()


class Two(tf.Module):
    """Two signatures, neither the default; one has an open dimension."""

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, "x")])
    def one(self, x: Any) -> Any:
        return {"y": x + 1.0}

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.float32, "x")])
    def two(self, x: Any) -> Any:
        return {"y": tf.reshape(x, [-1, 2, tf.shape(x)[1] // 2])}


class Reaches(tf.Module):
    """A model that reads a file, and one that writes one."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32, "x")])
    def reads(self, x: Any) -> Any:
        return {"y": x + tf.cast(tf.strings.length(tf.io.read_file(self.path)), tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32, "x")])
    def writes(self, x: Any) -> Any:
        tf.io.write_file(self.path, "written")
        return {"y": x * 2.0}


def tflites(folder: Path) -> None:
    reaching = Reaches(str(folder / "reached"))
    for name in ("reads", "writes"):
        tf.saved_model.save(reaching, str(folder / name), signatures=getattr(reaching, name))
    module = Two()
    tf.saved_model.save(module, str(folder / "two"), signatures={"one": module.one, "two": module.two})
    tf.saved_model.save(module, str(folder / "open_saved"), signatures={"serving_default": module.two})
    TRUTH["open_saved/in/x"] = noise(1, 6)
    TRUTH["open_saved/out/y"] = TRUTH["open_saved/in/x"].reshape(1, 2, 3)

    model = keras.models.load_model(folder / "cnn3.keras", compile=False)

    def write(name: str, model: Any, **settings: Any) -> None:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        for key, value in settings.items():
            owner = converter.target_spec if key in ("supported_types", "supported_ops") else converter
            setattr(owner, key, value)
        (folder / name).write_bytes(converter.convert())

    everything = {k: v for k, v in TRUTH.items() if k.startswith("cnn3/")}
    optimize = [tf.lite.Optimize.DEFAULT]
    write("dynamic_batch.tflite", model)
    write("half_weights.tflite", model, optimizations=optimize, supported_types=[tf.float16])
    write("int8.tflite", model, optimizations=optimize, representative_dataset=samples)
    for name in ("dynamic_batch", "half_weights"):
        for k, v in everything.items():
            TRUTH[k.replace("cnn3/", f"{name}/").replace("/class", "/output_0")] = v
    wide = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(64)])
    write("dynamic_range.tflite", wide, optimizations=optimize)
    loop = tf.function(repeat).get_concrete_function(tf.TensorSpec((1, 4), tf.float32))
    (folder / "loop.tflite").write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([loop]).convert())
    angle = keras.Sequential([keras.layers.Input((4,)), Inverse()])
    ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    write("flex.tflite", angle, supported_ops=ops)
    angle.export(folder / "not_in_tflite", verbose=False)


class Inverse(keras.layers.Layer):
    """An operation that TFLite does not have."""

    def call(self, x: Any) -> Any:
        return tf.reshape(tf.linalg.inv(tf.reshape(x, (-1, 2, 2))), (-1, 4))


def repeat(x: Any) -> Any:
    return tf.while_loop(lambda v: tf.reduce_sum(v) < 10.0, lambda v: (v * 2.0 + 1.0,), (x,))[0]


def samples() -> Any:
    for _ in range(3):
        yield [noise(1, 8, 8, 3)]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    keras3(target)
    keras2(target)
    tflites(target)
    np.savez(target / "truth.npz", **TRUTH)
