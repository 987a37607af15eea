"""What lies in an OCI registry: blobs, and manifests that name them, each under its SHA-256.

Source: OCI image specification 1.1 (manifests, ``artifactType``) and distribution specification 1.1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from qedge.errors import IntegrityError
from qedge.fields import Field
from qedge.ship.http import Registry

FILE = "application/octet-stream"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
MAX_OCI_MANIFEST_BYTES = 4 << 20


def put_blob(registry: Registry, data: bytes) -> int:
    """Send a blob unless it is there; return the bytes sent."""
    digest = digest_of(data)
    if registry.exists(f"blobs/{digest}"):
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
        "config": descriptor(EMPTY_TYPE, empty),
        "layers": [descriptor(FILE, data, {TITLE: name})],
    }


def put_manifest(
    registry: Registry, document: Mapping[str, Any], tag: str, kind: str = MANIFEST_TYPE
) -> tuple[bytes, str]:
    """Send a manifest under a tag, or under its digest; return its bytes and its digest."""
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    digest = digest_of(data)
    registry.send("PUT", f"manifests/{tag or digest}", data, {"Content-Type": kind})
    return data, digest


def get_blob(registry: Registry, digest: str, size: int, where: str) -> bytes:
    """Return a blob that a manifest names, every byte checked."""
    found = registry.get(f"blobs/{digest}", size)
    if found is None:
        raise IntegrityError(f"{where}: the registry does not have what its manifest names")
    if len(found[0]) != size or digest_of(found[0]) != digest:
        raise IntegrityError(f"{where}: the registry gave other bytes than its manifest says")
    return found[0]


def document_of(data: bytes, where: str) -> Field:
    """Return what a manifest says."""
    try:
        return Field(json.loads(data.decode()), f"{where}: $", IntegrityError).object((), None)
    except (ValueError, RecursionError) as problem:
        raise IntegrityError(f"{where}: the registry's manifest is no JSON: {problem}") from None


def named_blob(entry: Field, limit: int) -> tuple[str, int]:
    """Return digest and size of what a manifest names."""
    entry.object(("digest", "size"), None)
    digest = entry["digest"].string()
    if (
        not digest.startswith("sha256:")
        or len(digest) != 71
        or not set(digest[7:]) <= set("0123456789abcdef")
    ):
        raise entry["digest"].fail("sha256: and 64 hexadecimal digits")
    return digest, entry["size"].integer(0, limit)


def descriptor(kind: str, data: bytes, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return how a manifest names a blob."""
    entry: dict[str, Any] = {"mediaType": kind, "digest": digest_of(data), "size": len(data)}
    return {**entry, "annotations": dict(annotations)} if annotations else entry


def digest_of(data: bytes) -> str:
    """Return the name of a blob."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
