"""Samples from ``.npz`` and ``.npy`` files, in the model's own input units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.labels import RawLabels
from qedge.datasets.protocol import InputInfo, Labels, Sample, Subset, as_input, check_shape
from qedge.datasets.rows import Rows, open_npy, open_npz
from qedge.errors import DataError

_NAME_KEYS = ("class_names", "label_names", "classes", "labels")
# Keys of samples and labels beside `x` and `y`, each also with _train, _test, train_ ... around it.
SAMPLE_STEMS = ("x", "samples", "inputs", "input", "data", "images", "features")
LABEL_STEMS = ("y", "labels", "label", "targets", "target", "classes")
PARTS = ("train", "test", "val", "valid")


class ArrayDataset:
    """One array an input; the first axis is the sample.

    Args:
        path: of the file, for messages.
        inputs: the model's inputs.
        arrays: one an input, in the inputs' order.
        labels: class index a sample where the labels are plainly that, or None.
        class_names: names in index order, or None.
        raw_labels: the labels as the file holds them; :func:`qedge.datasets.labels.fit_labels` matches them with
            the model's outputs.
    """

    def __init__(
        self,
        path: Path,
        inputs: Sequence[InputInfo],
        arrays: Sequence[Rows],
        labels: Labels | None,
        class_names: tuple[str, ...] | None,
        raw_labels: tuple[RawLabels, ...] = (),
    ) -> None:
        self.labels, self.class_names, self.raw_labels = labels, class_names, raw_labels
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


def open_archive(path: Path, inputs: Sequence[InputInfo], outputs: Sequence[str] = ()) -> ArrayDataset:
    """Return the dataset of an ``.npz``.

    One input is the array ``x``, else the one under the input's name, else ``x_train``, ``images`` and the like
    (:data:`SAMPLE_STEMS`), else the only array of the input's shape; several inputs are found by name. Labels are
    the arrays named after outputs (``y_score``), else ``y``, ``labels``, ``targets`` (:data:`LABEL_STEMS`);
    ``class_names``, ``classes`` or textual ``labels`` name the classes.

    Args:
        outputs: names of the model's outputs.

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
    names = _names_key(arrays, chosen, count)
    raw = _raw_labels(path, arrays, chosen, count, outputs, names)
    rows = [arrays[k] for k in chosen]
    return ArrayDataset(path, inputs, rows, _plain_indices(raw), _names(arrays, names), raw)


def _find(path: Path, info: InputInfo, arrays: Mapping[str, Rows], *, single: bool) -> str:
    if single and "x" in arrays:
        return "x"
    if info.name in arrays:
        return info.name
    known = ", ".join(f"{k} {list(rows.shape)} {rows.dtype}" for k, rows in arrays.items())
    if single:
        fitting = [k for k, rows in arrays.items() if rows.dtype.kind in "fiu" and _fits(rows, info)]
        called = sorted((k for k in fitting if _stem(k)[0] in SAMPLE_STEMS), key=_sample_rank)
        if called:
            return called[0]
        # Integers under another name may be the codes of a quantised model: they must be called what they are.
        sure = [k for k in fitting if arrays[k].dtype.kind == "f" or info.dtype.startswith(("int", "uint"))]
        if len(sure) == 1:
            return sure[0]
        raise DataError(
            f"{path} has no array 'x' for the input {info.name!r} of shape {list(info.shape)};"
            f" it holds {known}",
            hint="save the samples as x, in the units of the model's input, and class indices as y",
        )
    raise DataError(
        f"{path} has no array for the input {info.name!r} of shape {list(info.shape)}; it holds {known}",
        hint="save one array an input, each under the input's name",
    )


def _sample_rank(key: str) -> tuple[int, int]:
    stem, part = _stem(key)
    return (0 if part is None else 1 + PARTS.index(part)), SAMPLE_STEMS.index(stem)


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
    if rows.shape in (info.shape[1:], info.author_shape[1:]) and len(rows.shape) > 1:
        raise DataError(
            f"{source} has the shape {list(rows.shape)} of one sample, expected samples along the first axis",
            hint="save x[None] for a single sample",
        )
    check_shape(rows.shape[1:], info, source)


def _raw_labels(
    path: Path,
    arrays: Mapping[str, Rows],
    taken: Sequence[str],
    count: int,
    outputs: Sequence[str],
    names: str | None,
) -> tuple[RawLabels, ...]:
    """Return the arrays that hold labels: those named after outputs, else the best known name of the right length.

    Raises:
        DataError: the only array of labels has another length than the samples.
    """
    free = {k: rows for k, rows in arrays.items() if k not in taken and rows.dtype.kind in "fiubUS"}
    own = [(k, name) for name in outputs for k in (f"y_{name}", name) if k in free and len(free[k]) == count]
    if own:
        return tuple(RawLabels(k, free[k].everything(), name) for k, name in own)
    part = _stem(taken[0])[1]
    known = [k for k in free if k != names and _is_label_key(k, part)]
    known.sort(key=lambda k: _rank(k, part))
    fitting = [k for k in known if len(free[k]) == count]
    if fitting:
        values = free[fitting[0]].everything()
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise DataError(
                f"{path}: {fitting[0]} of row {row} is NaN or infinite", hint="remove the sample or label it"
            )
        return (RawLabels(fitting[0], values),)
    plain = [k for k in known if k.lower() in ("y", "labels") and free[k].dtype.kind in "fiub"]
    if plain:
        raise DataError(
            f"{path}: {plain[0]} has the shape {list(free[plain[0]].shape)},"
            f" expected one label for each of {count} samples",
            hint="save one class index a sample",
        )
    return ()


def _stem(key: str) -> tuple[str, str | None]:
    """Return a key without ``train`` or ``test``, and which it was.

    >>> _stem("train_labels"), _stem("Y")
    (('labels', 'train'), ('y', None))
    """
    word = key.lower()
    for part in PARTS:
        if word.endswith(f"_{part}"):
            return word.removesuffix(f"_{part}"), part
        if word.startswith(f"{part}_"):
            return word.removeprefix(f"{part}_"), part
    return word, None


def _is_label_key(key: str, part: str | None) -> bool:
    stem, own = _stem(key)
    return stem in LABEL_STEMS and own in (part, None, "train")


def _rank(key: str, part: str | None) -> tuple[bool, int]:
    stem, own = _stem(key)
    return own != part, LABEL_STEMS.index(stem)


def _names_key(arrays: Mapping[str, Rows], taken: Sequence[str], count: int) -> str | None:
    """Return the array that names the classes: text along one axis, ``labels`` only where it is not one a sample."""
    for key in _NAME_KEYS:
        if (
            key in arrays
            and key not in taken
            and arrays[key].dtype.kind in "US"
            and len(arrays[key].shape) == 1
        ):
            if key in ("labels", "classes") and len(arrays[key]) == count and "y" not in arrays:
                continue
            return key
    return None


def _names(arrays: Mapping[str, Rows], key: str | None) -> tuple[str, ...] | None:
    if key is None:
        return None
    values = arrays[key].everything()
    return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)


def _plain_indices(raw: Sequence[RawLabels]) -> Labels | None:
    """Return class indices where the labels are plainly that: whole numbers from 0, or one-hot rows."""
    if len(raw) != 1 or raw[0].values.dtype.kind not in "fiub":
        return None
    values = raw[0].values
    if values.ndim == 2 and values.shape[1] > 1:
        one_hot = np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()
        return values.argmax(axis=1).astype(np.int64) if one_hot else None
    if values.size != len(values):
        return None
    values = values.reshape(-1)
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or values.min() < 0:
        return None
    return values.astype(np.int64)
