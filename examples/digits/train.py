"""Train the digit spotter: ``python train.py --fsdd recordings.tar.gz`` writes ``digits.keras``.

Needs qedge[keras] and espeak-ng (Debian: ``apt-get install espeak-ng``). About 20 minutes of processor time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import numpy.typing as npt
from scenes import IGNORE, make_scene, window_labels
from speech import (
    CLIP_VOICES,
    DIGITS,
    LABELS,
    RATE,
    TEST_SPEAKERS,
    TEST_VOICES,
    UNKNOWN,
    UNSEEN_WORDS,
    Word,
    espeak,
    fsdd,
    varied,
)

from qedge.processing.log_mel_int import LogMelInt

HERE = Path(__file__).parent
FRAMES, MELS, HOP, WINDOW = 49, 32, 320, 512
FRONT_END = LogMelInt(sample_rate=RATE, window=WINDOW, hop=HOP, n_fft=512, mels=MELS, fmin=60, fmax=4000)
MEAN, STD = 10.0, 5.0
CLIP = WINDOW + (FRAMES - 1) * HOP
STEPS, BATCH = 400, 128

Features = npt.NDArray[np.int16]
Part = tuple[Features, npt.NDArray[np.int64], npt.NDArray[np.int64]]


class Windows:
    """Frames of many scenes end to end, and the windows of them that have a label."""

    def __init__(self, words: list[Word], babble: list[Word], snr_db: tuple[float, float], seed: int):
        order = np.random.default_rng(seed).permutation(len(words))
        groups = [[words[i] for i in order[first : first + 12]] for first in range(0, len(words), 12)]
        _shared.update(groups=groups, babble=babble, snr_db=snr_db, seed=seed)
        # Forked, so that the words need not travel; each scene has its own generator, so their order is no matter.
        with multiprocessing.get_context("fork").Pool(2) as pool:
            parts = pool.map(_scene_windows, range(len(groups)), chunksize=8)
        offsets = np.cumsum([0, *(features.shape[0] for features, _, _ in parts)])
        self.frames: Features = np.concatenate([features for features, _, _ in parts])
        self.starts = np.concatenate([begin + offset for (_, begin, _), offset in zip(parts, offsets)])
        self.labels = np.concatenate([label for _, _, label in parts])

    def draw(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return ``count`` indices of windows: digits alike, "unknown" and "silence" more often."""
        weights = np.array([1.0] * len(DIGITS) + [4.0, 1.5])
        chosen = rng.choice(len(LABELS), count, p=weights / weights.sum())
        index = np.zeros(count, np.int64)
        for label in range(len(LABELS)):
            index[chosen == label] = rng.choice(np.flatnonzero(self.labels == label), (chosen == label).sum())
        return index

    def batch(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return ``(n, frames, mels, 1)`` float32 in the model's units."""
        rows = self.starts[index][:, None] + np.arange(FRAMES)
        return normalise(self.frames[rows])


_shared: dict[str, object] = {}


def _scene_windows(number: int) -> Part:
    rng = np.random.default_rng([_shared["seed"], number])
    scene = make_scene(
        _shared["groups"][number], _shared["babble"], rng, snr_db=rng.uniform(*_shared["snr_db"])
    )
    features = FRONT_END.frames(scene.pcm)
    begin = np.arange(features.shape[0] - FRAMES + 1)
    label = window_labels(scene, begin * HOP, CLIP)
    keep = label != IGNORE
    return features, begin[keep], label[keep]


def normalise(features: Features) -> npt.NDArray[np.float32]:
    return ((features.astype(np.float32) / 256 - np.float32(MEAN)) / np.float32(STD))[..., None]


def mask(batch: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Hide a band of mels in half of the windows and some frames in a quarter; shift the level of all."""
    batch = batch + rng.uniform(-0.3, 0.3, (batch.shape[0], 1, 1, 1)).astype(np.float32)
    for row in np.flatnonzero(rng.random(batch.shape[0]) < 0.5):
        low = rng.integers(0, MELS - 4)
        batch[row, :, low : low + rng.integers(1, 6)] = batch[row].min()
    for row in np.flatnonzero(rng.random(batch.shape[0]) < 0.25):
        first = rng.integers(0, FRAMES - 3)
        batch[row, first : first + rng.integers(1, 4)] = batch[row].min()
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
    for channels, stride in ((48, 2), (72, 1), (72, 1), (112, 2), (112, 1), (112, 1)):
        x = block(x, channels, stride)
    x = layers.AveragePooling2D(x.shape[1:3])(x)
    x = layers.Reshape((x.shape[-1],))(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(len(LABELS), activation="softmax", name="scores")(x)
    return keras.Model(inputs, outputs, name="digits")


def gather(archive: Path, seed: int, threads: int) -> tuple[list[Word], list[Word]]:
    """Return the words to train on and those for the noise of many voices."""
    recorded = list(fsdd(archive, test=False))
    spoken = varied(240, 6, np.random.default_rng(seed), threads=threads)
    # Reversed digits are human speech that is no digit; the data set has no other words.
    reversed_digits = [Word(UNKNOWN, w.samples[::-1], w.speaker) for w in recorded[::2]]
    return recorded * 3 + spoken + reversed_digits, [w for w in spoken if w.label == UNKNOWN]


def accuracy(model, windows: Windows, count: int) -> tuple[float, dict[str, float]]:
    """Return the mean of the classes, and each class's share of windows recognised."""
    index = np.random.default_rng(1).permutation(windows.starts.size)[:count]
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
    parser.add_argument("--epochs", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="file to keep the prepared sound in between runs")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    options = parser.parse_args()

    began = time.monotonic()
    train, progress, tests = cached(
        options.cache, lambda: prepare(options.fsdd, options.seed, options.threads)
    )
    print(f"{train.starts.size} windows after {time.monotonic() - began:.0f} s", flush=True)

    # TensorFlow starts threads, which a fork would lose: only now.
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    keras.utils.set_random_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    model = build_model()
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, options.epochs * STEPS - STEPS, 3e-3, warmup_target=options.rate, warmup_steps=STEPS
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.05)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss)
    targets = np.eye(len(LABELS), dtype=np.float32)
    for epoch in range(options.epochs):
        losses = []
        for part in train.draw(STEPS * BATCH, rng).reshape(STEPS, BATCH):
            model.reset_metrics()
            losses.append(model.train_on_batch(mask(train.batch(part), rng), targets[train.labels[part]]))
        score = accuracy(model, progress, 1000)[0]
        now = time.monotonic() - began
        print(f"epoch {epoch} loss {np.mean(losses):.4f} accuracy {score:.3f} {now:.0f} s", flush=True)
        save(model, options.out)
    print(json.dumps({name: accuracy(model, windows, 5000) for name, windows in tests.items()}, indent=1))
    (HERE / "labels.txt").write_text("\n".join(LABELS) + "\n")


