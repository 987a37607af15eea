"""Pascal VOC's labels: an XML file a photo, corners in pixels from 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from qedge.datasets.folder import kind_of, walk_files
from qedge.datasets.objects.gather import Gatherer
from qedge.datasets.objects.photos import Photos, is_hidden
from qedge.datasets.objects.truth import Labelled
from qedge.errors import DataError
from qedge.findings import Finding

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_YES = ("1", "true", "yes")


def read(root: Path) -> Labelled | None:
    """Return what the XML files below a folder say; None where none is an annotation.

    Classes are in alphabetical order, as the files have no list of them.

    Raises:
        DataError: a file cannot be read, an object is no box, or no photo is found.
    """
    notes = list(_notes(root))
    if not notes:
        return None
    names = sorted({_name(entry, file) for file, tree in notes for entry in tree.iter("object")})
    gathered = Gatherer("Pascal VOC", root, Photos(root))
    used = set()
    for file, tree in notes:
        boxes, classes, crowd = [], [], []
        for entry in tree.iter("object"):
            left, top, right, bottom = (_number(entry, f"bndbox/{k}", file) for k in _CORNERS)
            boxes.append((left - 1, top - 1, right, bottom))
            classes.append(names.index(_text(entry, "name")))
            crowd.append(_text(entry, "difficult").lower() in _YES)
        named = tree.findtext("filename") or tree.findtext("path") or ""
        photo = gathered.find(named.strip(), file.stem, beside=file, any_suffix=True)
        if photo is not None:
            used.add(photo)
            size = [_side(tree, name) for name in ("height", "width")]
            gathered.add(photo, boxes, classes, crowd, stated=(size[0], size[1]))
    every = [f for f in walk_files(root) if kind_of(f) == "image" and not is_hidden(f, root)]
    bare = len(every) - len(used)
    said = f"{bare} photos have no annotation, and are left out"
    return gathered.labelled(names, [Finding("info", "boxes", said)] if bare else [])


def _notes(root: Path) -> Iterator[tuple[Path, ElementTree.Element]]:
    """Yield every annotation below a folder; other XML files are passed over."""
    for file in walk_files(root):
        if file.suffix.lower() == ".xml" and not is_hidden(file, root):
            tree = _tree(file)
            if tree.tag == "annotation":
                yield file, tree


def _tree(file: Path) -> ElementTree.Element:
    try:
        text = file.read_bytes()
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise DataError(f"{file}: found a document type, expected a plain annotation")
        return ElementTree.fromstring(text)
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as problem:
        raise DataError(f"{file}: cannot be read as XML: {problem}") from None


def _text(entry: ElementTree.Element, name: str) -> str:
    return (entry.findtext(name) or "").strip()


def _name(entry: ElementTree.Element, file: Path) -> str:
    if not _text(entry, "name"):
        raise DataError(f"{file}: an object has no name, expected its class")
    return _text(entry, "name")


def _number(entry: ElementTree.Element, name: str, file: Path) -> float:
    try:
        return float(_text(entry, name))
    except ValueError:
        raise DataError(f"{file}: {name}: found {_text(entry, name)!r}, expected a number") from None


def _side(tree: ElementTree.Element, name: str) -> float | None:
    try:
        return float(_text(tree, f"size/{name}"))
    except ValueError:
        return None
