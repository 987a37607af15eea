"""What a reader of labels finds, photo by photo, and at the end what was not as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qedge.datasets.objects.photos import Photos, header_of, upright
from qedge.datasets.objects.truth import Labelled, Truth
from qedge.errors import DataError
from qedge.findings import Finding

SHOWN = 3

_SAID = {
    "turned": ("info", "were labelled as their files lie: their boxes are turned as EXIF turns the photos"),
    "scaled": ("info", "were labelled at another size: their boxes are scaled to the photos"),
    "other": (
        "warning",
        "have another size than the labels say: their boxes are taken as pixels of the photos",
    ),
}


class Gatherer:
    """Gathers labelled photos, and says what did not fit.

    Args:
        form: of the labels: ``COCO`` ...
        labels: their file or folder, for messages.
        photos: where the photos are looked for.
    """

    def __init__(self, form: str, labels: Path, photos: Photos) -> None:
        self.form, self.labels = form, labels
        self._photos = photos
        self._truths: list[Truth] = []
        self._missing: list[str] = []
        self._done: Counter[str] = Counter()

    def find(self, *names: str, beside: Path | None = None, any_suffix: bool = False) -> Path | None:
        """Return the photo that goes by the first of these names that there is; None, which is told, for none."""
        for name in names:
            found = self._photos.find(name, beside, any_suffix)
            if found is not None:
                return found
        self._missing.append(next(filter(None, names), "without a name"))
        return None

    def add(
        self,
        photo: Path,
        boxes: Sequence[Sequence[float]],
        classes: Sequence[int],
        crowd: Sequence[bool] = (),
        areas: Sequence[float] = (),
        stated: tuple[Any, Any] | None = None,
        shares: bool = False,
    ) -> None:
        """Take in a photo's objects.

        Args:
            boxes: left, top, right, bottom, in pixels of a photo of the ``stated`` (height, width), or with ``shares``
                as shares of the upright one.
            classes, crowd, areas: see :class:`Truth`.
        """
        placed = np.asarray(boxes, np.float64).reshape(-1, 4)
        size, moved, done = upright(placed, stated, header_of(photo))
        if shares:
            moved = moved * np.array([size[1], size[0]] * 2)
        if done is not None:
            self._done[done] += 1
        if done == "scaled" and stated is not None:
            areas = (np.asarray(areas, np.float64) * (size[0] * size[1] / (stated[0] * stated[1]))).tolist()
        self._truths.append(Truth.of(photo, size, moved, classes, crowd, areas))

    def labelled(self, names: Sequence[str], findings: Sequence[Finding] = ()) -> Labelled:
        """Return all that was gathered.

        Raises:
            DataError: no photo is there, or one is there twice.
        """
        every = len(self._truths) + len(self._missing)
        shown = ", ".join(self._missing[:SHOWN]) + (" ..." if len(self._missing) > SHOWN else "")
        if not self._truths:
            found = f"none of its {every} photos is there ({shown})" if every else "it names no photo"
            raise DataError(f"{self.labels}: {found}", hint="put the photos beside the labels, or in images/")
        twice = [photo for photo, count in Counter(t.image for t in self._truths).items() if count > 1]
        if twice:
            raise DataError(
                f"{self.labels}: {twice[0]} is there more than once, with objects of its own each time",
                hint="give each photo one entry; photos of one name are told apart by their folders",
            )
        told = list(findings)
        if self._missing:
            told.append(
                Finding("warning", "boxes", f"{len(self._missing)} of {every} labelled photos are not there, and are"
                        f" left out: {shown}", "put the photos beside the labels, or in images/")
            )  # fmt: skip
        for done, count in self._done.items():
            severity, words = _SAID[done]
            told.append(Finding(severity, "boxes", f"{count} of {len(self._truths)} photos {words}"))  # type: ignore[arg-type]
        return Labelled(self.form, tuple(names), tuple(self._truths), tuple(told))
