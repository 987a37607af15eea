"""Pascal VOC's labels: an XML file a photo, corners in pixels from 1."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from qedge.datasets.folder import kind_of, walk_files
from qedge.datasets.objects.truth import Labelled, Truth, size_of
from qedge.errors import DataError


def read(root: Path) -> Labelled:
    """Return what the XML files below a folder say; classes in alphabetical order, as the files have no list of them.

    Raises:
        DataError: a file is no annotation, or its photo is not found.
    """
    files = walk_files(root)
    photos: dict[str, Path] = {}
    for file in files:
        if kind_of(file) == "image":
            photos.setdefault(file.name.lower(), file)
            photos.setdefault(file.stem.lower(), file)
    notes = [(file, _tree(file)) for file in files if file.suffix.lower() == ".xml"]
    names = tuple(sorted({_text(o, "name") for _, tree in notes for o in tree.iter("object")}))
    truths = []
    for file, tree in notes:
        named = (tree.findtext("filename") or "").strip().lower()
        photo = photos.get(named) or photos.get(file.stem.lower())
        if photo is None:
            raise DataError(f"{file}: the photo {named or file.stem} is not below {root}")
        boxes, classes, crowd = [], [], []
        for entry in tree.iter("object"):
            left, top, right, bottom = (_number(entry, f"bndbox/{k}", file) for k in _CORNERS)
            boxes.append((left - 1, top - 1, right, bottom))
            classes.append(names.index(_text(entry, "name")))
            crowd.append((entry.findtext("difficult") or "0").strip() == "1")
        truths.append(Truth.of(photo, size_of(photo), boxes, classes, crowd))
    return Labelled("Pascal VOC", names, tuple(truths))


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _tree(file: Path) -> ElementTree.Element:
    try:
        text = file.read_bytes()
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise DataError(f"{file}: found a document type, expected a plain annotation")
        return ElementTree.fromstring(text)
    except (OSError, ElementTree.ParseError) as problem:
        raise DataError(f"{file}: cannot be read as XML: {problem}") from None


def _text(entry: ElementTree.Element, name: str) -> str:
    return (entry.findtext(name) or "").strip()


def _number(entry: ElementTree.Element, name: str, file: Path) -> float:
    try:
        return float(_text(entry, name))
    except ValueError:
        raise DataError(f"{file}: {name}: found {_text(entry, name)!r}, expected a number") from None
