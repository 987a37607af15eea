"""Signatures beside a bundle in a registry: artefacts whose ``subject`` is the bundle's manifest.

Source: OCI distribution specification 1.1, the referrers API and its fallback tag ``sha256-<digest>``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qedge.bundle.manifest import MAX_SIGNATURE_BYTES, SIGNATURE
from qedge.errors import IntegrityError
from qedge.fields import Field
from qedge.ship.artefacts import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    MAX_OCI_MANIFEST_BYTES,
    descriptor,
    digest_of,
    document_of,
    get_blob,
    get_manifest,
    named_blob,
    put_file,
    put_manifest,
)
from qedge.ship.http import Registry

ARTIFACT = "application/vnd.qedge.signature.v1"
MAX_SIGNATURES = 16


def put_signature(registry: Registry, signature: bytes, subject: Mapping[str, Any]) -> None:
    """Push the signature as a referrer of the bundle's manifest."""
    document = {**put_file(registry, ARTIFACT, SIGNATURE, signature), "subject": subject}
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    headers = registry.send("PUT", f"manifests/{digest_of(data)}", data, {"Content-Type": MANIFEST_TYPE})
    if "oci-subject" in headers:
        return
    # A registry from before the referrers API: the index under the fallback tag is the client's to keep.
    tag = subject["digest"].replace(":", "-")
    entry = {**descriptor(MANIFEST_TYPE, data), "artifactType": ARTIFACT}
    listed = [e for e in _fallback(registry, tag) if e.get("digest") != entry["digest"]]
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*listed, entry]}
    put_manifest(registry, index, tag, INDEX_TYPE)


def _fallback(registry: Registry, tag: str) -> list[dict[str, Any]]:
    found = registry.get(f"manifests/{tag}", MAX_OCI_MANIFEST_BYTES, INDEX_TYPE)
    return [] if found is None else _entries(found[0], tag)


def _entries(data: bytes, where: str) -> list[dict[str, Any]]:
    """Return the objects that an index lists."""
    listed = document_of(data, where)["manifests"]
    return [] if listed.value is None else [e.value for e in listed.items() if isinstance(e.value, dict)]


def signatures_of(registry: Registry, digest: str) -> list[bytes]:
    """Return the signatures of a manifest that the registry knows, the newest first."""
    found = registry.get(f"referrers/{digest}", MAX_OCI_MANIFEST_BYTES, INDEX_TYPE)
    if found is not None:
        listed = _entries(found[0], "referrers")
    else:
        listed = _fallback(registry, digest.replace(":", "-"))
    entries = [e for e in listed if e.get("artifactType") == ARTIFACT]
    signatures = []
    for entry in entries[::-1][:MAX_SIGNATURES]:
        named = named_blob(Field(entry, "$.manifests[]", IntegrityError), MAX_OCI_MANIFEST_BYTES)
        got = get_manifest(registry, named.digest, named.size)
        if got is None:
            raise IntegrityError(f"{named.digest}: the registry does not have what it lists")
        for layer in list(document_of(got, named.digest)["layers"].items())[:1]:
            signatures.append(get_blob(registry, named_blob(layer, MAX_SIGNATURE_BYTES), named.digest))
    return signatures
