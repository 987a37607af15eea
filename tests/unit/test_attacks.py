"""Bundles that are made to harm: each is refused with its exit code, within 100 MB, and nothing is left behind.

Attacks of registries stand in ``tests/ship/test_oci.py``, those on signatures in ``test_trust.py``, in the same bounds.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_bundles import make_bundle

from qedge.bundle import pack_bundle, read_bundle
from qedge.bundle.manifest import MANIFEST, digest
from qedge.errors import QedgeError
from tests.bounds import bounded

Files = dict[str, bytes]


def packed(files: Files, change: Callable[[zipfile.ZipFile], None] = lambda z: None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        change(archive)
    return buffer.getvalue()


def named(name: str) -> Callable[[Files], bytes]:
    return lambda files: packed({**files, name: b"evil"})


def link(files: Files) -> bytes:
    def change(archive: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo("golden/link.npy")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")

    return packed(files, change)


def patched(field: int, size: int, value: int) -> Callable[[Files], bytes]:
    """Change one number of the first entry of the archive's directory."""

    def change(files: Files) -> bytes:
        data = bytearray(packed(files))
        at = data.index(b"PK\x01\x02")
        data[at + field : at + field + size] = value.to_bytes(size, "little")
        return bytes(data)

    return change


def twice(files: Files) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return packed(files, lambda archive: archive.writestr("model.tflite", b"other"))


def bomb(files: Files) -> bytes:
    return packed({**files, "bomb.bin": bytes(300 << 20)})


def listed(*names: str) -> Callable[[Files], bytes]:
    """Have the manifest name further files, which are there and whole."""

    def change(files: Files) -> bytes:
        document = json.loads(files[MANIFEST])
        entry = {"bytes": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}
        document["files"] |= dict.fromkeys(names, entry)
        document["digest"] = digest(document)
        return packed({**files, **dict.fromkeys(names, b"evil"), MANIFEST: json.dumps(document).encode()})

    return change


def called(name: str) -> Callable[[Files], bytes]:
    """Give the model another name."""

    def change(files: Files) -> bytes:
        document = json.loads(files[MANIFEST])
        document["model"]["name"] = name
        document["digest"] = digest(document)
        return packed({**files, MANIFEST: json.dumps(document).encode()})

    return change


def more_than_it_says(files: Files) -> bytes:
    """Pack 200 MB under the model's name, and state the model's own size."""
    last = {"model.tflite": bytes(200 << 20)}
    data = bytearray(packed({**{k: v for k, v in files.items() if k not in last}, **last}))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = len(files["model.tflite"]).to_bytes(4, "little")
    return bytes(data)


def damaged(files: Files) -> bytes:
    data = bytearray(packed(files))
    data[200] ^= 0xFF
    return bytes(data)


def damaged_inside(method: int) -> Callable[[Files], bytes]:
    """Damage what one member was packed to by another method than deflate."""

    def change(files: Files) -> bytes:
        buffer = io.BytesIO()
        first = {name: files[name] for name in (MANIFEST, "model.tflite")}
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, data in {**first, **files}.items():
                archive.writestr(name, data)
            at = archive.getinfo("model.tflite").header_offset + 30 + len("model.tflite")
        data = bytearray(buffer.getvalue())
        data[at + 16 : at + 80] = bytes(b ^ 0xFF for b in data[at + 16 : at + 80])
        return bytes(data)

    return change


