"""Scenes whose shapes have masks and key points: outlines that know which way is up, on dull pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from detection_scenes import AREA, COLOURS, SIDES, _backdrop, scenes
from PIL import Image, ImageDraw

POINTS = 3
"""Key points of a shape: its middle, its tip and its right side, as it stands."""
HIDDEN = 0.25
"""How often the tip lies under a gray disc, and is not to be seen."""


class Drawn(NamedTuple):
    """The shapes of a scene, in its pixels.

    Args:
        boxes: class, left, top, right, bottom: float32 (n, 5).
        points: x, y and whether it is seen, of each key point: float32 (n, POINTS, 3).
        outlines: corners of each shape, float (corners, 2).
    """

    boxes: np.ndarray
    points: np.ndarray
    outlines: list[np.ndarray]

    def masks(self, size: int, cells: int) -> np.ndarray:
        """Return which shape each cell of a grid over the scene belongs to, from 1; 0: none. uint8 (cells, cells)."""
        canvas = Image.new("L", (cells, cells))
        draw = ImageDraw.Draw(canvas)
        for k, outline in enumerate(self.outlines):
            draw.polygon(
                [(x * cells / size - 0.5, y * cells / size - 0.5) for x, y in outline.tolist()], fill=k + 1
            )
        return np.asarray(canvas)


def scene(rng: np.random.Generator, size: int) -> tuple[np.ndarray, Drawn]:
    """Return a scene, uint8 (size, size, 3), and its shapes, which never overlap."""
    canvas = _backdrop(rng, size)
    draw = ImageDraw.Draw(canvas)
    boxes, points, outlines = np.zeros((0, 5), np.float32), [], []
    for _ in range(max(1, rng.poisson(size * size / AREA))):
        label, side = int(rng.integers(len(COLOURS))), float(rng.uniform(*SIDES))
        turn = float(rng.uniform(-0.5, 0.5))
        middle = rng.uniform(side / 2, size - side / 2, 2)
        corners = scenes.outline(scenes.LABELS[label], turn, rng.uniform(0.8, 1.0)) * side / 2 + middle
        low, high = corners.min(axis=0), corners.max(axis=0)
        apart = (boxes[:, 3:] < low - 4).any(axis=1) | (boxes[:, 1:3] > high + 4).any(axis=1)
        if not apart.all() or low.min() < 0 or high.max() > size:
            continue
        colour = np.clip(np.array(COLOURS[label]) + rng.integers(-25, 26, 3), 0, 255)
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=tuple(int(v) for v in colour))
        up = np.array([np.sin(turn), -np.cos(turn)]) * side / 4
        marks = np.stack([middle, middle + up, middle + np.array([-up[1], up[0]])])
        hidden = rng.random() < HIDDEN
        x, y = (marks[1] + 0.0).tolist()
        r = max(3.0, side / 10)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=(128, 128, 128) if hidden else (255, 255, 255))
        seen = np.array([1.0, 0.0 if hidden else 1.0, 1.0])
        boxes = np.concatenate([boxes, np.array([[label, *low, *high]], np.float32)])
        points.append(np.column_stack([marks, seen]))
        outlines.append(corners)
    noisy = np.asarray(canvas, np.float32) + rng.normal(0, rng.uniform(0, 5), (size, size, 3))
    marked = np.array(points, np.float32).reshape(-1, POINTS, 3)
    return np.clip(noisy, 0, 255).astype(np.uint8), Drawn(boxes, marked, outlines)
