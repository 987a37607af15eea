"""COCO's labels: one JSON file with images, annotations (left, top, width, height in pixels) and categories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qedge.datasets.objects.truth import Labelled, Truth, size_of
from qedge.errors import DataError
from qedge.fields import Field


def read(path: Path, data: Any) -> Labelled:
    """Return what a COCO file says; its photos lie beside it, in ``images`` there or beside its folder.

    Raises:
        DataError: a field is missing or wrong, or a photo is not found.
    """
    root = Field(data, "$", DataError).object(["images", "annotations", "categories"], None)
    categories = sorted(
        (c.object(["id", "name"], None)["id"].integer(), c["name"].string())
        for c in root["categories"].items()
    )
    number = {identity: k for k, (identity, _) in enumerate(categories)}
    found: dict[int, dict[str, list[Any]]] = {}
    images = {}
    for entry in root["images"].items():
        image = entry.object(["id", "file_name"], None)
        identity = image["id"].integer()
        images[identity] = find_photo(path, image["file_name"].string()), entry.value
        found[identity] = {"boxes": [], "classes": [], "crowd": [], "areas": []}
    for entry in root["annotations"].items():
        _annotation(entry, number, found)
    truths = []
    for identity, (photo, stated) in images.items():
        size = _size(stated) or size_of(photo)
        listed = found[identity]
        truths.append(
            Truth.of(photo, size, listed["boxes"], listed["classes"], listed["crowd"], listed["areas"])
        )
    return Labelled("COCO", tuple(name for _, name in categories), tuple(truths))


def _annotation(entry: Field, number: Mapping[int, int], found: dict[int, dict[str, list[Any]]]) -> None:
    one = entry.object(["image_id", "category_id", "bbox"], None)
    box = one["bbox"].value
    good = isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box)
    if not good:
        raise one["bbox"].fail("[left, top, width, height]")
    if one["category_id"].integer() not in number:
        raise one["category_id"].fail("the id of a category")
    if one["image_id"].integer() not in found:
        raise one["image_id"].fail("the id of an image")
    left, top, width, height = box
    listed, value = found[one["image_id"].value], entry.value
    listed["boxes"].append((left, top, left + width, top + height))
    listed["classes"].append(number[one["category_id"].value])
    listed["crowd"].append(bool(value.get("iscrowd", 0)))
    listed["areas"].append(float(value.get("area", width * height)))


def _size(stated: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = stated.get("height"), stated.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def find_photo(path: Path, name: str) -> Path:
    """Return a photo's file by the name in the labels: as it is, or its last part in a usual folder."""
    for folder in (path.parent, path.parent / "images", path.parent.parent, path.parent.parent / "images"):
        for part in (name, Path(name).name):
            if (folder / part).is_file():
                return folder / part
    near = sorted(path.parent.parent.glob(f"*/{Path(name).name}"))
    if near:
        return near[0]
    raise DataError(
        f"{path}: the photo {name} is not there", hint="put the photos beside the labels, or in images/"
    )
