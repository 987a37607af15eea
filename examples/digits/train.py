"""Train the digit spotter: ``python train.py --fsdd recordings.tar.gz`` writes ``digits.keras``.

Needs qedge[keras] and espeak-ng (Debian: ``apt-get install espeak-ng``). About 20 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import numpy.typing as npt
from scenes import IGNORE, make_scene, window_labels
from speech import (
    DIGITS,
    LABELS,
    OTHER_WORDS,
    RATE,
    TEST_SPEAKERS,
    TEST_VOICES,
    TRAIN_VOICES,
    UNKNOWN,
    UNSEEN_WORDS,
    Word,
    espeak,
    fsdd,
)

from qedge.processing.log_mel_int import LogMelInt

HERE = Path(__file__).parent
FRAMES, MELS, HOP, WINDOW = 49, 32, 320, 512
FRONT_END = LogMelInt(sample_rate=RATE, window=WINDOW, hop=HOP, n_fft=512, mels=MELS, fmin=60, fmax=4000)
MEAN, STD = 10.0, 5.0
CLIP = WINDOW + (FRAMES - 1) * HOP

Features = npt.NDArray[np.int16]


class Windows:
    """Frames of many scenes end to end, and the windows of them that have a label."""

    def __init__(
        self, words: list[Word], babble: list[Word], rng: np.random.Generator, snr_db: tuple[float, float]
    ):
        frames, starts, labels, offset = [], [], [], 0
        order = rng.permutation(len(words))
        for first in range(0, len(words), 12):
            group = [words[i] for i in order[first : first + 12]]
            scene = make_scene(group, babble, rng, snr_db=rng.uniform(*snr_db))
            features = FRONT_END.frames(scene.pcm)
            begin = np.arange(features.shape[0] - FRAMES + 1)
            label = window_labels(scene, begin * HOP, CLIP)
            keep = label != IGNORE
            frames.append(features)
            starts.append(begin[keep] + offset)
            labels.append(label[keep])
            offset += features.shape[0]
        self.frames: Features = np.concatenate(frames)
        self.starts, self.labels = np.concatenate(starts), np.concatenate(labels)

    def draw(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return ``count`` indices of windows: digits alike, "unknown" and "silence" more often."""
        weights = np.array([1.0] * len(DIGITS) + [4.0, 2.0])
        quota = (count * weights / weights.sum()).astype(int)
        chosen = [rng.choice(np.flatnonzero(self.labels == i), n) for i, n in enumerate(quota)]
        return rng.permutation(np.concatenate(chosen))

    def batch(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return ``(n, frames, mels, 1)`` float32 in the model's units."""
        rows = self.starts[index][:, None] + np.arange(FRAMES)
        return normalise(self.frames[rows])


def normalise(features: Features) -> npt.NDArray[np.float32]:
    return ((features.astype(np.float32) / 256 - np.float32(MEAN)) / np.float32(STD))[..., None]


def mask(batch: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Hide a band of mels in a third of the windows, and shift the level of all."""
    batch = batch + rng.uniform(-0.3, 0.3, (batch.shape[0], 1, 1, 1)).astype(np.float32)
    for row in np.flatnonzero(rng.random(batch.shape[0]) < 0.33):
        low = rng.integers(0, MELS - 4)
        batch[row, :, low : low + rng.integers(1, 5)] = batch[row].min()
    return batch


def build_model():
    import keras
    from keras import layers

    def block(x, channels, stride):
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))
        x = layers.Conv2D(channels, 1, use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))

    x = inputs = keras.Input((FRAMES, MELS, 1), name="features")
    x = layers.Conv2D(24, 5, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))
    for channels, stride in ((40, 2), (64, 1), (64, 1), (96, 2), (96, 1)):
        x = block(x, channels, stride)
    x = layers.AveragePooling2D(x.shape[1:3])(x)
    x = layers.Reshape((x.shape[-1],))(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(len(LABELS), activation="softmax", name="scores")(x)
    return keras.Model(inputs, outputs, name="digits")


def gather(archive: Path, rng: np.random.Generator) -> tuple[list[Word], list[Word]]:
    """Return the words to train on and those for the noise of many voices."""
    recorded = list(fsdd(archive, test=False))
    digits = list(espeak(TRAIN_VOICES, DIGITS, rng, repeats=3))
    others = list(espeak(TRAIN_VOICES[::2], OTHER_WORDS, rng))
    # Reversed digits are human speech that is no digit; the data set has no other words.
    reversed_digits = [Word(UNKNOWN, w.samples[::-1], w.speaker) for w in recorded[::4]]
    return recorded * 2 + digits + others + reversed_digits, others


def accuracy(model, windows: Windows, rng: np.random.Generator) -> tuple[float, dict[str, float]]:
    index = rng.permutation(windows.starts.size)[:2500]
    predicted = np.argmax(model.predict(windows.batch(index), batch_size=512, verbose=0), axis=1)
    right = predicted == windows.labels[index]
    by_class = {name: float(right[windows.labels[index] == i].mean()) for i, name in enumerate(LABELS)}
    return float(np.mean(list(by_class.values()))), by_class


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--fsdd", type=Path, required=True, help="recordings.tar.gz of the Free Spoken Digit Dataset"
    )
    parser.add_argument("--out", type=Path, default=HERE / "digits.keras")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--passes", type=int, default=2, help="times each word is placed in a scene")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="folder to keep the words in between runs")
    parser.add_argument("--resume", type=Path, help="go on with the weights of this model")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--rate", type=float, default=2.5e-3, help="highest learning rate")
    options = parser.parse_args()

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    rng = np.random.default_rng(options.seed)
    keras.utils.set_random_seed(options.seed)
    began = time.monotonic()
    words, others = cached(options.cache, "train", lambda: gather(options.fsdd, rng))
    tests = cached(options.cache, "test", lambda: test_words(options.fsdd, rng))
    print(f"{len(words)} words after {time.monotonic() - began:.0f} s", flush=True)
    train = Windows(words * options.passes, others, rng, (4.0, 36.0))
    held_out = {name: Windows(spoken, others, rng, (15.0, 15.0)) for name, spoken in tests.items()}
    print(f"{train.starts.size} windows after {time.monotonic() - began:.0f} s", flush=True)

    model = build_model()
    if options.resume:
        model.set_weights(keras.models.load_model(options.resume, compile=False).get_weights())
    steps, size = 400, 128
    schedule = keras.optimizers.schedules.CosineDecay(options.rate, options.epochs * steps, 5e-3)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.05)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss)
    targets = np.eye(len(LABELS), dtype=np.float32)
    for epoch in range(options.epochs):
        losses = []
        for part in np.split(train.draw(steps * size, rng)[: steps * size // size * size - size], steps - 1):
            losses.append(model.train_on_batch(mask(train.batch(part), rng), targets[train.labels[part]]))
        scores = {
            name: round(accuracy(model, w, np.random.default_rng(1))[0], 4) for name, w in held_out.items()
        }
        print(
            f"epoch {epoch} loss {np.mean(losses[-100:]):.4f} {scores} {time.monotonic() - began:.0f} s",
            flush=True,
        )
        save(model, options.out)
    result = {name: accuracy(model, w, np.random.default_rng(1)) for name, w in held_out.items()}
    print(json.dumps(result, indent=1))
    (HERE / "labels.txt").write_text("\n".join(LABELS) + "\n")


def save(model, path: Path) -> None:
    """Write the model without its optimiser."""
    bare = build_model()
    bare.set_weights(model.get_weights())
    bare.save(path)


def test_words(archive: Path, rng: np.random.Generator) -> dict[str, list[Word]]:
    """Return the words of speakers and voices that the training has not heard."""
    spoken = list(espeak(TEST_VOICES, (*DIGITS, *DIGITS, *UNSEEN_WORDS), rng))
    return {
        f"fsdd {' and '.join(TEST_SPEAKERS)}": list(fsdd(archive, test=True)),
        "espeak-ng, unseen voices": spoken,
    }


def cached(folder: Path | None, name: str, make):
    """Return ``make()``, kept in ``folder`` as a pickle of our own making where one is given."""
    import pickle

    if folder is None:
        return make()
    path = folder / f"{name}.pickle"
    if not path.exists():
        path.write_bytes(pickle.dumps(make()))
    return pickle.loads(path.read_bytes())


if __name__ == "__main__":
    main()
