"""Golden vectors: a few real inputs with the outputs that the int8 model gave for them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from qedge.errors import IntegrityError

Array = npt.NDArray[Any]


def golden_files(
    inputs: Sequence[Sequence[Array]],
    outputs: Sequence[Sequence[Array]],
    further: Mapping[str, Sequence[Sequence[Array]] | None] | None = None,
) -> dict[str, bytes]:
    """Return ``golden/input_<k>.npy``, ``golden/output_<k>.npy`` and, where given, ``golden/<kernels>_<k>.npy``.

    Args:
        inputs: for every sample, one array an input, in the model's own types and shapes.
        outputs: for every sample, one array an output.
        further: the outputs of other kernels, by name: ``builtin``, TFLite's built-in ones on ARM, which tflite-runtime
            runs; ``micro``, those of TFLite Micro, which the C library has.
    """
    files = {}
    for kind, given in {"input": inputs, "output": outputs, **(further or {})}.items():
        samples = given or ()
        for k in range(len(samples[0]) if samples else 0):
            stacked = np.stack([np.asarray(arrays[k]) for arrays in samples])
            files[f"golden/{kind}_{k}.npy"] = npy_bytes(stacked)
    return files


def npy_bytes(array: Array) -> bytes:
    """Return ``array`` as an ``.npy`` file of version 1.0, C order, little-endian; always the same bytes."""
    buffer = io.BytesIO()
    plain = np.ascontiguousarray(array)
    np.lib.format.write_array(buffer, plain.astype(plain.dtype.newbyteorder("<"), copy=False), (1, 0), False)
    return buffer.getvalue()


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the order is Fortran's, and type of an ``.npy`` file; ``file`` then stands at its values.

    Raises:
        Exception: the header is damaged: whatever numpy's reader, Python's tokenizer and its parser raise.
    """
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(file)
    if any(d < 0 for d in shape):
        raise ValueError(f"its shape is {list(shape)}")
    return tuple(int(d) for d in shape), fortran, dtype


def npy_array(data: bytes, origin: str) -> Array:
    """Return the array of an ``.npy`` file; never unpickles.

    Raises:
        IntegrityError: the bytes are no such file.
    """
    try:
        file = io.BytesIO(data)
        shape, _, dtype = npy_header(file)
        if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
            raise ValueError(f"{dtype} {list(shape)} in {len(data) - file.tell()} bytes")
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception as problem:  # see npy_header
        raise IntegrityError(f"{origin}: not an .npy file: {problem}") from None
