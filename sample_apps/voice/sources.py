"""Where sound comes from: a microphone, WAV files, or raw samples on standard input."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]

BLOCK_MS = 20


class NoMicrophone(Exception):
    """There is nothing to listen with; the message says what is missing and what to do."""


def microphone(sample_rate: int, device: str | None = None) -> Iterator[Pcm]:
    """Yield blocks of a microphone for as long as it is there; what nobody takes in time is dropped."""
    try:
        import sounddevice
    except ImportError:
        raise NoMicrophone("the package sounddevice is not installed: pip install sounddevice") from None
    except OSError as error:
        raise NoMicrophone(f"{error}: apt-get install libportaudio2") from None

    blocks: queue.Queue[bytes] = queue.Queue(maxsize=1000 // BLOCK_MS)

    def take(data: Any, frames: int, moment: Any, status: Any) -> None:
        if blocks.full():
            blocks.get_nowait()
        blocks.put_nowait(bytes(data))

    try:
        stream = sounddevice.RawInputStream(
            samplerate=sample_rate,
            channels=1,
            dtype="int16",
            blocksize=sample_rate * BLOCK_MS // 1000,
            device=int(device) if device and device.isdigit() else device,
            callback=take,
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise NoMicrophone(f"no microphone: {said} (python -m sounddevice lists what there is)") from None
    stream.start()
    print(f"listening to {sounddevice.query_devices(stream.device)['name']}", file=sys.stderr, flush=True)
    try:
        while stream.active:
            try:
                yield np.frombuffer(blocks.get(timeout=0.5), np.int16)
            except queue.Empty:
                continue
    finally:
        stream.abort()  # stop() would wait for sound that may never come
        stream.close()
    raise NoMicrophone("the microphone is gone")


def files(paths: list[Path], load: Any, sample_rate: int, *, realtime: bool = False) -> Iterator[Pcm]:
    """Yield the files one after the other, a second of silence after each; ``load`` reads one."""
    block = sample_rate * BLOCK_MS // 1000
    due = time.monotonic()
    for path in paths:
        sound = load(path)
        if sound.dtype != np.int16:
            sound = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
        sound = np.concatenate([sound, np.zeros(sample_rate, np.int16)])
        for start in range(0, sound.size, block):
            if realtime:
                due += BLOCK_MS / 1000
                time.sleep(max(0.0, due - time.monotonic()))
            yield sound[start : start + block]


def standard_input(sample_rate: int) -> Iterator[Pcm]:
    """Yield mono 16-bit little-endian samples from standard input until it ends."""
    rest = b""
    while piece := sys.stdin.buffer.read1(sample_rate * 2 * BLOCK_MS // 1000):
        piece = rest + piece
        whole = len(piece) // 2 * 2
        rest = piece[whole:]
        if whole:
            yield np.frombuffer(piece[:whole], "<i2").astype(np.int16)
