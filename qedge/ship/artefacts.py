"""What lies in an OCI registry: blobs, and manifests that name them, each under its SHA-256.

Source: OCI image specification 1.1 (manifests, ``artifactType``, ``data`` of descriptors) and distribution
specification 1.1. A small blob is in its manifest as well, as ``data``: whoever reads that saves a request, and whoever
does not finds the blob where all others are.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from qedge.bundle import canonical
from qedge.errors import IntegrityError
from qedge.fields import Field
from qedge.ship.http import Registry

FILE = "application/octet-stream"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
MAX_OCI_MANIFEST_BYTES = 4 << 20
MAX_INSIDE_BYTES, MAX_ALL_INSIDE_BYTES = 8 << 10, 32 << 10
"""Of one blob that a manifest holds as well, and of all of them: an update brings them again, changed or not."""


class Blob(NamedTuple):
    """What a manifest names: digest and size, and the contents, already checked, where it holds them."""

    digest: str
    size: int
    data: bytes | None = None


def put_blob(registry: Registry, data: bytes) -> int:
    """Send a blob unless it is there; return the bytes sent."""
    digest = digest_of(data)
    if registry.head(f"blobs/{digest}") is not None:
        return 0
    place = registry.send("POST", "blobs/uploads/", b"").get("location", "")
    if not place:
        raise IntegrityError("the registry names no place to send a file to")
    separator = "&" if "?" in place else "?"
    registry.send(
        "PUT",
        registry.absolute(f"{place}{separator}digest={digest}"),
        data,
        {"Content-Type": "application/octet-stream"},
    )
    return len(data)


def put_file(registry: Registry, kind: str, name: str, data: bytes) -> dict[str, Any]:
    """Send a file; return the manifest of the artefact of type ``kind`` that is this file alone."""
    empty = b"{}"
    put_blob(registry, empty)
    put_blob(registry, data)
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": kind,
        "config": descriptor(EMPTY_TYPE, empty, inside=True),
        "layers": [descriptor(FILE, data, {TITLE: name}, inside=len(data) <= MAX_INSIDE_BYTES)],
    }


def put_manifest(
    registry: Registry, document: Mapping[str, Any], tag: str, kind: str = MANIFEST_TYPE
) -> tuple[bytes, str]:
    """Send a manifest under a tag, or under its digest; return its bytes and its digest."""
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    digest = digest_of(data)
    registry.send("PUT", f"manifests/{tag or digest}", data, {"Content-Type": kind})
    return data, digest


def get_blob(registry: Registry, blob: Blob, where: str) -> bytes:
    """Return a blob that a manifest names, every byte checked."""
    if blob.data is not None:
        return blob.data
    found = registry.get(f"blobs/{blob.digest}", blob.size)
    if found is None:
        raise IntegrityError(f"{where}: the registry does not have what its manifest names")
    if len(found[0]) != blob.size or digest_of(found[0]) != blob.digest:
        raise IntegrityError(f"{where}: the registry gave other bytes than its manifest says")
    return found[0]


def get_manifest(registry: Registry, key: str, limit: int = MAX_OCI_MANIFEST_BYTES) -> bytes | None:
    """Return the manifest under a tag or a digest, which it then has; None where there is none."""
    found = registry.get(f"manifests/{key}", limit, MANIFEST_TYPE)
    if found is None:
        return None
    if is_digest(key) and digest_of(found[0]) != key:
        raise IntegrityError(f"{key}: the registry gave another manifest: {digest_of(found[0])}")
    return found[0]


def document_of(data: bytes, where: str) -> Field:
    """Return what a manifest says."""
    return Field(canonical.document(data, where, IntegrityError), f"{where}: $", IntegrityError).object(
        (), None
    )


def named_blob(entry: Field, limit: int) -> Blob:
    """Return what a manifest names, of at most ``limit`` bytes."""
    entry.object(("digest", "size"), None)
    digest = entry["digest"].string()
    if not is_digest(digest):
        raise entry["digest"].fail("sha256: and 64 hexadecimal digits")
    size, data = entry["size"].integer(0, limit), None
    if entry["data"].value is not None:
        try:
            data = base64.b64decode(entry["data"].string(), validate=True)
        except ValueError:
            raise entry["data"].fail("base64") from None
        if len(data) != size or digest_of(data) != digest:
            raise IntegrityError(f"{entry['data'].path}: other bytes than its digest says")
    return Blob(digest, size, data)


def descriptor(
    kind: str, data: bytes, annotations: Mapping[str, str] | None = None, *, inside: bool = False
) -> dict[str, Any]:
    """Return how a manifest names a blob, with the blob itself where it is to be ``inside``."""
    entry: dict[str, Any] = {"mediaType": kind, "digest": digest_of(data), "size": len(data)}
    if annotations:
        entry["annotations"] = dict(annotations)
    if inside:
        entry["data"] = base64.b64encode(data).decode()
    return entry


def chosen_inside(sizes: Mapping[str, int]) -> set[str]:
    """Return the names of the blobs that a manifest is to hold as well: the small ones, the smallest first."""
    chosen, total = set(), 0
    for name, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):
        total += size
        if size > MAX_INSIDE_BYTES or total > MAX_ALL_INSIDE_BYTES:
            break
        chosen.add(name)
    return chosen


def is_digest(text: str) -> bool:
    """Whether a text is ``sha256:`` and 64 hexadecimal digits."""
    return text.startswith("sha256:") and len(text) == 71 and set(text[7:]) <= set("0123456789abcdef")


def digest_of(data: bytes) -> str:
    """Return the name of a blob."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
