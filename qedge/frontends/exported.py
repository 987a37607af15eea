"""What an exporter noted beside the graph: names of the classes, the task, the image size. Data only, never run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OVERLAP = "qedge.suppression.iou"
"""The note of a front end that left a suppression out: how far boxes may overlap."""
MOST_CHARACTERS = 1 << 16
"""Longest note that is read; the names of thousands of classes are shorter."""


@dataclass(frozen=True)
class Exported:
    """What Ultralytics' exporter notes.

    Args:
        task: ``detect``, ``classify``, ``segment`` ...
        names: of the classes, in the model's order.
        size: (height, width) that it was exported for.
        stride: of its coarsest level, pixels.
    """

    task: str
    names: tuple[str, ...]
    size: tuple[int, int] | None
    stride: int | None


def read_exported(notes: Mapping[str, str]) -> Exported | None:
    """Return what the notes of a model say, or None where they are not Ultralytics'.

    >>> read_exported({"task": "detect", "names": "{0: 'cat', 1: 'dog'}", "imgsz": "[320, 320]", "stride": "32"})
    Exported(task='detect', names=('cat', 'dog'), size=(320, 320), stride=32)
    """
    task, names = notes.get("task"), _value(notes.get("names"))
    if task is None or not isinstance(names, dict) or sorted(names) != list(range(len(names))):
        return None
    size, stride = _value(notes.get("imgsz")), _value(notes.get("stride"))
    good = isinstance(size, (list, tuple)) and len(size) == 2 and all(isinstance(s, int) for s in size)
    return Exported(
        task,
        tuple(str(names[k]) for k in range(len(names))),
        (size[0], size[1]) if good else None,
        stride if isinstance(stride, int) else None,
    )


def noted_overlap(notes: Mapping[str, str]) -> float | None:
    """Return how far boxes may overlap where a suppression was left out of the model, 0 to 1; None where none was.

    >>> noted_overlap({OVERLAP: "0.45"}), noted_overlap({OVERLAP: "much"}), noted_overlap({})
    (0.45, None, None)
    """
    value = _value(notes.get(OVERLAP))
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 1 else None


def _value(text: str | None) -> Any:
    """Return a literal of Python (numbers, strings, lists, mappings), None where it is none."""
    if text is None or len(text) > MOST_CHARACTERS:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
