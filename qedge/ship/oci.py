"""A bundle as an OCI artefact: ``manifest.json`` is its config, every other file a layer, the signature a referrer.

Source: OCI image specification 1.1 (manifests, ``artifactType``, ``subject``) and distribution specification 1.1 (push,
pull, the referrers API and its fallback tag ``sha256-<digest>``). Files that registry or receiver have are not sent.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from qedge.bundle.manifest import (
    MANIFEST,
    MAX_FILE_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURE_BYTES,
    SIGNATURE,
    check_name,
    check_names,
)
from qedge.bundle.read import read_bundle
from qedge.bundle.write import move_into_place, refuse_to_replace, write_file
from qedge.errors import DataError, IntegrityError, QedgeError
from qedge.fields import Field
from qedge.ship.artefacts import (
    FILE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    MAX_OCI_MANIFEST_BYTES,
    TITLE,
    descriptor,
    digest_of,
    document_of,
    get_blob,
    named_blob,
    put_blob,
    put_file,
    put_manifest,
)
from qedge.ship.http import Registry
from qedge.ship.reference import Reference
from qedge.trust.signature import check_asked, check_signature

AT_ONCE = 4
"""Files that are fetched at the same time: a registry takes longer to begin than to send, and each is held whole."""
ARTIFACT = "application/vnd.qedge.bundle.v1"
CONFIG = "application/vnd.qedge.manifest.v1+json"
SIGNATURE_ARTIFACT = "application/vnd.qedge.signature.v1"
MAX_TOTAL_BYTES = 2 << 30
MAX_SIGNATURES = 16


class Pushed(NamedTuple):
    """What a push did: ``reference`` names exactly this bundle; ``sent_bytes`` are those of new files."""

    reference: str
    digest: str
    files: int
    sent_bytes: int
    signed: bool


class Pulled(NamedTuple):
    """What a pull did: ``received_bytes`` are those of files that were not here."""

    bundle: Path
    digest: str
    files: int
    received_bytes: int
    signer: str | None
    serial: int | None


def push(bundle: str | os.PathLike[str], reference: str) -> Pushed:
    """Put a bundle into a registry, and its signature, where it has one, beside it.

    Args:
        reference: ``oci://host/name:tag``.

    Raises:
        DataError, IntegrityError: no intact bundle.
        ToolError: no registry there, or it refuses.
    """
    place = Reference.parse(reference)
    registry = Registry(place)
    with read_bundle(bundle) as opened:
        config = opened.manifest.encoded()
        contents = {name: opened.read(name) for name in sorted(opened.manifest.files)}
        sent = put_blob(registry, config)
        layers = []
        for name, data in contents.items():
            sent += put_blob(registry, data)
            layers.append(descriptor(FILE, data, {TITLE: name}))
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT,
            "config": descriptor(CONFIG, config),
            "layers": layers,
        }
        data, digest = put_manifest(registry, document, place.tag or "")
        if opened.signature is not None:
            subject = descriptor(MANIFEST_TYPE, data)
            _put_signature(registry, opened.signature, subject)
        return Pushed(str(place.at(digest)), digest, len(layers) + 1, sent, opened.signature is not None)


def pull(
    reference: str,
    out: str | os.PathLike[str],
    *,
    trusted: str | os.PathLike[str] | None = None,
    least_serial: int | None = None,
    have: Iterable[str | os.PathLike[str]] = (),
) -> Pulled:
    """Fetch a bundle into the folder ``out``, whole or not at all; what ``out`` held is replaced.

    Args:
        reference: ``oci://host/name:tag``, or ``...@sha256:...`` for exactly one.
        trusted: public keys, as for ``qedge.load``: refuse what none of them signed.
        least_serial: with ``trusted``: refuse a release below it.
        have: folders of bundles whose files need not be fetched; ``out`` itself always is one.

    Raises:
        DataError: no such bundle in the registry.
        IntegrityError: the registry gave something else than it said, or no trusted signature.
        ToolError: no registry there, or it refuses.
        UsageError: ``least_serial`` without ``trusted``, or ``out`` holds something else than a bundle.
    """
    check_asked(trusted, least_serial)
    place, target = Reference.parse(reference), Path(out)
    registry = Registry(place)
    refuse_to_replace(target)
    found = registry.get(f"manifests/{place.key}", MAX_OCI_MANIFEST_BYTES, MANIFEST_TYPE)
    if found is None:
        raise DataError(f"{place}: no such bundle in the registry", hint="qedge push BUNDLE REFERENCE")
    digest = digest_of(found[0])
    if place.digest is not None and digest != place.digest:
        raise IntegrityError(f"{place}: the registry gave another manifest: {digest}")
    wanted = _layers(found[0], str(place))
    here = _present([target, *have])
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent))
    try:
        fresh.chmod(0o755)
        received = _fetch(registry, wanted, here, fresh, str(place))
        signed = _fetch_signature(registry, digest, fresh, trusted, least_serial)
        with read_bundle(fresh):
            move_into_place(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Pulled(target, digest, len(wanted), received, *signed)


def _fetch(
    registry: Registry,
    wanted: Mapping[str, tuple[str, int]],
    here: Mapping[str, Path],
    folder: Path,
    where: str,
) -> int:
    """Write all files, those that are not here yet from the registry, some at a time; return the bytes that came."""

    def write(name: str) -> int:
        blob, size = wanted[name]
        data = _from_here(here, blob)
        write_file(
            folder / name, get_blob(registry, blob, size, f"{where}: {name}") if data is None else data
        )
        return size if data is None else 0

    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="qedge-pull")
    try:
        return sum(pool.map(write, wanted))
    finally:
        pool.shutdown(cancel_futures=True)


def resolve(reference: str) -> str:
    """Return the digest that a reference has in the registry now.

    Raises:
        DataError: no such bundle there.
        ToolError: no registry there, or it refuses.
    """
    place = Reference.parse(reference)
    found = Registry(place).get(f"manifests/{place.key}", MAX_OCI_MANIFEST_BYTES, MANIFEST_TYPE)
    if found is None:
        raise DataError(f"{place}: no such bundle in the registry", hint="qedge push BUNDLE REFERENCE")
    return digest_of(found[0])


def _layers(data: bytes, where: str) -> dict[str, tuple[str, int]]:
    """Return digest and size of every file of a bundle's OCI manifest, ``manifest.json`` among them.

    Raises:
        IntegrityError: it is no bundle's, or names files that a bundle must not have.
    """
    root = document_of(data, where)
    root.object(("schemaVersion", "config", "layers"), None)
    if root["artifactType"].value not in (ARTIFACT, None) or root["config"]["mediaType"].value != CONFIG:
        raise DataError(f"{where}: an artefact that is no qedge bundle", hint="what does the tag point at?")
    found = {MANIFEST: named_blob(root["config"], MAX_MANIFEST_BYTES)}
    for layer in root["layers"].items():
        name = layer["annotations"].object((TITLE,), None)[TITLE].string()
        check_name(name, layer.path)
        if name in found or name == SIGNATURE:
            raise layer.fail("every file once")
        found[name] = named_blob(layer, MAX_FILE_BYTES)
    check_names((SIGNATURE, *found), where)
    if sum(size for _, size in found.values()) > MAX_TOTAL_BYTES:
        raise IntegrityError(f"{where}: more than {MAX_TOTAL_BYTES:,} bytes")
    return found


def _put_signature(registry: Registry, signature: bytes, subject: Mapping[str, Any]) -> None:
    """Push the signature as a referrer of the bundle's manifest."""
    document = {**put_file(registry, SIGNATURE_ARTIFACT, SIGNATURE, signature), "subject": subject}
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    headers = registry.send("PUT", f"manifests/{digest_of(data)}", data, {"Content-Type": MANIFEST_TYPE})
    if "oci-subject" in headers:
        return
    # A registry from before the referrers API: the index under the fallback tag is the client's to keep.
    tag = subject["digest"].replace(":", "-")
    entry = {**descriptor(MANIFEST_TYPE, data), "artifactType": SIGNATURE_ARTIFACT}
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


