"""Open a dataset, whatever kind it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qedge.datasets.arrays import open_archive, open_array
from qedge.datasets.choose import choose
from qedge.datasets.folder import open_folder
from qedge.datasets.protocol import Dataset, InputInfo
from qedge.errors import DataError, UsageError
from qedge.processing.spec import Preprocess


def open_dataset(
    path: str | Path,
    inputs: Sequence[InputInfo],
    preprocess: Preprocess | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    classes: int | None = None,
    outputs: Sequence[str] = (),
) -> Dataset:
    """Return a dataset: a folder of images or wavs, an ``.npz`` or a ``.npy``.

    Files of arrays are in the model's own input units and pass no pre-processing. Nothing is decoded here.

    Args:
        path: of the folder or file.
        inputs: the model's inputs.
        preprocess: turns a file into the model's input; needed for folders.
        limit: at most so many samples, spread evenly over the classes.
        seed: of the choice when there are more.
        classes: number of classes that the model tells apart, to check the labels against; None when unknown.
        outputs: names of the model's outputs, after which arrays of labels may be named.

    Raises:
        DataError: the dataset cannot be used; says what was found, where, and what was expected.
        UsageError: ``limit`` is below 1.
    """
    path = Path(path)
    if limit is not None and limit < 1:
        raise UsageError(f"{limit} samples were asked for, expected at least 1")
    dataset = _open(path, inputs, preprocess, outputs)
    _check_labels(dataset, classes)
    if limit is not None and limit < len(dataset):
        return dataset.subset(choose(len(dataset), limit, dataset.labels, seed))
    return dataset


def _open(
    path: Path, inputs: Sequence[InputInfo], preprocess: Preprocess | None, outputs: Sequence[str]
) -> Dataset:
    if not path.exists():
        raise DataError(f"there is no dataset at {path}", hint="check the path given to --data")
    try:
        if path.is_dir():
            return open_folder(path, inputs, preprocess)
        suffix = path.suffix.lower()
        if suffix == ".npz":
            return open_archive(path, inputs, outputs)
        if suffix == ".npy":
            return open_array(path, inputs)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    raise DataError(
        f"{path} is no dataset: found a {suffix or 'file without suffix'}",
        hint="expected a folder of images or wav files, an .npz with x (and y), or a .npy",
    )


def _check_labels(dataset: Dataset, classes: int | None) -> None:
    if classes is None or dataset.labels is None:
        return
    worst = int(dataset.labels.argmax())
    if dataset.labels[worst] >= classes:
        raise DataError(
            f"{dataset.source(worst)}: the label is {dataset.labels[worst]}, but the model tells"
            f" {classes} classes apart (0 to {classes - 1})",
            hint="number the classes in the order of the model's outputs; with folders, name them so that"
            " their alphabetical order is that order",
        )
