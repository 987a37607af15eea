"""Train the digit spotter: ``python train.py --fsdd recordings.tar.gz`` writes ``digits.keras``.

Needs qedge[keras], espeak-ng and flite (Debian: ``apt-get install espeak-ng flite``). About 80 minutes on one core.
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
    FLITE_VOICES,
    FLITE_WATCHED,
    LABELS,
    OTHER_WORDS,
    RATE,
    TEST_SPEAKERS,
    TEST_VOICES,
    UNKNOWN,
    UNSEEN_WORDS,
    Word,
    espeak,
    flite,
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
# How much of a digit must be in a window for it to count: first all, so that the model learns whole words. Then less,
# so that it is right about those that are not over yet.
ENOUGH = (1.0, 0.85)

Features = npt.NDArray[np.int16]
Labels = npt.NDArray[np.int64]
Part = tuple[Features, npt.NDArray[np.int64], tuple[Labels, ...]]


class Windows:
    """Frames of many scenes end to end, and the labels of their windows: one array for each of `ENOUGH`."""

    def __init__(
        self,
        words: list[Word],
        babble: list[Word],
        snr_db: tuple[float, float],
        seed: int,
        *,
        keywords: int = len(DIGITS),
    ):
        self.keywords = keywords
        order = np.random.default_rng(seed).permutation(len(words))
        groups = [[words[i] for i in order[first : first + 12]] for first in range(0, len(words), 12)]
        _shared.update(groups=groups, babble=babble, snr_db=snr_db, seed=seed, keywords=keywords)
        # Forked, so that the words need not travel; each scene has its own generator, so their order is no matter.
        with multiprocessing.get_context("fork").Pool(2) as pool:
            parts = pool.map(_scene_windows, range(len(groups)), chunksize=8)
        offsets = np.cumsum([0, *(features.shape[0] for features, _, _ in parts)])
        self.frames: Features = np.concatenate([features for features, _, _ in parts])
        self.starts = np.concatenate([begin + offset for (_, begin, _), offset in zip(parts, offsets)])
        self.labels = tuple(np.concatenate(same) for same in zip(*(labels for _, _, labels in parts)))

    def draw(self, count: int, labels: Labels, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return ``count`` indices of windows: keywords alike, "unknown" and "silence" more often."""
        weights = np.array([1.0] * self.keywords + [0.4 * self.keywords, 0.15 * self.keywords])
        chosen = rng.choice(weights.size, count, p=weights / weights.sum())
        index = np.zeros(count, np.int64)
        for label in range(weights.size):
            index[chosen == label] = rng.choice(np.flatnonzero(labels == label), (chosen == label).sum())
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
    keywords = _shared["keywords"]
    labels = [window_labels(scene, begin * HOP, CLIP, enough=enough, keywords=keywords) for enough in ENOUGH]
    keep = np.any(np.array(labels) != IGNORE, axis=0)
    return features, begin[keep], tuple(label[keep] for label in labels)


def normalise(features: Features) -> npt.NDArray[np.float32]:
    return ((features.astype(np.float32) / 256 - np.float32(MEAN)) / np.float32(STD))[..., None]


