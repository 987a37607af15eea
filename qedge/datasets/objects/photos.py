"""The photos that labels name, whatever folder or system they were labelled in, and boxes at the photos' own size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.folder import kind_of, walk_files
from qedge.errors import DataError
from qedge.processing.levels import ON_ITS_SIDE, orientation_of

SAME_SHAPE = 0.01
"""Share by which two photos' aspects may differ, as sides are rounded."""


def is_hidden(file: Path, root: Path) -> bool:
    """Return whether a file below ``root``, or a folder that it is in, is hidden: ``._cat.jpg``, ``.idea``."""
    return any(part.startswith(".") for part in file.relative_to(root).parts)


class Photos:
    """Finds photos by the names that labels give them.

    Args:
        root: the folder below which they are looked for.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._below: dict[str, list[Path]] | None = None

    def find(self, name: str, beside: Path | None = None, any_suffix: bool = False) -> Path | None:
        """Return the file of a photo; None where there is none.

        Args:
            name: as in the labels: a name, or a path, of Windows too, of which the last parts count.
            beside: the file of labels where a photo has its own; its folder is the first that is looked in.
            any_suffix: whether a photo of that name with another suffix does.

        Raises:
            DataError: several photos have the name, and nothing tells which is meant.
        """
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if not parts:
            return None
        folders = [*([beside.parent] if beside else []), self._root, self._root / "images"]
        for k in range(len(parts)):
            tail = Path(*parts[k:])
            for folder in folders:
                if kind_of(tail) == "image" and (folder / tail).is_file():
                    return folder / tail
        known = self._index()
        same = known.get(parts[-1].lower(), [])
        if not same and any_suffix:
            same = known.get("/" + Path(parts[-1]).stem.lower(), known.get("/" + parts[-1].lower(), []))
        return self._nearest(same, {*parts[:-1], *(beside.parent.parts if beside else ())}, name)

    def _nearest(self, same: Sequence[Path], wanted: set[str], name: str) -> Path | None:
        """Return that of several photos of one name whose folders are named most like the ``wanted``."""
        shared = [len(wanted & set(photo.parent.parts)) for photo in same]
        if not same:
            return None
        best = max(shared)
        if shared.count(best) > 1:
            twice = [str(photo) for photo, count in zip(same, shared) if count == best]
            raise DataError(
                f"the labels name the photo {name}: found {twice[0]} and {twice[1]}",
                hint="name its folder in the labels, or give the photos names of their own",
            )
        return same[shared.index(best)]

    def _index(self) -> dict[str, list[Path]]:
        """Return every photo below the root by its name in small letters, and by ``/`` and its stem."""
        if self._below is None:
            self._below = {}
            for file in walk_files(self._root):
                if kind_of(file) == "image" and not is_hidden(file, self._root):
                    for key in (file.name.lower(), "/" + file.stem.lower()):
                        self._below.setdefault(key, []).append(file)
        return self._below


def header_of(image: Path) -> tuple[int, int, int]:
    """Return (height, width, EXIF orientation) of a photo from its header; the sides as the file has them.

    Raises:
        DataError: it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(image) as photo:
            width, height = photo.size
            turned = orientation_of(photo)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise DataError(f"{image}: cannot read the photo: {problem}") from None
    return height, width, turned


def upright(
    boxes: npt.NDArray[np.float64], stated: tuple[Any, Any] | None, header: tuple[int, int, int]
) -> tuple[tuple[int, int], npt.NDArray[np.float64], str | None]:
    """Return a photo's size (height, width) as EXIF turns it, its boxes in pixels of that, and what was done to them.

    Args:
        boxes: float64 (n, 4): left, top, right, bottom in pixels of the photo that was labelled.
        stated: height and width of that, as the labels have them; None where they do not.
        header: of the photo that is here, see :func:`header_of`.

    Returns:
        What was done: None for nothing, ``turned`` (labelled as the file lies), ``scaled`` (labelled at another size),
        ``other`` (the stated size is none of this photo's, and was passed over).
    """
    lying, turned = header[:2], header[2]
    size = (lying[1], lying[0]) if turned >= ON_ITS_SIDE else lying
    if stated is None or not all(_is_side(s) for s in stated) or stated == size:
        return size, boxes, None
    tall, wide = float(stated[0]), float(stated[1])
    done = "scaled"
    if _alike((tall, wide), lying) and not _alike((tall, wide), size):
        boxes, done = _turned(boxes, turned, tall, wide), "turned"
        tall, wide = wide, tall
    elif not _alike((tall, wide), size):
        return size, boxes, "other"
    return size, boxes * (np.array([size[1] / wide, size[0] / tall] * 2)), done


def _is_side(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e6


def _alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two sizes have the same aspect, but for the rounding of a side."""
    ratio = one[0] * other[1] / (one[1] * other[0])
    return abs(ratio - 1) <= SAME_SHAPE + 1 / min(*one, *other)


def _turned(
    boxes: npt.NDArray[np.float64], orientation: int, height: float, width: float
) -> npt.NDArray[np.float64]:
    """Return boxes of a photo that lies on its side (``height``, ``width``) as they are when EXIF has turned it."""
    left, top, right, bottom = boxes.T
    flipped = {
        5: (top, left, bottom, right),
        6: (height - bottom, left, height - top, right),
        7: (height - bottom, width - right, height - top, width - left),
        8: (top, width - right, bottom, width - left),
    }
    return np.stack(flipped[orientation], axis=1)
