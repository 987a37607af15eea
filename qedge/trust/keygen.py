"""Talks to ``ssh-keygen -Y``: signs and verifies with the keys that people have (files, agents, hardware keys).

What it reads and writes is OpenSSH's SSHSIG format (``PROTOCOL.sshsig``); the namespace keeps a signature of a
bundle from passing for one of anything else.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from qedge.errors import DataError, IntegrityError, ToolError, UsageError

NAMESPACE = "qedge-bundle"
TIMEOUT_S = 60
KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-")
_INSTALL = "sudo apt install openssh-client (ssh-keygen 8.2 or newer)"


def sign(message: bytes, key: str | os.PathLike[str], namespace: str = NAMESPACE) -> str:
    """Return the armoured signature of ``message``.

    Args:
        key: a private key's file, or the ``.pub`` of a key that an agent or a hardware token holds.
        namespace: what is signed; a signature of one thing does not pass for one of another.

    Raises:
        UsageError: no such key, or one that does not sign.
    """
    path = Path(key)
    if not path.is_file():
        raise UsageError(f"no key at {path}", hint="make one with: ssh-keygen -t ed25519 -f KEY")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="qedge-sign-") as scratch:
        text = Path(scratch, "message")
        text.write_bytes(message)
        # not over stdin: that stays the terminal's, where a passphrase or a touch may be asked for
        done = _run(["-Y", "sign", "-q", "-n", namespace, "-f", str(path), str(text)], None, interactive=True)
        signature = Path(scratch, "message.sig")
        if done.returncode != 0 or not signature.is_file():
            raise UsageError(f"{path} does not sign: {_said(done)}", hint="expected an OpenSSH private key")
        return signature.read_text()


def verify(
    message: bytes, signature: str, trusted: str | os.PathLike[str], namespace: str = NAMESPACE
) -> str:
    """Return the principal whose key made ``signature`` of ``message``.

    Args:
        trusted: a file of public keys (``.pub``, ``authorized_keys``) or in the form ``allowed_signers`` of
            ssh-keygen(1), or a public key itself.

    Raises:
        IntegrityError: made by none of these keys, of other bytes, or no signature at all.
        DataError: ``trusted`` holds no key.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="qedge-verify-") as scratch:
        signed, allowed = Path(scratch, "signature"), Path(scratch, "allowed")
        signed.write_text(signature)
        allowed.write_text(allowed_signers(trusted))
        found = _run(["-Y", "find-principals", "-s", str(signed), "-f", str(allowed)], b"")
        names = [line for line in found.stdout.decode(errors="replace").splitlines() if line]
        if found.returncode != 0 or not names:
            raise IntegrityError(
                "signed by no key that is trusted here", hint="who signed it? qedge inspect BUNDLE"
            )
        command = ["-Y", "verify", "-n", namespace, "-f", str(allowed), "-I", names[0], "-s", str(signed)]
        done = _run(command, message)
        if done.returncode != 0:
            raise IntegrityError(
                f"the signature does not fit: {_said(done)}", hint="it, or what it is of, was altered"
            )
        return names[0]


def fingerprint(signature: str) -> str | None:
    """Return ``SHA256:...`` of the key that a signature says it is from; None where it is damaged.

    It proves nothing: :func:`verify` does.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="qedge-verify-") as scratch:
        signed = Path(scratch, "signature")
        signed.write_text(signature)
        done = _run(["-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(signed)], b"")
    text = (done.stdout + done.stderr).decode(errors="replace")
    words = [word for word in text.split() if word.startswith("SHA256:")]
    return words[0] if words else _key_of(signature)


def allowed_signers(trusted: str | os.PathLike[str]) -> str:
    """Return the lines of ``allowed_signers`` for keys however they are given.

    Raises:
        DataError: the file cannot be read, or holds no key.
    """
    text = os.fspath(trusted)
    if not text.startswith(KEY_TYPES):
        try:
            if os.path.getsize(text) > 1 << 20:
                raise DataError(f"{text}: more than a megabyte, expected public keys")
            text = Path(text).read_text(encoding="utf-8-sig")  # as editors on Windows write it
        except (OSError, UnicodeDecodeError) as problem:
            raise DataError(
                f"{trusted}: no public keys can be read: {getattr(problem, 'strerror', None) or problem}",
                hint="expected a .pub file, or one in the form of allowed_signers (man ssh-keygen)",
            ) from None
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.startswith("-----"):
            raise DataError(f"{trusted}: a private key, expected public ones", hint=f"name {trusted}.pub")
        if line.startswith(KEY_TYPES):
            comment = line.split(maxsplit=2)[2:] or [f"key-{number}"]
            name = "".join(c if c.isalnum() or c in "@.-_" else "-" for c in comment[0].strip())
            line = f"{name or f'key-{number}'} {line}"
        lines.append(line)
    if not lines:
        raise DataError(f"{trusted}: no key in it", hint="expected lines such as: ssh-ed25519 AAAA... name")
    return "\n".join(lines) + "\n"


def _run(
    arguments: list[str], message: bytes | None, *, interactive: bool = False
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments],
            input=message,
            capture_output=True,
            timeout=None if interactive else TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise ToolError("ssh-keygen is not installed", hint=_INSTALL) from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"ssh-keygen gave no answer in {TIMEOUT_S} s", hint=_INSTALL) from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"ssh-keygen ended with {done.returncode}"


def _key_of(signature: str) -> str | None:
    """Return the fingerprint of the public key inside an armoured SSHSIG; None where it is damaged."""
    import base64
    import binascii
    import hashlib

    body = "".join(line for line in signature.splitlines() if not line.startswith("-----"))
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None
    size = int.from_bytes(data[10:14], "big")
    if data[:6] != b"SSHSIG" or size == 0 or len(data) < 14 + size:
        return None
    digest = hashlib.sha256(data[14 : 14 + size]).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
