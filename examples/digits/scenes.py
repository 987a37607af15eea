"""Streams of words in noise, and the windows of them that the spotter learns from.

The spotter hears a sliding window. So it is trained on one: words are placed at random in long streams, the
front end turns each stream into frames once, and a window's label follows from what it holds of each word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from speech import DIGITS, RATE, Word

from qedge.processing.wav import to_int16

IGNORE = -1


@dataclass
class Scene:
    """A stream of int16 samples and the words in it as ``(start, end, label)``, in samples."""

    pcm: npt.NDArray[np.int16]
    words: list[tuple[int, int, int]] = field(default_factory=list)


def coloured_noise(count: int, exponent: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return noise of unit RMS whose power falls with ``1 / f ** exponent``: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.normal(size=count))
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 20.0)
    noise = np.fft.irfft(spectrum * hertz ** (-exponent / 2), count)
    return noise / np.sqrt(np.mean(noise**2))


@lru_cache
def _noise(quarter: int) -> npt.NDArray[np.float64]:
    return coloured_noise(1 << 20, quarter / 4, np.random.default_rng(quarter))


def background(count: int, babble: list[Word], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return noise of unit RMS: coloured, at times with hum, clicks, slow swells or many voices at once."""
    long = _noise(int(rng.integers(0, 9)))
    noise = np.take(long, np.arange(count) + rng.integers(0, long.size), mode="wrap")
    time = np.arange(count) / RATE
    kind = rng.integers(0, 6)
    if kind == 0:
        for harmonic in range(1, 6):
            noise += rng.uniform(0, 0.8) * np.sin(2 * np.pi * 50 * harmonic * time + rng.uniform(0, 6))
    elif kind == 1:
        for place in rng.integers(0, count - 400, count // RATE):
            noise[place : place + 400] += rng.normal(0, 4, 400) * np.exp(
                -np.arange(400) / rng.uniform(10, 120)
            )
    elif kind == 2:
        noise *= 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.1, 2) * time + rng.uniform(0, 6))
    elif kind == 3:
        crowd = np.zeros(count)
        for _ in range(count // RATE * 8):
            word = babble[rng.integers(len(babble))].samples
            place = int(rng.integers(0, count - word.size))
            crowd[place : place + word.size] += word * rng.uniform(0.2, 1)
        noise += 1.5 * crowd / max(1e-6, np.sqrt(np.mean(crowd**2)))
    return noise / np.sqrt(np.mean(noise**2))


def retold(
    samples: npt.NDArray[np.float32], *, pitch: float, throat: npt.NDArray[np.float64], pace: float
) -> npt.NDArray[np.float64]:
    """Return the word as another person might say it.

    The pitch times ``pitch``, the formants times ``throat`` (its values are those at evenly spaced frequencies from 0
    to 8 kHz), as fast as before times ``pace``: frames of 32 ms are laid where they continue each other best
    (WSOLA), and the envelope of their spectra, from the low part of the cepstrum, is stretched.
    """
    size, hop, reach = 512, 128, 96
    raised = np.interp(np.arange(0, samples.size - 1, pitch), np.arange(samples.size), samples)
    padded = np.concatenate([np.zeros(size), raised, np.zeros(size + 2 * reach)])
    count = int(samples.size / pace)
    step = hop * raised.size / max(1, count)
    starts, ideal = [reach], reach
    for i in range(1, count // hop + size // hop):
        ideal = min(starts[-1] + hop, padded.size - size)
        low = int(np.clip(i * step, 0, padded.size - size - 2 * reach))
        fit = np.correlate(
            padded[low : low + 2 * reach + size // 2], padded[ideal : ideal + size // 2], "valid"
        )
        starts.append(low + int(np.argmax(fit)))
    frames = padded[np.array(starts)[:, None] + np.arange(size)] * np.hanning(size)
    spectra = np.fft.rfft(frames)
    cepstrum = np.fft.irfft(np.log(np.abs(spectra) + 1e-4))
    cepstrum[:, 30:-29] = 0
    envelope = np.fft.rfft(cepstrum).real
    bins = np.arange(envelope.shape[1])
    stretch = np.interp(bins, np.linspace(0, bins[-1], throat.size), throat)
    warped = np.clip(bins * pitch / stretch, 0, bins[-1])
    near = np.minimum(warped.astype(int), bins[-1] - 1)
    part = warped - near
    moved = envelope[:, near] * (1 - part) + envelope[:, near + 1] * part
    frames = np.fft.irfft(spectra * np.exp(np.clip(moved - envelope, -4, 4))) * np.hanning(size)
    voice = np.zeros((len(starts) + size // hop) * hop)
    for i, frame in enumerate(frames):
        voice[i * hop : i * hop + size] += frame
    return voice[size - size // 4 :][:count]


def vary(samples: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the word in another voice and at another pace, its spectrum tilted, at times in a room."""
    fast, slow = max(0.8, samples.size / RATE / 0.95), max(0.8, min(1.7, samples.size / RATE / 0.18))
    voice = retold(
        samples,
        pitch=float(np.exp(rng.uniform(-0.3, 0.3))),
        throat=np.exp(np.clip(rng.normal(0, 0.1) + rng.normal(0, 0.04, 9), -0.28, 0.28)),
        pace=float(rng.uniform(fast, max(fast, slow))),
    )
    count = voice.size
    pad = 1 << int(np.ceil(np.log2(count + RATE // 4)))
    spectrum = np.fft.rfft(voice, pad)
    hertz = np.maximum(np.fft.rfftfreq(pad, 1 / RATE), 80.0)
    spectrum *= (hertz / 800) ** rng.uniform(-0.5, 0.5)
    if rng.random() < 0.3:
        spectrum *= 1 / (1 + (rng.uniform(80, 300) / hertz) ** 4)
    if rng.random() < 0.35:
        tail = int(RATE * rng.uniform(0.03, 0.2))
        room = rng.normal(0, 1, tail) * np.exp(-np.arange(tail) * 6.9 / tail)
        room *= rng.uniform(0.1, 0.6) / np.sqrt(np.sum(room**2))
        room[0] += 1
        spectrum *= np.fft.rfft(room, pad)
    voice = np.fft.irfft(spectrum, pad)[:count]
    return voice / max(1e-6, np.abs(voice).max())


def make_scene(words: list[Word], babble: list[Word], rng: np.random.Generator, *, snr_db: float) -> Scene:
    """Return a stream with ``words`` in it, gaps of 0.15 to 1.6 s, in noise ``snr_db`` under their RMS."""
    voices = [vary(word.samples, rng) * rng.uniform(0.5, 1) for word in words]
    gaps = (RATE * rng.uniform(0.15, 1.6, len(voices) + 1)).astype(int)
    gaps[rng.random(gaps.size) < 0.4] += int(0.7 * RATE)
    stream = np.zeros(sum(v.size for v in voices) + int(gaps.sum()))
    places, position = [], 0
    for word, voice, gap in zip(words, voices, gaps):
        position += int(gap)
        stream[position : position + voice.size] = voice
        places.append((position, position + voice.size, word.label))
        position += voice.size
    level = np.sqrt(np.mean(np.concatenate(voices) ** 2))
    stream += background(stream.size, babble, rng) * level * 10 ** (-snr_db / 20)
    peak = 10 ** rng.uniform(-1.6, -0.05)
    return Scene(to_int16(stream * peak / max(1.0, np.abs(stream).max() * 0.9)), places)


def window_labels(
    scene: Scene, starts: npt.NDArray[np.int64], length: int, *, enough: float, keywords: int = len(DIGITS)
) -> npt.NDArray[np.int64]:
    """Return the class of each window of ``length`` samples, or ``IGNORE`` where a person would be unsure.

    The last keyword that is in the window whole, or with more than the part ``enough`` of it; else "unknown"
    (``keywords``) where it holds a good part of any word; else "silence" (``keywords + 1``).
    """
    unknown, silence = keywords, keywords + 1
    labels = np.full(starts.size, silence)
    ends = starts + length
    slack = RATE // 50
    for start, end, label in scene.words:
        visible = (np.minimum(ends, end) - np.maximum(starts, start)) / (end - start)
        whole = (start >= starts - slack) & (end <= ends + slack) | (visible > enough)
        if label < keywords:
            partial = ~whole & (visible > 0.25) & (visible < 0.6)
            unsure = ~whole & (visible > 0.04) & ~partial
        else:
            partial = visible > 0.3
            unsure = (visible > 0.04) & ~partial
        no_keyword_yet = labels >= keywords
        labels = np.where(unsure & (labels == silence), IGNORE, labels)
        labels = np.where(partial & (no_keyword_yet | (labels == IGNORE)), unknown, labels)
        # A keyword that is most of the way in or out beside a window of something else stays unsure.
        labels = np.where(unsure & (visible > 0.6) & (labels == unknown), IGNORE, labels)
        if label < keywords:
            labels = np.where(whole, label, labels)
    return labels
