"""The same object in frame after frame: numbers for boxes, and what crosses a line or is within a zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Box = tuple[float, float, float, float]
Point = tuple[float, float]

SAME = 0.3
"""Least overlap of a box with where its object was expected (intersection over union)."""
NEAR = 1.25
"""Farthest that an object that moved quickly may be from there, in lengths of its longer side."""
LOST = 20
"""Frames without a box after which an object is gone."""
SMOOTH = 0.5
"""Weight of the newest step in an object's speed."""
CLEAR = 0.1
"""How far from a line an object is on a side of it, in lengths of its longer side: one that stands on it trembles."""


@dataclass
class Track:
    """One object.

    Args:
        number: from 1, never given twice.
        box: where it was seen last, left, top, right, bottom in pixels of the frame.
        speed: of its middle, in pixels a frame.
        known: whether it was seen before, so that it has a speed.
        unseen: frames since it was seen.
        clear: by the number of a line, where its middle was last seen clear of it.
    """

    number: int
    label: str
    box: Box
    speed: Point = (0.0, 0.0)
    known: bool = False
    unseen: int = 0
    clear: dict[int, Point] = field(default_factory=dict)

    def expected(self) -> Box:
        """Return where it is by now, if it went on as before."""
        x, y = (self.speed[k] * (self.unseen + 1) for k in (0, 1))
        left, top, right, bottom = self.box
        return left + x, top + y, right + x, bottom + y

    def seen(self, box: Box) -> None:
        """Take the box of this frame."""
        old, new, steps = middle(self.box), middle(box), self.unseen + 1
        weight = SMOOTH if self.known else 1.0
        self.speed = (
            (1 - weight) * self.speed[0] + weight * (new[0] - old[0]) / steps,
            (1 - weight) * self.speed[1] + weight * (new[1] - old[1]) / steps,
        )
        self.known, self.box, self.unseen = True, box, 0


class Tracker:
    """Gives boxes the numbers of their objects: those that overlap most are the same, then the nearest.

    An object keeps its number for `LOST` frames in which nothing is found; meanwhile it is expected to move on.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._number = 0

    def update(self, boxes: Sequence[dict[str, Any]]) -> list[Track]:
        """Return the object of each box (``label``, ``box``) of the next frame."""
        found: dict[int, Track] = {}
        free = list(self.tracks)
        for alike in (_overlapping, _close):
            pairs = sorted(
                (
                    (alike(track, box), k, track)
                    for track in free
                    for k, box in enumerate(boxes)
                    if k not in found
                ),
                key=lambda pair: (-pair[0], pair[1]),
            )
            for likeness, k, track in pairs:
                if likeness > 0 and track in free and k not in found:
                    found[k] = track
                    free.remove(track)
        for track in free:
            track.unseen += 1
        for k, entry in enumerate(boxes):
            if k in found:
                found[k].seen(tuple(entry["box"]))
            else:
                self._number += 1
                found[k] = Track(self._number, entry["label"], tuple(entry["box"]))
                self.tracks.append(found[k])
        self.tracks = [track for track in self.tracks if track.unseen <= LOST]
        return [found[k] for k in range(len(boxes))]


class Counts:
    """Counts objects that cross lines, and those within zones.

    Args:
        lines: ends (x, y, x, y) of each, as shares of the frame.
        zones: two opposite corners (x, y, x, y) of each, as shares of the frame.
    """

    def __init__(self, lines: Sequence[Box] = (), zones: Sequence[Box] = ()) -> None:
        self._lines = lines
        self._zones = [(min(x, u), min(y, v), max(x, u), max(y, v)) for x, y, u, v in zones]
        self._crossed = [{"left": Counter[str](), "right": Counter[str]()} for _ in lines]

    def update(self, tracks: Sequence[Track], height: int, width: int) -> dict[str, Any]:
        """Return ``lines`` and ``zones`` after a frame.

        A step is from where an object was last clear of a line to where it is clear of it again. A line counts by
        label, ``left`` and ``right``: to which side an object went, seen from the line's first end to its second.
        """
        said: dict[str, Any] = {}
        for k, (line, crossed) in enumerate(zip(self._lines, self._crossed)):
            ends = [(x * width, y * height) for x, y in (line[:2], line[2:])]
            for track in tracks:
                now = middle(track.box)
                if distance(now, *ends) < CLEAR * max(
                    track.box[2] - track.box[0], track.box[3] - track.box[1]
                ):
                    continue
                if k in track.clear and (side := crossing(track.clear[k], now, *ends)):
                    crossed[side][track.label] += 1
                track.clear[k] = now
        if self._lines:
            said["lines"] = [{side: dict(counts) for side, counts in c.items()} for c in self._crossed]
        if self._zones:
            said["zones"] = [
                dict(Counter(t.label for t in tracks if _within(zone, middle(t.box), height, width)))
                for zone in self._zones
            ]
        return said


def middle(box: Box) -> Point:
    """Return the middle of a box."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def distance(point: Point, first: Point, second: Point) -> float:
    """Return how far a point is from the line through two others; from the first where they are one.

    >>> distance((3, 5), (0, 0), (0, 9)), distance((3, 4), (0, 0), (0, 0))
    (3.0, 5.0)
    """
    along = (second[0] - first[0], second[1] - first[1])
    apart = (point[0] - first[0], point[1] - first[1])
    length = (along[0] ** 2 + along[1] ** 2) ** 0.5
    if length == 0:
        return float((apart[0] ** 2 + apart[1] ** 2) ** 0.5)
    return float(abs(along[0] * apart[1] - along[1] * apart[0]) / length)


