"""Train the shape detector on scenes that are drawn as it goes; writes ``detector.keras`` and ``labels.txt`` here.

    python examples/detector/train.py

The same seed gives the same weights on the same machine and packages: one thread, operators that add in a fixed order.

An anchor-free net: at each cell of two grids (strides 8 and 16) four distances to the sides of a box, in cells, and a
score a class. It ends with those convolutions: the decoding is in the bundle (``form = "yolov8"``, ``bins = 1``).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from scenes import LABELS, Shape, scene

HERE = Path(__file__).parent
SIDE, STRIDES, FILL = 128, (8, 16), 114
LARGE = 48  # longest side in pixels above which an object is the coarse grid's
CELLS = [SIDE // s for s in STRIDES]
BATCH = 16


def build_model() -> keras.Model:
    """Return the net: images (128, 128, 3) from 0 to 1; outputs boxes and scores of each level."""

    def block(x, channels: int, stride: int = 1):
        short = x
        x = keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.97)(x)
        x = keras.layers.ReLU(6.0)(x)
        x = keras.layers.Conv2D(channels, 1, use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.97)(x)
        x = keras.layers.ReLU(6.0)(x)
        return keras.layers.Add()([short, x]) if stride == 1 and short.shape[-1] == channels else x

    image = keras.Input((SIDE, SIDE, 3), batch_size=None, name="image")
    x = keras.layers.Conv2D(16, 3, 2, "same", use_bias=False)(image)
    x = keras.layers.BatchNormalization(momentum=0.97)(x)
    x = keras.layers.ReLU(6.0)(x)
    x = block(x, 32, 2)
    x = block(block(x, 32), 64, 2)
    fine = block(block(x, 64), 64)
    x = block(fine, 128, 2)
    coarse = block(block(block(x, 128), 128), 128)
    up = keras.layers.UpSampling2D(2)(keras.layers.Conv2D(64, 1, activation="relu")(coarse))
    fine = block(keras.layers.Concatenate()([fine, up]), 96)
    outputs = []
    for level, features in zip(STRIDES, (fine, coarse)):
        for part, channels, start in (("boxes", 4, 1.5), ("scores", len(LABELS), -4.0)):
            branch = block(features, 64)
            bias = keras.initializers.Constant(start)
            outputs.append(
                keras.layers.Conv2D(channels, 1, bias_initializer=bias, name=f"{part}_{level}")(branch)
            )
    return keras.Model(image, [outputs[0], outputs[2], outputs[1], outputs[3]], name="detector")


def example(rng: np.random.Generator) -> tuple[np.ndarray, list[Shape]]:
    """Return a scene within gray bars as the camera app hands it over, and its shapes there."""
    height = int(rng.choice([72, 96, 128]))
    width = SIDE if height < SIDE else int(rng.choice([96, 128]))
    image, shapes = scene(rng, width, height)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    whole = np.full((SIDE, SIDE, 3), FILL, np.uint8)
    whole[top : top + height, left : left + width] = image
    moved = [
        Shape(s.label, (s.box[0] + left, s.box[1] + top, s.box[2] + left, s.box[3] + top)) for s in shapes
    ]
    return whole, moved


def targets(shapes: list[Shape]) -> np.ndarray:
    """Return for every cell of both grids (left, top, right, bottom in pixels, class or -1): (cells, 5)."""
    found = []
    for stride, cells in zip(STRIDES, CELLS):
        table = np.zeros((cells, cells, 5), np.float32)
        table[..., 4] = -1
        middles = (np.arange(cells) + 0.5) * stride
        for label, (left, top, right, bottom) in sorted(shapes, key=lambda s: -(s.box[2] - s.box[0])):
            if (max(right - left, bottom - top) > LARGE) != (stride == STRIDES[1]):
                continue
            x, y, reach = (left + right) / 2, (top + bottom) / 2, 1.25 * stride
            columns = np.flatnonzero((abs(middles - x) < reach) & (middles > left) & (middles < right))
            rows = np.flatnonzero((abs(middles - y) < reach) & (middles > top) & (middles < bottom))
            if len(rows) and len(columns):
                table[rows[:, None], columns] = (left, top, right, bottom, label)
        found.append(table.reshape(-1, 5))
    return np.concatenate(found)


MIDDLES = np.concatenate(
    [
        np.stack(np.meshgrid((np.arange(n) + 0.5) * s, (np.arange(n) + 0.5) * s), axis=-1).reshape(-1, 2)
        for s, n in zip(STRIDES, CELLS)
    ]
).astype(np.float32)
STEPS = np.repeat(np.array(STRIDES, np.float32), [n * n for n in CELLS])[:, None]


def loss_of(outputs: list[tf.Tensor], wanted: tf.Tensor) -> tf.Tensor:
    """Return quality focal loss of the scores and the distance of overlap (GIoU) of the boxes."""
    count = tf.shape(wanted)[0]
    boxes = tf.concat([tf.reshape(o, (count, -1, 4)) for o in outputs[:2]], 1)
    scores = tf.concat([tf.reshape(o, (count, -1, len(LABELS))) for o in outputs[2:]], 1)
    low, high = MIDDLES - boxes[..., :2] * STEPS, MIDDLES + boxes[..., 2:] * STEPS
    there = tf.cast(wanted[..., 4] >= 0, tf.float32)
    true_low, true_high = wanted[..., :2], wanted[..., 2:4]
    shared = tf.reduce_prod(tf.maximum(tf.minimum(high, true_high) - tf.maximum(low, true_low), 0.0), -1)
    area = tf.reduce_prod(tf.maximum(high - low, 0.0), -1)
    union = area + tf.reduce_prod(true_high - true_low, -1) - shared
    hull = tf.reduce_prod(tf.maximum(high, true_high) - tf.minimum(low, true_low), -1)
    iou = tf.math.divide_no_nan(shared, union)
    giou = iou - tf.math.divide_no_nan(hull - union, hull)
    positives = tf.maximum(tf.reduce_sum(there), 1.0)
    quality = tf.one_hot(tf.cast(wanted[..., 4], tf.int32), len(LABELS)) * tf.stop_gradient(iou)[..., None]
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(quality, scores)
    focal = tf.reduce_sum(tf.square(quality - tf.sigmoid(scores)) * entropy)
    return (focal + 2.0 * tf.reduce_sum((1.0 - giou) * there)) / positives


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--scenes", type=int, default=8000, help="drawn before; each is seen several times")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--resume", type=Path, help="go on with the weights of this model")
    parser.add_argument("--out", type=Path, default=HERE / "detector.keras")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    drawn = [example(rng) for _ in range(options.scenes)]
    images = np.stack([image for image, _ in drawn])
    wanted = np.stack([targets(shapes) for _, shapes in drawn])
    mirrored = np.stack(
        [targets([Shape(s.label, (SIDE - s.box[2], s.box[1], SIDE - s.box[0], s.box[3])) for s in shapes])
         for _, shapes in drawn]
    )  # fmt: skip
    print(f"{len(images)} scenes drawn", flush=True)
    model = build_model()
    if options.resume:
        model.set_weights(keras.models.load_model(options.resume, compile=False).get_weights())
    print(f"{model.count_params()} parameters", flush=True)
    optimizer = keras.optimizers.AdamW(options.rate, weight_decay=1e-4, clipnorm=10.0)
    kept = [tf.Variable(w) for w in model.weights]

    @tf.function(reduce_retracing=True)
    def step(batch: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(model(tf.cast(batch, tf.float32) / 255.0, training=True), truth)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        for mean, weight in zip(kept, model.weights):
            mean.assign_add(0.005 * (tf.convert_to_tensor(weight) - mean))
        return loss

    began, losses = time.process_time(), []
    for done in range(options.steps):
        warm = min(1.0, (done + 1) / 100)
        optimizer.learning_rate.assign(options.rate * warm * 0.5 * (1 + np.cos(np.pi * done / options.steps)))
        chosen = rng.integers(0, len(images), BATCH)
        turned = rng.random() < 0.5
        batch = images[chosen][:, :, ::-1] if turned else images[chosen]
        losses.append(float(step(batch, (mirrored if turned else wanted)[chosen])))
        if (done + 1) % 100 == 0:
            passed = (time.process_time() - began) / 60
            print(f"step {done + 1}: loss {np.mean(losses[-100:]):.3f}, {passed:.1f} CPU min", flush=True)
    for weight, mean in zip(model.weights, kept):
        weight.assign(mean)
    model.save(options.out)
    (HERE / "labels.txt").write_text("\n".join(LABELS) + "\n")


if __name__ == "__main__":
    main()
