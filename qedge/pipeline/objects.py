"""Objects of Python as the files that the journey reads: models of frameworks, arrays; each goes when it was read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from qedge.errors import DataError, UsageError
from qedge.frontends import registry
from qedge.pipeline.prepare import safe_name


@contextmanager
def model_file(model: Any, example_inputs: Any = None) -> Iterator[tuple[Path, str | None]]:
    """Yield a model's file, and its name where it is an object that has one."""
    if isinstance(model, (str, PathLike)):
        registry.check_named(model if isinstance(model, str) else Path(model))
        yield Path(model), None
        return
    home = type(model).__mro__
    if any(base.__module__ == "torch.nn.modules.module" for base in home):
        with _program_file(model, example_inputs) as made:
            yield made
        return
    if not any(base.__module__.partition(".")[0] in ("keras", "tf_keras") for base in home):
        raise UsageError(
            f"found a model of type {type(model).__name__}, expected a path, a Keras model or a PyTorch module",
            hint="save it first, and pass the file",
        )
    called = safe_name(str(getattr(model, "name", "") or "model"))
    legacy = any(base.__module__.partition(".")[0] == "tf_keras" for base in home)
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        path = Path(scratch, f"{called}.{'h5' if legacy else 'keras'}")
        model.save(str(path))
        yield path, called


@contextmanager
def _program_file(module: Any, example_inputs: Any) -> Iterator[tuple[Path, str]]:
    """Yield a PyTorch module as an exported program, and a name for it."""
    from qedge.frontends._torch import save_program

    if example_inputs is None:
        raise UsageError(
            "a PyTorch module needs example inputs, from which it is exported",
            hint="example_inputs=torch.zeros(1, 3, 224, 224), or a tuple of what forward takes",
        )
    called = safe_name(type(module).__name__.lower())
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        path = Path(scratch, f"{called}.pt2")
        save_program(module, example_inputs, path)
        yield path, called


@contextmanager
def data_file(data: Any) -> Iterator[Path | None]:
    """Yield the samples as a path; arrays are written to an ``.npz`` that goes afterwards."""
    if data is None:
        yield None
        return
    if isinstance(data, (str, PathLike)):
        path = Path(data)
        if not path.exists():
            raise UsageError(f"no data at {path}", hint="a folder of images or wavs, an .npz or an .npy")
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        path = Path(scratch, "data.npz")
        np.savez(path, **cast(Any, _arrays(data)))
        yield path


def _arrays(data: Any) -> dict[str, npt.NDArray[Any]]:
    if isinstance(data, Mapping):
        found = {str(key): np.asarray(value) for key, value in data.items()}
    elif isinstance(data, tuple) and len(data) == 2:
        found = {"x": np.asarray(data[0]), "y": np.asarray(data[1])}
    else:
        try:
            found = {"x": np.asarray(data)}
        except ValueError:
            found = {"x": np.asarray([], object)}
    for key, array in found.items():
        if array.dtype == object or array.ndim == 0:
            raise DataError(
                f"data[{key!r}]: found {array.dtype} {list(array.shape)}, expected one array of samples",
                hint="samples of one shape, along the first axis; (x, y) with labels",
            )
    return found
