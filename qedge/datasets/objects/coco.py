"""COCO's labels: one JSON file with images, annotations (left, top, width, height in pixels) and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qedge.datasets.objects.gather import Gatherer
from qedge.datasets.objects.lint import is_coordinate
from qedge.datasets.objects.photos import Photos
from qedge.datasets.objects.truth import Labelled
from qedge.errors import DataError
from qedge.fields import Field

_OF_LABELS = ("anno", "label")


def read(path: Path, data: Any) -> Labelled:
    """Return what a COCO file says; its photos lie below its folder, or in a folder beside that.

    Raises:
        DataError: a field is missing or wrong, two entries have the same id, or no photo is found.
    """
    root = Field(data, "$", DataError)
    if not isinstance(data, dict) or not {"images", "annotations", "categories"} <= set(data):
        raise DataError(
            f"{path}: expected COCO's images, annotations and categories, or Label Studio's list of tasks",
            hint="export the labels as COCO, YOLO, Pascal VOC or Label Studio's JSON",
        )
    categories = sorted((c["id"].integer(), c["name"].string()) for c in _distinct(root["categories"]))
    number = {identity: k for k, (identity, _) in enumerate(categories)}
    found: dict[int, dict[str, list[Any]]] = {}
    images = {}
    for image in _distinct(root["images"]):
        images[image["id"].value] = image["file_name"].string(), image.value
        found[image["id"].value] = {"boxes": [], "classes": [], "crowd": [], "areas": []}
    for entry in root["annotations"].items():
        _annotation(entry, number, found)
    gathered = Gatherer("COCO", path, photos_of(path))
    for identity, (name, stated) in images.items():
        photo = gathered.find(name)
        if photo is not None:
            objects, size = found[identity], (stated.get("height"), stated.get("width"))
            boxes, classes = objects["boxes"], objects["classes"]
            gathered.add(photo, boxes, classes, objects["crowd"], objects["areas"], size)
    return gathered.labelled([name for _, name in categories])


def photos_of(path: Path) -> Photos:
    """Return where the photos of a file of labels may be: below its folder, or beside a folder of labels alone."""
    folder = path.absolute().parent
    return Photos(folder.parent if folder.name.lower().startswith(_OF_LABELS) else folder)


def _distinct(listed: Field) -> list[Field]:
    """Return the entries of a list, each with an integer as its id that no other has."""
    found, seen = list(listed.items()), set()
    for entry in found:
        identity = entry.object(["id"], None)["id"].integer()
        if identity in seen:
            raise entry["id"].fail("an id that no other entry has")
        seen.add(identity)
    return found


def _annotation(entry: Field, number: Mapping[int, int], found: dict[int, dict[str, list[Any]]]) -> None:
    one = entry.object(["image_id", "category_id"], None)
    if one["category_id"].integer() not in number:
        raise one["category_id"].fail("the id of a category")
    if one["image_id"].integer() not in found:
        raise one["image_id"].fail("the id of an image")
    listed, value = found[one["image_id"].value], entry.value
    left, top, width, height = _box(one)
    area = value.get("area")
    listed["boxes"].append((left, top, left + width, top + height))
    listed["classes"].append(number[one["category_id"].value])
    listed["crowd"].append(value.get("iscrowd") in (1, True, "1"))
    listed["areas"].append(float(area) if is_coordinate(area) and area > 0 else width * height)


def _box(one: Field) -> Sequence[float]:
    """Return (left, top, width, height); around the outline where nothing else is stated."""
    box = one["bbox"].value
    if not box and isinstance(outline := one["segmentation"].value, list) and outline:
        points: list[Any] = [v for ring in outline for v in (ring if isinstance(ring, list) else [None])]
        if len(points) >= 6 and len(points) % 2 == 0 and all(map(is_coordinate, points)):
            xs, ys = points[0::2], points[1::2]
            return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
        raise one["segmentation"].fail("outlines as x, y, x, y ...")
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_coordinate, box))):
        raise one["bbox"].fail("[left, top, width, height]")
    return box
