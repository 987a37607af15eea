"""Bundles: one folder (or zip) a model and target, written atomically, read only when intact.

The names are imported when they are used, so that a device that only reads never loads the writer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qedge.bundle.golden import golden_files, npy_array, npy_bytes
    from qedge.bundle.manifest import MODEL, FileEntry, Manifest, TensorSpec
    from qedge.bundle.read import Bundle, read_bundle
    from qedge.bundle.write import pack_bundle, write_bundle

_HOMES = {
    "golden": ("golden_files", "npy_array", "npy_bytes"),
    "manifest": ("MODEL", "FileEntry", "Manifest", "TensorSpec"),
    "read": ("Bundle", "read_bundle"),
    "write": ("pack_bundle", "write_bundle"),
}

__all__ = [
    "MODEL",
    "Bundle",
    "FileEntry",
    "Manifest",
    "TensorSpec",
    "golden_files",
    "npy_array",
    "npy_bytes",
    "pack_bundle",
    "read_bundle",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    import importlib

    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"qedge.bundle.{module}"), name)
    raise AttributeError(f"module 'qedge.bundle' has no attribute {name!r}")
