"""Signatures in the form of OpenSSF's model signing: what they prove, and that its own tool agrees."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bundles import make_bundle, tiny_model

from qedge.bundle import pack_bundle, read_bundle
from qedge.cli._app import run
from qedge.errors import DataError, IntegrityError, UsageError
from tests import json_page
from tests.bounds import bounded

pytest.importorskip("model_signing", reason="needs qedge[openssf]")
pytest.importorskip("OpenSSL", reason="needs qedge[openssf]")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from qedge.trust import openssf


def write_key(folder: Path, name: str, key: object, password: bytes | None = None) -> Path:
    """Write a key as NAME.pem and NAME.pub.pem; return the first."""
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / f"{name}.pem").write_bytes(private)
    (folder / f"{name}.pub.pem").write_bytes(public)
    return folder / f"{name}.pem"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    made = {
        "anna": ec.generate_private_key(ec.SECP256R1()),
        "ben": ec.generate_private_key(ec.SECP384R1()),
        "odd": ec.generate_private_key(ec.SECP256K1()),
        "edwards": ed25519.Ed25519PrivateKey.generate(),
        "rsa": rsa.generate_private_key(65537, 2048),
    }
    found = {name: write_key(folder, name, key) for name, key in made.items()}
    return found | {"locked": write_key(folder, "locked", made["anna"], b"secret")}


def public(keys: dict[str, Path], name: str) -> Path:
    return keys[name].with_suffix(".pub.pem")


def proven(bundle: Path, key: Path) -> None:
    with read_bundle(bundle) as opened:
        openssf.check(opened, key)


def test_the_commands_sign_and_verify_and_so_does_openssf_s_own(
    keys: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle, key = make_bundle(tmp_path / "bundle"), public(keys, "anna")
    assert run(["sign", str(bundle), "--key", str(keys["anna"]), "--openssf", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    json_page.check("sign", document)
    assert document["signature"] == str(tmp_path / "bundle.sig")
    verify = ["verify", str(bundle), "--openssf", "--signed-by", str(key)]
    assert run(verify) == 0
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(bundle)]
    command += ["--signature", document["signature"], "--public_key", str(key)]
    assert subprocess.run(command, capture_output=True).returncode == 0

    moved = shutil.copytree(bundle, tmp_path / "elsewhere")
    shutil.copy(tmp_path / "bundle.sig", tmp_path / "elsewhere.sig")
    (moved / "signature.json").write_text("{}")  # an OpenSSH signature beside the manifest may come later
    proven(moved, key)
    assert run([*verify[:-1], str(public(keys, "ben"))]) == 9
    assert run([*verify, "--least-serial", "3"]) == 2
    assert run(verify[:3]) == 2
    assert run(["sign", str(bundle), "--key", str(keys["anna"]), "--openssf", "--serial", "3"]) == 2


def test_a_zip_is_signed_as_its_files_are(keys: dict[str, Path], tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    with read_bundle(bundle) as opened:
        pack_bundle(opened, tmp_path / "b.zip")
    assert openssf.sign(tmp_path / "b.zip", keys["ben"]) == tmp_path / "b.zip.sig"
    proven(tmp_path / "b.zip", public(keys, "ben"))
    shutil.move(tmp_path / "b.zip.sig", tmp_path / "bundle.sig")
    proven(bundle, public(keys, "ben"))


def test_another_bundle_in_its_place_is_refused(keys: dict[str, Path], tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    with pytest.raises(IntegrityError, match=r"no bundle\.sig"):
        proven(bundle, public(keys, "anna"))
    openssf.sign(bundle, keys["anna"])
    shutil.rmtree(bundle)
    make_bundle(bundle, tiny_model(seed=9))
    with pytest.raises(IntegrityError, match=r"does not fit: Signature mismatch.*golden"):
        proven(bundle, public(keys, "anna"))
    (bundle / "model.tflite").write_bytes(b"x")
    with pytest.raises(IntegrityError):
        openssf.sign(bundle, keys["anna"])


@pytest.mark.parametrize(
    "name", ["nothing", "json", "list", "brackets", "text", "cut", "no signature", "two payloads", "large"]
)
def test_what_is_no_signature_proves_nothing(name: str, keys: dict[str, Path], tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    place = openssf.sign(bundle, keys["anna"])
    whole = json.loads(place.read_bytes())
    envelope = whole["dsseEnvelope"]
    damaged = {
        "nothing": b"",
        "json": b"{}",
        "list": b"[1]",
        "brackets": b"[" * 100_000,
        "text": b"\xff\xfe",
        "cut": place.read_bytes()[:-50],
        "no signature": json.dumps({**whole, "dsseEnvelope": {**envelope, "signatures": []}}).encode(),
        "two payloads": json.dumps({**whole, "dsseEnvelope": {**envelope, "payload": "e30="}}).encode(),
        "large": b" " * (openssf.MAX_BYTES + 1),
    }
    place.write_bytes(damaged[name])
    with bounded(), pytest.raises(IntegrityError):
        proven(bundle, public(keys, "anna"))


@pytest.mark.parametrize("name", ["odd", "edwards", "rsa", "locked", "missing", "text"])
def test_what_is_no_key_on_a_curve_is_refused(name: str, keys: dict[str, Path], tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    (tmp_path / "text.pem").write_text("ssh-ed25519 AAAA anna")
    with pytest.raises(UsageError):
        openssf.sign(bundle, keys.get(name, tmp_path / f"{name}.pem"))
    assert not (tmp_path / "bundle.sig").exists()
    openssf.sign(bundle, keys["anna"])
    if name != "locked":
        with pytest.raises((DataError, UsageError)):
            proven(bundle, keys.get(name, tmp_path / f"{name}.pem"))
