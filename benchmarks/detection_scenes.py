"""Scenes for nets that learn in minutes: five outlines, each of a colour of its own, on dull pictures.

``detection_models.py`` trains on them and ``detection.py`` measures on others. A shape has the same size in pixels
whatever the size of the scene, so that a net that learned on small ones answers large ones; shapes never overlap.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parent.parent / "examples" / "detector"))
import scenes

COLOURS = ((210, 40, 40), (40, 170, 60), (50, 70, 220), (230, 200, 40), (200, 60, 200))
SIDES = (28, 88)
"""Least and largest side of a shape, in pixels."""
AREA = 96 * 96
"""Pixels of a scene for each shape, on average."""


def scene(
    rng: np.random.Generator, size: int, photo: Image.Image | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return a scene, uint8 (size, size, 3), and its shapes: float32 (n, 5), class, left, top, right, bottom.

    Args:
        photo: what lies below, as gray as the drawn pictures are; a drawn one without.
    """
    canvas = _backdrop(rng, size) if photo is None else _dull(photo.resize((size, size)))
    draw, found = ImageDraw.Draw(canvas), np.zeros((0, 5), np.float32)
    for _ in range(max(1, rng.poisson(size * size / AREA))):
        label, side = int(rng.integers(len(COLOURS))), float(rng.uniform(*SIDES))
        points = (
            scenes.outline(scenes.LABELS[label], rng.uniform(-0.3, 0.3), rng.uniform(0.8, 1.0)) * side / 2
        )
        points = points + rng.uniform(side / 2, size - side / 2, 2)
        low, high = points.min(axis=0), points.max(axis=0)
        apart = (found[:, 3:] < low - 4).any(axis=1) | (found[:, 1:3] > high + 4).any(axis=1)
        if not apart.all() or low.min() < 0 or high.max() > size:
            continue
        colour = np.clip(np.array(COLOURS[label]) + rng.integers(-25, 26, 3), 0, 255)
        draw.polygon([(float(x), float(y)) for x, y in points], fill=tuple(int(v) for v in colour))
        found = np.concatenate([found, np.array([[label, *low, *high]], np.float32)])
    noisy = np.asarray(canvas, np.float32) + rng.normal(0, rng.uniform(0, 5), (size, size, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), found


def _backdrop(rng: np.random.Generator, size: int) -> Image.Image:
    """Return a soft picture of a few dull colours that run into each other."""
    coarse = rng.integers(20, 236, (int(rng.integers(2, 7)), int(rng.integers(2, 7)), 3)).astype(np.uint8)
    return _dull(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def _dull(picture: Image.Image) -> Image.Image:
    return Image.blend(picture.convert("L").convert("RGB"), picture.convert("RGB"), 0.35)
