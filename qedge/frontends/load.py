"""Read a model of any supported kind."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from qedge.errors import ModelError
from qedge.frontends.child import convert
from qedge.frontends.source import SourceModel, hash_path, model_name
from qedge.frontends.tflite import normalize

Progress = Callable[[str, float], None]
_HINT = "expected a .keras or .h5 file, a SavedModel folder, or a .tflite"
_HDF5 = b"\x89HDF\r\n\x1a\n"


def load_model(
    path: str | Path,
    *,
    workdir: Path,
    progress: Progress | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    timeout_s: float = 900,
) -> SourceModel:
    """Return a model as a static ``.tflite`` of batch 1: float, or full-integer as it was given.

    The kind is told by the content, not by the suffix. TensorFlow runs in a child process, and only for Keras
    files and SavedModels.

    Args:
        path: a ``.keras`` or ``.h5`` file, a SavedModel folder, or a ``.tflite``.
        workdir: existing folder for intermediate files.
        progress: called with what is being done and the fraction done.
        input_shapes: shape by input name, batch 1 included, for inputs with dynamic dimensions; the name
            ``""`` is the only input, whatever it is called.
        timeout_s: seconds after which the conversion is given up.

    Raises:
        ModelError: the model cannot be read or converted; says what was found, and what helps.
        ToolError: the model needs TensorFlow or tf-keras, which is not installed.
    """
    path = Path(path)
    report = progress or (lambda _what, _fraction: None)
    report(f"reading {path.name}", 0.0)
    kind = _kind(path)
    sha256, shapes = _hash(path), dict(input_shapes or {})
    if kind == "tflite":
        data, names = path.read_bytes(), None
    else:
        report("converting with TensorFlow", 0.1)
        data, names = convert(path, kind, workdir, shapes, timeout_s)
        shapes = {}
    report("checking the float model", 0.9)
    result = normalize(data, str(path), names, shapes)
    origins: dict[str, Literal["savedmodel", "tflite"]] = {"savedmodel": "savedmodel", "tflite": "tflite"}
    report(f"read {path.name}", 1.0)
    return SourceModel(
        data=result.data,
        kind=result.kind,
        origin=origins.get(kind, "keras"),
        name=model_name(path),
        sha256=sha256,
        findings=tuple(result.findings),
    )


def _hash(path: Path) -> str:
    try:
        return hash_path(path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error


def _kind(path: Path) -> Literal["keras", "h5", "savedmodel", "tflite"]:
    """Return what a path holds, by its first bytes.

    Raises:
        ModelError: nothing is there, or nothing that is known.
    """
    if not path.exists():
        raise ModelError(f"there is no model at {path}", hint="check the path of the model")
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "savedmodel"
        held = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "nothing"
        raise ModelError(f"{path} is a folder without saved_model.pb: it holds {held}", hint=_HINT)
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(_HDF5):
        return "h5"
    if head.startswith(b"PK"):
        return _check_archive(path)
    if path.name == "saved_model.pb":
        raise ModelError(f"{path} is one file of a SavedModel", hint=f"give its folder: {path.parent}")
    found = f"{path.stat().st_size} bytes starting {head[:8]!r}" if head else "an empty file"
    raise ModelError(f"{path} is no model that can be read: found {found}", hint=_HINT)


def _check_archive(path: Path) -> Literal["keras"]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(
            f"{path} is a damaged .keras file: {error}",
            hint="save or copy it again; it may be truncated",
        ) from error
    except Exception as error:  # zlib.error has no public home that zipfile promises
        raise ModelError(f"{path} is a damaged .keras file: {error}", hint="save or copy it again") from error
    if damaged:
        raise ModelError(f"{path} is a damaged .keras file: its {damaged} has a wrong checksum")
    missing = {"config.json", "model.weights.h5"} - members
    if missing:
        raise ModelError(
            f"{path} is a zip file, but no .keras model: it has no {' and no '.join(sorted(missing))}",
            hint=_HINT,
        )
    return "keras"
