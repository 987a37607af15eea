"""Small pictures as SVG text: bars, histograms, the arena over time, inputs. Deterministic, no script."""

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


def bars(rows: Sequence[tuple[str, float | None, str]], *, unit: str, best: float) -> str:
    """Return horizontal bars: (label, value, class); ``best`` is the value of a full bar, None draws none."""
    line, label_width, width = 20, 230, 640
    parts = [f'<svg viewBox="0 0 {width} {line * len(rows) + 4}" role="img" class="bars">']
    for i, (label, value, kind) in enumerate(rows):
        y = i * line + 2
        shown = "exact" if value is None else f"{value:.1f} {unit}"
        length = (width - label_width - 80) * (1.0 if value is None else max(0.0, min(1.0, value / best)))
        parts.append(
            f'<text x="{label_width - 8}" y="{y + 14}" text-anchor="end" class="t">{esc(_short(label, 36))}</text>'
            f'<rect x="{label_width}" y="{y + 3}" width="{length:.1f}" height="{line - 6}" rx="3" class="{esc(kind)}"/>'
            f'<text x="{label_width + length + 6:.1f}" y="{y + 14}" class="t">{esc(shown)}</text>'
        )
    return "".join(parts) + "</svg>"


def histogram(counts: Sequence[int], edges: tuple[float, float], chosen: tuple[float, float] | None) -> str:
    """Return a histogram over ``edges`` on a logarithmic axis, the chosen range shaded."""
    width, height = 300, 110
    peak = max(1.0, float(np.log1p(max(counts, default=0))))
    step = width / max(1, len(counts))
    low, high = edges
    span = (high - low) or 1.0
    parts = [f'<svg viewBox="0 0 {width} {height + 18}" role="img" class="hist">']
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
    """Return the arena over time: one box a buffer, time along x, address along y.

    Args:
        plan: ``{tensor, offset, bytes, first_op, last_op}`` a buffer.
        total: bytes of the arena.
        steps: number of operators.
    """
    width, height = 640, 260
    column = width / max(1, steps)
    scale = height / max(1, total)
    parts = [f'<svg viewBox="0 0 {width} {height + 20}" role="img" class="arena">']
    for i, buffer in enumerate(plan):
        x = max(0, int(buffer["first_op"])) * column
        w = (int(buffer["last_op"]) - max(0, int(buffer["first_op"])) + 1) * column
        tall = int(buffer["bytes"]) * scale
        y = height - int(buffer["offset"]) * scale - tall
        title = f"{buffer['tensor']}: {buffer['bytes']} bytes at {buffer['offset']}"
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1.0, w - 1):.1f}" height="{max(1.0, tall - 1):.1f}"'
            f' class="b{i % 4}"><title>{esc(title)}</title></rect>'
        )
    parts.append(
        f'<text x="0" y="{height + 15}" class="t">operator 0</text>'
        f'<text x="{width}" y="{height + 15}" text-anchor="end" class="t">'
        f"operator {steps - 1}, {total:,} bytes high</text></svg>"
    )
    return "".join(parts)


def picture(values: npt.NDArray[Any]) -> str:
    """Return an input as an ``img`` element: a photo for H x W x 3, a heat map for anything of rank 2, a line else."""
    squeezed = np.squeeze(np.asarray(values, np.float32))
    if squeezed.ndim == 3 and squeezed.shape[2] == 3:
        return _img(_levels(squeezed))
    if squeezed.ndim == 2:
        heat = _levels(squeezed.T[::-1])
        scale = max(1, 96 // max(heat.shape))
        return _img(np.repeat(np.repeat(heat, scale, 0), scale, 1))
    return _line(squeezed.reshape(-1))


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
    return f'<svg viewBox="0 0 300 96" role="img" class="line"><polyline points="{points}"/></svg>'


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


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else "…" + text[-(limit - 1) :]
