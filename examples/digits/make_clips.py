"""Speak the sample clips: ``python make_clips.py`` writes ``clips/<label>/*.wav``, 16 kHz, 1 s.

Needs espeak-ng. The voices are none of those that the spotter was trained on. Five clips a class, each in
another voice, speed and pitch, at another place in the second, with a little noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scenes import coloured_noise
from speech import CLIP_VOICES, DIGITS, RATE, speak

from qedge.processing.wav import to_int16, write_wav

HERE = Path(__file__).parent
OTHER = ("hello", "banana", "window", "thank you", "mountain")
SPEEDS, PITCHES = (120, 140, 160, 180, 205), (35, 65, 50, 75, 25)


def second_of(speech: np.ndarray, loudness: float, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Return 1 s int16 with ``speech`` somewhere in it, in pink noise of RMS ``noise`` (1 is full scale)."""
    sound = coloured_noise(RATE, 1.0, rng) * noise
    start = int(rng.integers(0, max(1, RATE - speech.size)))
    sound[start : start + speech.size] += speech[:RATE] * loudness
    return to_int16(sound)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "clips")
    out = parser.parse_args().out
    rng = np.random.default_rng(7)
    words = [(digit, [digit] * len(SPEEDS)) for digit in DIGITS] + [("unknown", list(OTHER))]
    for number, (label, texts) in enumerate(words):
        (out / label).mkdir(parents=True, exist_ok=True)
        for i, text in enumerate(texts):
            voice = CLIP_VOICES[(number + i) % len(CLIP_VOICES)]
            speech = speak(text, voice, speed=SPEEDS[i], pitch=PITCHES[i])
            name = f"{text.replace(' ', '_')}_{voice.replace('+', '_')}_{SPEEDS[i]}.wav"
            loudness, noise = rng.uniform(0.25, 0.9), 10 ** rng.uniform(-4, -2.3)
            write_wav(out / label / name, second_of(speech, loudness, noise, rng), RATE)
    (out / "silence").mkdir(parents=True, exist_ok=True)
    for i, noise in enumerate((0.0, 0.0005, 0.002, 0.008, 0.02)):
        pcm = second_of(np.zeros(1), 0.0, noise, rng)
        write_wav(out / "silence" / f"noise_{i}.wav", pcm, RATE)


if __name__ == "__main__":
    main()
