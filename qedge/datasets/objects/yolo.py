"""YOLO's labels: ``data.yaml``, and a text file a photo with ``class x y w h`` as shares of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qedge.datasets.folder import kind_of, walk_files
from qedge.datasets.objects.gather import Gatherer
from qedge.datasets.objects.lint import yolo_units
from qedge.datasets.objects.photos import Photos, is_hidden
from qedge.datasets.objects.truth import Labelled
from qedge.errors import DataError, ToolError
from qedge.findings import Finding

PARTS = ("val", "test", "train")
NAMES = ("classes.txt", "obj.names", "labels/classes.txt")
"""Lists of classes that other tools write in the place of ``data.yaml``."""
BOX = 5
"""Numbers of a line: the class, and the box."""


@dataclass(frozen=True)
class Stated:
    """What is known of a set: its file, its classes, and how many numbers of key points stand behind a box."""

    path: Path
    names: tuple[str, ...]
    points: int | None = None


def read(path: Path) -> Labelled:
    """Return the photos and labels that a ``data.yaml`` names: those to validate on, else to test or train.

    Raises:
        DataError: it names no classes or no photos, or a label cannot be read.
    """
    stated = read_yaml(path)
    known = Stated(path, _names(stated, path), _points(stated, path))
    root = path.parent / str(stated.get("path") or ".")
    root = root if root.is_dir() else path.parent
    sought: list[Path] = []
    for part in PARTS:
        listed = stated.get(part)
        named = [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []
        places = [_place(root, str(place)) for place in named]
        photos = list(dict.fromkeys(photo for place in places for photo in _photos(place, root)))
        if photos:
            passed = f"no photos at {', '.join(map(str, sought))}: " if sought else ""
            told = Finding(
                "warning" if sought else "info", "boxes", f"{passed}the photos are those of {part}"
            )
            return _labelled(known, photos, told, whole=all(place.is_dir() for place in places))
        sought += places
    shown = f" at {', '.join(map(str, sought))}" if sought else ""
    raise DataError(f"{path}: names no folder with photos{shown}", hint="val: images/val, relative to path")


def read_folder(root: Path) -> Labelled | None:
    """Return the photos and labels of a folder whose classes are listed in a text file; None where it has no labels.

    Raises:
        DataError: it has labels, and no names of classes.
    """
    photos = list(_photos(root, root))
    labels = [label for photo in photos if (label := _labels_of(photo)).is_file()]
    if not any(
        label.is_relative_to(root) for label in labels
    ):  # those of a folder of photos alone are passed over
        return None
    listed = next((root / name for name in NAMES if (root / name).is_file()), None)
    if listed is None:
        raise DataError(
            f"{root} holds YOLO's labels, and nothing says what the classes are called",
            hint="write data.yaml there: `val: images`, `names: {0: cat, 1: dog}`; or name the photos' folder alone",
        )
    names = tuple(line.strip() for line in _lines(listed) if line.strip())
    return _labelled(Stated(listed, names), photos, None, whole=True)


def _place(root: Path, named: str) -> Path:
    """Return where photos are; ``../`` ahead is left out where nothing is there with it, as the trainer does."""
    place = root / named
    return place if place.exists() or not named.startswith("../") else root / named[3:]


def _photos(place: Path, root: Path) -> Iterator[Path]:
    """Yield the photos of a folder, or of a list of them: each as it is, below the list or below the root."""
    if place.is_file():
        for line in filter(None, map(str.strip, _lines(place))):
            tries = (folder / line.replace("\\", "/") for folder in (place.parent, root, Path()))
            photo = next((p for p in tries if kind_of(p) == "image" and p.is_file()), None)
            if photo is None:
                raise DataError(f"{place}: the photo {line[:100]} is not there")
            yield photo
    elif place.is_dir():
        yield from (f for f in walk_files(place) if kind_of(f) == "image" and not is_hidden(f, place))


def _labelled(known: Stated, photos: Sequence[Path], told: Finding | None, whole: bool) -> Labelled:
    """Return photos with their labels; ``whole``: they are all of their folders."""
    gathered = Gatherer("YOLO", known.path, Photos(known.path.parent))
    labels = {photo: _labels_of(photo) for photo in photos}
    bare = [photo for photo, label in labels.items() if not label.is_file()]
    repeated = 0
    for photo, label in labels.items():
        rows = _rows(label, known.points) if label.is_file() else {}
        repeated += sum(rows.values()) - len(rows)
        boxes = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for _, x, y, w, h in rows]
        gathered.add(photo, boxes, [int(row[0]) for row in rows], shares=True)
    spare = _spare(list(labels.values())) if whole else []
    said = [] if told is None else [told]
    if repeated:
        said.append(_warning(f"{repeated} lines repeat another one of their photo, and are left out"))
    if len(bare) == len(photos):
        said.append(
            _warning(
                f"none of {len(photos)} photos has labels; the first would have them in {labels[photos[0]]}"
            )
        )
    elif bare:
        counted = f"{len(bare)} of {len(photos)} photos have no file of labels: they count as photos without any object"
        said.append(Finding("info", "boxes", counted))
    if spare:
        said.append(_warning(f"{len(spare)} files of labels have no photo: {spare[0].name} ..."))
    there = [label for label in labels.values() if label.is_file()]
    return replace(gathered.labelled(known.names, said), files=tuple(there))


def _spare(labels: Sequence[Path]) -> list[Path]:
    """Return the files of labels in the same folders that are none of these."""
    lists = {Path(name).name for name in NAMES}
    every = {file for folder in {label.parent for label in labels} for file in folder.glob("*.txt")}
    return sorted(file for file in every - set(labels) if file.name not in lists)


def _warning(message: str) -> Finding:
    return Finding(
        "warning", "boxes", message, "keep photos in `images`, and labels of the same names in `labels`"
    )


def _labels_of(image: Path) -> Path:
    """Return where the labels of a photo are: in ``labels`` for the last ``images``, else beside it."""
    beside = image.with_suffix(".txt")
    parts = list(beside.parts)
    places = [k for k, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    usual = Path(*parts)
    return beside if beside.is_file() and not usual.is_file() else usual


def _rows(label: Path, points: int | None) -> dict[tuple[float, ...], int]:
    """Return class and box (x, y, w, h) of every line, and how often each is there.

    Args:
        points: numbers of the key points behind every box; None where ``data.yaml`` has none, and what is longer than a
            box is an outline.
    """
    rows: dict[tuple[float, ...], int] = {}
    for number, line in enumerate(_lines(label), 1):
        if not line.strip():
            continue
        try:
            numbers = [float(f) for f in line.split()]
            good = len(numbers) >= BOX and numbers[0].is_integer() and sum(numbers) * 0 == 0  # finite
        except ValueError:
            good = False
        where = f"{label}, line {number}"
        if not good:
            raise DataError(f"{where}: found {line.strip()[:40]!r}, expected class x y w h")
        box = numbers[1:BOX]
        if points is not None and len(numbers) not in (BOX, BOX + points):
            raise DataError(
                f"{where}: found {len(numbers)} numbers, expected {BOX + points} by kpt_shape of data.yaml"
            )
        if points is None and len(numbers) > BOX + 1:  # with one more it is how sure a model was
            if len(numbers) % 2 == 0:
                raise DataError(
                    f"{where}: found {len(numbers)} numbers, expected class x y w h, or an outline in pairs",
                    hint="for key points state kpt_shape in data.yaml: kpt_shape: [17, 3]",
                )
            box = _around(numbers[1:])
        yolo_units([box], where)
        row = (numbers[0], *box)
        rows[row] = rows.get(row, 0) + 1
    return rows


def _around(points: list[float]) -> list[float]:
    """Return the box around a polygon x1 y1 x2 y2 ..., as segmentation labels have it."""
    xs, ys = points[0::2], points[1::2]
    low, high = (min(xs), min(ys)), (max(xs), max(ys))
    return [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[0] - low[0], high[1] - low[1]]


def _names(stated: dict[str, Any], path: Path) -> tuple[str, ...]:
    names, count = stated.get("names"), stated.get("nc")
    if names is None and isinstance(count, int) and not isinstance(count, bool) and count > 0:
        return tuple(f"class_{k}" for k in range(count))  # as the trainer calls them
    if isinstance(names, dict):
        with_numbers = {int(k) if isinstance(k, str) and k.isdigit() else k: v for k, v in names.items()}
        names = (
            [with_numbers.get(k) for k in range(len(names))]
            if set(with_numbers) == set(range(len(names)))
            else None
        )
    if not isinstance(names, list) or not names:
        raise DataError(
            f"{path}: names: found {stated.get('names')!r}, expected the classes, from 0",
            hint="names: {0: cat, 1: dog}",
        )
    if isinstance(count, int) and count != len(names):
        raise DataError(f"{path}: found {len(names)} names, expected {count} as nc says", hint="leave nc out")
    wrong = next(
        (name for name in names if not isinstance(name, (str, int, float)) or isinstance(name, bool)), None
    )
    if wrong is not None:
        raise DataError(f"{path}: names: found {wrong!r}, expected a name", hint="in quotes: 'yes', 'no'")
    return tuple(str(name) for name in names)


def _points(stated: dict[str, Any], path: Path) -> int | None:
    """Return how many numbers of key points stand behind a box; None where there are none."""
    shape = stated.get("kpt_shape")
    if shape is None:
        return None
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(v, int) and v > 0 for v in shape)):
        raise DataError(f"{path}: kpt_shape: found {shape!r}, expected points and numbers of each: [17, 3]")
    return int(shape[0] * shape[1])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path}: cannot be read as text: {problem}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return what a YAML file states.

    Raises:
        DataError: it cannot be read, or states no fields.
        ToolError: pyyaml is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise ToolError("reading data.yaml needs pyyaml", hint='pip install "qedge[detection]"') from None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as problem:
        told = " ".join(str(problem).split())[:150]
        raise DataError(f"{path}: cannot be read as YAML: {told}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: found {type(found).__name__}, expected path, val and names")
    return found
