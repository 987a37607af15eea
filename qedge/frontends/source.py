"""What a front end hands on, and how models are named and identified."""

from __future__ import annotations

import hashlib
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from qedge.findings import Finding

# fmt: off
_C_KEYWORDS = frozenset((
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern",
    "float", "for", "goto", "if", "inline", "int", "long", "main", "register", "restrict", "return", "short",
    "signed", "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile",
    "while",
))
# fmt: on


@dataclass(frozen=True)
class SourceModel:
    """A model as read, before it is quantised.

    Args:
        data: a ``.tflite``, static, batch 1.
        kind: ``float``, or ``quantized`` when it is full-integer already and taken as it is.
        origin: name of the front end: ``keras``, ``savedmodel``, ``tflite`` ...
        name: safe as a file name and as a C identifier.
        sha256: of what the user gave; of a folder over its files in sorted order.
        findings: what the front end changed or noticed.
        orders: where the author's layout differs, by name of an input or output: dimension i of the tensor is
            the author's dimension ``orders[name][i]``.
        notes: what the exporter wrote beside the graph, as text.
    """

    data: bytes
    kind: Literal["float", "quantized"]
    origin: str
    name: str
    sha256: str
    findings: tuple[Finding, ...] = ()
    orders: Mapping[str, Sequence[int]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def model_name(path: Path) -> str:
    """Return a name from a path that is safe as a file name and as a C identifier.

    >>> model_name(Path("models/2nd Best-Model.keras")), model_name(Path("int.h5"))
    ('m_2nd_best_model', 'm_int')
    """
    stem = path.resolve().name if path.is_dir() else path.stem
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "model"
    if name[0].isdigit() or name in _C_KEYWORDS or keyword.iskeyword(name):
        name = f"m_{name}"
    return name[:64].rstrip("_")


def hash_path(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files with their relative paths, in sorted order."""
    digest = hashlib.sha256()
    if path.is_file():
        _feed(digest, path)
        return digest.hexdigest()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        digest.update(file.stat().st_size.to_bytes(8, "little"))
        _feed(digest, file)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, file: Path) -> None:
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
