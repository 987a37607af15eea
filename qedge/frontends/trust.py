"""Nothing in a model file runs: what would is found before the file is loaded, and named.

A model should be data. Some formats carry code all the same (a Lambda layer's bytecode, a pickle) or operators that
read and write files. Front ends look for such things without running them, as :class:`Hazard`; the user can vouch
for a file by ``--trust-model`` on the command line or ``trust=True`` in Python. No configuration file and no
environment variable can: they travel with a model, and a file cannot vouch for itself.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from qedge.archives import zip_faults
from qedge.errors import ModelError

TRUST_HINT = "if you know who made it, and would run a program of theirs: --trust-model"
MOST_UNPACKED = 16 << 30
"""Bytes that the members of an archive may unpack to."""
MOST_RATIO = 200
"""How much larger than the archive its members may be, beyond :data:`ALWAYS_UNPACKED`."""
ALWAYS_UNPACKED = 256 << 20


@dataclass(frozen=True)
class Hazard:
    """Something in a model file that is more than data.

    Args:
        what: it, with its place, as a clause: ``the Lambda layer 'scale' holds Python code``.
        way_out: what its author can do instead, or "".
    """

    what: str
    way_out: str = ""


def refusal(path: str, hazards: Sequence[Hazard]) -> ModelError:
    """Return the error for a file with hazards: all of them, and the ways out."""
    listed = "; ".join(dict.fromkeys(h.what for h in hazards[:5]))
    more = f"; and {len(hazards) - 5} more" if len(hazards) > 5 else ""
    ways = "; ".join(dict.fromkeys(h.way_out for h in hazards if h.way_out))
    return ModelError(
        f"{path} is not only data, and nothing of it was run: {listed}{more}",
        hint=f"{ways}; {TRUST_HINT}" if ways else TRUST_HINT,
    )


def inside(folder: Path, name: str) -> Path:
    """Return the file of this name in a folder, which a model refers to; links are followed and may not lead out.

    Args:
        folder: the model's own folder.
        name: relative, as the model states it.

    Raises:
        ModelError: the name is absolute, or leads out of the folder.
    """
    parts = (PurePosixPath(name), PureWindowsPath(name))
    absolute = any(p.is_absolute() or p.drive for p in parts) or not name or "\0" in name
    root = Path(os.path.realpath(folder))
    found = root if absolute else Path(os.path.realpath(root / name))
    if absolute or not found.is_relative_to(root):
        raise ModelError(
            f"the model refers to the file {name!r}, expected one in its own folder {folder}",
            hint="save the model again with its external data beside it",
        )
    return found


def check_archive(path: Path, what: str) -> None:
    """Refuse a zip archive that is damaged, or unpacks to far more than it is.

    Args:
        path: of the archive.
        what: it, for messages: ``.keras file``.

    Raises:
        ModelError: truncated, a wrong checksum, or a bomb.
    """
    again = "save or copy it again; it may be truncated"
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
            packed = path.stat().st_size
            if unpacked > MOST_UNPACKED or unpacked > max(ALWAYS_UNPACKED, MOST_RATIO * packed):
                raise ModelError(
                    f"{path} unpacks to {unpacked} bytes from {packed}, which no {what} does",
                    hint="save the model again, from where it was trained",
                )
            damaged = archive.testzip()
    except zip_faults() as error:
        raise ModelError(f"{path} is a damaged {what}: {error}", hint=again) from error
    if damaged:
        raise ModelError(f"{path} is a damaged {what}: its {damaged} has a wrong checksum", hint=again)
