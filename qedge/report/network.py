"""The model as a column of operators with lines between them, one row each: readable on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from qedge.graph import Graph
from qedge.target import Placement

STEP, HEIGHT, MOST_LANES = 12, 44, 8


class Row(NamedTuple):
    """One operator.

    Args:
        picture: SVG of the lines beside it, ``width`` by ``HEIGHT``.
        shape: of its output, ``24 × 24 × 8``.
    """

    placement: Placement
    shape: str
    picture: str


def rows(graph: Graph, placements: Sequence[Placement]) -> tuple[list[Row], int]:
    """Return a row for every operator of the main graph, and how wide the pictures are.

    A value takes a lane from the operator that makes it to the last one that reads it. Placements of another model
    (one that a compiler made) have no lines: the pictures are empty then.
    """
    operators = list(graph.operators)
    if len(operators) != len(placements):
        return [Row(p, "", "") for p in placements], 0
    last = {t: i for i, op in enumerate(operators) for t in op.inputs if t >= 0}
    lanes: list[int | None] = []  # the value that each lane carries
    drawn: list[tuple[Any, ...]] = []

    def lane_for(value: int) -> int:
        for k, held in enumerate(lanes):
            if held is None:
                lanes[k] = value
                return k
        lanes.append(value)
        return len(lanes) - 1

    for t in graph.inputs:
        lane_for(t)
    for i, op in enumerate(operators):
        reads = [k for k, held in enumerate(lanes) if held is not None and held in op.inputs]
        above = [k for k, held in enumerate(lanes) if held is not None]
        for k in reads:
            held = lanes[k]
            if held is not None and last.get(held, -1) <= i:
                lanes[k] = None
        own = reads[0] if reads and lanes[reads[0]] is None else None
        outputs = [t for t in op.outputs if t in last or t in graph.outputs]
        if own is not None and outputs:
            lanes[own] = outputs[0]
            made = [own, *(lane_for(t) for t in outputs[1:])]
        else:
            made = [lane_for(t) for t in outputs] or [own if own is not None else 0]
        below = [k for k, held in enumerate(lanes) if held is not None]
        drawn.append((made[0], reads, made, above, below))
    used = min(MOST_LANES, max((max([d[0], *d[3], *d[4]]) for d in drawn), default=0) + 1)
    width = STEP * used + 8
    found = []
    for op, placement, parts in zip(operators, placements, drawn):
        shape = " × ".join(map(str, graph.tensors[op.outputs[0]].shape[1:])) if op.outputs else ""
        found.append(Row(placement, shape, _picture(width, used, *parts)))
    return found, width


def _picture(
    width: int,
    used: int,
    own: int,
    reads: Sequence[int],
    made: Sequence[int],
    above: Sequence[int],
    below: Sequence[int],
) -> str:
    """Return one row's lines: from the lanes above to the operator, from it to those below, and past it."""

    def x(lane: int) -> int:
        return STEP * min(lane, used - 1) + 10

    middle = HEIGHT // 2
    parts = [f'<svg width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}" aria-hidden="true">']
    parts += [
        f'<path d="M{x(k)} 0V{HEIGHT}"/>' for k in above if k in below and k not in made and k not in reads
    ]
    for k in reads:
        parts.append(f'<path d="M{x(k)} 0C{x(k)} {middle} {x(own)} 4 {x(own)} {middle}"/>')
        if k in below and k not in made:
            parts.append(f'<path d="M{x(k)} 0V{HEIGHT}"/>')
    parts += [
        f'<path d="M{x(own)} {middle}C{x(own)} {HEIGHT - 4} {x(k)} {middle} {x(k)} {HEIGHT}"/>'
        for k in made
        if k in below
    ]
    return "".join([*parts, f'<circle cx="{x(own)}" cy="{middle}" r="5"/></svg>'])
