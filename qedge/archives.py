"""What a ``.zip`` from outside may ask for, judged by its directory before anything is unpacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qedge.errors import QedgeError

MAX_ENTRIES = 10_000
MAX_BYTES = 2 << 30
SMALL_BYTES = 64 << 20
MAX_RATIO = 200
# What unpacks members, and the errors of their own that they raise.
_UNPACKERS = (("zlib", "error"), ("lzma", "LZMAError"), ("compression.zstd", "ZstdError"))


def check_archive(
    entries: Iterable[Any],
    file_bytes: int,
    where: str,
    error: type[QedgeError],
    *,
    max_bytes: int = MAX_BYTES,
    max_ratio: int = MAX_RATIO,
) -> None:
    """Raise unless the entries of an archive together stay within what is reasonable to unpack.

    Args:
        entries: of ``zipfile.ZipFile.infolist()``; their sizes are the archive's own claims, so that whoever
            reads a member must still stop at its ``file_size``.
        file_bytes: of the archive itself: members that overlap cannot claim to be packed in more.
        max_bytes: of all members unpacked.
        max_ratio: of unpacked to packed bytes; archives below ``SMALL_BYTES`` may have any.

    Raises:
        QedgeError: of class ``error``: too many members, too many bytes, or a ratio that no real data has.
    """
    count = total = 0
    for entry in entries:
        count, total = count + 1, total + entry.file_size
    if count > MAX_ENTRIES:
        raise error(f"{where}: found {count:,} files in it, expected at most {MAX_ENTRIES:,}")
    if total > max_bytes:
        raise error(f"{where}: unpacks to {total:,} bytes, expected at most {max_bytes:,}")
    if total > SMALL_BYTES and total > max_ratio * file_bytes:
        raise error(
            f"{where}: {file_bytes:,} bytes unpack to {total:,}, expected at most {max_ratio} times as many",
            hint="no real data is packed that tightly: pack it again, or use it unpacked",
        )


def zip_faults() -> tuple[type[Exception], ...]:
    """Return what Python's readers raise for a .zip that is damaged, whatever in it is: for an ``except``."""
    import importlib
    import zipfile

    # UnicodeDecodeError, of a member's name, is a ValueError; RuntimeError is said of encrypted members.
    faults: list[type[Exception]] = [
        zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError,
    ]  # fmt: skip
    for module, name in _UNPACKERS:
        try:
            faults.append(getattr(importlib.import_module(module), name))
        except ImportError:  # a Python without it says NotImplementedError or RuntimeError
            continue
    return tuple(faults)
