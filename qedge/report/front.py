"""What a search under a budget found: noise against what the model takes, as a table's rows and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qedge.report.svg import esc

WIDTH, HEIGHT, LEFT = 340, 180, 42
Offer = Mapping[str, Any]


def front_picture(front: Sequence[Offer], limits: Mapping[str, float]) -> str:
    """Return a dot an assignment: the first figure along x, SQNR along y, the limit as a line, the chosen one filled.

    Args:
        front: as ``quantization.front`` of the report has it.
        limits: as ``quantization.limits`` has them.
    """
    points = [o for o in front if o["sqnr_db"] is not None]
    if len(points) < 2:
        return ""
    name = next((n for n in limits if n in points[0]["figures"]), next(iter(points[0]["figures"])))
    along = [float(o["figures"][name]) for o in points]
    up = [float(o["sqnr_db"]) for o in points]
    limit = limits.get(name)
    x = _scale([*along, *([limit] if limit is not None else [])], LEFT, WIDTH - 8)
    y = _scale(up, HEIGHT - 8, 8)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 18}" role="img" class="front"'
        f' aria-label="{esc(f"SQNR against {name} of {len(points)} assignments")}">'
    ]
    if limit is not None:
        parts.append(f'<line x1="{x(limit):.1f}" x2="{x(limit):.1f}" y1="0" y2="{HEIGHT}" class="limit"/>')
    for offer, a, b in zip(points, along, up):
        title = esc(f"{offer['method']}: {name} {a:,.6g}, {b:.1f} dB")
        kind = "chosen" if offer["chosen"] else "fits" if offer["fits"] and offer["holds"] else "over"
        parts.append(
            f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="4" class="{kind}"><title>{title}</title></circle>'
        )
    parts += [
        f'<text x="0" y="12" class="s">{max(up):.0f} dB</text>',
        f'<text x="0" y="{HEIGHT}" class="s">{min(up):.0f} dB</text>',
        f'<text x="{LEFT}" y="{HEIGHT + 14}" class="s">{esc(name)} {min(along):,.6g}</text>',
        f'<text x="{WIDTH}" y="{HEIGHT + 14}" text-anchor="end" class="s">{max(along):,.6g}</text></svg>',
    ]
    return "".join(parts)


def _scale(values: Sequence[float], first: float, last: float) -> Any:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return lambda value: first + (value - low) / span * (last - first)


def front_rows(front: Sequence[Offer]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the names of the figures, and a row an assignment with them in words."""
    names = list(front[0]["figures"]) if front else []
    rows = [
        {**offer, "shown": [_shown(name, offer["figures"][name]) for name in names], "said": _said(offer)}
        for offer in front
    ]
    return names, rows


def _shown(name: str, value: float) -> str:
    return f"{value:.3g} ms" if name == "latency" else f"{value:,.0f}"


def _said(offer: Offer) -> str:
    if offer["chosen"]:
        return "chosen"
    words = {"fits": "does not fit", "holds": "misses the accuracy"}
    return ", ".join(word for key, word in words.items() if not offer[key])
