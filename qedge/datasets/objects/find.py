"""Which file of a folder holds its labels, where there are several."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from qedge.datasets.objects.yolo import NAMES, PARTS, read_yaml
from qedge.errors import DataError, ToolError

MOST_JSON = 1 << 30
HEAD = 1 << 16
"""Bytes at the start of a JSON file by which labels are told from other files."""
ROBOFLOW = "_annotations.coco.json"
"""Name of the labels of each part, in the part's own folder."""
INSTANCES = "instances"
"""How COCO's own files of objects begin; those of captions and key points have other names."""
FOLDERS = ("valid", "val", "test", "train")


def holds_labels(folder: Path) -> bool:
    """Return whether a folder seems to hold labelled boxes, whose photos may lie in it in any way."""
    try:
        if yaml_of(folder) is not None or json_of(folder) is not None:
            return True
    except (DataError, ToolError):
        return True  # several do: a detector's data are asked which
    listed = any((folder / name).is_file() for name in NAMES)
    return listed or next(folder.rglob("*.xml"), None) is not None


def yaml_of(folder: Path) -> Path | None:
    """Return the ``data.yaml`` of a folder, or the one YAML file there that names classes and photos; else None.

    Raises:
        DataError: several do.
    """
    if (folder / "data.yaml").is_file():
        return folder / "data.yaml"
    return _only(
        folder, [p for p in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]) if _names_photos(p)]
    )


def _names_photos(path: Path) -> bool:
    with contextlib.suppress(DataError):
        stated = read_yaml(path)
        return ("names" in stated or "nc" in stated) and any(part in stated for part in PARTS)
    return False


def json_of(folder: Path) -> Path | None:
    """Return the JSON file of labels in a folder, its ``annotations`` or (Roboflow's) in its parts; else None.

    Of COCO's own set that of objects (``instances``), and of several the one to validate on, else to test or train.

    Raises:
        DataError: several hold labels.
    """
    parts = [folder / part / ROBOFLOW for part in FOLDERS]
    found = [
        p for p in sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")]) if _holds_labels(p)
    ]
    found = [p for p in found if p.name.startswith(INSTANCES)] or found
    chosen = next((of_part for part in PARTS if (of_part := [p for p in found if part in p.stem])), found)
    return _only(folder, chosen) or next((p for p in parts if p.is_file()), None)


def _holds_labels(path: Path) -> bool:
    """Return whether a JSON file looks like COCO's or Label Studio's, by how it starts."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD).replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf \r\n\t")
    except OSError:
        return False
    if head.startswith(b"["):
        return b'"data"' in head and b'"annotations"' in head
    return any(word in head for word in (b'"images"', b'"annotations"'))


def _only(folder: Path, found: Sequence[Path]) -> Path | None:
    if len(found) > 1:
        shown = ", ".join(str(path.relative_to(folder)) for path in found[:4])
        raise DataError(
            f"{folder}: found labels in {shown}, expected one such file", hint=f"name it: {found[0]}"
        )
    return found[0] if found else None


def read_json(path: Path) -> object:
    """Return what a JSON file holds.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if path.stat().st_size > MOST_JSON:
            raise DataError(f"{path}: found {path.stat().st_size:,} bytes, expected at most {MOST_JSON:,}")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as problem:
        raise DataError(f"{path}: cannot be read as JSON: {problem}") from None
