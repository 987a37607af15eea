"""Words to train and test the digit spotter with: espeak-ng, flite and the Free Spoken Digit Dataset.

Voices are split three ways: training, shipped clips, tests. No espeak-ng variant is in two of the sets. What
espeak-ng ships is few voices, so training adds hundreds that it is told to make up, and foreign accents.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
# How a speaker of another language says the ten English digits, in the spelling of that language.
ACCENTS = {
    "cs": ("zirou", "uan", "tú", "srí", "fór", "fajv", "siks", "sevn", "ejt", "najn"),
    "da": ("siro", "van", "tu", "tri", "for", "faiv", "siks", "seven", "ejt", "najn"),
    "de": ("siro", "wan", "tuh", "sri", "foor", "faif", "siks", "sewen", "eht", "nain"),
    "el": ("ζίρο", "γουάν", "του", "θρι", "φορ", "φάιβ", "σιξ", "σέβεν", "έιτ", "νάιν"),
    "es": ("sirou", "uan", "tu", "zri", "for", "faiv", "sics", "seven", "eit", "nain"),
    "fi": ("siro", "uan", "tuu", "trii", "foor", "faiv", "siks", "seven", "eit", "nain"),
    "fr": ("zirô", "ouane", "tou", "sri", "fore", "faïve", "sixe", "sévène", "eïte", "naïne"),
    "hu": ("zíró", "van", "tú", "szrí", "fór", "fájv", "sziksz", "szeven", "éjt", "nájn"),
    "it": ("siro", "uan", "tu", "tri", "for", "faiv", "sics", "seven", "eit", "nain"),
    "nl": ("ziro", "wan", "toe", "srie", "foor", "faif", "siks", "seven", "eet", "nain"),
    "pl": ("ziro", "łan", "tu", "fri", "for", "fajw", "siks", "sewen", "ejt", "najn"),
    "pt": ("zirou", "uan", "tu", "sri", "for", "faiv", "sics", "séven", "eit", "nain"),
    "ro": ("zirou", "uan", "tu", "tri", "for", "faiv", "sics", "seven", "eit", "nain"),
    "ru": ("зиро", "уан", "ту", "сри", "фор", "файв", "сикс", "севен", "эйт", "найн"),
    "sv": ("siro", "vann", "tu", "tri", "får", "fajv", "sicks", "seven", "ejt", "najn"),
    "tr": ("ziro", "van", "tu", "tri", "for", "fayv", "siks", "sevın", "eyt", "nayn"),
}
# fmt: on

TEST_SPEAKERS = ("lucas", "theo")
# flite's voices are made of recordings of people.
FLITE_VOICES, FLITE_WATCHED = ("awb", "rms", "slt"), ("kal16",)


@dataclass(frozen=True)
class Word:
    """One spoken word: ``samples`` float32 in [-1, 1] at 16 kHz with its silent ends cut off."""

    label: int
    samples: npt.NDArray[np.float32]
    speaker: str


def speak(
    text: str, voice: str, *, speed: int = 160, pitch: int = 50, data: Path | None = None
) -> npt.NDArray[np.float32]:
    """Return espeak-ng's speech at 16 kHz, trimmed; ``speed`` in words a minute, ``pitch`` 0 to 99."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    if data is not None:
        command.insert(1, f"--path={data}")
    done = subprocess.run(command, capture_output=True, check=True)
    return _sound(done.stdout, f"espeak-ng -v {voice}")


def _sound(wav: bytes, name: str) -> npt.NDArray[np.float32]:
    """Return the WAV file's sound at 16 kHz, trimmed; ``name`` is for errors."""
    samples, rate = parse_wav(wav, name)
    return trim(resample(samples, rate, RATE))


def _label(word: str) -> int:
    return DIGITS.index(word) if word in DIGITS else UNKNOWN


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
    # In the archive's own order: a compressed one goes back to its start for each step backwards.
    recordings = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name)
            parts = name.stem.split("_")
            file = tar.extractfile(member)
            if name.suffix == ".wav" and len(parts) == 3 and (parts[1] in TEST_SPEAKERS) == test and file:
                recordings[member.name] = (int(parts[0]), parts[1], file.read())
    for path, (digit, speaker, data) in sorted(recordings.items()):
        yield Word(digit, _sound(data, path), speaker)


def espeak(
    voices: tuple[str, ...], words: tuple[str, ...], rng: np.random.Generator, *, repeats: int = 1
) -> Iterator[Word]:
    """Yield every word in every voice ``repeats`` times, with speed and pitch drawn from ``rng``."""
    for voice in voices:
        for word in words:
            for _ in range(repeats):
                speed, pitch = int(rng.integers(110, 220)), int(rng.integers(20, 85))
                yield Word(_label(word), speak(word, voice, speed=speed, pitch=pitch), voice)


