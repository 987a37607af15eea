"""A detector's part of the page: samples with the boxes of both models on them, and the precision-recall curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qedge.report import svg
from qedge.report.model import BuildReport

MODELS = ("float", "int8")
WIDTH, HEIGHT, FRAME = 320, 200, 26
"""Of the curves' picture: the plot, and the space for what is written beside it."""


def picture(example: Mapping[str, Any]) -> str:
    """Return a sample, with the boxes of both models where it has any: dashed those of float."""
    drawn = [(name, box) for name in MODELS for box in example[name].get("boxes", ())]
    shape = np.squeeze(np.asarray(example["input"])).shape
    if not drawn or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
        return svg.picture(example["input"])
    image, width, height = svg.image(example["input"])
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="what both models find" class="shot">{image}'
    ]
    for name, box in drawn:
        top, left, bottom, right = box["box"]
        title = f"{name}: {box['label']} {100 * box['score']:.0f} %"
        parts.append(
            f'<rect x="{left * width:.2f}" y="{top * height:.2f}" width="{(right - left) * width:.2f}"'
            f' height="{(bottom - top) * height:.2f}" class="{name}"><title>{svg.esc(title)}</title></rect>'
        )
    return "".join([*parts, "</svg>"])


def has_boxes(report: BuildReport) -> bool:
    """Return whether any sample has boxes drawn on it."""
    return any(e[name].get("boxes") for e in report.examples for name in MODELS)


def measured(report: BuildReport) -> Mapping[str, Mapping[str, Any]]:
    """Return what both models' boxes reach on labelled ones, by model; empty without labelled boxes."""
    boxes: Mapping[str, Any] = next((o["boxes"] for o in report.outputs if o.get("boxes")), {})
    return {name: boxes[name] for name in MODELS if boxes.get(name)}


def precision_rows(report: BuildReport) -> list[tuple[str, list[float | None]]]:
    """Return each average precision by what it is of, float's and int8's: all, by size and by class."""
    found = list(measured(report).values())
    rows = [("mAP50-95", [m["map50_95"] for m in found]), ("mAP50", [m["map50"] for m in found])]
    for key, what in (("by_size", "mAP50-95, {} objects"), ("by_class", "mAP50-95, {}")):
        rows += [
            (what.format(name), [m[key][name] for m in found]) for name in (found[0][key] if found else ())
        ]
    return rows if found else []


def curves(report: BuildReport) -> str:
    """Return the precision-recall curves of both models as SVG; empty without labelled boxes."""
    listed = [(name, found["curve"]) for name, found in measured(report).items()]
    if not any(curve for _, curve in listed):
        return ""
    parts = [
        f'<svg viewBox="{-FRAME} -6 {WIDTH + 2 * FRAME} {HEIGHT + FRAME}" role="img" class="curves"'
        ' aria-label="precision of both models by recall">',
        f'<path d="M0 0V{HEIGHT}H{WIDTH}" class="axis"/>',
    ]
    parts += [f'<polyline points="{_points(curve)}" class="{name}"/>' for name, curve in listed]
    for x, y, anchor, said in (
        (0, HEIGHT + 16, "middle", "0"),
        (WIDTH, HEIGHT + 16, "middle", "1"),
        (WIDTH // 2, HEIGHT + 16, "middle", "recall"),
        (-6, 6, "end", "1"),
        (6, 6, "start", "precision"),
    ):
        parts.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}" class="s">{said}</text>')
    return "".join([*parts, "</svg>"])


def _points(curve: Sequence[float]) -> str:
    step = WIDTH / max(1, len(curve) - 1)
    return " ".join(f"{k * step:.1f},{HEIGHT * (1 - value):.1f}" for k, value in enumerate(curve))
