"""Stream 20 minutes of words in noise through the voice app: what is heard, when, and what it costs.

``python benchmarks/voice.py [BUNDLE]``: 100 words of espeak-ng voices and 100 of the speakers of the Free Spoken
Digit Dataset that the model has not heard (``../shared/data/fsdd``), with pauses, in noise at 15 dB SNR. Without a
bundle the digit spotter is built first. With ``--others`` none of the 200 words is a digit. Needs espeak-ng.
"""

# ruff: noqa: E402 (the folders of the app and of the words come first)
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "sample_apps" / "voice"))
sys.path.insert(0, str(ROOT / "examples" / "digits"))

from scenes import coloured_noise
from speech import DIGITS, OTHER_WORDS, RATE, TEST_VOICES, UNSEEN_WORDS, espeak, fsdd
from spotter import Heard, Settings, Spotter

import qedge
from qedge.processing.wav import to_int16, write_wav

SNR_DB = 15
LATE_SECONDS = 1.0  # a report is a word's until then after its end
IN_TIME_SECONDS = 0.3
WORD_RMS = 0.06


def words(rng: np.random.Generator) -> list[tuple[str, npt.NDArray[np.float32]]]:
    """Return 200 (label, samples): ten of each digit and kind of voice."""
    spoken = list(espeak(TEST_VOICES, DIGITS, rng))
    archive = ROOT.parent / "shared" / "data" / "fsdd" / "recordings.tar.gz"
    if archive.exists():
        recorded = list(fsdd(archive, test=True))
        for digit in range(10):
            takes = [w for w in recorded if w.label == digit]
            spoken += [takes[i] for i in rng.choice(len(takes), 10, replace=False)]
    else:
        spoken += list(espeak(TEST_VOICES, DIGITS, rng))
    return [(DIGITS[w.label], w.samples) for w in spoken]


def others(rng: np.random.Generator) -> list[tuple[str, npt.NDArray[np.float32]]]:
    """Return 200 (label, samples) that are no digits: eight words that training never had, twelve that it had."""
    chosen = (*UNSEEN_WORDS, *rng.choice(OTHER_WORDS, 20 - len(UNSEEN_WORDS), replace=False))
    return [("other", word.samples) for word in espeak(TEST_VOICES, chosen, rng)]


def stream(
    seconds: float, rng: np.random.Generator, chosen: list[tuple[str, npt.NDArray[np.float32]]]
) -> tuple[npt.NDArray[np.int16], list[tuple[str, int, int]]]:
    """Return the sound, and where each of the ``chosen`` words starts and ends in it, in samples."""
    order = rng.permutation(len(chosen))
    total = int(seconds * RATE)
    pauses = rng.dirichlet(np.full(len(chosen) + 1, 6.0)) * (total - sum(s.size for _, s in chosen))
    kinds = [coloured_noise(total // 4 + 1, exponent, rng) for exponent in (0.0, 1.0, 1.5, 2.0)]
    sound = np.concatenate(kinds)[:total] * WORD_RMS * 10 ** (-SNR_DB / 20)
    places, position = [], 0
    for index, pause in zip(order, pauses):
        label, samples = chosen[index]
        position += int(pause)
        sound[position : position + samples.size] += samples * (WORD_RMS / np.sqrt(np.mean(samples**2)))
        places.append((label, position, position + samples.size))
        position += samples.size
    return to_int16(sound), places


def judge(places: list[tuple[str, int, int]], heard: list[Heard]) -> dict[str, object]:
    """Return how many words were reported once, how many of them within 300 ms of their end, and what went wrong."""
    unused, once, late, missed = list(heard), 0, [], []
    for label, start, end in places:
        inside = [h for h in unused if start / RATE < h.seconds <= end / RATE + LATE_SECONDS]
        unused = [h for h in unused if h not in inside]
        if [h.label for h in inside] == [label]:
            once += 1
            late.append(inside[0].seconds - end / RATE)
        else:
            missed.append((label, round(start / RATE, 2), [h.label for h in inside]))
    return {
        "words": len(places),
        "reported_once": once,
        "reported_once_percent": round(100 * once / len(places), 2),
        "reported_once_in_time": sum(seconds <= IN_TIME_SECONDS for seconds in late),
        "false_reports": len(unused),
        "latency_ms": {
            "median": round(1000 * float(np.median(late))),
            "p95": round(1000 * float(np.percentile(late, 95))),
            "max": round(1000 * max(late)),
        },
        "missed": missed,
        "false": [(h.label, h.seconds) for h in unused],
    }


def build(folder: Path) -> Path:
    """Build the digit spotter for the Pi target."""
    command = [sys.executable, "-m", "qedge", "build", "--target", "rpi", "--out", str(folder), "-q"]
    subprocess.run(command, cwd=ROOT / "examples" / "digits", check=True)
    return folder / "digits" / "rpi"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--others", action="store_true", help="words that are no digits")
    parser.add_argument("--wav", type=Path, help="keep the sound")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threshold", type=float, default=Settings.threshold)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    pcm, places = stream(60 * options.minutes, rng, others(rng) if options.others else words(rng))
    if options.wav:
        write_wav(options.wav, pcm, RATE)
    with tempfile.TemporaryDirectory() as folder, qedge.load(options.bundle or build(Path(folder))) as model:
        spotter = Spotter(model, Settings(threshold=options.threshold))
        heard: list[Heard] = []
        began = time.process_time()
        for start in range(0, pcm.size, RATE // 50):
            heard += spotter.push(pcm[start : start + RATE // 50])
        spent = time.process_time() - began
    result = {"words": len(places), "reports": len(heard)} if options.others else judge(places, heard)
    result["seconds"] = pcm.size / RATE
    result["cpu_percent_of_a_core"] = round(100 * spent * RATE / pcm.size, 2)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