def crossing(start: Point, end: Point, first: Point, second: Point) -> str | None:
    """Return to which side of the line from ``first`` to ``second`` a step goes across it; None where it does not.

    >>> crossing((0, 1), (2, 1), (1, 2), (1, 0))  # upwards on a screen, from left to right
    'right'
    >>> crossing((0, 5), (2, 5), (1, 2), (1, 0)) is None
    True
    """
    sides = [_side(first, second, point) for point in (start, end)]
    if sides[0] == sides[1] or _side(start, end, first) * _side(start, end, second) > 0:
        return None
    return "right" if sides[1] > 0 else "left"


def _side(first: Point, second: Point, point: Point) -> int:
    """Return 1 where a point is right of a line on a screen, whose y grows downwards, or on it; -1 left of it."""
    turn = (second[0] - first[0]) * (point[1] - first[1]) - (second[1] - first[1]) * (point[0] - first[0])
    return 1 if turn >= 0 else -1


def _within(zone: Box, point: Point, height: int, width: int) -> bool:
    left, top, right, bottom = zone
    return left * width <= point[0] < right * width and top * height <= point[1] < bottom * height


def _overlapping(track: Track, entry: dict[str, Any]) -> float:
    """Return by how much a box overlaps where an object is expected; 0 where it is another one."""
    a, b = track.expected(), entry["box"]
    wide, tall = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - wide * tall
    share = wide * tall / whole if whole > 0 else 0.0
    return share if track.label == entry["label"] and share >= SAME else 0.0


def _close(track: Track, entry: dict[str, Any]) -> float:
    """Return how near a box is to where an object is expected, 0 to 1; 0 where label or size are another's."""
    a, b = track.expected(), entry["box"]
    longer = [max(box[2] - box[0], box[3] - box[1], 1.0) for box in (a, b)]
    (x, y), (u, v) = middle(a), middle(b)
    apart = ((x - u) ** 2 + (y - v) ** 2) ** 0.5 / max(longer)
    alike = track.label == entry["label"] and max(longer) < 2 * min(longer)
    return 1 - apart / NEAR if alike and apart < NEAR else 0.0
