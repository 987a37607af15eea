"""Folders of images or of wav files, flat or with one subfolder a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import InputInfo, Labels, Sample, Subset, as_input
from qedge.errors import DataError, QedgeError
from qedge.processing.spec import Preprocess

KINDS = {
    "image": (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    "wav": (".wav",),
}
KEPT_BYTES = 64 << 20
"""Samples that are kept once they were made: calibrating, searching and comparing ask for each some thirty times."""
_NAMES = {"image": "images", "wav": "wav files"}


class FolderDataset:
    """One file a sample; the class is the name of the subfolder, in alphabetical order.

    Args:
        root: the folder, for messages.
        files: all files, in the order of the samples.
        labels: class index a file, or None when the folder is flat.
        class_names: names of the subfolders, or None.
        info: the only input of the model.
        preprocess: turns a file into the input.
        kind: ``image`` or ``wav``.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[Path],
        labels: Labels | None,
        class_names: tuple[str, ...] | None,
        info: InputInfo,
        preprocess: Preprocess,
        kind: str,
    ) -> None:
        self.root, self.kind = root, kind
        self.labels, self.class_names = labels, class_names
        self._files, self._preprocess = tuple(files), preprocess
        self._info = replace(info, order=None)  # pre-processing makes what the model itself takes
        self._kept: dict[int, npt.NDArray[np.float32]] = {}
        self._room = KEPT_BYTES

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: the names of the files, and no sample."""
        files = tuple(file.absolute() for file in self._files)
        return {**self.__dict__, "_files": files, "_kept": {}, "_room": KEPT_BYTES}

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, i: int) -> Sample:
        if i not in self._kept:
            made = self._made(i)
            if made.nbytes > self._room:
                return [made]
            made.flags.writeable = False  # whoever asks next gets it too
            self._room -= made.nbytes
            self._kept[i] = made
        return [self._kept[i]]

    def _made(self, i: int) -> npt.NDArray[np.float32]:
        file = self._files[i]
        try:
            values = self._preprocess.apply(file)
        except QedgeError as error:
            named = str(file) in error.message or file.name in error.message
            message = error.message if named else f"{self.source(i)}: {error.message}"
            raise DataError(message, hint=error.hint) from error
        except (OSError, ValueError, EOFError, SyntaxError) as error:
            what = "an image" if self.kind == "image" else "a wav file"
            raise DataError(
                f"{self.source(i)} cannot be read as {what}: {error}",
                hint="the file may be damaged: remove it or save it again",
            ) from error
        hint = "state the pre-processing so that it gives the model's input shape"
        return as_input(np.asarray(values), self._info, self.source(i), hint)

    def subset(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Subset:
        """Return the samples with these indices, in this order."""
        return Subset(self, indices)

    def source(self, i: int) -> str:
        """Return the path of a sample's file."""
        return str(self._files[i])

    def path(self, i: int) -> Path:
        """Return the path of a sample's file."""
        return self._files[i]


def kind_of(file: Path) -> str | None:
    """Return ``image`` or ``wav`` by the file's suffix, else None.

    >>> kind_of(Path("a/B.JPG"))
    'image'
    """
    return next((kind for kind, suffixes in KINDS.items() if file.suffix.lower() in suffixes), None)


def scan(root: Path) -> tuple[str, list[Path], list[str] | None]:
    """Return the kind of a folder's files, the files, and the class name a file (None when flat).

    Files of other kinds and hidden ones are passed over.

    Raises:
        DataError: no usable file, images and wavs mixed, or files both beside and inside subfolders.
    """
    found: list[tuple[Path, str, str]] = []
    passed_over: set[str] = set()
    for file in walk_files(root):
        inside = file.relative_to(root)
        if any(part.startswith(".") for part in inside.parts) or not file.is_file():
            continue
        kind = kind_of(file)
        if kind is None:
            passed_over.add(file.suffix.lower() or file.name)
        else:
            found.append((file, kind, inside.parts[0] if len(inside.parts) > 1 else ""))
    if not found:
        others = f", only {', '.join(sorted(passed_over)[:5])}" if passed_over else ""
        raise DataError(
            f"{root} holds no image and no wav file{others}",
            hint="expected jpg, png, bmp, webp, gif, tif or wav files, in the folder or in one subfolder a class",
        )
    kinds = sorted({kind for _, kind, _ in found})
    if len(kinds) > 1:
        counts = [sum(k == kind for _, k, _ in found) for kind in kinds]
        mixed = " and ".join(f"{n} {_NAMES[k]}" for n, k in zip(counts, kinds))
        raise DataError(f"{root} holds {mixed}, expected one kind", hint="put the others into another folder")
    loose = [file for file, _, name in found if not name]
    if loose and len(loose) < len(found):
        raise DataError(
            f"{root} holds {len(loose)} files beside its subfolders (such as {loose[0].name}) and"
            f" {len(found) - len(loose)} inside them",
            hint="put all files flat into the folder, or all into one subfolder a class",
        )
    return kinds[0], [f for f, _, _ in found], None if loose else [name for _, _, name in found]


def walk_files(root: Path) -> list[Path]:
    """Return what lies below ``root``, sorted; folders that are links are followed, each real folder once."""
    found: list[Path] = []
    seen: set[str] = set()
    for folder, names, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        found += [Path(folder, name) for name in files]
    return sorted(found)


def open_folder(root: Path, inputs: Sequence[InputInfo], preprocess: Preprocess | None) -> FolderDataset:
    """Return the dataset of a folder.

    Raises:
        DataError: see :func:`scan`; also a model with several inputs, or no pre-processing.
    """
    kind, files, folders = scan(root)
    if len(inputs) != 1:
        raise DataError(
            f"the model has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), but a folder of"
            f" {_NAMES[kind]} gives one",
            hint="give an .npz with one array an input, each under the input's name",
        )
    if preprocess is None:
        raise DataError(
            f"{root} holds {_NAMES[kind]}, but no pre-processing says how one becomes the input"
            f" {inputs[0].name!r} of shape {list(inputs[0].shape)}",
            hint="state the pre-processing by flags or in qedge.toml, or give an .npz in the model's units",
        )
    if folders is None:
        return FolderDataset(root, files, None, None, inputs[0], preprocess, kind)
    names = tuple(sorted(set(folders)))
    order = {name: i for i, name in enumerate(names)}
    labels = np.array([order[name] for name in folders], np.int64)
    return FolderDataset(root, files, labels, names, inputs[0], preprocess, kind)
