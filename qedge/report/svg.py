"""Small pictures as SVG text: histograms, the arena over time, inputs. Deterministic, no script."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def esc(text: object) -> str:
    """Return text for HTML and SVG."""
    return html.escape(str(text), quote=True)


def histogram(counts: Sequence[int], edges: tuple[float, float], chosen: tuple[float, float] | None) -> str:
    """Return a histogram over ``edges`` on a logarithmic axis, the chosen range shaded."""
    width, height = 300, 110
    peak = max(1.0, float(np.log1p(max(counts, default=0))))
    step = width / max(1, len(counts))
    low, high = edges
    span = (high - low) or 1.0
    parts = [f'<svg viewBox="0 0 {width} {height + 18}" role="img" aria-label="histogram" class="hist">']
    if chosen is not None:
        x0 = max(0.0, (chosen[0] - low) / span * width)
        x1 = min(float(width), (chosen[1] - low) / span * width)
        parts.append(
            f'<rect x="{x0:.1f}" y="0" width="{max(1.0, x1 - x0):.1f}" height="{height}" class="range"/>'
        )
    for i, count in enumerate(counts):
        tall = float(np.log1p(count)) / peak * (height - 4)
        if count:
            parts.append(
                f'<rect x="{i * step:.2f}" y="{height - tall:.1f}" width="{step * 0.9:.2f}" height="{tall:.1f}"'
                ' class="bar"/>'
            )
    parts.append(
        f'<text x="0" y="{height + 14}" class="t">{low:.4g}</text>'
        f'<text x="{width}" y="{height + 14}" text-anchor="end" class="t">{high:.4g}</text></svg>'
    )
    return "".join(parts)


def arena(plan: Sequence[Mapping[str, Any]], total: int, steps: int) -> str:
    """Return the arena over time: one numbered box a buffer, time along x, address along y.

    Args:
        plan: ``{tensor, offset, bytes, first_op, last_op}`` a buffer; box k is entry k - 1.
        total: bytes of the arena.
        steps: number of operators.
    """
    width, height = 360, 200
    column = width / max(1, steps)
    scale = height / max(1, total)
    parts = [
        f'<svg viewBox="0 0 {width} {height + 18}" role="img" class="arena"'
        f' aria-label="where {len(plan)} values lie in {total} bytes while {steps} operators run">'
    ]
    numbers = []  # above all boxes, which overlap where an operator works in place
    for i, buffer in enumerate(plan):
        x = max(0, int(buffer["first_op"])) * column
        w = (int(buffer["last_op"]) - max(0, int(buffer["first_op"])) + 1) * column
        tall = int(buffer["bytes"]) * scale
        y = height - int(buffer["offset"]) * scale - tall
        title = f"{buffer['tensor']}: {buffer['bytes']} bytes at {buffer['offset']}"
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1.0, w):.1f}" height="{max(1.0, tall):.1f}"'
            f' class="b{i % 4}"><title>{esc(title)}</title></rect>'
        )
        if w >= 16 and tall >= 11:
            numbers.append(
                f'<text x="{x + w / 2:.1f}" y="{y + tall / 2 + 4:.1f}" text-anchor="middle" class="s">{i + 1}</text>'
            )
    parts += numbers
    parts.append(
        f'<text x="0" y="{height + 14}" class="s">operator 0</text>'
        f'<text x="{width}" y="{height + 14}" text-anchor="end" class="s">'
        f"operator {steps - 1}, {total:,} bytes high</text></svg>"
    )
    return "".join(parts)


LARGEST_PICTURE = 96


def picture(values: npt.NDArray[Any]) -> str:
    """Return an input as an ``img`` element: a photo for H x W x 3, a heat map for anything of rank 2, a line else.

    A photo is at most `LARGEST_PICTURE` pixels high and wide, so that a page of them stays small.
    """
    squeezed = np.squeeze(np.asarray(values, np.float32))
    if squeezed.ndim == 3 and squeezed.shape[2] == 3:
        return _img(_levels(_smaller(squeezed)))
    if squeezed.ndim == 2:
        heat = _levels(_smaller(squeezed.T[::-1, :, None])[..., 0])
        scale = max(1, 96 // max(heat.shape))
        return _img(np.repeat(np.repeat(heat, scale, 0), scale, 1))
    return _line(squeezed.reshape(-1))


def image(values: npt.NDArray[Any]) -> tuple[str, int, int]:
    """Return a photo or a gray picture as an SVG ``image`` element, with its width and height."""
    squeezed = np.squeeze(np.asarray(values, np.float32))
    planes = squeezed if squeezed.ndim == 3 else squeezed[:, :, None]
    levels = _levels(_smaller(planes))
    height, width = levels.shape[:2]
    data = base64.b64encode(png(levels if levels.shape[2] == 3 else levels[..., 0])).decode()
    element = f'<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/>'
    return element, width, height


def _smaller(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the means of square blocks of pixels; the last ones that fill no block are left out."""
    block = -(-max(values.shape[:2]) // LARGEST_PICTURE)
    height, width = (n // block for n in values.shape[:2])
    if block == 1 or not height or not width:
        return values
    blocks = values[: height * block, : width * block].reshape(height, block, width, block, -1)
    means: npt.NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
    return means


def _levels(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    levels: npt.NDArray[np.uint8] = ((values - low) / ((high - low) or 1.0) * 255).astype(np.uint8)
    return levels


def _line(values: npt.NDArray[np.float32]) -> str:
    step = max(1, values.size // 300)
    shown = values[::step]
    low, high = float(shown.min()), float(shown.max())
    span = (high - low) or 1.0
    points = " ".join(
        f"{i * 300 / max(1, shown.size - 1):.1f},{90 - (float(v) - low) / span * 80:.1f}"
        for i, v in enumerate(shown)
    )
    head = '<svg viewBox="0 0 300 96" role="img" aria-label="the input" class="line">'
    return f'{head}<polyline points="{points}"/></svg>'


def _img(levels: npt.NDArray[np.uint8]) -> str:
    encoded = base64.b64encode(png(levels)).decode()
    return f'<img alt="input" src="data:image/png;base64,{encoded}">'


def png(levels: npt.NDArray[np.uint8]) -> bytes:
    """Return a PNG of H x W (gray) or H x W x 3 (RGB) levels; the same levels give the same bytes."""
    rows = levels[..., None] if levels.ndim == 2 else levels
    height, width, channels = rows.shape
    raw = b"".join(b"\0" + rows[y].tobytes() for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw, 9))
        + chunk(b"IEND", b"")
    )
