"""Writing a bundle: whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from qedge.bundle.manifest import (
    FORMAT,
    MANIFEST,
    SIGNATURE,
    Manifest,
    check_model_name,
    check_name,
    check_names,
)
from qedge.bundle.read import Bundle
from qedge.errors import UsageError

SYNCS_AT_ONCE = 8


def write_bundle(directory: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write a bundle as the folder ``directory``, in place of an older one.

    Everything is written beside it first and moved into place in one step, so that a crash leaves the old
    bundle or the new one.

    Args:
        manifest: its ``files`` are filled in here.
        files: path in the bundle to contents; ``model.tflite`` must be among them.

    Raises:
        UsageError: ``directory`` is something else than a bundle or an empty folder.
    """
    place = Path(directory)
    for name in files:
        check_name(name)
    check_names((MANIFEST, SIGNATURE, *files), str(place))
    check_model_name(manifest.name, "name")
    refuse_to_replace(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".new", dir=place.parent))
    try:
        fresh.chmod(0o755)
        contents = {**files, MANIFEST: manifest.with_files(files).encoded()}
        with writing() as write:
            for name, data in sorted(contents.items()):
                write(fresh / name, data)
        move_into_place(fresh, place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def pack_bundle(bundle: Bundle, place: str | os.PathLike[str]) -> None:
    """Write ``bundle`` as one ``.zip``, whole or not at all, the same bytes for the same content."""
    contents = {path: bundle.read(path) for path in sorted(bundle.manifest.files)}
    if bundle.signature is not None:
        contents[SIGNATURE] = bundle.signature
    write_whole(Path(place), zip_bytes({MANIFEST: bundle.manifest.encoded(), **contents}))


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return a ``.zip`` of files in their order: the same bytes for the same content, no times in it."""
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return packed.getvalue()


def write_whole(place: Path, data: bytes, scratch: Path | None = None) -> None:
    """Write a file that is whole or not there; folders on the way are made.

    Args:
        scratch: folder for it until it is whole, on the same disk; default: the one that ``place`` is in.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=scratch or place.parent)
    os.close(handle)
    try:
        write_file(Path(name), data)
        os.chmod(name, 0o644)
        os.replace(name, place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_file(place: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it; folders on the way are made."""
    _lay(place, data)
    _wait(place)


@contextmanager
def writing() -> Iterator[Callable[[Path, bytes], None]]:
    """Give a function that writes a file, from any thread; when the block ends the disk has them all.

    It is waited for on many files at a time, and while others are still to come: a disk commits those together, where
    one by one takes ten times as long.
    """
    pool = ThreadPoolExecutor(SYNCS_AT_ONCE, thread_name_prefix="qedge-disk")
    waits: list[Future[None]] = []

    def write(place: Path, data: bytes) -> None:
        _lay(place, data)
        waits.append(pool.submit(_wait, place))

    try:
        yield write
        for wait in waits:
            wait.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _lay(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place, "wb") as file:
        file.write(data)


def _wait(place: Path) -> None:
    with open(place, "rb+") as file:  # Windows syncs only what is open for writing
        os.fsync(file.fileno())


def refuse_to_replace(place: Path) -> None:
    """Raise unless ``place`` is free, empty, or a bundle that may be replaced."""
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise UsageError(f"{place}: there is a file or link, expected a folder", hint="choose another --out")
    if not place.is_dir() or not any(place.iterdir()):
        return
    manifest = place / MANIFEST
    if not manifest.is_file() or FORMAT.encode() not in manifest.read_bytes()[:4096]:
        raise UsageError(
            f"{place}: the folder holds something that is no bundle", hint="empty it, or choose another --out"
        )


def move_into_place(fresh: Path, place: Path) -> None:
    """Make ``fresh`` the folder ``place``; what was there is left at ``fresh``."""
    if not place.exists():
        os.rename(fresh, place)
    elif not _exchange(fresh, place):
        old = fresh.with_suffix(".old")
        os.rename(place, old)
        try:
            os.rename(fresh, place)
        except OSError:
            os.rename(old, place)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step (``renameat2``, Linux); False where the system cannot."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    at_cwd, exchange = -100, 2
    return bool(rename(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0)
