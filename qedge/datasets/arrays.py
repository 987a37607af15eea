"""Samples from ``.npz`` and ``.npy`` files, in the model's own input units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import InputInfo, Labels, Sample, Subset, as_input, check_shape
from qedge.datasets.rows import Rows, open_npy, open_npz
from qedge.errors import DataError

_LABEL_KEYS = ("y", "labels")
_NAME_KEYS = ("class_names", "classes", "labels")


class ArrayDataset:
    """One array an input; the first axis is the sample.

    Args:
        path: of the file, for messages.
        inputs: the model's inputs.
        arrays: one an input, in the inputs' order.
        labels: class index a sample, or None.
        class_names: names in index order, or None.
    """

    def __init__(
        self,
        path: Path,
        inputs: Sequence[InputInfo],
        arrays: Sequence[Rows],
        labels: Labels | None,
        class_names: tuple[str, ...] | None,
    ) -> None:
        self.labels, self.class_names = labels, class_names
        self._path, self._inputs, self._arrays = path, tuple(inputs), tuple(arrays)

    def __len__(self) -> int:
        return len(self._arrays[0])

    def __getitem__(self, i: int) -> Sample:
        source = self.source(i)
        return [as_input(rows[i], info, source) for rows, info in zip(self._arrays, self._inputs)]

    def subset(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Subset:
        """Return the samples with these indices, in this order."""
        return Subset(self, indices)

    def source(self, i: int) -> str:
        """Return the file and the row of a sample."""
        return f"{self._path} row {i}"


def open_array(path: Path, inputs: Sequence[InputInfo]) -> ArrayDataset:
    """Return the dataset of a ``.npy`` (one input, no labels).

    Raises:
        DataError: a damaged file, or one whose shape does not suit the model.
    """
    if len(inputs) != 1:
        raise DataError(
            f"the model has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), a .npy holds one",
            hint="save an .npz with one array an input, each under the input's name",
        )
    rows = open_npy(path)
    _check_rows(rows, inputs[0], str(path))
    return ArrayDataset(path, inputs, [rows], None, None)


def open_archive(path: Path, inputs: Sequence[InputInfo]) -> ArrayDataset:
    """Return the dataset of an ``.npz``.

    One input is the array ``x``, else the one under the input's name, else the only floating-point array of
    the input's shape; several inputs are found by name. ``y`` (or ``labels``) holds class indices or one-hot
    rows; ``class_names``, ``classes`` or textual ``labels`` the names.

    Raises:
        DataError: a damaged file, a missing array, or one whose shape or length does not suit.
    """
    arrays = open_npz(path)
    if not arrays:
        raise DataError(f"{path} holds no array", hint="save it with numpy.savez(path, x=samples, y=labels)")
    chosen = [_find(path, info, arrays, single=len(inputs) == 1) for info in inputs]
    for info, key in zip(inputs, chosen):
        _check_rows(arrays[key], info, f"{path}[{key}]")
    lengths = {key: len(arrays[key]) for key in chosen}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"{path}: the inputs have different numbers of samples:"
            f" {', '.join(f'{k} {n}' for k, n in lengths.items())}",
            hint="every input needs one row a sample",
        )
    count = lengths[chosen[0]]
    labels = _labels(path, arrays, chosen, count)
    return ArrayDataset(path, inputs, [arrays[k] for k in chosen], labels, _names(arrays, chosen))


def _find(path: Path, info: InputInfo, arrays: Mapping[str, Rows], *, single: bool) -> str:
    if single and "x" in arrays:
        return "x"
    if info.name in arrays:
        return info.name
    known = ", ".join(f"{k} {list(rows.shape)} {rows.dtype}" for k, rows in arrays.items())
    if single:
        fitting = [k for k, rows in arrays.items() if rows.dtype.kind == "f" and _fits(rows, info)]
        if len(fitting) == 1:
            return fitting[0]
        raise DataError(
            f"{path} has no array 'x' for the input {info.name!r} of shape {list(info.shape)};"
            f" it holds {known}",
            hint="save the samples as x, in the units of the model's input, and class indices as y",
        )
    raise DataError(
        f"{path} has no array for the input {info.name!r} of shape {list(info.shape)}; it holds {known}",
        hint="save one array an input, each under the input's name",
    )


def _fits(rows: Rows, info: InputInfo) -> bool:
    try:
        check_shape(rows.shape[1:], info, "")
    except DataError:
        return False
    return len(rows.shape) > 1


def _check_rows(rows: Rows, info: InputInfo, source: str) -> None:
    if not rows.shape or not len(rows):
        raise DataError(
            f"{source} holds no sample: its shape is {list(rows.shape)}", hint="the first axis is the sample"
        )
    if rows.shape == info.shape[1:] and len(rows.shape) > 1:
        raise DataError(
            f"{source} has the shape {list(rows.shape)} of one sample, expected samples along the first axis",
            hint="save x[None] for a single sample",
        )
    check_shape(rows.shape[1:], info, source)


def _labels(path: Path, arrays: Mapping[str, Rows], taken: Sequence[str], count: int) -> Labels | None:
    for key in _LABEL_KEYS:
        if key not in arrays or key in taken or arrays[key].dtype.kind not in "fiub":
            continue
        values = arrays[key].everything()
        if values.shape[:1] != (count,):
            raise DataError(
                f"{path}: {key} has the shape {list(values.shape)},"
                f" expected one label for each of {count} samples",
                hint="save one class index a sample",
            )
        if values.ndim == 2 and values.shape[1] > 1:
            one_hot = np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()
            return values.argmax(axis=1).astype(np.int64) if one_hot else None
        if values.size != count:
            return None
        values = values.reshape(count)
        if not np.isfinite(values).all():
            raise DataError(f"{path}: {key} holds NaN or infinity", hint="save one class index a sample")
        if (values != np.floor(values)).any():
            return None
        if values.min() < 0:
            row = int(np.argmin(values))
            raise DataError(
                f"{path}: {key} of row {row} is {int(values[row])}, expected a class index from 0 up",
                hint="number the classes in the order of the model's outputs, from 0",
            )
        return values.astype(np.int64)
    return None


def _names(arrays: Mapping[str, Rows], taken: Sequence[str]) -> tuple[str, ...] | None:
    for key in _NAME_KEYS:
        if key in arrays and key not in taken and arrays[key].dtype.kind in "US":
            values = arrays[key].everything()
            if values.ndim == 1:
                return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)
    return None