def disturb(batch: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return the windows as another microphone and throat would give them, with parts hidden.

    The level and the response over the mels (a random line of six points, 3 dB) change in all windows; in half of
    them the mels are bent (half a mel), in half a band of mels is hidden, in a quarter some frames.
    """
    count = batch.shape[0]
    mels = np.arange(MELS)
    points = np.linspace(0, MELS - 1, 6)
    upper = np.clip(np.searchsorted(points, mels), 1, 5)
    share = ((mels - points[upper - 1]) / (points[1] - points[0])).astype(np.float32)

    def lines(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        return (values[:, upper - 1] * (1 - share) + values[:, upper] * share).astype(np.float32)

    bend = lines(rng.normal(0, 0.35, (count, 6)) + rng.normal(0, 0.4, (count, 1))) * (
        rng.random((count, 1)) < 0.5
    )
    place = np.clip(mels + bend, 0, MELS - 1).astype(np.float32)
    low = np.minimum(place.astype(np.int64), MELS - 2)[:, None, :, None]
    part = place[:, None, :, None] - low
    batch = np.take_along_axis(batch, low, 2) * (1 - part) + np.take_along_axis(batch, low + 1, 2) * part
    level = rng.uniform(-0.3, 0.3, (count, 1)) + rng.normal(0, 0.2, (count, 6))
    batch = (batch + lines(level)[:, None, :, None]).astype(np.float32)
    for row in np.flatnonzero(rng.random(batch.shape[0]) < 0.5):
        low = rng.integers(0, MELS - 4)
        batch[row, :, low : low + rng.integers(1, 6)] = batch[row].min()
    for row in np.flatnonzero(rng.random(batch.shape[0]) < 0.25):
        first = rng.integers(0, FRAMES - 3)
        batch[row, first : first + rng.integers(1, 4)] = batch[row].min()
    return batch


def build_model(labels: int = len(LABELS)):
    import keras
    from keras import layers

    def block(x, channels, stride):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))
        if stride > 1:
            # Not a stride of the convolution: what that skips depends on where in the window a word lies.
            x = layers.AveragePooling2D(stride, padding="same")(x)
        x = layers.Conv2D(channels, 1, use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))

    x = inputs = keras.Input((FRAMES, MELS, 1), name="features")
    x = layers.Conv2D(24, 5, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))
    for channels, stride in ((48, 2), (72, 1), (72, 1)):
        x = block(x, channels, stride)
    # Fewer mels but no fewer steps in time: a word's scores must not depend on where it lies in the window.
    x = layers.AveragePooling2D((1, 2))(x)
    for channels in (112, 112, 112):
        x = block(x, channels, 1)
    x = layers.AveragePooling2D(x.shape[1:3])(x)
    x = layers.Reshape((x.shape[-1],))(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(labels, activation="softmax", name="scores")(x)
    return keras.Model(inputs, outputs, name="digits")


def gather(archive: Path, seed: int, threads: int) -> tuple[list[Word], list[Word]]:
    """Return the words to train on and those for the noise of many voices."""
    recorded = list(fsdd(archive, test=False))
    spoken = varied(300, 6, np.random.default_rng(seed), threads=threads)
    joined = list(
        flite(FLITE_VOICES, (*DIGITS, *OTHER_WORDS[::6]), np.random.default_rng(seed + 4), repeats=24)
    )
    # Reversed digits are human speech that is no digit; the data set has no other words.
    reversed_digits = [Word(UNKNOWN, w.samples[::-1], w.speaker) for w in recorded[::2]]
    others = [w for w in spoken + joined if w.label == UNKNOWN]
    return recorded * 8 + (spoken + joined + reversed_digits) * 2, others


def accuracy(model, windows: Windows, count: int) -> tuple[float, dict[str, float]]:
    """Return the mean of the classes, and each class's share of windows recognised."""
    index = np.random.default_rng(1).permutation(np.flatnonzero(windows.labels[0] != IGNORE))[:count]
    labels = windows.labels[0][index]
    right = np.argmax(model.predict(windows.batch(index), batch_size=512, verbose=0), axis=1) == labels
    by_class = {name: float(right[labels == i].mean()) for i, name in enumerate(LABELS)}
    return float(np.mean(list(by_class.values()))), by_class


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--fsdd", type=Path, required=True, help="recordings.tar.gz of the Free Spoken Digit Dataset"
    )
    parser.add_argument("--out", type=Path, default=HERE / "digits.keras")
    parser.add_argument("--epochs", type=int, nargs=2, default=[58, 10], help="for each of ENOUGH")
    parser.add_argument("--threads", type=int, default=2, help="to speak with; the training uses one")
    parser.add_argument("--cache", type=Path, help="file to keep the prepared sound in between runs")
    parser.add_argument("--start", type=Path, help="model of the same layers whose weights to go on from")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--rate", type=float, nargs=2, default=[3e-3, 1e-3], help="highest learning rates")
    options = parser.parse_args()

    began = time.monotonic()
    train, progress, tests = cached(
        options.cache, lambda: prepare(options.fsdd, options.seed, options.threads)
    )
    print(f"{train.starts.size} windows after {time.monotonic() - began:.0f} s", flush=True)

    # TensorFlow starts threads, which a fork would lose: only now.
    import tensorflow as tf

    # More than one is no faster here, and makes every run another.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    weights = keras.models.load_model(options.start).get_weights() if options.start else None
    targets = np.eye(len(LABELS), dtype=np.float32)
    for stage, (epochs, rate, labels) in enumerate(zip(options.epochs, options.rate, train.labels)):
        keras.utils.set_random_seed(options.seed + stage)
        rng = np.random.default_rng(options.seed + stage)
        model = build_model()
        if weights is not None:
            model.set_weights(weights)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, epochs - 1) * STEPS, 3e-3, warmup_target=rate, warmup_steps=STEPS
        )
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.05)
        model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss)
        for epoch in range(epochs):
            losses = []
            for part in train.draw(STEPS * BATCH, labels, rng).reshape(STEPS, BATCH):
                model.reset_metrics()
                losses.append(model.train_on_batch(disturb(train.batch(part), rng), targets[labels[part]]))
            score = accuracy(model, progress, 1000)[0]
            now = time.monotonic() - began
            print(
                f"epoch {epoch} of {epochs}: loss {np.mean(losses):.4f} accuracy {score:.3f} {now:.0f} s",
                flush=True,
            )
            save(model, options.out)
        weights = model.get_weights()
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
    watched += flite(FLITE_WATCHED, (*DIGITS, *UNSEEN_WORDS[:4]), rng, repeats=6)
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
