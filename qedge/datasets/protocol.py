"""What every dataset offers, whatever it is read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from qedge.errors import DataError

Sample = list[npt.NDArray[np.float32]]
Labels = npt.NDArray[np.int64]
# What each output of a model should say, first axis the sample; None where nothing says so.
Truths = tuple["npt.NDArray[Any] | None", ...]


@dataclass(frozen=True)
class InputInfo:
    """One input of a model.

    Args:
        name: as a caller names it.
        shape: static, with the batch of 1 in front.
        dtype: the model's type: ``float32``, ``int8`` ...
        order: where the author's layout differs: dimension i is the author's dimension ``order[i]``. Arrays come in
            the author's layout then; None: they are the same.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    order: tuple[int, ...] | None = None

    @property
    def author_shape(self) -> tuple[int, ...]:
        """The shape that the model's author knows."""
        if self.order is None:
            return self.shape
        return tuple(self.shape[self.order.index(d)] for d in range(len(self.shape)))


@runtime_checkable
class Dataset(Protocol):
    """A lazy, indexable list of samples with the same order every time.

    ``labels`` holds a class index a sample, ``class_names`` the names in index order; None where unknown.
    """

    @property
    def labels(self) -> Labels | None: ...

    @property
    def class_names(self) -> tuple[str, ...] | None: ...

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Sample:
        """Return one array an input: float32, batch 1, in the model's own units.

        Raises:
            DataError: the sample cannot be read, has another shape, or holds NaN or infinity.
            IndexError: ``i`` is outside the dataset.
        """

    def subset(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Dataset:
        """Return the samples with these indices, in this order."""

    def source(self, i: int) -> str:
        """Return the file or the row that a sample comes from, for messages."""


class Subset:
    """Some samples of another dataset, in a given order; nothing is read before it is asked for."""

    def __init__(self, base: Dataset, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> None:
        self._base = base
        self._indices = np.asarray(indices, np.int64).reshape(-1)
        if self._indices.size and not (self._indices.min() >= 0 and self._indices.max() < len(base)):
            raise IndexError(f"a subset of {len(base)} samples cannot hold the index {self._indices.max()}")

    @property
    def base(self) -> Dataset:
        """What it is a part of."""
        return self._base

    @property
    def indices(self) -> tuple[int, ...]:
        """Of its samples there."""
        return tuple(int(i) for i in self._indices)

    @property
    def labels(self) -> Labels | None:
        """Class index of each chosen sample, or None."""
        return None if self._base.labels is None else self._base.labels[self._indices]

    @property
    def truths(self) -> Truths | None:
        """What each output should say for each chosen sample; None where only ``labels`` say it."""
        base: Truths | None = getattr(self._base, "truths", None)
        return None if base is None else tuple(None if t is None else t[self._indices] for t in base)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of all classes of the whole dataset, or None."""
        return self._base.class_names

    def __len__(self) -> int:
        return int(self._indices.size)

    def __getitem__(self, i: int) -> Sample:
        return self._base[int(self._indices[i])]

    def subset(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Subset:
        """Return the samples with these indices, in this order."""
        return Subset(self._base, self._indices[np.asarray(indices, np.int64)])

    def source(self, i: int) -> str:
        """Return where a sample comes from."""
        return self._base.source(int(self._indices[i]))


def as_input(
    values: npt.NDArray[Any], info: InputInfo, source: str, hint: str | None = None
) -> npt.NDArray[np.float32]:
    """Return values as one model input: float32, ``info.shape``.

    Axes of length 1 may be missing or extra: (49, 40) serves an input of (1, 49, 40, 1). Values in the author's layout
    are turned; those that fit the model's own only are taken as they are.

    Raises:
        DataError: another shape, another kind of values, NaN or infinity.
    """
    if values.dtype.kind not in "fiub":
        raise DataError(
            f"{source}: found values of type {values.dtype} for the input {info.name!r}, expected numbers"
        )
    check_shape(values.shape, info, source, hint)
    result = np.asarray(values, np.float32)
    if info.order is not None and _without_ones(values.shape) == _without_ones(info.author_shape):
        result = np.ascontiguousarray(result.reshape(info.author_shape).transpose(info.order))
    result = result.reshape(info.shape)
    if not np.isfinite(result).all():
        bad = int(result.size - np.isfinite(result).sum())
        raise DataError(
            f"{source}: {bad} of {result.size} values of the input {info.name!r} are NaN or infinite",
            hint="remove the sample, or repair what makes the values",
        )
    return result


def check_shape(shape: tuple[int, ...], info: InputInfo, source: str, hint: str | None = None) -> None:
    """Raise when a sample of this shape cannot be the input, axes of length 1 aside.

    Raises:
        DataError: the shapes differ; channels before height and width are named as that.
    """
    found, expected = _without_ones(shape), _without_ones(info.shape)
    if found in (expected, _without_ones(info.author_shape)):
        return
    if len(expected) == 3 and found == (expected[2], *expected[:2]):
        hint = "the channels come first (NCHW); the model wants them last: x.transpose(0, 2, 3, 1)"
    raise DataError(
        f"{source}: found the shape {list(shape)} for the input {info.name!r}, expected"
        f" {list(info.author_shape)}",
        hint=hint or "give each sample in the model's own shape, without or with a batch of 1",
    )


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(d for d in shape if d != 1)
