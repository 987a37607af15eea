"""What a dataset is, as one hash: the same files give the same root wherever they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from qedge.datasets.folder import walk_files
from qedge.datasets.objects import LABEL_FILES, read_objects

PIECE = 1 << 20


class DatasetIdentity(NamedTuple):
    """Merkle root (SHA-256, hexadecimal), number of files and bytes."""

    root: str
    files: int
    size: int


def dataset_identity(path: Path) -> DatasetIdentity:
    """Return the identity of a file or a folder: the SHA-256 over the sorted lines ``relative path NUL SHA-256``.

    Hidden files do not count; a single file counts under its suffix, so that renaming it changes nothing. One that
    names photos and their boxes (``data.yaml``) stands for all of them: photos and labels count by number and name.

    Raises:
        DataError: a file of labels cannot be read.
    """
    if path.is_dir():
        named = [(file.relative_to(path), file) for file in walk_files(path)]
        listed = [(n.as_posix(), f) for n, f in named if not any(p.startswith(".") for p in n.parts)]
    else:
        listed = [(path.suffix.lower(), path), *_named_by(path)]
    root, total = hashlib.sha256(), 0
    for name, file in sorted(listed):
        total += file.stat().st_size
        root.update(name.encode("utf-8", "surrogatepass") + b"\0" + _sha256(file).encode() + b"\n")
    return DatasetIdentity(root.hexdigest(), len(listed), total)


def _named_by(path: Path) -> list[tuple[str, Path]]:
    """Return the photos and labels that a file of labels names, in their order; [] for any other file."""
    if path.suffix.lower() not in LABEL_FILES:
        return []
    found = read_objects(path)
    files = [] if found is None else [*(truth.image for truth in found.truths), *found.files]
    return [(f"{k:08d}/{file.name}", file) for k, file in enumerate(files)]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