def save(model, path: Path) -> None:
    """Write the model without its optimiser."""
    bare = build_model()
    bare.set_weights(model.get_weights())
    bare.save(path)


def prepare(archive: Path, seed: int, threads: int) -> tuple[Windows, Windows, dict[str, Windows]]:
    """Return windows to learn from, to watch the progress with, and, of unseen speakers and voices, to test with."""
    words, others = gather(archive, seed, threads)
    print(f"{len(words)} words", flush=True)
    rng = np.random.default_rng(seed + 1)
    watched = list(espeak(CLIP_VOICES, (*DIGITS, *UNSEEN_WORDS[:4]), rng))
    tests = {
        f"fsdd {' and '.join(TEST_SPEAKERS)}": list(fsdd(archive, test=True)),
        "espeak-ng, unseen voices": list(espeak(TEST_VOICES, (*DIGITS, *DIGITS, *UNSEEN_WORDS), rng)),
    }
    return (
        Windows(words, others, (3.0, 33.0), seed),
        Windows(watched, others, (15.0, 15.0), seed + 2),
        {name: Windows(spoken, others, (15.0, 15.0), seed + 3) for name, spoken in tests.items()},
    )


def cached(path: Path | None, make):
    """Return ``make()``, kept in ``path`` as a pickle of our own making where one is given."""
    import pickle

    if path is None:
        return make()
    if not path.exists():
        path.write_bytes(pickle.dumps(make()))
    return pickle.loads(path.read_bytes())


if __name__ == "__main__":
    main()
