"""A bundle's signature: who vouches for its manifest, and so for every file in it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from qedge.bundle import canonical
from qedge.bundle.manifest import MAX_SIGNATURE_BYTES, SIGNATURE, Manifest
from qedge.bundle.read import Bundle, read_bundle
from qedge.errors import IntegrityError, UsageError
from qedge.fields import Field

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "qedge-signature"
VERSION = 1
MAX_SERIAL = (1 << 53) - 1
_RESIGN = "sign it again: qedge sign BUNDLE --key KEY"


class Signature(NamedTuple):
    """What ``signature.json`` says.

    Args:
        name, target: of the bundle, so that a signature shows what it is for.
        digest: the manifest's: SHA-256 in hexadecimal.
        serial: the release's number, 0 to 2**53 - 1; a device may refuse to go below the one that it has.
        armoured: OpenSSH's signature of :attr:`message`.
        signer: the principal whose key made it; None until :func:`check_signature` has said so.
    """

    name: str
    target: str
    digest: str
    serial: int
    armoured: str = ""
    signer: str | None = None

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return canonical.dumps({**self._fields_signed(), "format": FORMAT, "version": VERSION}).encode()

    def encoded(self) -> bytes:
        """Return the bytes of ``signature.json``."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            **self._fields_signed(),
            "signature": self.armoured,
        }
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()

    def to_json(self) -> dict[str, Any]:
        """Return what a log needs: digest, serial, signer."""
        return {"digest": self.digest, "serial": self.serial, "signer": self.signer}

    @classmethod
    def decoded(cls, data: bytes, origin: str) -> Signature:
        """Return the signature in ``data``, unchecked.

        Raises:
            IntegrityError: no JSON, another format, or a wrong field.
        """
        document = canonical.document(data, origin, IntegrityError, hint=_RESIGN)
        try:
            root = Field(document, "$", IntegrityError).object(
                ("format", "version", "name", "target", "digest", "serial", "signature")
            )
            root["format"].string((FORMAT,))
            root["version"].integer(VERSION, VERSION)
            return cls(
                root["name"].string(),
                root["target"].string(),
                root["digest"].string(),
                root["serial"].integer(0, MAX_SERIAL),
                root["signature"].string(),
            )
        except IntegrityError as problem:
            raise IntegrityError(f"{origin}: {problem.message}", hint=_RESIGN) from None

    def _fields_signed(self) -> dict[str, Any]:
        return {"name": self.name, "target": self.target, "digest": self.digest, "serial": self.serial}


def sign_bundle(place: str | os.PathLike[str], key: str | os.PathLike[str], *, serial: int = 0) -> Signature:
    """Sign the bundle at ``place``, a folder or a ``.zip``, and write the signature into it.

    Args:
        key: an OpenSSH private key, or the ``.pub`` of one that an agent or a hardware token holds.
        serial: number of this release; a device that has a higher one may refuse it.

    Raises:
        DataError, IntegrityError: no intact bundle.
        UsageError: no such key, or a serial out of range.
        ToolError: ``ssh-keygen`` is missing.
    """
    from qedge.trust import keygen

    if not 0 <= serial <= MAX_SERIAL:
        raise UsageError(f"serial: found {serial}, expected an integer from 0 to {MAX_SERIAL}")
    with read_bundle(place) as bundle:
        unsigned = _of(bundle.manifest, serial)
        signature = unsigned._replace(armoured=keygen.sign(unsigned.message, key))
        data = signature.encoded()
        if len(data) > MAX_SIGNATURE_BYTES:
            raise UsageError(f"{key}: its signature takes {len(data)} bytes", hint="use an Ed25519 key")
        _write(bundle, data)
    return signature


def check_asked(trusted: object, least_serial: int | None) -> None:
    """Raise where a least serial is asked for and no keys say whose it is to be.

    Raises:
        UsageError: it is.
    """
    if least_serial is not None and trusted is None:
        hint = "trusted=KEYS, or --signed-by KEYS: an unsigned number says nothing"
        raise UsageError("least_serial needs trusted keys", hint=hint)


def check_signature(
    bundle: Bundle, trusted: str | os.PathLike[str], *, least_serial: int | None = None
) -> Signature:
    """Return the bundle's signature, with its signer, once it is proven.

    Args:
        trusted: file of public keys, ``allowed_signers``, or a public key itself.
        least_serial: refuse a release below it.

    Raises:
        IntegrityError: unsigned, signed by somebody else, for another bundle, or older than allowed.
        DataError: ``trusted`` holds no key.
        ToolError: ``ssh-keygen`` is missing.
    """
    from qedge.trust import keygen

    where = f"{bundle.root}/{SIGNATURE}"
    if bundle.signature is None:
        raise IntegrityError(f"{bundle.root}: the bundle is not signed", hint="qedge sign BUNDLE --key KEY")
    signature = Signature.decoded(bundle.signature, where)
    if signature[:3] != _of(bundle.manifest, 0)[:3]:
        raise IntegrityError(f"{where}: the signature of another bundle", hint=_RESIGN)
    try:
        signer = keygen.verify(signature.message, signature.armoured, trusted)
    except IntegrityError as problem:
        raise IntegrityError(f"{where}: {problem.message}", hint=problem.hint) from None
    if least_serial is not None and signature.serial < least_serial:
        raise IntegrityError(
            f"{where}: serial {signature.serial}, expected at least {least_serial}",
            hint="an older release is not allowed here: sign the newer one with a higher --serial",
        )
    return signature._replace(signer=signer)


def read_signature(bundle: Bundle) -> Signature | None:
    """Return what the bundle's signature says of itself, unproven; None without one.

    Raises:
        IntegrityError: it is damaged.
    """
    if bundle.signature is None:
        return None
    return Signature.decoded(bundle.signature, f"{bundle.root}/{SIGNATURE}")


def _of(manifest: Manifest, serial: int) -> Signature:
    return Signature(manifest.name, manifest.target, manifest.to_json()["digest"], serial)


def _write(bundle: Bundle, data: bytes) -> None:
    """Put the signature into the bundle in one step."""
    from qedge.bundle.write import pack_bundle, write_whole

    place = bundle.root
    if place.is_file():
        bundle.signature = data
        pack_bundle(bundle, place)
    else:
        # not in the bundle while it is unfinished: a reader would refuse the file
        write_whole(_signature_place(place), data, scratch=place.parent)


def _signature_place(folder: Path) -> Path:
    place = folder / SIGNATURE
    if place.is_symlink() or place.is_dir():
        raise UsageError(f"{place}: a link or folder, expected a file or nothing", hint="remove it")
    return place
