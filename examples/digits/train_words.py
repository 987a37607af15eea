"""Train a spotter of words of your own: ``python train_words.py RECORDINGS`` writes the folder ``words``.

``RECORDINGS/<word>/*.wav`` holds a word's recordings, one word a file, any rate; ``RECORDINGS/unknown/*.wav`` what else
people say, if there is any. Ten recordings a word are a start, forty by five speakers are good. The layers of
``digits.keras``, which know speech, are where it begins; a few minutes on one core. Needs qedge[keras].
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
from make_clips import second_of
from scenes import IGNORE
from speech import OTHER_WORDS, RATE, TRAIN_VOICES, Word, espeak, trim
from train import BATCH, HERE, Windows, build_model, disturb

from qedge.processing.wav import read_wav, resample, write_wav

SHORTEST, LONGEST = 0.1, 1.3  # seconds of a word; it is told faster where the window of one second needs it
OTHERS = 0.95  # seconds that are kept of other speech
WORDS = 2400  # that it learns from, each a recording told in another way
STEPS = 100
CLIPS = 6  # a class, to calibrate with


def read(folder: Path) -> dict[str, list[Word]]:
    """Return the recordings by the name of their folder, with silent ends cut off; labels are given later."""
    found: dict[str, list[Word]] = {}
    for path in sorted(folder.glob("*/*.wav")):
        samples, rate = read_wav(path)
        if not np.any(samples):
            sys.exit(f"error: {path} is silent\nhint: record it again, or take it away")
        word = cut(resample(samples, rate, RATE))
        seconds = word.size / RATE
        if path.parent.name not in ("unknown", "silence") and not SHORTEST <= seconds <= LONGEST:
            sys.exit(
                f"error: {path} holds {seconds:.2f} s of sound, expected {SHORTEST} to {LONGEST} s\n"
                "hint: one word a file, without other sounds before and after it"
            )
        found.setdefault(path.parent.name, []).append(Word(0, word, path.stem))
    found.pop("silence", None)
    if not set(found) - {"unknown"}:
        sys.exit(
            f"error: no recordings in {folder}\nhint: {folder / 'WORD' / 'ANY.wav'}, a folder for each word"
        )
    few = [name for name, words in found.items() if len(words) < 3]
    if few:
        sys.exit(f"error: fewer than 3 recordings of {', '.join(few)}\nhint: ten are a start")
    return found


def cut(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return ``samples`` without ends that are no louder than 2.5 times the background, scaled to a peak of 0.9."""
    block = RATE // 100
    level = np.abs(samples[: samples.size // block * block]).reshape(-1, block).max(axis=1)
    background = min(2.5 * float(np.percentile(level, 10)), 0.5 * float(level.max()))
    loud = np.flatnonzero(level >= background)
    return trim(samples[loud[0] * block : (loud[-1] + 1) * block])


def shared_out(found: dict[str, list[Word]]) -> tuple[list[str], list[Word], list[Word]]:
    """Return the keywords, the words to learn from and, of each, every fifth recording (one at least) to test with."""
    keywords = sorted(set(found) - {"unknown"})
    learn, test = [], []
    for name, words in found.items():
        label = keywords.index(name) if name in keywords else len(keywords)
        longest = None if name in keywords else int(OTHERS * RATE)
        labelled = [Word(label, word.samples[:longest], word.speaker) for word in words]
        test += labelled[::5]
        learn += [word for i, word in enumerate(labelled) if i % 5]
    return keywords, learn, test


def other_speech(keywords: list[str], learn: list[Word], rng: np.random.Generator) -> list[Word]:
    """Return speech that is no keyword: the shipped clips, keywords backwards, and what espeak-ng says where it is."""
    label = len(keywords)
    others = [Word(label, w.samples[::-1], w.speaker) for w in learn if w.label < label][::2]
    for path in sorted((HERE / "clips").glob("*/*.wav")):
        if path.parent.name not in (*keywords, "silence"):
            samples, rate = read_wav(path)
            others.append(Word(label, cut(resample(samples, rate, RATE)), path.stem))
    if shutil.which("espeak-ng"):
        spoken = [word for word in OTHER_WORDS if word not in keywords]
        voices = tuple(rng.choice(TRAIN_VOICES, 6, replace=False))
        others += [
            Word(label, w.samples[: int(OTHERS * RATE)], w.speaker)
            for w in espeak(voices, tuple(spoken), rng)
        ]
    return others


def told_again(words: list[Word], count: int, rng: np.random.Generator) -> list[Word]:
    """Return ``count`` words, all labels and within them all recordings alike; a scene tells each in its own way."""
    by_label = [[w for w in words if w.label == label] for label in sorted({w.label for w in words})]
    return [
        same[int(rng.integers(len(same)))] for i in range(count) for same in [by_label[i % len(by_label)]]
    ]


def train(learn: Windows, labels: int, epochs: int, seed: int):
    """Return a model that begins with the layers of ``digits.keras`` and tells ``labels`` classes apart."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_model(labels)
    known = keras.models.load_model(HERE / "digits.keras").get_weights()
    model.set_weights([*known[:-2], *model.get_weights()[-2:]])
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, epochs - 1) * STEPS, 1e-4, warmup_target=1e-3, warmup_steps=STEPS
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.05)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss)
    targets = np.eye(labels, dtype=np.float32)
    for epoch in range(epochs):
        chosen = learn.draw(STEPS * BATCH, learn.labels[1], rng).reshape(STEPS, BATCH)
        losses = [
            model.train_on_batch(disturb(learn.batch(part), rng), targets[learn.labels[1][part]])
            for part in chosen
        ]
        print(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.3f}", flush=True)
    return model


def recognised(model, windows: Windows, names: list[str]) -> dict[str, float]:
    """Return each class's share of windows recognised."""
    labels = windows.labels[0]
    index = np.random.default_rng(1).permutation(np.flatnonzero(labels != IGNORE))[:4000]
    right = np.argmax(model.predict(windows.batch(index), batch_size=512, verbose=0), axis=1) == labels[index]
    return {name: round(float(right[labels[index] == i].mean()), 3) for i, name in enumerate(names)}


def write_clips(folder: Path, names: list[str], words: list[Word], rng: np.random.Generator) -> None:
    """Write seconds of sound to calibrate with, :data:`CLIPS` a class."""
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        same = [w.samples for w in words if w.label == label] or [np.zeros(1, np.float32)]
        for i in range(CLIPS):
            noise = 10 ** rng.uniform(-4, -2.3)
            sound: npt.NDArray[np.int16] = second_of(same[i % len(same)], rng.uniform(0.25, 0.9), noise, rng)
            write_wav(folder / name / f"{i}.wav", sound, RATE)


def write_settings(out: Path) -> None:
    """Write the ``qedge.toml`` that builds it: that of the digits with other names."""
    text = (HERE / "qedge.toml").read_text(encoding="utf-8")
    (out / "qedge.toml").write_text(text.replace('"digits.keras"', '"words.keras"'), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--out", type=Path, default=Path("words"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--words", type=int, default=WORDS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    keywords, learn, test = shared_out(read(options.recordings))
    names = [*keywords, "unknown", "silence"]
    others = other_speech(keywords, learn, rng)
    told = told_again([w for w in learn if w.label < len(keywords)], options.words * 2 // 3, rng)
    told += told_again([*others, *(w for w in learn if w.label == len(keywords))], options.words // 3, rng)
    print(f"{len(learn)} recordings of {len(keywords)} words, {len(others)} of other speech", flush=True)
    windows = Windows(told, others, (3.0, 33.0), options.seed, keywords=len(keywords))
    tested = Windows(
        [*test * 4, *others[::4]], others, (15.0, 15.0), options.seed + 1, keywords=len(keywords)
    )
    model = train(windows, len(names), options.epochs, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    model.save(options.out / "words.keras")
    (options.out / "labels.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    write_clips(options.out / "clips", names, [*test, *others], rng)
    write_settings(options.out)
    print(json.dumps({"recognised_of_recordings_held_out": recognised(model, tested, names)}, indent=1))


if __name__ == "__main__":
    main()
