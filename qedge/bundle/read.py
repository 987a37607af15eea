"""Reading a bundle: every file's size and SHA-256 are checked before anything uses it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from qedge.bundle.digest import expect, sha256
from qedge.bundle.manifest import (
    HINT,
    LIBRARIES,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURE_BYTES,
    MODEL,
    SIGNATURE,
    Manifest,
    check_name,
)
from qedge.errors import DataError, IntegrityError

if TYPE_CHECKING:
    import tempfile
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt

    Array = npt.NDArray[Any]

# Paths are strings here and pathlib, tempfile and zipfile are imported where they are needed: together they
# take as long to import as a small model takes to load.


class Bundle:
    """An intact bundle. Close it, or use it in a ``with``, when it came from a ``.zip``.

    Args:
        origin: path of the folder or of the ``.zip``.
        contents: the files of a ``.zip``, whose bytes were checked; None for a folder.
        model: the model's checked bytes, for the first :meth:`read` of it, which nearly always follows.
        signature: the contents of ``signature.json``, unchecked (``qedge.trust`` does that); None without one.
        checked: the files of a folder whose bytes were checked.
    """

    def __init__(
        self,
        origin: str,
        manifest: Manifest,
        contents: Mapping[str, bytes] | None,
        model: bytes | None = None,
        signature: bytes | None = None,
        checked: Iterable[str] = (),
    ) -> None:
        self.signature = signature
        self._origin = origin
        self._model = model
        self.manifest = manifest
        self._contents = contents
        self._checked = set(checked)
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None

    @property
    def root(self) -> Path:
        """The folder or the ``.zip``."""
        from pathlib import Path

        return Path(self._origin)

    def read(self, name: str) -> bytes:
        """Return the contents of one file, checked since the bundle was opened.

        Raises:
            IntegrityError: the bundle has no such file, or its bytes are not those of the manifest.
        """
        if name not in self.manifest.files:
            raise IntegrityError(f"{self._origin}: no {name} in this bundle", hint=HINT)
        if self._contents is not None:
            return self._contents[name]
        if name == MODEL and self._model is not None:
            model, self._model = self._model, None
            return model
        self._checked.add(name)
        return _read_file(self._origin, name, self.manifest)

    def check(self) -> None:
        """Hash every file that was not read yet, but for models and libraries: who runs one reads it.

        A bundle may have as many libraries as there are architectures, each as large as the model; a device runs one.

        Raises:
            IntegrityError: a file's bytes are not those of the manifest.
        """
        if self._contents is not None:
            return
        left = [
            n
            for n in self.manifest.files
            if n not in self._checked and not n.startswith(LIBRARIES) and n != MODEL
        ]
        expect(sum(self.manifest.files[name].size for name in left))
        for name in left:
            self.read(name)

    def path(self, name: str) -> Path:
        """Return where one file lies; a ``.zip`` is unpacked into a temporary folder first."""
        from pathlib import Path

        return Path(self.place(name))

    def place(self, name: str) -> str:
        """Return :meth:`path` as a string, and so without importing pathlib for a folder."""
        self.read(name)
        return os.path.join(self.origin if self._contents is None else str(self.folder()), name)

    @property
    def origin(self) -> str:
        """:attr:`root` as a string."""
        return self._origin

    def folder(self) -> Path:
        """Return the bundle as a folder; a ``.zip`` is unpacked into a temporary one until :meth:`close`."""
        from pathlib import Path

        if self._contents is None:
            return self.root
        if self._unpacked is None:
            import tempfile

            self._unpacked = tempfile.TemporaryDirectory(prefix="qedge-bundle-")
            signature = {} if self.signature is None else {SIGNATURE: self.signature}
            for name, data in {**self._contents, MANIFEST: self.manifest.encoded(), **signature}.items():
                place = Path(self._unpacked.name, name)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        return Path(self._unpacked.name)

    def golden(self, outputs: str = "output") -> list[tuple[list[Array], list[Array]]]:
        """Return (inputs, outputs) of every golden sample, in the model's types and shapes; [] without any.

        Args:
            outputs: ``output``, or those of other kernels: ``builtin``, TFLite's own, which tflite-runtime runs, or
                ``micro``, TFLite Micro's, which the C library has.

        Raises:
            IntegrityError: the arrays are not of the shapes and types of the manifest.
        """
        import numpy as np

        from qedge.bundle.golden import npy_array

        columns = []
        for kind, tensors in (("input", self.manifest.inputs), (outputs, self.manifest.outputs)):
            for k, tensor in enumerate(tensors):
                name = f"golden/{kind}_{k}.npy"
                if name not in self.manifest.files:
                    return []
                array = npy_array(self.read(name), f"{self.root}/{name}")
                if array.shape[1:] != tensor.shape or array.dtype.name != tensor.dtype:
                    raise IntegrityError(
                        f"{self.root}/{name}: found {array.dtype} {list(array.shape)}, "
                        f"expected {tensor.dtype} [samples, {', '.join(map(str, tensor.shape))}]",
                        hint=HINT,
                    )
                columns.append(array)
        count = len(self.manifest.inputs)
        if len({len(c) for c in columns}) > 1:
            raise IntegrityError(f"{self.root}/golden: the arrays differ in the number of samples", hint=HINT)
        rows = [[np.asarray(value) for value in row] for row in zip(*columns)]  # a scalar stays an array
        return [(row[:count], row[count:]) for row in rows]

    def close(self) -> None:
        """Remove what :meth:`path` unpacked."""
        if self._unpacked is not None:
            self._unpacked.cleanup()
            self._unpacked = None

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_bundle(path: str | os.PathLike[str], *, verify: bool = True) -> Bundle:
    """Return the bundle at ``path``, a folder or a ``.zip``.

    Args:
        verify: also hash every file now; without it each file is still hashed when it is read, or by
            :meth:`Bundle.check`.

    Raises:
        DataError: nothing there, or something that is no bundle.
        IntegrityError: a bundle that is truncated, altered, incomplete, of another version, or that
            holds files or paths that it must not.
    """
    root = os.fspath(path)
    try:
        if os.path.isdir(root):
            return _from_folder(root, verify)
        if os.path.isfile(root):
            return _from_zip(root)
    except OSError as problem:
        raise DataError(f"{root}: cannot read the bundle: {problem.strerror or problem}") from None
    raise DataError(f"{root}: no such bundle", hint="build one with: qedge build MODEL --data DATA -t TARGET")


def _from_folder(root: str, verify: bool) -> Bundle:
    place = os.path.join(root, MANIFEST)
    if not os.path.lexists(place):
        raise DataError(
            f"{root}: no bundle: it has no {MANIFEST}", hint="name the folder that qedge build wrote"
        )
    status = os.lstat(place)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_MANIFEST_BYTES:
        raise IntegrityError(f"{place}: expected a file of at most {MAX_MANIFEST_BYTES} bytes", hint=HINT)
    with open(place, "rb") as file:
        manifest = Manifest.decoded(file.read(), place)
    present = _listed(root)
    _same_names(root, set(present) - {MANIFEST, SIGNATURE}, manifest)
    signature = _signature(root) if SIGNATURE in present else None
    for name, entry in manifest.files.items():
        if present[name] != entry.size:
            raise _size_error(root, name, present[name], entry.size)
    model = None
    if verify:
        expect(sum(present.values()))
    for name in manifest.files if verify else ():
        data = _read_file(root, name, manifest)
        model = data if name == MODEL else model
    return Bundle(root, manifest, None, model, signature, manifest.files if verify else ())


def _signature(root: str) -> bytes:
    with open(os.path.join(root, SIGNATURE), "rb") as file:
        data = file.read(MAX_SIGNATURE_BYTES + 1)
    return _signature_size(root, data)


def _signature_size(root: str, data: bytes) -> bytes:
    if len(data) > MAX_SIGNATURE_BYTES:
        raise IntegrityError(
            f"{root}/{SIGNATURE}: expected at most {MAX_SIGNATURE_BYTES} bytes",
            hint="remove the file, or sign the bundle again: qedge sign BUNDLE --key KEY",
        )
    return data


def _listed(root: str) -> dict[str, int]:
    """Return the size of every file below ``root``; nothing but plain files and folders may lie there."""
    found: dict[str, int] = {}
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(root, folder)) as entries:
            listed = list(entries)
        for entry in listed:
            name = f"{folder}{entry.name}"
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                pending.append(f"{name}/")
            elif stat.S_ISREG(mode):
                found[name] = entry.stat(follow_symlinks=False).st_size
            else:
                raise IntegrityError(f"{root}/{name}: a link or device, expected plain files", hint=HINT)
    return found


def _read_file(root: str, name: str, manifest: Manifest) -> bytes:
    try:
        with open(os.path.join(root, name), "rb", buffering=0) as file:
            data = file.readall()
    except OSError as problem:
        raise IntegrityError(f"{root}/{name}: cannot be read: {problem.strerror}", hint=HINT) from None
    _check(root, name, data, manifest)
    return data


def _check(root: str, name: str, data: bytes, manifest: Manifest) -> None:
    entry = manifest.files[name]
    if len(data) != entry.size:
        raise _size_error(root, name, len(data), entry.size)
    if sha256(data) != entry.sha256:
        raise IntegrityError(
            f"{root}/{name}: was altered: its SHA-256 is not that of the manifest", hint=HINT
        )


def _size_error(root: str, name: str, found: int, expected: int) -> IntegrityError:
    if found < expected:
        return IntegrityError(f"{root}/{name}: truncated: {found} of {expected} bytes", hint=HINT)
    return IntegrityError(f"{root}/{name}: was altered: more than {expected} bytes", hint=HINT)


def _same_names(root: str, present: set[str], manifest: Manifest) -> None:
    missing = sorted(set(manifest.files) - present)
    if missing:
        raise IntegrityError(f"{root}: {missing[0]} is missing", hint=HINT)
    extra = sorted(present - set(manifest.files))
    if extra:
        raise IntegrityError(f"{root}: {extra[0]!r} does not belong to the bundle", hint="remove the file")


def _from_zip(root: str) -> Bundle:
    import zipfile

    from qedge.archives import zip_faults

    try:
        with zipfile.ZipFile(root) as archive:
            return _from_archive(root, archive)
    except zipfile.BadZipFile as problem:
        with open(root, "rb") as file:
            was_zip = file.read(4) == b"PK\x03\x04"
        if was_zip:
            raise IntegrityError(f"{root}: a damaged .zip: {problem}", hint=HINT) from None
        raise DataError(f"{root}: no bundle: neither a folder nor a .zip") from None
    except zip_faults() as problem:
        if isinstance(problem, OSError) and problem.errno is not None:
            raise  # of the disk; bz2 says with an OSError of no number that its data are damaged
        raise IntegrityError(f"{root}: a damaged .zip: {problem}", hint=HINT) from None


def _from_archive(root: str, archive: Any) -> Bundle:
    from qedge.archives import check_archive

    names: set[str] = set()
    check_archive(archive.infolist(), os.path.getsize(root), root, IntegrityError)
    for info in archive.infolist():
        check_name(info.filename, str(root))
        mode = info.external_attr >> 16
        if info.is_dir() or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
            raise IntegrityError(f"{root}: {info.filename!r} is a link or folder, expected files", hint=HINT)
        if info.filename in names:
            raise IntegrityError(f"{root}: {info.filename!r} is there twice", hint=HINT)
        names.add(info.filename)
    if MANIFEST not in names:
        raise DataError(f"{root}: no bundle: it has no {MANIFEST}", hint="name the .zip that qedge wrote")

    def extract(name: str, limit: int) -> bytes:
        with archive.open(name) as member:
            data: bytes = member.read(limit + 1)
            return data

    text = extract(MANIFEST, MAX_MANIFEST_BYTES)
    if len(text) > MAX_MANIFEST_BYTES:
        raise IntegrityError(f"{root}: the manifest has more than {MAX_MANIFEST_BYTES} bytes", hint=HINT)
    manifest = Manifest.decoded(text, f"{root}/{MANIFEST}")
    _same_names(root, names - {MANIFEST, SIGNATURE}, manifest)
    signature = None
    if SIGNATURE in names:
        signature = _signature_size(root, extract(SIGNATURE, MAX_SIGNATURE_BYTES))
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    for name, entry in manifest.files.items():
        if sizes[name] != entry.size:
            raise _size_error(root, name, sizes[name], entry.size)
    contents = {}
    for name, entry in manifest.files.items():
        # Reading stops one byte past what both the manifest and the archive's directory say.
        contents[name] = extract(name, entry.size)
        _check(root, name, contents[name], manifest)
    return Bundle(root, manifest, contents, signature=signature)
