"""Train the object classifier: ``python train.py --data DIR`` writes ``objects.keras``.

``DIR`` holds CIFAR-10 as images: ``train/<class>/*.jpg`` (or ``train.tar.gz`` of it) and ``test/<class>/*.jpg``.
Needs qedge[keras].
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers
from PIL import Image

HERE = Path(__file__).parent
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE, SMALL, PAD = 32, 24, 4
BATCH, SMOOTHING, WEIGHT_DECAY = 128, 0.1, 5e-3

Images = npt.NDArray[np.uint8]  # (n, 32, 32, 3)
Labels = npt.NDArray[np.int64]


class FusedNormalization(layers.BatchNormalization):
    """Batch normalisation in TensorFlow's one-pass kernel while training: a fifth faster, the same weights."""

    def call(self, inputs, training=None, mask=None):
        if not training:
            return super().call(inputs)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
        )
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return outputs


def build_model(size: int = SIZE, norm: type = layers.BatchNormalization, scores: bool = True) -> keras.Model:
    """Return the network; the same weights fit every ``size`` that is a multiple of 8."""

    def conv(x, channels: int, kernel: int = 3, stride: int = 1):
        x = layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False)(x)
        return layers.ReLU()(norm(momentum=0.95)(x))

    def residual(x):
        return layers.Add()([x, conv(conv(x, x.shape[-1]), x.shape[-1])])

    image = keras.Input((size, size, 3), name="image")
    x = residual(conv(image, 48, kernel=5, stride=2))
    x = residual(conv(x, 80, stride=2))
    x = layers.GlobalAveragePooling2D()(conv(x, 112, stride=2))
    outputs = layers.Dense(len(LABELS), activation="softmax" if scores else None, name="scores")(x)
    return keras.Model(image, outputs, name="objects")


def read_images(data: Path, part: str) -> tuple[Images, Labels]:
    """Return the images and class indices of ``data/part/<class>/``, or of ``data/part.tar.gz``."""
    found: list[tuple[str, bytes]] = []
    if (data / part).is_dir():
        found = [(str(p.relative_to(data)), p.read_bytes()) for p in (data / part).glob("*/*.jpg")]
    else:
        with tarfile.open(data / f"{part}.tar.gz") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".jpg"):
                    found.append((member.name, archive.extractfile(member).read()))
    found.sort()
    images = np.stack([np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) for _, jpeg in found])
    return images, np.array([LABELS.index(Path(name).parent.name) for name, _ in found])


def boxes(count: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return what to cut from each padded image, as ``crop_and_resize`` takes it.

    Half are moved by whole pixels, half also scaled from 0.8 to 1.1; every second one is mirrored.
    """
    scaled = rng.random(count) < 0.5
    extent = np.where(scaled, rng.uniform(0.8, 1.1, count), 1.0) * SIZE - 1
    centre = rng.integers(-3, 4, (2, count)) + (SIZE + 2 * PAD - 1) / 2
    top, left = centre - extent / 2
    bottom, right = centre + extent / 2
    mirrored = rng.random(count) < 0.5
    left, right = np.where(mirrored, right, left), np.where(mirrored, left, right)
    return (np.stack([top, left, bottom, right], axis=1) / (SIZE + 2 * PAD - 1)).astype(np.float32)


def batches(
    images: Images, labels: Labels, rng: np.random.Generator
) -> Iterator[tuple[Images, Labels, object]]:
    order = rng.permutation(len(images))
    for first in range(0, len(order) - BATCH + 1, BATCH):
        chosen = order[first : first + BATCH]
        yield images[chosen], labels[chosen], boxes(BATCH, rng)


class Trainer:
    """Nesterov momentum, and a running average of the weights: the average is what is kept."""

    def __init__(self, model: keras.Model):
        self.model = model
        self.optimizer = keras.optimizers.SGD(0.0, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY)
        self.optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        self.optimizer.build(model.trainable_variables)
        self.average = [tf.Variable(w) for w in model.weights]
        self.rate = tf.Variable(0.0)
        self.step = tf.function(self._step)

    def _step(self, images, labels, cuts, size: int):
        self.optimizer.learning_rate.assign(self.rate)
        cut = tf.image.crop_and_resize(images, cuts, tf.range(BATCH), (size, size)) / 127.5 - 1.0
        wanted = tf.one_hot(labels, len(LABELS)) * (1 - SMOOTHING) + SMOOTHING / len(LABELS)
        with tf.GradientTape() as tape:
            logits = self.model(cut, training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        for mean, now in zip(self.average, self.model.weights):
            mean.assign(mean + 0.005 * (tf.convert_to_tensor(now) - mean))
        return loss


def learning_rate(epoch: float, epochs: int | None, options: argparse.Namespace) -> float:
    """Return the rate: up over one epoch, level, and down in a line over the last ``--decay`` epochs.

    What goes on with a model starts at the top.
    """
    left = options.decay if epochs is None else max(0.0, epochs - epoch)
    rise = 1.0 if options.resume else min(1.0, epoch + 0.05)
    return options.rate * min(rise, left / options.decay)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of train/ or train.tar.gz, and test/"
    )
    parser.add_argument("--out", type=Path, default=HERE / "objects.keras")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--minutes", type=float, help="instead of --epochs: as many as fit; says how many")
    parser.add_argument("--small", type=int, default=7, help="first epochs at 24 instead of 32 pixels")
    parser.add_argument("--decay", type=int, default=9, help="last epochs, over which the rate falls to 0")
    parser.add_argument("--resume", type=Path, help="go on with the weights of this model")
    parser.add_argument("--rate", type=float, default=0.1, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=2025)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    options = parse()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    began = time.monotonic()
    images, labels = read_images(options.data, "train")
    tests, wanted = read_images(options.data, "test")
    print(f"{len(images)} images to train, {len(tests)} to test", flush=True)
    around = ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0))
    images = np.pad(images, around, mode="reflect")

    # With two spatial sizes unknown, one model takes both.
    trained = build_model(None, FusedNormalization, scores=False)
    if options.resume:
        trained.set_weights(keras.models.load_model(options.resume, compile=False).get_weights())
    trainer = Trainer(trained)
    kept = build_model()
    epochs = None if options.minutes else options.epochs
    steps, epoch = len(images) // BATCH, 0
    while epochs is None or epoch < epochs:
        size, losses, start = SMALL if epoch < options.small else SIZE, [], time.monotonic()
        for step, batch in enumerate(batches(images, labels, rng)):
            trainer.rate.assign(learning_rate(epoch + step / steps, epochs, options))
            losses.append(trainer.step(*batch, size))
        epoch += 1
        took = time.monotonic() - start
        kept.set_weights([w.numpy() for w in trainer.average])
        kept.save(options.out)
        scores = kept.predict(tests.astype(np.float32) / 127.5 - 1, batch_size=250, verbose=0)
        right = float(np.mean(np.argmax(scores, axis=1) == wanted))
        print(
            f"epoch {epoch} of {epochs or '?'}: loss {np.mean(losses[-100:]):.4f}, test accuracy {right:.4f},"
            f" {took:.0f} s, {(time.monotonic() - began) / 60:.1f} min",
            flush=True,
        )
        full = took if size == SIZE else took * (SIZE / SMALL) ** 2
        if (
            epochs is None
            and (time.monotonic() - began) / 60 + full / 60 * (options.decay + 1) > options.minutes
        ):
            epochs = epoch + options.decay
            print(f"the same again: --epochs {epochs}", flush=True)
    (HERE / "labels.txt").write_text("\n".join(LABELS) + "\n")


if __name__ == "__main__":
    main()
