"""Scenes of drawn shapes with their boxes: what the shape detector is trained and measured on. All of it is made here.

python examples/detector/scenes.py FOLDER --count 200 --seed 1     # images and YOLO labels, with data.yaml
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

LABELS = ("circle", "square", "triangle", "star", "cross")
WIDTH, HEIGHT = 320, 240
FINE = 2  # drawn so much larger, for smooth edges
LEAST_VISIBLE = 0.5
MOST_HIDDEN = 0.2


class Shape(NamedTuple):
    """One object: its class, and (left, top, right, bottom) in pixels of the scene."""

    label: int
    box: tuple[float, float, float, float]


def scene(
    rng: np.random.Generator, width: int = WIDTH, height: int = HEIGHT
) -> tuple[np.ndarray, list[Shape]]:
    """Return a scene, uint8 (height, width, 3), and the shapes in it; now and then there are none."""
    canvas = _background(rng, width, height).resize((width * FINE, height * FINE))
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(0, 6)):
        _clutter(rng, draw, width * FINE, height * FINE)
    shapes: list[Shape] = []
    for _ in range(int(rng.integers(0, 6))):
        label, side = int(rng.integers(len(LABELS))), float(rng.uniform(0.22, 0.7) * height)
        centre = rng.uniform((-0.1 * side, -0.1 * side), (width + 0.1 * side, height + 0.1 * side))
        points = (
            outline(LABELS[label], rng.uniform(0, 2 * math.pi), rng.uniform(0.75, 1.0)) * side / 2 + centre
        )
        low, high = points.min(axis=0), points.max(axis=0)
        seen_low, seen_high = np.clip(low, 0, (width, height)), np.clip(high, 0, (width, height))
        visible = np.prod(seen_high - seen_low) / np.prod(high - low)
        box = tuple(float(v) for v in (*seen_low, *seen_high))
        if visible < LEAST_VISIBLE or any(_hidden(shape.box, box) > MOST_HIDDEN for shape in shapes):
            continue
        fill, edge = _colours(rng, canvas, points * FINE)
        flat = [(float(x), float(y)) for x, y in points * FINE]
        draw.polygon(flat, fill=fill)
        if rng.random() < 0.3:
            draw.line([*flat, flat[0]], fill=edge, width=int(rng.integers(2, 5)))
        shapes.append(Shape(label, box))
    image = canvas.resize((width, height), Image.Resampling.BOX)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.2))))
    noisy = np.asarray(image, np.float32) * rng.uniform(0.6, 1.1) + rng.normal(
        0, rng.uniform(0, 6), (height, width, 3)
    )
    return np.clip(noisy, 0, 255).astype(np.uint8), shapes


def outline(name: str, turn: float, flat: float) -> np.ndarray:
    """Return the corners of a shape within the unit circle, turned, and made flatter one way: (n, 2)."""
    corners = {"circle": 40, "square": 4, "triangle": 3, "star": 10, "cross": 12}[name]
    angle = np.arange(corners) * 2 * math.pi / corners
    radius = np.ones(corners)
    if name == "star":
        radius[1::2] = 0.45
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None]
    if name == "cross":
        arm = 0.32
        quarter = np.array([(arm, arm), (arm, 0.95), (-arm, 0.95)])
        turns = [np.array([[0, -1], [1, 0]])]
        points = np.concatenate([quarter @ np.linalg.matrix_power(turns[0], k).T for k in range(4)])
    points = points * (1, flat)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    found: np.ndarray = points @ rotation.T
    return found


def _background(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Return a soft picture: a few colours that run into each other, some with a fine grain."""
    coarse = rng.integers(0, 256, (int(rng.integers(2, 6)), int(rng.integers(2, 6)), 3)).astype(np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32)
    middle = soft.mean(axis=(0, 1))
    soft = middle + (soft - middle) * rng.uniform(0.1, 1.0)
    if rng.random() < 0.5:
        grain = rng.normal(0, rng.uniform(2, 14), (height // 2, width // 2, 1))
        soft = soft + np.repeat(np.repeat(grain, 2, axis=0), 2, axis=1)
    return Image.fromarray(np.clip(soft, 0, 255).astype(np.uint8))


def _clutter(rng: np.random.Generator, draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    """Draw a line or an arc, which is nothing that has a name."""
    colour = tuple(int(v) for v in rng.integers(0, 256, 3))
    points = rng.uniform((0, 0), (width, height), (2, 2))
    thick = int(rng.integers(1, 10))
    if rng.random() < 0.6:
        draw.line([tuple(p) for p in points], fill=colour, width=thick)
    else:
        low, high = points.min(axis=0), points.max(axis=0) + 2
        start = float(rng.uniform(0, 360))
        draw.arc([*low, *high], start, start + float(rng.uniform(40, 160)), fill=colour, width=thick)


def _colours(
    rng: np.random.Generator, canvas: Image.Image, points: np.ndarray
) -> tuple[tuple[int, ...], ...]:
    """Return a fill that stands out from what is below it, and an edge."""
    x, y = np.clip(points.mean(axis=0), 0, (canvas.width - 1, canvas.height - 1))
    below = np.array(canvas.getpixel((int(x), int(y))), float)
    for _ in range(20):
        fill = rng.integers(0, 256, 3)
        if np.abs(fill - below).sum() > 200:
            break
    return tuple(int(v) for v in fill), tuple(int(v) for v in rng.integers(0, 256, 3))


def _hidden(box: tuple[float, ...], by: tuple[float, ...]) -> float:
    """Return the share of a box that another one covers."""
    wide = min(box[2], by[2]) - max(box[0], by[0])
    tall = min(box[3], by[3]) - max(box[1], by[1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return max(0.0, wide) * max(0.0, tall) / area


def write(folder: Path, count: int, seed: int) -> None:
    """Write ``images/*.png``, ``labels/*.txt`` and ``data.yaml`` as YOLO's tools have them."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for k in range(count):
        image, shapes = scene(rng)
        height, width = image.shape[:2]
        Image.fromarray(image).save(folder / "images" / f"{k:04d}.png")
        lines = []
        for label, (left, top, right, bottom) in shapes:
            centre = ((left + right) / 2 / width, (top + bottom) / 2 / height)
            size = ((right - left) / width, (bottom - top) / height)
            lines.append(f"{label} " + " ".join(f"{v:.6f}" for v in (*centre, *size)))
        (folder / "labels" / f"{k:04d}.txt").write_text("".join(line + "\n" for line in lines))
    names = "\n".join(f"  {k}: {name}" for k, name in enumerate(LABELS))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnames:\n{names}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write(options.folder, options.count, options.seed)


if __name__ == "__main__":
    main()
