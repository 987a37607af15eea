"""Samples of models without pre-processing, from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt


def read_npy(path: str) -> npt.NDArray[Any]:
    """Return the array of an ``.npy`` file.

    Raises:
        DataError: it holds none.
    """
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise DataError(f"{path}: the model has no pre-processing, expected an .npy: {problem}") from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise DataError(f"{path}: an archive of arrays, expected an .npy")
    return found
