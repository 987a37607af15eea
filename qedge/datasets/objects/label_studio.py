"""Label Studio's export (JSON): rectangles and outlines in percent of each photo."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

from qedge.datasets.objects.coco import photos_of
from qedge.datasets.objects.gather import Gatherer
from qedge.datasets.objects.lint import is_coordinate
from qedge.datasets.objects.photos import header_of
from qedge.datasets.objects.truth import Labelled
from qedge.errors import DataError
from qedge.findings import Finding

Points = Sequence[tuple[float, float]]


def read(path: Path, tasks: list[Any]) -> Labelled:
    """Return what an export of tasks says; of several annotations of a task the first that was not cancelled.

    Tasks that were skipped, or that nobody has annotated yet, say nothing of their photos and are left out.

    Raises:
        DataError: a task has no photo, a rectangle is none, or no task is annotated.
    """
    gathered = Gatherer("Label Studio", path, photos_of(path))
    objects: list[tuple[Path, list[tuple[str, Points]]]] = []
    others: Counter[str] = Counter()
    unseen = 0
    for k, task in enumerate(tasks):
        called, result = _image(path, k, task), _result(task)
        if result is None:
            unseen += 1
        elif (photo := gathered.find(*called)) is not None:
            objects.append((photo, _objects(f"{path}: $[{k}]", photo, result, others)))
    if unseen == len(tasks):
        raise DataError(
            f"{path}: none of its {unseen} tasks is annotated", hint="export tasks that were submitted"
        )
    names = sorted({name for _, found in objects for name, _ in found})
    for photo, found in objects:
        boxes = [_around(points) for _, points in found]
        gathered.add(photo, boxes, [names.index(name) for name, _ in found], shares=True)
    findings = []
    if unseen:
        said = f"{unseen} of {len(tasks)} tasks were skipped or are not annotated yet, and are left out"
        findings.append(Finding("info", "boxes", said))
    if others:
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        findings.append(
            Finding("warning", "boxes", f"what is neither rectangle nor outline is left out: {said}")
        )
    return gathered.labelled(names, findings)


def _image(path: Path, k: int, task: Any) -> list[str]:
    """Return the names that a task's photo may have: as it was uploaded, and without the prefix of an upload."""
    data = task.get("data") if isinstance(task, dict) else None
    data = data if isinstance(data, dict) else {}
    named = data.get("image", next((v for v in data.values() if isinstance(v, str)), None))
    if not isinstance(named, str):
        raise DataError(
            f"{path}: $[{k}].data.image: found {named!r}, expected the photo",
            hint="export the tasks as JSON (not JSON-MIN), or the labels as COCO or YOLO",
        )
    parsed = urlparse(named)
    inside = parse_qs(parsed.query).get("d", [unquote(parsed.path)])[0]
    folder, _, name = inside.replace("\\", "/").rpartition("/")
    _, dash, after = name.partition("-")  # uploads have a prefix: 3f9a1c2b-cat.jpg
    return [inside, f"{folder}/{after}"] if dash else [inside]


def _result(task: Any) -> list[Any] | None:
    """Return what was marked in a task; None where nobody submitted anything."""
    listed = task.get("annotations")
    for annotation in listed if isinstance(listed, list) else []:
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            result = annotation.get("result")
            return result if isinstance(result, list) else []
    return None


def _objects(
    where: str, photo: Path, result: Sequence[Any], others: Counter[str]
) -> list[tuple[str, Points]]:
    """Return label and corners, in shares of the photo, of every rectangle and outline; others are counted."""
    found: list[tuple[str, Points]] = []
    for entry in result:
        kind, value = (entry.get("type"), entry.get("value")) if isinstance(entry, dict) else (None, None)
        if not isinstance(kind, str) or not kind.endswith("labels") or not isinstance(value, dict):
            continue  # a choice, a relation, a text; a shape whose label is an entry of its own
        labels = value.get(kind)
        if "points" in value:
            corners = value["points"]
            good = isinstance(corners, list) and all(
                isinstance(p, list) and len(p) == 2 and all(map(is_coordinate, p)) for p in corners
            )
            points = [(x / 100, y / 100) for x, y in corners] if good else []
        elif {"x", "y", "width", "height"} <= set(value):
            points = _corners(entry, value, photo)
        else:
            others[kind] += 1
            continue
        if not (isinstance(labels, list) and labels and points):
            raise DataError(f"{where}: found {str(value)[:100]}, expected a rectangle with a label")
        found.append((str(labels[0]), points))
    return found


def _corners(entry: dict[str, Any], value: dict[str, Any], photo: Path) -> list[tuple[float, float]]:
    """Return the corners of a rectangle, turned clockwise about its first one; [] where it is none."""
    numbers = [value[key] for key in ("x", "y", "width", "height")]
    turn = value.get("rotation") or 0
    if not all(map(is_coordinate, [*numbers, turn])):
        return []
    x, y, wide, tall = (v / 100 for v in numbers)
    sides: list[Any] = [entry.get("original_width"), entry.get("original_height")]
    if turn and not all(is_coordinate(s) and s > 0 for s in sides):
        height, width, turned = header_of(photo)
        sides = [height, width] if turned >= 5 else [width, height]
    shape = sides[0] / sides[1] if turn else 1.0  # degrees are of pixels, not of shares
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return [
        (x + u * cos - v * sin / shape, y + u * sin * shape + v * cos)
        for u, v in ((0, 0), (wide, 0), (0, tall), (wide, tall))
    ]


def _around(points: Points) -> tuple[float, float, float, float]:
    xs, ys = zip(*points)
    return min(xs), min(ys), max(xs), max(ys)
