"""Which files of a folder cannot be samples, told by suffix and header before anything is decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from qedge.datasets.folder import scan, walk_files
from qedge.errors import DataError

CONVERT = {
    ".heic": "HEIC: save it as JPEG",
    ".heif": "HEIF: save it as JPEG",
    ".avif": "AVIF: save it as JPEG",
    ".jxl": "JPEG XL: save it as PNG",
    ".raw": "a camera's raw data: save it as PNG",
    ".dng": "a camera's raw data: save it as PNG",
    ".cr2": "a camera's raw data: save it as PNG",
    ".nef": "a camera's raw data: save it as PNG",
    ".mp3": "MP3: ffmpeg -i IN OUT.wav",
    ".flac": "FLAC: ffmpeg -i IN OUT.wav",
    ".ogg": "Ogg: ffmpeg -i IN OUT.wav",
    ".opus": "Opus: ffmpeg -i IN OUT.wav",
    ".m4a": "AAC: ffmpeg -i IN OUT.wav",
    ".aac": "AAC: ffmpeg -i IN OUT.wav",
}
"""Sounds and images that qedge does not read, by suffix, and what to do about them."""
_NAMED = 8


def refuse_unreadable(root: Path) -> None:
    """Raise when files of a folder look like samples and cannot be used; all are counted, the first named.

    Raises:
        DataError: what they are and what to do; also what :func:`qedge.datasets.folder.scan` raises.
    """
    kind, files, _ = scan(root)
    others = list(_others(root))
    found = [*others, *_damaged(kind, files)]
    if not found:
        return
    listed = "; ".join(f"{path.relative_to(root)} ({why})" for path, why in found[:_NAMED])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise DataError(
        f"{root}: {len(found)} of {len(files) + len(others)} files cannot be used: {listed}{more}",
        hint="convert or remove them: a sample that is left out in silence is one that nobody misses",
    )


def _others(root: Path) -> Iterator[tuple[Path, str]]:
    for file in walk_files(root):
        why = CONVERT.get(file.suffix.lower())
        if why is not None and not any(part.startswith(".") for part in file.relative_to(root).parts):
            yield file, why


def _damaged(kind: str, files: list[Path]) -> Iterator[tuple[Path, str]]:
    look = _image if kind == "image" else _wav
    for file in files:
        try:
            why = look(file)
        except OSError as problem:
            why = problem.strerror or str(problem)
        if why is not None:
            yield file, why


def _image(file: Path) -> str | None:
    """Return why pillow cannot take an image, from its header."""
    from qedge.processing.levels import header_problem

    return header_problem(str(file))


def _wav(file: Path) -> str | None:
    """Return why a file is no WAV with sound in it, from its first bytes and its size."""
    size = file.stat().st_size
    with open(file, "rb") as handle:
        head = handle.read(4096)
    if size == 0:
        return "empty"
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return "no WAV file"
    place = head.find(b"fmt ", 12)
    if place < 0 or place + 24 > len(head):
        return "a WAV file without a format"
    kind, channels, rate = struct.unpack_from("<HHI", head, place + 8)
    bits = struct.unpack_from("<H", head, place + 22)[0]
    if kind not in (1, 3, 0xFFFE) or bits not in (8, 16, 24, 32, 64) or not channels or not rate:
        return f"format {kind}, {bits} bits: ffmpeg -i IN -c:a pcm_s16le OUT.wav"
    return None