def _fetch_signature(
    registry: Registry,
    digest: str,
    folder: Path,
    trusted: str | os.PathLike[str] | None,
    least_serial: int | None,
) -> tuple[str | None, int | None]:
    """Put a signature into the bundle at ``folder``: the newest that holds; return signer and serial.

    Without ``trusted`` the newest one is laid down as it is, unproven.
    """
    refusal: QedgeError | None = None
    for signature in _signatures(registry, digest):
        write_file(folder / SIGNATURE, signature)
        if trusted is None:
            return None, None
        try:
            with read_bundle(folder, verify=False) as bundle:  # every byte is checked before it is moved
                proven = check_signature(bundle, trusted, least_serial=least_serial)
            return proven.signer, proven.serial
        except IntegrityError as problem:
            refusal = refusal or problem
            (folder / SIGNATURE).unlink()
    if trusted is not None:
        said = refusal.message.rpartition(": ")[2] if refusal else "the bundle is not signed"
        hint = refusal.hint if refusal else "qedge sign BUNDLE --key KEY, then push it again"
        raise IntegrityError(f"{digest}: {said}", hint=hint)
    return None, None


def _signatures(registry: Registry, digest: str) -> list[bytes]:
    """Return the signatures of a manifest that the registry knows, the newest first."""
    found = registry.get(f"referrers/{digest}", MAX_OCI_MANIFEST_BYTES, INDEX_TYPE)
    if found is not None:
        listed = _entries(found[0], "referrers")
    else:
        listed = _fallback(registry, digest.replace(":", "-"))
    entries = [e for e in listed if e.get("artifactType") == SIGNATURE_ARTIFACT]
    signatures = []
    for entry in entries[::-1][:MAX_SIGNATURES]:
        named, size = named_blob(Field(entry, "$.manifests[]", IntegrityError), MAX_OCI_MANIFEST_BYTES)
        got = registry.get(f"manifests/{named}", size, MANIFEST_TYPE)
        if got is None or digest_of(got[0]) != named:
            raise IntegrityError(f"{named}: the registry gave another manifest")
        for layer in list(document_of(got[0], named)["layers"].items())[:1]:
            blob, size = named_blob(layer, MAX_SIGNATURE_BYTES)
            signatures.append(get_blob(registry, blob, size, named))
    return signatures


def _present(folders: Iterable[str | os.PathLike[str]]) -> dict[str, Path]:
    """Return the files of bundles that lie here, by digest; their bytes are checked when they are used."""
    found: dict[str, Path] = {}
    for folder in folders:
        try:
            with read_bundle(folder, verify=False) as bundle:
                entries = dict(bundle.manifest.files)
            found[digest_of(Path(folder, MANIFEST).read_bytes())] = Path(folder, MANIFEST)
        except (QedgeError, OSError):
            continue
        found |= {f"sha256:{entry.sha256}": Path(folder, name) for name, entry in entries.items()}
    return found


def _from_here(here: Mapping[str, Path], digest: str) -> bytes | None:
    try:
        data = here[digest].read_bytes()
    except (KeyError, OSError):
        return None
    return data if digest_of(data) == digest else None
