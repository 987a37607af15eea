"""Words to train and test the digit spotter with: espeak-ng speech and the Free Spoken Digit Dataset.

Voices are split three ways: training, shipped clips, tests. No espeak-ng variant is in two of the sets.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qedge.processing.wav import parse_wav, resample

RATE = 16_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LABELS = (*DIGITS, "unknown", "silence")
UNKNOWN, SILENCE = LABELS.index("unknown"), LABELS.index("silence")

# fmt: off
OTHER_WORDS = (
    "yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "bed", "bird", "cat", "dog",
    "happy", "house", "marvin", "sheila", "wow", "backward", "follow", "learn", "visual", "hello", "computer",
    "please", "music", "light", "kitchen", "water", "window", "morning", "thank you", "okay", "open", "close",
    "start", "play", "volume", "weather", "eleven", "hero", "late", "mine", "sun", "shoe", "door", "drive",
    "because", "people", "about", "number", "green", "yellow", "orange", "camera", "microphone", "table",
    "never", "office", "system", "hundred", "what time is it", "how are you", "turn it off", "good evening",
    "I think so", "not today", "maybe later", "call my mother", "bicycle", "garden", "finger", "silver",
)
UNSEEN_WORDS = ("banana", "question", "hospital", "mountain", "paper", "letter", "coffee", "summer")

TRAIN_VOICES = (
    "en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc",
    "en-us+m1", "en-gb+m2", "en-gb-x-rp+m4", "en-us+m5", "en-029+m6", "en-us-nyc+m8", "en-us+f1", "en-gb+f2",
    "en-gb-scotland+f4", "en-us+klatt", "en-gb+klatt2", "en-us+klatt4", "en-us+adam", "en-gb+Alex", "en-us+Andy",
    "en-gb-x-rp+Annie", "en-us+Gene", "en-gb+Denis", "en-us+Lee", "en-us+Mike", "en-gb+Belinda", "en-us+anika",
    "en-gb-x-gbclan+benjamin", "en-us+caleb", "en-gb-scotland+ed", "en-us+Hugo", "en-gb+Jacky", "en-us+john",
    "en-us-nyc+Marco", "en-gb+max", "en-us+Mario", "en-gb-x-gbcwmd+norbert", "en-us+paul", "en-gb+rob",
    "en-us+sandro", "en-us+travis", "en-us+victor", "en-gb+Zac", "en-us+grandpa", "en-us+Tweaky",
    "en-gb+aunty", "en-us+boris", "en-gb-scotland+Gustave", "en-us+Henrique", "en-gb+Diogo", "en-us+iven",
    "en-gb-x-rp+iven2", "en-us+iven3", "en-gb+kaukovalta", "en-us-nyc+marcelo", "en-gb-x-gbclan+miguel", "en-us+Mr",
    "en-gb+Nguyen", "en-us+pedro", "en-029+RicishayMax", "en-us+AnxiousAndy", "en-gb+fast", "en-us+klatt3",
    "en-gb-x-rp+klatt5", "en-us+klatt6", "en-gb+grandma", "en-us+antonio", "en-gb-x-gbcwmd+announcer",
    "en-us+Storm", "en-gb+adam", "en-us+m2", "en-gb+m4", "en-gb+m5", "en-us+m6", "en-gb+m8", "en-gb+f1", "en-us+f2",
    "en-us+f4", "en-gb+Andy", "en-us+Annie", "en-gb+Gene", "en-us+Denis", "en-gb+Lee", "en-gb+Mike", "en-us+Belinda",
    "en-gb+benjamin", "en-gb+caleb", "en-us+ed", "en-gb+Hugo", "en-us+Jacky", "en-gb+john", "en-gb+Mario",
    "en-us+max", "en-gb+norbert", "en-gb+paul", "en-us+rob", "en-gb+sandro", "en-gb+travis", "en-gb+victor",
)
CLIP_VOICES = ("en-us+m3", "en-gb+m7", "en-gb-scotland+f3", "en-us+f5", "en-us-nyc+robert", "en-gb-x-rp+steph")
TEST_VOICES = (
    "en-us+Andrea", "en-gb+Linda", "en-us+quincy", "en-gb-scotland+Michel", "en-us+pablo", "en-029+edward",
    "en-gb+david", "en-us+Alicia", "en-gb-x-rp+Gene2", "en-us+shelby",
)
# fmt: on

TEST_SPEAKERS = ("lucas", "theo")


@dataclass(frozen=True)
class Word:
    """One spoken word: ``samples`` float32 in [-1, 1] at 16 kHz with its silent ends cut off."""

    label: int
    samples: npt.NDArray[np.float32]
    speaker: str


def speak(text: str, voice: str, *, speed: int = 160, pitch: int = 50) -> npt.NDArray[np.float32]:
    """Return espeak-ng's speech at 16 kHz, trimmed; ``speed`` in words a minute, ``pitch`` 0 to 99."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    done = subprocess.run(command, capture_output=True, check=True)
    samples, rate = parse_wav(done.stdout, f"espeak-ng -v {voice}")
    return trim(resample(samples, rate, RATE))


def trim(samples: npt.NDArray[np.float32], *, margin: int = 160) -> npt.NDArray[np.float32]:
    """Return ``samples`` without the ends that are quieter than 2 % of the peak, scaled to a peak of 0.9."""
    block = RATE // 100
    level = np.abs(samples[: samples.size // block * block]).reshape(-1, block).max(axis=1)
    loud = np.flatnonzero(level > 0.02 * level.max())
    start, end = max(0, loud[0] * block - margin), (loud[-1] + 1) * block + margin
    cut = samples[start:end]
    return np.asarray(cut * (0.9 / np.abs(cut).max()), np.float32)


def fsdd(archive: Path, *, test: bool) -> Iterator[Word]:
    """Yield the recordings of the test speakers, or of all others, from FSDD's ``recordings.tar.gz``."""
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda m: m.name):
            name = Path(member.name)
            parts = name.stem.split("_")
            if name.suffix != ".wav" or len(parts) != 3 or (parts[1] in TEST_SPEAKERS) != test:
                continue
            file = tar.extractfile(member)
            samples, rate = parse_wav((file or io.BytesIO()).read(), member.name)
            yield Word(int(parts[0]), trim(resample(samples, rate, RATE)), parts[1])


def espeak(
    voices: tuple[str, ...], words: tuple[str, ...], rng: np.random.Generator, *, repeats: int = 1
) -> Iterator[Word]:
    """Yield every word in every voice ``repeats`` times, with speed and pitch drawn from ``rng``."""
    for voice in voices:
        for word in words:
            for _ in range(repeats):
                speed, pitch = int(rng.integers(110, 220)), int(rng.integers(20, 85))
                label = DIGITS.index(word) if word in DIGITS else UNKNOWN
                yield Word(label, speak(word, voice, speed=speed, pitch=pitch), voice)
