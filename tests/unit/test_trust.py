"""Signatures of bundles, and what an archive from outside may ask for."""

from __future__ import annotations

import json
import shutil
import subprocess
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_bundles import make_bundle, tiny_model

import qedge
from qedge.bundle import pack_bundle, read_bundle
from qedge.bundle.golden import npy_array
from qedge.cli._app import run
from qedge.datasets import InputInfo, open_dataset
from qedge.errors import DataError, IntegrityError, QedgeError, UsageError
from qedge.fields import Field
from qedge.trust import check_signature, keygen, sign_bundle
from qedge.trust.signature import read_signature
from tests import json_page
from tests.bounds import bounded

needs_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs openssh-client")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("anna", "ben"):
        command = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            f"{name}@desk",
            "-f",
            str(folder / name),
        ]
        subprocess.run(command, check=True)
    return {name: folder / name for name in ("anna", "ben")}


@pytest.fixture
def signed(tmp_path: Path, keys: dict[str, Path]) -> Path:
    bundle = make_bundle(tmp_path / "bundle")
    sign_bundle(bundle, keys["anna"], serial=7)
    return bundle


def public(keys: dict[str, Path], name: str) -> Path:
    return keys[name].with_suffix(".pub")


@needs_keygen
def test_a_signature_says_who_signed_which_release(signed: Path, keys: dict[str, Path]) -> None:
    with qedge.load(signed, trusted=public(keys, "anna"), least_serial=7) as model:
        said = model.run(np.zeros(model.inputs[0].shape, model.inputs[0].dtype))
        result = model(np.zeros((8, 8, 3), np.uint8))
        assert said is not None
        assert result.provenance["signer"] == "anna@desk"
        assert result.provenance["serial"] == 7
        digest = json.loads((signed / "manifest.json").read_text())["digest"]
        assert result.provenance["digest"] == digest
    with qedge.load(signed) as model:
        assert "signer" not in model.provenance


@needs_keygen
def test_keys_are_taken_as_people_have_them(signed: Path, keys: dict[str, Path], tmp_path: Path) -> None:
    text = public(keys, "anna").read_text()
    many = tmp_path / "authorized"
    many.write_text("# desk\n\n" + public(keys, "ben").read_text() + text)
    allowed = tmp_path / "allowed"
    allowed.write_text(f'release@team namespaces="qedge-bundle" {text}')
    bundle = read_bundle(signed)
    assert check_signature(bundle, text).signer == "anna@desk"
    assert check_signature(bundle, many).signer == "anna@desk"
    assert check_signature(bundle, allowed).signer == "release@team"
    allowed.write_text(f"\ufeff{text}\r\n", encoding="utf-8")  # saved by an editor on Windows
    assert check_signature(bundle, allowed).signer
    for limit in ('valid-before="20200101"', 'valid-after="20900101"', "cert-authority"):
        allowed.write_text(f"release@team {limit} {text}")
        with pytest.raises(IntegrityError, match="signed by no key"):
            check_signature(bundle, allowed)
    allowed.write_text(f'release@team namespaces="other" {text}')
    with pytest.raises(IntegrityError):
        check_signature(bundle, allowed)


@needs_keygen
def test_a_packed_bundle_keeps_its_signature(signed: Path, keys: dict[str, Path], tmp_path: Path) -> None:
    packed = tmp_path / "bundle.zip"
    pack_bundle(read_bundle(signed), packed)
    assert check_signature(read_bundle(packed), public(keys, "anna")).serial == 7
    sign_bundle(packed, keys["ben"], serial=8)
    with read_bundle(packed) as bundle:
        assert check_signature(bundle, public(keys, "ben")).serial == 8
        assert (bundle.folder() / "signature.json").is_file()
        with pytest.raises(IntegrityError, match="no key that is trusted"):
            check_signature(bundle, public(keys, "anna"))


def other_bundle(signed: Path, keys: dict[str, Path]) -> None:
    other = make_bundle(signed.parent / "other", tiny_model(seed=4))
    sign_bundle(other, keys["anna"], serial=7)
    shutil.copy(other / "signature.json", signed / "signature.json")


