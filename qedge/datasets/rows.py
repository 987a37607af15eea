"""Rows of a ``.npy``, or of a member of an ``.npz``, read one at a time."""

from __future__ import annotations

import math
import socket
import tempfile
import threading
import weakref
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from qedge.archives import check_archive, zip_faults
from qedge.bundle.golden import npy_header
from qedge.errors import DataError

MAX_BYTES = 1 << 40
MAX_RATIO = 500
"""Samples may be large, and rows of zeros and labels pack tightly: what is beyond is a bomb."""


class Rows:
    """An array on disk whose rows are read on demand: memory does not grow with their number.

    To another process it goes by the name of its file, which is opened again there.

    Args:
        file: open for reading and seekable; the array's values start at ``offset``.
        source: for messages.
        path, member: of the file, and the array in it where it is an archive.
    """

    def __init__(self, file: IO[bytes], source: str, path: Path, member: str | None = None) -> None:
        self._place = path.absolute(), member
        self._file, self._lock = file, threading.Lock()
        weakref.finalize(self, file.close)
        try:
            shape, fortran, dtype = npy_header(file)
        except Exception as error:  # see npy_header
            raise _damaged(source, error) from error
        if dtype.hasobject:
            raise DataError(
                f"{source} holds Python objects, expected numbers",
                hint="samples of different shapes? save one array of one shape",
            )
        self.shape = shape
        self.dtype: np.dtype[Any] = dtype
        self._offset = file.tell()
        self._whole: npt.NDArray[Any] | None = None
        file.seek(0, 2)
        size = math.prod(self.shape) * dtype.itemsize
        if file.tell() - self._offset < size:
            raise DataError(
                f"{source} is truncated: {file.tell() - self._offset} bytes of {size}",
                hint="save or copy the file again",
            )
        if fortran and len(self.shape) > 1:
            self._whole = self._read(0, math.prod(self.shape)).reshape(self.shape, order="F")

    def _read(self, start: int, count: int) -> npt.NDArray[Any]:
        with self._lock:
            self._file.seek(self._offset + start * self.dtype.itemsize)
            raw = self._file.read(count * self.dtype.itemsize)
        return np.frombuffer(raw, self.dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (*self._place, self._place[0].stat().st_size, self.shape, self.dtype)

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def __getitem__(self, i: int) -> npt.NDArray[Any]:
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of {len(self)}")
        if self._whole is not None:
            row: npt.NDArray[Any] = self._whole[i]
            return row
        size = math.prod(self.shape[1:])
        return self._read(i * size, size).reshape(self.shape[1:])

    def everything(self) -> npt.NDArray[Any]:
        """Return the whole array; for labels and other small ones."""
        if self._whole is not None:
            return self._whole
        return self._read(0, math.prod(self.shape)).reshape(self.shape)


def open_npy(path: Path) -> Rows:
    """Return the rows of a ``.npy`` file.

    Raises:
        DataError: not a ``.npy`` file, a truncated one, or one of Python objects.
    """
    return Rows(path.open("rb"), str(path), path)


@lru_cache(maxsize=4)
def _unpacked(path: Path, size: int) -> dict[str, Rows]:
    return open_npz(path)


def _again(path: Path, member: str | None, size: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Rows:
    """Return the rows of a file that another process named.

    Raises:
        DataError: there is no such file here, or another one.
    """
    try:
        same = path.stat().st_size == size
        found = (open_npy(path) if member is None else _unpacked(path, size).get(member)) if same else None
    except OSError as error:
        raise DataError(
            f"{socket.gethostname()} cannot read {path}: {error.strerror or error}",
            hint="the data must lie under the same path on every machine",
        ) from None
    if found is None or (found.shape, found.dtype) != (shape, dtype):
        raise DataError(
            f"{socket.gethostname()} has another file at {path}",
            hint="copy the data there, or share the folder",
        )
    return found


def open_npz(path: Path) -> dict[str, Rows]:
    """Return the arrays of an ``.npz`` by name.

    Compressed members are unpacked to a temporary file that goes when the process does.

    Raises:
        DataError: not an ``.npz``, a damaged one, or one of Python objects.
    """
    arrays: dict[str, Rows] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            check_archive(
                members, path.stat().st_size, str(path), DataError, max_bytes=MAX_BYTES, max_ratio=MAX_RATIO
            )
            for member in members:
                if member.filename.removesuffix(".npy") not in arrays:
                    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 (Rows keeps it open)
                    with archive.open(member) as packed:
                        _copy(packed, unpacked, member.file_size, f"{path}[{member.filename}]")
                    unpacked.seek(0)
                    name = member.filename.removesuffix(".npy")
                    arrays[name] = Rows(unpacked, f"{path}[{name}]", path, name)
    except zip_faults() as error:
        raise _damaged(str(path), error) from error
    return arrays


def _copy(packed: IO[bytes], unpacked: IO[bytes], size: int, source: str) -> None:
    """Unpack ``size`` bytes; one more than the archive's directory claims is damage."""
    left = size
    while piece := packed.read(min(left + 1, 1 << 20)):
        left -= len(piece)
        if left < 0:
            raise _damaged(source, f"more than the {size} bytes that the archive states")
        unpacked.write(piece)


def _damaged(source: str, error: Exception | str) -> DataError:
    return DataError(
        f"{source} cannot be read as a NumPy array: {error}",
        hint="save it again with numpy.save or numpy.savez",
    )
