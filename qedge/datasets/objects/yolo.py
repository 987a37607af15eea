"""YOLO's labels: ``data.yaml``, and a text file a photo with ``class x y w h`` as shares of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qedge.datasets.folder import kind_of, walk_files
from qedge.datasets.objects.lint import yolo_units
from qedge.datasets.objects.truth import Labelled, Truth, size_of
from qedge.errors import DataError, ToolError

PARTS = ("val", "test", "train")


def find_yaml(path: Path) -> Path | None:
    """Return the ``data.yaml`` that ``path`` is or holds; None where there is none."""
    if path.suffix.lower() in (".yaml", ".yml"):
        return path
    found = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else []
    return next((p for p in found if p.name == "data.yaml"), found[0] if len(found) == 1 else None)


def read(path: Path) -> Labelled:
    """Return the photos and labels that a ``data.yaml`` names: those to validate on, else to test or train.

    Raises:
        DataError: it names no classes or no photos, or a label cannot be read.
    """
    stated = _yaml(path)
    names = _names(stated.get("names"), path)
    root = path.parent / str(stated.get("path") or ".")
    root = root if root.is_dir() else path.parent
    for part in PARTS:
        listed = stated.get(part)
        for place in [listed] if isinstance(listed, str) else listed or []:
            files = list(_photos(root / str(place).removeprefix("../")))
            if files:
                return Labelled("YOLO", names, tuple(_truth(file) for file in files))
    raise DataError(f"{path}: names no folder with photos", hint="val: images/val, relative to path")


def _photos(place: Path) -> Iterator[Path]:
    if place.is_file():
        lines = place.read_text(encoding="utf-8").split()
        yield from (
            file for line in lines if kind_of(file := place.parent / line) == "image" and file.is_file()
        )
    elif place.is_dir():
        yield from (file for file in walk_files(place) if kind_of(file) == "image")


def _truth(image: Path) -> Truth:
    parts = list(image.with_suffix(".txt").parts)
    places = [k for k, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    label = Path(*parts)
    if not label.is_file():
        return Truth.of(image, size_of(image), [], [])
    classes, values = [], []
    for number, line in enumerate(label.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            numbers = [float(f) for f in fields]
        except ValueError:
            numbers = []
        if len(numbers) < 5 or numbers[0] != int(numbers[0]):
            raise DataError(f"{label}, line {number}: found {line[:40]!r}, expected class x y w h")
        classes.append(int(numbers[0]))
        values.append(numbers[1:5] if len(numbers) < 7 else _around(numbers[1:]))
    yolo_units(values, str(label))
    height, width = size_of(image)
    boxes = [
        ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        for x, y, w, h in values
    ]
    return Truth.of(image, (height, width), boxes, classes)


def _around(points: list[float]) -> list[float]:
    """Return the box around a polygon x1 y1 x2 y2 ..., as segmentation labels have it."""
    xs, ys = points[0::2], points[1::2]
    low, high = (min(xs), min(ys)), (max(xs), max(ys))
    return [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[0] - low[0], high[1] - low[1]]


def _names(stated: Any, path: Path) -> tuple[str, ...]:
    if isinstance(stated, dict) and sorted(stated) == list(range(len(stated))) and stated:
        return tuple(str(stated[k]) for k in range(len(stated)))
    if isinstance(stated, list) and stated:
        return tuple(str(name) for name in stated)
    raise DataError(
        f"{path}: names: found {stated!r}, expected the classes, from 0", hint="names: {0: cat, 1: dog}"
    )


def _yaml(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise ToolError("reading data.yaml needs pyyaml", hint='pip install "qedge[detection]"') from None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        told = " ".join(str(problem).split())[:150]
        raise DataError(f"{path}: cannot be read as YAML: {told}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: found {type(found).__name__}, expected path, val and names")
    return found