def edit(signed: Path, **fields: object) -> None:
    place = signed / "signature.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | fields))


def other_model(signed: Path, keys: dict[str, Path]) -> None:
    """Replace everything but the signature by a bundle that is intact in itself."""
    signature = (signed / "signature.json").read_bytes()
    shutil.rmtree(signed)
    make_bundle(signed, tiny_model(seed=4))
    (signed / "signature.json").write_bytes(signature)


def unsigned(signed: Path, keys: dict[str, Path]) -> None:
    (signed / "signature.json").unlink()


def other_namespace(signed: Path, keys: dict[str, Path]) -> None:
    message = signed.parent / "message"
    place = signed / "signature.json"
    document = json.loads(place.read_text())
    fields = {k: v for k, v in document.items() if k != "signature"}
    message.write_text(json.dumps(fields, sort_keys=True, separators=(",", ":")))
    command = ["ssh-keygen", "-Y", "sign", "-q", "-n", "file", "-f", str(keys["anna"]), str(message)]
    subprocess.run(command, check=True)
    edit(signed, signature=message.with_suffix(".sig").read_text())


SIGNATURE_ATTACKS = {
    "unsigned": unsigned,
    "signed by another key": lambda s, k: sign_bundle(s, k["ben"], serial=7) and None,
    "replayed from another bundle": other_bundle,
    "all files replaced, signature kept": other_model,
    "signed for another purpose": other_namespace,
    "a higher serial": lambda s, k: edit(s, serial=99),
    "a digest of another bundle": lambda s, k: edit(s, digest="0" * 64),
    "another name": lambda s, k: edit(s, name="other"),
    "another target": lambda s, k: edit(s, target="coral"),
    "signature of nothing": lambda s, k: edit(s, signature=""),
    "signature that is no text": lambda s, k: edit(s, signature=7),
    "signature cut": lambda s, k: edit(
        s, signature=json.loads((s / "signature.json").read_text())["signature"][:120]
    ),
    "serial below zero": lambda s, k: edit(s, serial=-1),
    "serial of a float": lambda s, k: edit(s, serial=7.5),
    "unknown key": lambda s, k: edit(s, trust="me"),
    "unknown version": lambda s, k: edit(s, version=2),
    "no JSON": lambda s, k: (s / "signature.json").write_bytes(b"\xff{"),
    "a list": lambda s, k: (s / "signature.json").write_text("[]"),
    "nested a thousand deep": lambda s, k: (s / "signature.json").write_text("[" * 30_000),
    "too large": lambda s, k: (s / "signature.json").write_bytes(b" " * (65 << 10)),
}


@needs_keygen
@pytest.mark.parametrize("attack", SIGNATURE_ATTACKS)
def test_a_signature_that_does_not_hold_is_refused(attack: str, signed: Path, keys: dict[str, Path]) -> None:
    SIGNATURE_ATTACKS[attack](signed, keys)
    with bounded(), pytest.raises(IntegrityError) as caught:
        qedge.load(signed, trusted=public(keys, "anna"))
    assert caught.value.hint
    assert str(signed) in str(caught.value)


@needs_keygen
def test_a_signature_by_somebody_else_or_too_old_is_refused(signed: Path, keys: dict[str, Path]) -> None:
    with pytest.raises(IntegrityError, match="no key that is trusted"):
        qedge.load(signed, trusted=public(keys, "ben"))
    with pytest.raises(IntegrityError, match="serial 7, expected at least 8"):
        qedge.load(signed, trusted=public(keys, "anna"), least_serial=8)
    with pytest.raises(UsageError):
        qedge.load(signed, least_serial=8)