def varied(made_up: int, accents: int, rng: np.random.Generator, *, threads: int) -> list[Word]:
    """Return words of the voices that espeak-ng ships (`TRAIN_VOICES`), of ``made_up`` ones, and of foreign accents.

    Each voice says all digits and six of `OTHER_WORDS`; each accent has ``accents`` of the made-up voices.
    """
    with tempfile.TemporaryDirectory() as folder:
        # espeak-ng knows at most 350 voices in a folder.
        folders = [Path(folder) / str(first) for first in range(0, made_up, 60)]
        for path in folders:
            _own_voices(path, [_voice(rng) for _ in range(60)])
        own = [(folders[i // 60], f"+own{i % 60}") for i in range(made_up)]
        voices: list[tuple[str, Path | None, str]] = [("en", None, voice) for voice in TRAIN_VOICES]
        voices += [("en", path, _pick(TRAIN_VOICES[:8], rng) + variant) for path, variant in own]
        for language in ACCENTS:
            chosen = rng.integers(made_up, size=accents)
            voices += [(language, own[i][0], language + own[i][1]) for i in chosen]
        asked = []
        for language, path, voice in voices:
            said = list(enumerate(ACCENTS.get(language, DIGITS)))
            said += [(UNKNOWN, word) for word in rng.choice(OTHER_WORDS, 6, replace=False)]
            # Half of the time as fast as people who read lists of digits.
            fast = rng.random(len(said)) < 0.5
            speeds = np.where(fast, rng.integers(190, 310, len(said)), rng.integers(100, 210, len(said)))
            pitches = rng.integers(20, 85, len(said))
            asked += [
                (label, w, voice, int(s), int(p), path) for (label, w), s, p in zip(said, speeds, pitches)
            ]

        def say(request: tuple[int, str, str, int, int, Path | None]) -> Word:
            label, text, voice, speed, pitch, data = request
            return Word(label, speak(text, voice, speed=speed, pitch=pitch, data=data), voice)

        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(say, asked))


def flite(
    voices: tuple[str, ...], words: Sequence[str], rng: np.random.Generator, *, repeats: int
) -> Iterator[Word]:
    """Yield every word in every voice of flite ``repeats`` times, with pace and pitch drawn from ``rng``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        for voice in voices:
            for word in list(words) * repeats:
                manner = f"duration_stretch={rng.uniform(0.65, 1.4):.2f}"
                pitch = f"int_f0_target_mean={rng.uniform(80, 220):.0f}"
                command = ["flite", "-voice", voice, *("--setf", manner), *("--setf", pitch), "-t", word]
                command += ["-o", str(path)]
                subprocess.run(command, capture_output=True, check=True)
                yield Word(_label(word), _sound(path.read_bytes(), f"flite -voice {voice}"), voice)


def _pick(names: tuple[str, ...], rng: np.random.Generator) -> str:
    return names[int(rng.integers(len(names)))]


def _own_voices(folder: Path, voices: Iterable[str]) -> None:
    """Make ``folder`` an espeak-ng data folder whose variants are ``own0``, ``own1`` ..."""
    said = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout
    shipped = Path(re.findall(r"Data at: (.*)", said)[0].strip())
    data = folder / "espeak-ng-data"
    variants = data / "voices" / "!v"
    variants.mkdir(parents=True)
    for path in shipped.iterdir():
        if path.name != "voices":
            (data / path.name).symlink_to(path)
    for number, text in enumerate(voices):
        (variants / f"own{number}").write_text(text)


def _voice(rng: np.random.Generator) -> str:
    """Return an espeak-ng variant: another throat, larynx and manner."""
    low = float(np.exp(rng.uniform(np.log(60), np.log(240))))
    lines = ["language variant", "name own", f"pitch {low:.0f} {low * rng.uniform(1.1, 1.8):.0f}"]
    throat = np.clip(np.exp(rng.normal(0.06, 0.11)), 0.8, 1.35)
    for formant in range(9):
        frequency = 100 if formant == 0 else 100 * throat * np.exp(rng.normal(0, 0.06))
        height = rng.uniform(70, 170) if formant < 5 else rng.uniform(0, 150)
        lines.append(f"formant {formant} {frequency:.0f} {height:.0f} {rng.uniform(60, 160):.0f}")
    lines.append(f"voicing {rng.uniform(30, 110):.0f}")
    lines.append(f"consonants {rng.uniform(50, 130):.0f} {rng.uniform(30, 120):.0f}")
    lines += [f"flutter {rng.integers(0, 12)}", f"roughness {rng.integers(0, 5)}"]
    if rng.random() < 0.3:
        lines.append(f"echo {rng.integers(15, 130)} {rng.integers(5, 50)}")
    if rng.random() < 0.3:
        lines.append("breath " + " ".join(str(n) for n in rng.integers(0, 8, 8)))
        lines.append("breathw 150 150 200 200 400 400")
    if rng.random() < 0.4:
        tone = rng.integers(40, 255, 4)
        lines.append(f"tone 100 {tone[0]} 600 {tone[1]} 1200 {tone[2]} 2000 {tone[3]}")
    return "\n".join(lines) + "\n"
