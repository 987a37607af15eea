"""Label Studio's export (JSON): rectangles in percent of each photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from qedge.datasets.objects.coco import find_photo
from qedge.datasets.objects.truth import Labelled, Truth, size_of
from qedge.errors import DataError


def read(path: Path, tasks: list[Any]) -> Labelled:
    """Return what an export of tasks says; of several annotations of a task the first that was not cancelled.

    Raises:
        DataError: a task has no photo, or a rectangle is none.
    """
    found = [(_image(path, k, task), _rectangles(path, k, task)) for k, task in enumerate(tasks)]
    names = tuple(sorted({name for _, rectangles in found for name, _ in rectangles}))
    truths = []
    for photo, rectangles in found:
        height, width = size_of(photo)
        boxes = [
            (x * width / 100, y * height / 100, (x + w) * width / 100, (y + h) * height / 100)
            for _, (x, y, w, h) in rectangles
        ]
        truths.append(Truth.of(photo, (height, width), boxes, [names.index(name) for name, _ in rectangles]))
    return Labelled("Label Studio", names, tuple(truths))


def _image(path: Path, k: int, task: Any) -> Path:
    data = task.get("data") if isinstance(task, dict) else None
    named = next((v for v in (data or {}).values() if isinstance(v, str)), None)
    named = (data or {}).get("image", named)
    if not isinstance(named, str):
        raise DataError(f"{path}: $[{k}].data.image: found {named!r}, expected the photo")
    parsed = urlparse(named)
    inside = unquote(parsed.query.partition("d=")[2] or parsed.path)
    name = Path(inside).name
    _, dash, after = name.partition("-")  # uploads have a prefix: 3f9a1c2b-cat.jpg
    try:
        return find_photo(path, inside.lstrip("/") or name)
    except DataError:
        if not dash:
            raise
        return find_photo(path, after)


def _rectangles(path: Path, k: int, task: Any) -> list[tuple[str, tuple[float, ...]]]:
    listed = [a for a in task.get("annotations") or [] if isinstance(a, dict) and not a.get("was_cancelled")]
    found = []
    for entry in listed[0].get("result") or [] if listed else []:
        if not isinstance(entry, dict) or entry.get("type") != "rectanglelabels":
            continue
        value = entry.get("value") or {}
        labels = value.get("rectanglelabels")
        numbers: list[Any] = [value.get(key) for key in ("x", "y", "width", "height")]
        if not labels or not all(isinstance(v, (int, float)) for v in numbers):
            raise DataError(f"{path}: $[{k}]: found {value!r}, expected a rectangle with a label")
        found.append((str(labels[0]), tuple(float(v) for v in numbers)))
    return found