@needs_keygen
def test_trusted_keys_that_are_none_are_named(signed: Path, keys: dict[str, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("# nobody\n")
    for trusted, said in (
        (empty, "no key"),
        (tmp_path / "absent", "No such file"),
        (keys["anna"], "private"),
    ):
        with pytest.raises(DataError, match=said):
            qedge.load(signed, trusted=trusted)
    with pytest.raises(UsageError, match="no key at"):
        sign_bundle(signed, tmp_path / "absent")
    with pytest.raises(UsageError, match="does not sign"):
        sign_bundle(signed, empty)


@needs_keygen
def test_the_commands_sign_and_verify(
    tmp_path: Path, keys: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = str(make_bundle(tmp_path / "bundle"))
    assert run(["sign", bundle, "--key", str(keys["anna"]), "--serial", "2", "--json"]) == 0
    written = json.loads(capfd.readouterr().out)
    json_page.check("sign", written)
    assert written["serial"] == 2
    assert written["key"] == keygen.fingerprint(read_signature(read_bundle(bundle)).armoured)
    assert run(["inspect", bundle, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["signature"]["key"] == written["key"]
    assert run(["verify", bundle, "--signed-by", str(public(keys, "anna")), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["signature"]["signer"] == "anna@desk"
    assert run(["verify", bundle, "--signed-by", str(public(keys, "ben"))]) == 9
    assert "no key that is trusted" in capfd.readouterr().err
    assert run(["verify", bundle, "--signed-by", str(public(keys, "anna")), "--least-serial", "3"]) == 9
    assert run(["verify", bundle, "--least-serial", "3"]) == 2


def bomb(place: Path, name: str, size: int) -> None:
    """Write a zip whose member ``name`` unfolds to ``size`` zeros."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        piece = bytes(1 << 20)
        for _ in range(size >> 20):
            member.write(piece)


def test_a_bundle_that_is_a_bomb_never_unfolds(tmp_path: Path) -> None:
    place = tmp_path / "bomb.zip"
    bomb(place, "manifest.json", 600 << 20)
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="unpack to"):
        read_bundle(place)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20


def test_an_npz_that_is_a_bomb_never_unfolds(tmp_path: Path) -> None:
    place = tmp_path / "bomb.npz"
    bomb(place, "x.npy", 600 << 20)
    with pytest.raises(DataError, match="unpack to"):
        open_dataset(place, [InputInfo("x", (1, 4), "float32")])


def test_a_bundle_with_more_files_than_any_has_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "many.zip"
    with zipfile.ZipFile(place, "w") as archive:
        for i in range(10_001):
            archive.writestr(f"{i}", b"")
    with pytest.raises(IntegrityError, match="10,001 files"):
        read_bundle(place)


NPY = {
    "a header of nothing": b"\x93NUMPY\x01\x00\x00\x00",
    "a header cut": b"\x93NUMPY\x01\x00\x76\x00{'descr': '<i1'",
    "an unknown version": b"\x93NUMPY\x09\x00\x02\x00{}",
    "a header that is code": b"\x93NUMPY\x01\x00\x11\x00__import__('os')\n",
    "brackets that never close": b"\x93NUMPY\x01\x00\x06\x00((((((",
    "a shape below zero": b"\x93NUMPY\x01\x00\x3c\x00"
    + b"{'descr': '<i1', 'fortran_order': False, 'shape': (-4,), }  \n"[:60],
    "more than there is": b"\x93NUMPY\x01\x00\x46\x00"
    + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(69)
    + b"\n",
    "objects": b"\x93NUMPY\x01\x00\x46\x00"
    + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(69)
    + b"\n\x80\x04N.",
    "no bytes": b"",
}


@pytest.mark.parametrize("attack", NPY)
def test_a_damaged_npy_is_refused_wherever_it_comes_from(attack: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"not an \.npy file"):
        npy_array(NPY[attack], "golden")
    place = tmp_path / "x.npy"
    place.write_bytes(NPY[attack])
    with pytest.raises(DataError):
        open_dataset(place, [InputInfo("x", (1, 4), "float32")])


def test_a_number_beyond_floats_is_refused() -> None:
    for value in (10**400, float("inf"), float("nan"), True, "1"):
        with pytest.raises(QedgeError):
            Field(value).number()
