"""What is seen, drawn onto the picture: for the window and for what is kept."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

COLORS = ("#ff3b6b", "#2ec4ff", "#ffd23f", "#3be37d", "#ff8a3d", "#b18cff", "#00e0c6", "#ff7bd5")
LEAST_POINT = 0.3
"""Least score of a point within a box that is drawn."""
SHADE = (0, 0, 0, 150)
WHITE = (255, 255, 255, 255)


def overlay(
    image: Image.Image, seen: dict[str, Any], edges: Sequence[tuple[int, int]] = (), threshold: float = 0.0
) -> Image.Image:
    """Return ``image`` (RGB) with the labels, boxes or points of ``seen`` and a line of figures.

    Everything is as large as the picture needs; points below ``threshold`` are left out.
    """
    letter = max(12, min(image.size) // 24)
    canvas = ImageDraw.Draw(image, "RGBA")
    font = _font(letter)
    if "boxes" in seen:
        _boxes(canvas, font, seen["boxes"], letter, edges, max(threshold, LEAST_POINT))
    if "points" in seen:
        _points(canvas, seen["points"], edges, threshold, letter)
    if "labels" in seen:
        _labels(canvas, font, seen["labels"], letter)
    figures = f"{seen['fps']:.1f} fps   {seen['latency_ms']['invoke']:.1f} ms"
    _text(canvas, _font(max(11, letter * 3 // 4)), (letter // 2, image.height - letter * 3 // 2), figures)
    return image


def color_of(label: str) -> str:
    """Return the colour of a label, always the same one."""
    return COLORS[zlib.crc32(label.encode()) % len(COLORS)]


def _boxes(
    canvas: Any,
    font: Any,
    boxes: Sequence[dict[str, Any]],
    letter: int,
    edges: Sequence[tuple[int, int]],
    threshold: float,
) -> None:
    for entry in reversed(boxes):  # the surest on top
        color = color_of(entry["label"])
        for run in entry.get("mask", ()):
            canvas.rectangle(tuple(run), fill=(*_rgb(color), 110))
        left, top, right, bottom = entry["box"]
        canvas.rectangle(
            (left, top, max(left, right), max(top, bottom)), outline=color, width=max(2, letter // 6)
        )
        if "points" in entry:
            _points(
                canvas,
                [{"x": x, "y": y, "score": s} for x, y, s in entry["points"]],
                edges,
                threshold,
                letter,
            )
        number = f" {entry['track']}" if "track" in entry else ""
        title = f"{entry['label']}{number} {entry['score']:.0%}"
        height = letter * 4 // 3
        _text(canvas, font, (left, top - height if top >= height else top), title, color, "black")


def _points(
    canvas: Any,
    points: Sequence[dict[str, Any]],
    edges: Sequence[tuple[int, int]],
    threshold: float,
    letter: int,
) -> None:
    sure = [(p["x"], p["y"]) if p["score"] >= threshold else None for p in points]
    for number, (a, b) in enumerate(edges):
        if sure[a] and sure[b]:
            canvas.line((sure[a], sure[b]), fill=COLORS[number % len(COLORS)], width=max(2, letter // 5))
    radius = max(3, letter // 4)
    for place in filter(None, sure):
        x, y = place
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill="white", outline="black")


def _labels(canvas: Any, font: Any, labels: Sequence[dict[str, Any]], letter: int) -> None:
    y = letter // 2
    for entry in [entry for entry in labels if entry["score"] >= 0.005]:  # 0 % says nothing
        title = f"{entry['label']}  {entry['score']:.0%}"
        _text(canvas, font, (letter // 2, y), title, (*_rgb(color_of(entry["label"])), 190), "black")
        y += letter * 3 // 2


def _text(
    canvas: Any, font: Any, place: tuple[float, float], text: str, behind: Any = SHADE, color: Any = WHITE
) -> None:
    left, _, right, bottom = canvas.textbbox(place, text, font=font)
    pad = max(2, font.size // 4)
    canvas.rectangle((left - pad, place[1] - 1, right + pad, bottom + pad), fill=behind)
    canvas.text(place, text, fill=color, font=font)


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.load_default(size=size)
