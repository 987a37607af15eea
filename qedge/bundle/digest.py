"""SHA-256 by the quicker way: OpenSSL is faster, but takes 3 MB and longer to load than 1 MB to hash."""

from __future__ import annotations

import importlib
import sys
from typing import Any

SMALL_BYTES = 1 << 20


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal.

    >>> sha256(b"")[:16]
    'e3b0c44298fc1c14'
    """
    made = _plain() if len(data) < SMALL_BYTES and "hashlib" not in sys.modules else None
    if made is None:
        import hashlib

        made = hashlib.sha256
    text: str = made(data).hexdigest()
    return text


def _plain() -> Any:
    """Return Python's own SHA-256, which ``hashlib`` uses without OpenSSL; None where it is not built in."""
    for module in ("_sha2", "_sha256"):
        try:
            return importlib.import_module(module).sha256
        except (ImportError, AttributeError):
            continue
    return None