ZIPS: dict[str, tuple[Callable[[Files], bytes], int]] = {
    "a model beside other keys": (called("x/kws"), 9),
    "a model in the place of the keys above": (called("..kws"), 9),
    "a model that is an option": (called("-rf"), 9),
    "a model of two lines": (called("kws\n[Service]"), 9),
    "a model without a name": (called(""), 9),
    "a model of 201 letters": (called("x" * 201), 9),
    "a key of the manifest twice": (
        lambda f: packed({**f, MANIFEST: f[MANIFEST].replace(b"{", b'{"format": "x", ', 1)}),
        9,
    ),
    "a file above the bundle": (named("../evil"), 9),
    "an absolute file": (named("/etc/cron.d/evil"), 9),
    "a path that comes back": (named("golden/../../evil"), 9),
    "a backslash": (named("..\\evil"), 9),
    "a drive": (named("C:evil"), 9),
    "a name of 300 letters": (named("x" * 300), 9),
    "a control character": (named("evil\x01"), 9),
    "a folder": (named("evil/"), 9),
    "a link": (link, 9),
    "a file that the manifest lacks": (named("evil.so"), 9),
    "a file less": (lambda f: packed({k: v for k, v in f.items() if k != "model.tflite"}), 9),
    "a name twice": (twice, 9),
    "another model under the name": (lambda f: packed({**f, "model.tflite": f["model.tflite"][::-1]}), 9),
    "a byte more": (lambda f: packed({**f, "model.tflite": f["model.tflite"] + b"x"}), 9),
    "no manifest": (lambda f: packed({k: v for k, v in f.items() if k != MANIFEST}), 3),
    "a manifest of 17 MB": (lambda f: packed({**f, MANIFEST: b" " * (17 << 20)}), 9),
    "a manifest of brackets": (lambda f: packed({**f, MANIFEST: b"[" * 200_000}), 9),
    "300 MB in 300 kB": (bomb, 9),
    "200 MB that say they are a small model": (more_than_it_says, 9),
    "a file that is a folder too": (listed("a", "a/b"), 9),
    "a file below the model": (listed("model.tflite/x"), 9),
    "a file below a file far above": (listed("a/b/c/d", "a/b/cc", "a/b"), 9),
    "two models where capitals do not count": (listed("MODEL.tflite"), 9),
    "two names that one disk takes for the same": (listed("caf\u00e9", "cafe\u0301"), 9),
    "a name too long for a disk": (listed("\u20ac" * 100), 9),
    "20,000 files": (lambda f: packed({**f, **{f"x/{k}": b"" for k in range(20_000)}}), 9),
    "cut in the middle": (lambda f: packed(f)[:700], 9),
    "bytes damaged": (damaged, 9),
    "bytes damaged that lzma packed": (damaged_inside(zipfile.ZIP_LZMA), 9),
    "bytes damaged that bzip2 packed": (damaged_inside(zipfile.ZIP_BZIP2), 9),
    "encrypted, it says": (patched(8, 2, 1), 9),
    "a compression of nobody's": (patched(10, 2, 97), 9),
    "a size of 4 GB": (patched(24, 4, 0xFFFF_FFF0), 9),
    "a wrong checksum": (patched(16, 4, 0), 9),
    "nothing": (lambda f: b"", 3),
    "text": (lambda f: b"PK? no", 3),
    "an archive of nothing": (lambda f: packed({}), 3),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    place = make_bundle(tmp_path_factory.mktemp("whole") / "b")
    return {p.relative_to(place).as_posix(): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}


def refused(place: Path, code: int) -> None:
    before = sorted(place.parent.rglob("*"))
    with bounded(), pytest.raises(QedgeError) as caught, read_bundle(place) as bundle:
        bundle.folder()
    assert caught.value.exit_code == code, caught.value
    assert sorted(place.parent.rglob("*")) == before


@pytest.mark.parametrize("attack", ZIPS)
def test_an_archive_that_is_made_to_harm_is_refused(attack, files, tmp_path) -> None:
    make, code = ZIPS[attack]
    (tmp_path / "b.zip").write_bytes(make(files))
    refused(tmp_path / "b.zip", code)


KEYS = (
    "format", "version", "qedge", "model", "target", "files", "inputs", "outputs", "preprocess", "postprocess",
    "labels", "quantization", "target_data", "digest",
)  # fmt: skip
WRONG: tuple[Any, ...] = (True, -1, 1e308, "", "x" * 1000, [[]], {"x": {}}, [None], 10**40)


@pytest.mark.parametrize("key", KEYS)
def test_a_manifest_field_of_a_wrong_type_is_refused_by_its_path(key, files, tmp_path) -> None:
    """Every wrong type; the digest is right, so that the field itself is looked at."""
    shutil.copytree(read_place(files, tmp_path / "b"), tmp_path / "c")
    plain = json.loads(files[MANIFEST])
    named_field, codes = 0, set()
    for value in WRONG:
        document = {**plain, key: value}
        if key != "digest":
            document["digest"] = digest(document)
        (tmp_path / "c" / MANIFEST).write_text(json.dumps(document))
        try:
            with bounded(), read_bundle(tmp_path / "c"):
                pass
        except QedgeError as problem:
            codes.add(problem.exit_code)
            named_field += f"$.{key}" in problem.message
    assert codes <= {3, 9}
    assert named_field >= (4 if key not in ("qedge", "target", "quantization", "target_data") else 1)


@pytest.mark.parametrize("key", ["labels", "target", "qedge", "quantization"])
def test_half_a_surrogate_pair_is_refused_when_it_is_read_and_not_when_it_is_written(
    key, files, tmp_path
) -> None:
    place = read_place(files, tmp_path / "b")
    half = "\ud800"
    document = {
        **json.loads(files[MANIFEST]),
        key: {"labels": [half], "quantization": {"x": half}}.get(key, half),
    }
    (place / MANIFEST).write_text(json.dumps({**document, "digest": digest(document)}))
    refused(place, 9)


def read_place(files: Files, place: Path) -> Path:
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def test_what_is_packed_whole_is_read_whole(files, tmp_path) -> None:
    """The bounds let a good bundle through."""
    place = read_place(files, tmp_path / "b")
    with bounded(), read_bundle(place) as bundle:
        pack_bundle(bundle, tmp_path / "b.zip")
    with bounded(), read_bundle(tmp_path / "b.zip") as bundle:
        assert bundle.folder().is_dir()
    assert len(ZIPS) + len(KEYS) >= 40
    assert struct.unpack("<I", (tmp_path / "b.zip").read_bytes()[:4])[0] == 0x04034B50
