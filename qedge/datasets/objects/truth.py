"""Labelled objects as every reader gives them: boxes in pixels of each photo, classes by number, names in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qedge.errors import DataError
from qedge.findings import Finding


@dataclass(frozen=True)
class Truth:
    """The objects of one photo; one without any is a photo with nothing in it.

    Args:
        image: its file.
        height, width: pixels, upright as EXIF turns it.
        boxes: float64 (n, 4): left, top, right, bottom in pixels.
        classes: int64 (n,).
        crowd: bool (n,): a region of many objects, in which a detection counts neither way.
        areas: float64 (n,): pixels of each object, of its box where nothing else is stated.
    """

    image: Path
    height: int
    width: int
    boxes: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    crowd: npt.NDArray[np.bool_]
    areas: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls,
        image: Path,
        size: tuple[int, int],
        boxes: Sequence[Sequence[float]] | npt.NDArray[np.float64],
        classes: Sequence[int],
        crowd: Sequence[bool] = (),
        areas: Sequence[float] = (),
    ) -> Truth:
        """Return the objects of a photo of ``size`` (height, width) from plain lists."""
        found = np.asarray(boxes, np.float64).reshape(-1, 4)
        sides = np.maximum(found[:, 2:] - found[:, :2], 0)
        return cls(
            image,
            *size,
            found,
            np.asarray(classes, np.int64).reshape(-1),
            np.asarray(crowd, bool).reshape(-1) if len(crowd) else np.zeros(len(found), bool),
            np.asarray(areas, np.float64).reshape(-1) if len(areas) else sides.prod(axis=1),
        )

    def only(self, kept: npt.NDArray[np.bool_]) -> Truth:
        """Return the photo with the objects that ``kept``, bool (n,), says."""
        return replace(
            self,
            boxes=self.boxes[kept],
            classes=self.classes[kept],
            crowd=self.crowd[kept],
            areas=self.areas[kept],
        )


@dataclass(frozen=True)
class Labelled:
    """Photos with labelled objects.

    Args:
        form: of the labels: ``YOLO``, ``COCO`` ...
        names: of the classes, by number.
        truths: one a photo.
        findings: what does not fit.
        files: of labels, beside the one that names them.
    """

    form: str
    names: tuple[str, ...]
    truths: tuple[Truth, ...]
    findings: tuple[Finding, ...] = ()
    files: tuple[Path, ...] = ()

    def renumbered(self, names: Sequence[str]) -> Labelled:
        """Return it with the numbers of another list of names: the model's. Objects of other classes go, and are told.

        Raises:
            DataError: no name is the same.
        """
        if tuple(names) == self.names:
            return self
        place = {name.strip().lower(): k for k, name in enumerate(names)}
        moves: Mapping[int, int] = {
            k: place[name.strip().lower()]
            for k, name in enumerate(self.names)
            if name.strip().lower() in place
        }
        if not moves and self.names:
            shown = ", ".join(map(repr, self.names[:3]))
            raise DataError(
                f"the labels name {shown} ..., the model {', '.join(map(repr, names[:3]))} ...: none is the same",
                hint="name the model's classes in its output order as the labels do: --labels FILE",
            )
        truths = []
        for truth in self.truths:
            left = truth.only(np.isin(truth.classes, list(moves)))
            truths.append(replace(left, classes=np.array([moves[int(c)] for c in left.classes], np.int64)))
        used = {int(c) for truth in self.truths for c in truth.classes}
        gone = [name for k, name in enumerate(self.names) if k in used - set(moves)]
        findings = list(self.findings)
        if gone:
            findings.append(
                Finding(
                    "warning",
                    "labels",
                    f"{len(gone)} classes of the labels are none of the model's: {', '.join(gone[:5])}; their objects"
                    " are left out",
                    "check the spelling, or that the model was trained on these",
                )
            )
        return replace(self, names=tuple(names), truths=tuple(truths), findings=tuple(findings))
