"""SHA-256 by the quicker way: OpenSSL is faster, but takes 3 MB, and longer to load than 512 KiB to hash."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

SMALL_BYTES = 1 << 19


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal.

    >>> sha256(b"")[:16]
    'e3b0c44298fc1c14'
    """
    modules = _PLAIN if len(data) < SMALL_BYTES and "_hashlib" not in sys.modules else _OPENSSL
    text: str = _function(modules)(data).hexdigest()
    return text


def expect(total: int) -> None:
    """Get ready to hash ``total`` bytes, in however many pieces."""
    if total >= SMALL_BYTES:
        _function(_OPENSSL)


# Where hashlib finds its own, without the other algorithms that it sets up: as its last resort it serves anyway.
_OPENSSL = (("_hashlib", "openssl_sha256"), ("hashlib", "sha256"))
# One name a version: to look in vain costs a walk along the whole import path, for every file again.
_PLAIN = (("_sha2" if sys.version_info >= (3, 12) else "_sha256", "sha256"), ("hashlib", "sha256"))


def _function(homes: Sequence[tuple[str, str]]) -> Any:
    """Return the first that there is."""
    for module, name in homes[:-1]:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    module, name = homes[-1]
    return getattr(importlib.import_module(module), name)
