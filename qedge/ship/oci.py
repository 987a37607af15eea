"""A bundle as an OCI artefact: ``manifest.json`` is its config, every other file a layer, the signature a referrer.

Source: OCI image specification 1.1 (manifests, ``artifactType``, ``subject``) and distribution specification 1.1 (push,
pull). Files that registry or receiver have are not sent.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from qedge.archives import MAX_ENTRIES
from qedge.bundle.manifest import (
    MANIFEST,
    MAX_FILE_BYTES,
    MAX_MANIFEST_BYTES,
    SIGNATURE,
    check_name,
    check_names,
)
from qedge.bundle.read import read_bundle
from qedge.bundle.write import move_into_place, refuse_to_replace, write_file, writing
from qedge.errors import DataError, IntegrityError, QedgeError
from qedge.ship.artefacts import (
    FILE,
    MANIFEST_TYPE,
    TITLE,
    Blob,
    chosen_inside,
    descriptor,
    digest_of,
    document_of,
    get_blob,
    get_manifest,
    is_digest,
    named_blob,
    put_blob,
    put_manifest,
)
from qedge.ship.http import Registry
from qedge.ship.reference import Reference
from qedge.ship.referrers import put_signature, signatures_of
from qedge.trust.signature import check_asked, check_signature

AT_ONCE = 4
"""Files that travel at the same time: a registry takes longer to begin than to send, and each is held whole."""
ARTIFACT = "application/vnd.qedge.bundle.v1"
CONFIG = "application/vnd.qedge.manifest.v1+json"
MAX_TOTAL_BYTES = 2 << 30


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
    with Registry(place) as registry, read_bundle(bundle) as opened:
        config = opened.manifest.encoded()
        contents = {name: opened.read(name) for name in sorted(opened.manifest.files)}
        inside = chosen_inside({name: len(data) for name, data in {MANIFEST: config, **contents}.items()})
        layers = [
            descriptor(FILE, data, {TITLE: name}, inside=name in inside) for name, data in contents.items()
        ]
        with _some_at_once() as pool:
            sent = sum(pool.map(lambda data: put_blob(registry, data), {config, *contents.values()}))
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT,
            "config": descriptor(CONFIG, config, inside=MANIFEST in inside),
            "layers": layers,
        }
        data, digest = put_manifest(registry, document, place.tag or "")
        if opened.signature is not None:
            put_signature(registry, opened.signature, descriptor(MANIFEST_TYPE, data))
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
    refuse_to_replace(target)
    with Registry(place) as registry:
        found = _manifest(registry, place)
        digest, wanted = digest_of(found), _layers(found, str(place))
        here = _present([target, *have])
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent))
        try:
            fresh.chmod(0o755)
            received, signatures = _fetch(registry, digest, wanted, here, fresh, trusted is not None)
            signed = _lay_signature(fresh, digest, signatures, trusted, least_serial)
            with read_bundle(fresh):
                move_into_place(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return Pulled(target, digest, len(wanted), received, *signed)


def _fetch(
    registry: Registry,
    digest: str,
    wanted: Mapping[str, Blob],
    here: Mapping[str, Path],
    folder: Path,
    signed: bool,
) -> tuple[int, list[bytes]]:
    """Write all files; return the bytes of those that were not here, and the signatures of ``digest``, newest first.

    Some at a time, the signatures and the largest files first; one that is there under two names comes once.

    Args:
        signed: whether there must be a signature: without one it ends at once.
    """

    def fetch(blob: Blob, names: list[str]) -> int:
        held = _from_here(here, blob.digest)
        data = get_blob(registry, blob, f"{digest}: {names[0]}") if held is None else held
        for name in names:
            write(folder / name, data)
        return blob.size if held is None else 0

    def signatures() -> list[bytes]:
        found = signatures_of(registry, digest)
        if signed and not found:
            raise _unsigned(digest)
        return found

    names: dict[Blob, list[str]] = {}
    for name, blob in wanted.items():
        names.setdefault(blob, []).append(name)
    with writing() as write, _some_at_once() as pool:
        known = pool.submit(signatures)
        order = sorted(names, key=lambda blob: (blob.data is not None, blob.digest in here, -blob.size))
        files = [pool.submit(fetch, blob, names[blob]) for blob in order]
        both: list[Future[Any]] = [known, *files]
        for done in as_completed(both):
            done.result()
    return sum(file.result() for file in files), known.result()


@contextmanager
def _some_at_once() -> Iterator[ThreadPoolExecutor]:
    """Give threads for requests; what fails keeps those from starting that wait."""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="qedge-ship")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def resolve(reference: str) -> str:
    """Return the digest that a reference has in the registry now; where that is the digest in it, it is there.

    It asks for the head of the manifest alone, as registries count and bill what is fetched, and a device asks often.

    Raises:
        DataError: no such bundle there.
        IntegrityError: the registry gives another manifest than the digest in the reference.
        ToolError: no registry there, or it refuses.
    """
    place = Reference.parse(reference)
    with Registry(place) as registry:
        digest = (registry.head(f"manifests/{place.key}", MANIFEST_TYPE) or {}).get(
            "docker-content-digest", ""
        )
        if not is_digest(digest):
            return digest_of(_manifest(registry, place))
        if place.digest not in (None, digest):
            raise IntegrityError(f"{place}: the registry gave another manifest: {digest}")
        return digest


def check_released(reference: str) -> None:
    """Raise unless a bundle's manifest is in the registry under the digest of ``reference``.

    Raises:
        DataError: nothing there, or something else than a bundle.
        IntegrityError: what is there has another digest, or is damaged.
        ToolError: no registry there, or it refuses.
    """
    place = Reference.parse(reference)
    with Registry(place) as registry:
        _layers(_manifest(registry, place), str(place))


def _manifest(registry: Registry, place: Reference) -> bytes:
    found = get_manifest(registry, place.key)
    if found is None:
        raise _missing(place)
    return found


def _missing(place: Reference) -> DataError:
    return DataError(f"{place}: no such bundle in the registry", hint="qedge push BUNDLE REFERENCE")


def _unsigned(digest: str) -> IntegrityError:
    hint = "qedge sign BUNDLE --key KEY, then push it again"
    return IntegrityError(f"{digest}: the bundle is not signed", hint=hint)


def _layers(data: bytes, where: str) -> dict[str, Blob]:
    """Return what every file is of a bundle's OCI manifest, ``manifest.json`` among them.

    Raises:
        IntegrityError: it is no bundle's, or names files that a bundle must not have.
    """
    root = document_of(data, where)
    root.object(("schemaVersion", "config", "layers"), None)
    if root["artifactType"].value not in (ARTIFACT, None) or root["config"]["mediaType"].value != CONFIG:
        raise DataError(f"{where}: an artefact that is no qedge bundle", hint="what does the tag point at?")
    found = {MANIFEST: named_blob(root["config"], MAX_MANIFEST_BYTES)}
    layers = list(root["layers"].items())
    if len(layers) > MAX_ENTRIES:
        raise root["layers"].fail(f"at most {MAX_ENTRIES:,} files")
    for layer in layers:
        name = layer["annotations"].object((TITLE,), None)[TITLE].string()
        check_name(name, layer.path)
        if name in found or name == SIGNATURE:
            raise layer.fail("every file once")
        found[name] = named_blob(layer, MAX_FILE_BYTES)
    check_names((SIGNATURE, *found), where)
    if sum(blob.size for blob in found.values()) > MAX_TOTAL_BYTES:
        raise IntegrityError(f"{where}: more than {MAX_TOTAL_BYTES:,} bytes")
    return found


def _lay_signature(
    folder: Path,
    digest: str,
    signatures: Iterable[bytes],
    trusted: str | os.PathLike[str] | None,
    least_serial: int | None,
) -> tuple[str | None, int | None]:
    """Put a signature into the bundle at ``folder``: the first that holds; return signer and serial.

    Without ``trusted`` the first one is laid down as it is, unproven.
    """
    refusal: QedgeError | None = None
    for signature in signatures:
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
    if refusal is not None:
        raise IntegrityError(f"{digest}: {refusal.message.rpartition(': ')[2]}", hint=refusal.hint)
    return None, None


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
