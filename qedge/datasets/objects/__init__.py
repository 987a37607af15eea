"""Labelled objects: YOLO, COCO, Pascal VOC and Label Studio, read into one form, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qedge.datasets.folder import FolderDataset
from qedge.datasets.objects.truth import Labelled, Truth
from qedge.datasets.protocol import Dataset, InputInfo, Subset
from qedge.errors import DataError
from qedge.processing.spec import Preprocess

__all__ = ["LABEL_FILES", "Labelled", "ObjectDataset", "Truth", "objects_of", "open_objects", "read_objects"]

LABEL_FILES = (".json", ".yaml", ".yml")
"""What names photos and their boxes; only a detector is built with them."""


class ObjectDataset(FolderDataset):
    """Photos with labelled objects: ``truths`` of classes are none, ``objects`` has the boxes."""

    def __init__(self, root: Path, labelled: Labelled, info: InputInfo, preprocess: Preprocess) -> None:
        files = [truth.image for truth in labelled.truths]
        super().__init__(root, files, None, None, info, preprocess, "image")
        self.labelled, self.preprocess = labelled, preprocess


def objects_of(dataset: Dataset) -> tuple[ObjectDataset, list[Truth]] | None:
    """Return the photos that a dataset is made of, and each sample's objects; None where it has no such labels."""
    if isinstance(dataset, Subset):
        found = objects_of(dataset.base)
        return None if found is None else (found[0], [found[1][i] for i in dataset.indices])
    return (dataset, list(dataset.labelled.truths)) if isinstance(dataset, ObjectDataset) else None


def read_objects(path: Path) -> Labelled | None:
    """Return the labelled objects that a file or folder holds; None where it holds no such labels.

    Raises:
        DataError: they cannot be used; says what was found, where, and what was expected.
    """
    from qedge.datasets.objects import coco, label_studio, lint, voc, yolo
    from qedge.datasets.objects.find import json_of, read_json, yaml_of

    if path.is_file() and path.suffix.lower() == ".json":
        found = read_json(path)
        made = label_studio.read(path, found) if isinstance(found, list) else coco.read(path, found)
        return lint.checked(made)
    if path.is_file():
        return lint.checked(yolo.read(path)) if path.suffix.lower() in LABEL_FILES else None
    if not path.is_dir():
        return None
    if (notes := yaml_of(path)) is not None:
        return lint.checked(yolo.read(notes))
    if (export := json_of(path)) is not None:
        return read_objects(export)
    held = voc.read(path) or yolo.read_folder(path)
    return None if held is None else lint.checked(held)


def open_objects(
    path: Path, inputs: Sequence[InputInfo], preprocess: Preprocess | None, names: Sequence[str] | None
) -> ObjectDataset | None:
    """Return photos with labelled objects as a dataset; None where ``path`` holds no such labels.

    Args:
        names: of the model's classes, by which the labels' are numbered; None takes theirs.

    Raises:
        DataError: labels that cannot be used, a model with several inputs, or no pre-processing.
    """
    found = read_objects(path)
    if found is None:
        return None
    if len(inputs) != 1 or preprocess is None:
        raise DataError(
            f"{path} holds photos with boxes, expected a model of one image and its pre-processing",
            hint="state it: --range 0,1 --fit letterbox",
        )
    return ObjectDataset(path, found.renumbered(names) if names else found, inputs[0], preprocess)
