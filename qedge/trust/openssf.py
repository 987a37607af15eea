"""OpenSSF model signing: a bundle vouched for in the form that other tools for models check.

The signature is ``BUNDLE.sig`` beside the bundle: a Sigstore bundle with the SHA-256 of every file in it but
``signature.json``, by an elliptic-curve key in a PEM file, without any service. ``model_signing verify key BUNDLE
--signature BUNDLE.sig --public_key KEY.pem`` checks it as :func:`check` does. Needs ``qedge[openssf]``, on the host.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from qedge.bundle.manifest import SIGNATURE
from qedge.bundle.read import Bundle, read_bundle
from qedge.bundle.write import write_whole
from qedge.errors import DataError, IntegrityError, ToolError, UsageError
from qedge.installing import install_command

MAX_BYTES = 16 << 20
MAX_KEY_BYTES = 1 << 20
_KEYS = "openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem; openssl ec -in KEY.pem -pubout -out KEY.pub.pem"


def signature_place(bundle: str | os.PathLike[str]) -> Path:
    """Return where a bundle's signature lies.

    >>> signature_place("build/kws/rpi/").as_posix()
    'build/kws/rpi.sig'
    """
    path = Path(bundle)
    return path.with_name(f"{path.name}.sig")


def sign(bundle: str | os.PathLike[str], key: str | os.PathLike[str]) -> Path:
    """Sign an intact bundle, a folder or a ``.zip``; return where the signature is.

    Args:
        key: PEM file of a private key on the curve P-256, P-384 or P-521, without a passphrase.

    Raises:
        DataError, IntegrityError: no intact bundle.
        UsageError: no such key.
        ToolError: the library is missing.
    """
    library = _library()
    with read_bundle(bundle) as opened:
        try:
            signer = library.signing.Config().use_elliptic_key_signer(private_key=_key(key))
        except (ValueError, TypeError, AttributeError) as problem:  # the last: another kind of key
            raise UsageError(f"{key} does not sign: {problem}", hint=_KEYS) from None
        hashing = library.hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
        signer.set_hashing_config(hashing)
        with tempfile.TemporaryDirectory(prefix="qedge-sign-") as scratch:
            signer.sign(opened.folder(), Path(scratch, SIGNATURE))
            data = Path(scratch, SIGNATURE).read_bytes()
    place = signature_place(bundle)
    write_whole(place, data)
    return place


def check(bundle: Bundle, trusted: str | os.PathLike[str]) -> None:
    """Raise unless the owner of a key signed exactly this bundle.

    Args:
        bundle: whose files agree with its manifest, as :func:`~qedge.bundle.read.read_bundle` saw.
        trusted: PEM file of the public key.

    Raises:
        IntegrityError: unsigned, signed by another key, or of other bytes.
        DataError: ``trusted`` is no such key.
        ToolError: the library is missing.
    """
    library, place = _library(), signature_place(bundle.root)
    if not place.is_file():
        raise IntegrityError(
            f"{bundle.root}: no {place.name} beside it", hint="qedge sign BUNDLE --key KEY.pem --openssf"
        )
    if place.stat().st_size > MAX_BYTES:
        raise IntegrityError(f"{place}: expected at most {MAX_BYTES:,} bytes")
    try:
        verifier = library.verifying.Config().use_elliptic_key_verifier(public_key=_key(trusted))
    except (ValueError, TypeError, AttributeError) as problem:
        raise DataError(f"{trusted}: no public key on an elliptic curve: {problem}", hint=_KEYS) from None
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where the library warns
            verifier.verify(bundle.folder(), place)
    except Exception as problem:  # whatever a signature from outside does to the library, it proves nothing
        said = str(problem).partition(": Expected")[0][:200] or type(problem).__name__
        raise IntegrityError(
            f"{place}: the signature does not fit: {said}", hint="another key, or a byte was altered"
        ) from None


def _key(path: str | os.PathLike[str]) -> Path:
    place = Path(path)
    if not place.is_file() or place.stat().st_size > MAX_KEY_BYTES:
        raise UsageError(f"no key at {place}", hint=_KEYS)
    return place


def _library() -> Any:
    try:
        import model_signing
        import model_signing.hashing
        import model_signing.signing
        import model_signing.verifying
    except ImportError as problem:
        raise ToolError(
            f"OpenSSF's signatures need {problem.name}, which is not installed",
            hint=install_command("openssf"),
        ) from None
    return model_signing
