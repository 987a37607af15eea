"""What a user named as a model, looked at once for all front ends."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from qedge.archives import zip_faults
from qedge.errors import ModelError

HEAD = 256
MOST_MEMBERS = 100_000
"""Members of an archive that are looked at; a model has hundreds."""


@dataclass(frozen=True)
class Candidate:
    """A model that no front end has claimed yet.

    Args:
        given: the user's own words.
        path: the same as a path.
        kind: what lies there.
        size: bytes of a file.
        head: the first bytes of a file.
        members: unpacked sizes by name of a zip archive (empty where it is none, or damaged); of a folder the
            names that it holds.
        damage: why a file that begins as a zip archive cannot be read as one, or "".
    """

    given: str
    path: Path
    kind: Literal["file", "folder", "nothing"]
    size: int = 0
    head: bytes = b""
    members: Mapping[str, int] = field(default_factory=dict)
    damage: str = ""

    @property
    def is_zip(self) -> bool:
        """Whether a file begins as a zip archive, damaged or not."""
        return self.head.startswith(b"PK")

    @property
    def suffix(self) -> str:
        """The end of the name in lower case, with its dot: ``.keras``."""
        return self.path.suffix.lower()

    def describe(self) -> str:
        """Return what was found, for messages."""
        if self.kind == "folder":
            return f"a folder that holds {', '.join(sorted(self.members)[:5]) or 'nothing'}"
        if self.is_zip:
            return f"a zip archive that holds {', '.join(sorted(self.members)[:5]) or 'nothing readable'}"
        return f"{self.size} bytes starting {self.head[:8]!r}" if self.head else "an empty file"


def look(given: str | Path) -> Candidate:
    """Return what lies at a path; nothing may, for a model that is named otherwise.

    Raises:
        ModelError: something is there that cannot be read.
    """
    path = Path(given)
    try:
        if not path.exists():
            return Candidate(str(given), path, "nothing")
        if path.is_dir():
            return Candidate(str(given), path, "folder", members={p.name: 0 for p in path.iterdir()})
        with path.open("rb") as stream:
            head = stream.read(HEAD)
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"cannot read {given}: {reason}", hint="check the path of the model") from error
    members, damage = _members(path) if head.startswith(b"PK") else ({}, "")
    return Candidate(str(given), path, "file", size, head, members, damage)


def _members(path: Path) -> tuple[dict[str, int], str]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except zip_faults() as error:
        return {}, str(error) or type(error).__name__
    if len(infos) > MOST_MEMBERS:
        return {}, f"it has {len(infos)} members, expected at most {MOST_MEMBERS}"
    return {info.filename: info.file_size for info in infos}, ""
