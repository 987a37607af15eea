"""Bundles: one folder (or zip) a model and target, written atomically, read only when intact."""

from qedge.bundle.golden import golden_files, npy_array, npy_bytes
from qedge.bundle.manifest import MODEL, FileEntry, Manifest, TensorSpec
from qedge.bundle.read import Bundle, read_bundle
from qedge.bundle.write import pack_bundle, write_bundle

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
