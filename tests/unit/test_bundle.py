"""Bundles: round trip, same bytes, and everything that can be wrong with one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qedge.bundle import (
    Manifest,
    TensorSpec,
    canonical,
    golden_files,
    npy_array,
    npy_bytes,
    pack_bundle,
    read_bundle,
    write_bundle,
)
from qedge.bundle.digest import SMALL_BYTES, sha256
from qedge.bundle.manifest import MANIFEST, digest
from qedge.errors import DataError, IntegrityError, QedgeError, UsageError
from qedge.processing.classify import Classify
from qedge.processing.image import ImagePreprocess

X = TensorSpec("x", (1, 4, 4, 1), "int8", 0.5, -3)
Y = TensorSpec("y", (1, 2), "int8", 1 / 256, -128)
SAMPLES = [
    ([np.full((1, 4, 4, 1), i, np.int8)], [np.array([[i, -i]], np.int8)])
    for i in range(3)
]  # fmt: skip


def manifest(**changes) -> Manifest:
    fields = {
        "name": "tiny",
        "model_sha256": "0" * 64,
        "target": "rpi",
        "inputs": (X,),
        "outputs": (Y,),
        "preprocess": ImagePreprocess(4, 4, "gray"),
        "postprocess": Classify(),
        "labels": ("no", "jä"),
        "quantization": {"method": "max", "sqnr_db": 31.5},
        "target_data": {"b": 1, "a": [{"d": 1, "c": 2}]},
    }
    return Manifest(**{**fields, **changes})


def files() -> dict[str, bytes]:
    golden = golden_files([x for x, _ in SAMPLES], [y for _, y in SAMPLES])
    return {"model.tflite": b"TFL3 not really", "c/model.c": b"int x;\n" * 100, **golden}


@pytest.fixture
def bundle(tmp_path) -> Path:
    write_bundle(tmp_path / "tiny" / "rpi", manifest(), files())
    return tmp_path / "tiny" / "rpi"


@pytest.fixture
def packed(bundle, tmp_path) -> Path:
    pack_bundle(read_bundle(bundle), tmp_path / "tiny.zip")
    return tmp_path / "tiny.zip"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_round_trip(bundle, packed) -> None:
    for path in (bundle, packed):
        with read_bundle(path) as found:
            assert found.manifest == manifest().with_files(files())
            assert {name: found.read(name) for name in found.manifest.files} == files()
            assert found.path("c/model.c").read_bytes() == files()["c/model.c"]
            for (x, y), (golden_x, golden_y) in zip(SAMPLES, found.golden(), strict=True):
                assert np.array_equal(x, golden_x)
                assert np.array_equal(y, golden_y)
            folder = found.folder()
            assert read_bundle(folder).manifest == found.manifest
    assert not folder.exists()


def test_the_same_content_gives_the_same_bytes(bundle, packed, tmp_path) -> None:
    shuffled = dict(reversed(files().items()))
    write_bundle(tmp_path / "again", manifest(target_data={"a": [{"c": 2, "d": 1}], "b": 1}), shuffled)
    assert everything(tmp_path / "again") == everything(bundle)
    pack_bundle(read_bundle(tmp_path / "again"), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o755


def test_npy_files_do_not_depend_on_memory_order() -> None:
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    assert npy_bytes(np.asfortranarray(array)) == npy_bytes(array)
    assert npy_bytes(array.astype(">i2")) == npy_bytes(array)
    assert np.array_equal(npy_array(npy_bytes(array), "x"), array)
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    for data in (b"", b"\x93NUMPY", npy_bytes(array)[:-1], buffer.getvalue()):
        with pytest.raises(IntegrityError, match=r"not an \.npy file"):
            npy_array(data, "x")


def test_an_old_bundle_is_replaced_and_nothing_else_is_left(bundle) -> None:
    write_bundle(bundle, manifest(name="other"), {"model.tflite": b"new"})
    assert read_bundle(bundle).manifest.name == "other"
    assert sorted(everything(bundle)) == [MANIFEST, "model.tflite"]
    assert [p.name for p in bundle.parent.iterdir()] == ["rpi"]


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_bundle(bundle, monkeypatch, failing) -> None:
    import qedge.bundle.write as writing

    before = everything(bundle)

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_exchange", lambda one, other: False)
    if failing == "rename":
        real = os.rename
        monkeypatch.setattr(os, "rename", lambda a, b: fail() if str(a).endswith(".new") else real(a, b))
    else:
        monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="space"):
        write_bundle(bundle, manifest(), {"model.tflite": b"new"})
    monkeypatch.undo()
    assert everything(bundle) == before
    assert [p.name for p in bundle.parent.iterdir()] == ["rpi"]


def test_systems_that_cannot_swap_folders_replace_too(bundle, monkeypatch) -> None:
    import qedge.bundle.write as writing

    monkeypatch.setattr(writing, "_exchange", lambda one, other: False)
    write_bundle(bundle, manifest(name="other"), {"model.tflite": b"new"})
    assert read_bundle(bundle).manifest.name == "other"
    assert [p.name for p in bundle.parent.iterdir()] == ["rpi"]


def test_a_folder_with_other_things_is_not_replaced(tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(UsageError):
            write_bundle(place, manifest(), files())
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/../b", "", "a\\b", "C:x", "a\nb", ".", "x/"])
def test_names_outside_the_bundle_are_not_written(tmp_path, name) -> None:
    with pytest.raises(IntegrityError, match="inside the bundle"):
        write_bundle(tmp_path / "b", manifest(), {"model.tflite": b"", name: b""})
    assert list(tmp_path.iterdir()) == []


def refused(path: Path, kind: type[QedgeError] = IntegrityError, match: str | None = None) -> QedgeError:
    with pytest.raises(kind, match=match) as caught:
        read_bundle(path)
    assert caught.value.exit_code == (3 if kind is DataError else 9)
    return caught.value


def test_nothing_or_no_bundle_is_a_data_error(tmp_path) -> None:
    refused(tmp_path / "none", DataError, "no such bundle")
    refused(tmp_path, DataError, "no manifest")
    (tmp_path / "x.zip").write_bytes(b"hello")
    refused(tmp_path / "x.zip", DataError, "neither")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("a", b"")
    refused(tmp_path / "y.zip", DataError, "no manifest")


def test_a_truncated_file(bundle) -> None:
    (bundle / "c/model.c").write_bytes(b"int")
    assert refused(bundle, match=r"c/model\.c: truncated: 3 of 700").hint


def test_an_edited_file(bundle) -> None:
    (bundle / "model.tflite").write_bytes(b"TFL3 not reallY")
    refused(bundle, match=r"model\.tflite: was altered")
    late = read_bundle(bundle, verify=False)
    with pytest.raises(IntegrityError, match="altered"):
        late.read("model.tflite")


def test_a_file_that_grew(bundle) -> None:
    with open(bundle / "model.tflite", "ab") as file:
        file.write(b"!")
    refused(bundle, match="more than 15 bytes")


def test_a_missing_file(bundle) -> None:
    (bundle / "golden/input_0.npy").unlink()
    refused(bundle, match=r"golden/input_0\.npy is missing")


def test_an_extra_file(bundle) -> None:
    (bundle / "evil.py").write_text("")
    refused(bundle, match=r"'evil\.py' does not belong")


def test_a_link_in_the_folder(bundle, tmp_path) -> None:
    (bundle / "model.tflite").rename(tmp_path / "elsewhere")
    (bundle / "model.tflite").symlink_to(tmp_path / "elsewhere")
    refused(bundle, match="a link or device")
    (bundle / "model.tflite").unlink()
    os.mkfifo(bundle / "model.tflite")
    refused(bundle, match="a link or device")


def test_a_link_to_the_folder_is_fine(bundle, tmp_path) -> None:
    (tmp_path / "current").symlink_to(bundle)
    assert read_bundle(tmp_path / "current").manifest.name == "tiny"


def rewrite(bundle: Path, change, *, sign: bool = True) -> None:
    document = json.loads((bundle / MANIFEST).read_text())
    change(document)
    if sign:
        document["digest"] = digest(document)
    (bundle / MANIFEST).write_text(json.dumps(document))


def test_an_edited_manifest(bundle) -> None:
    rewrite(bundle, lambda d: d["labels"].reverse(), sign=False)
    refused(bundle, match=r"\$\.digest: the manifest was altered")


def put(*keys, value):
    def change(document) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("format",), "zip", r"\$\.format: found 'zip', expected 'qedge-bundle'"),
        (("version",), 2, r"\$\.version: found 2, expected 1"),
        (("version",), "1", r"\$\.version"),
        (("surprise",), 2, r"\$\.surprise: unknown key"),
        (("model", "name"), "../x", r"\$\.model\.name"),
        (("model", "sha256"), "0" * 63, r"\$\.model\.sha256"),
        (("target",), None, r"\$\.target"),
        (("inputs", 0, "scale"), -1.0, r"\$\.inputs\[0\]\.scale: found -1\.0"),
        (("inputs", 0, "scale"), "1", r"\$\.inputs\[0\]\.scale"),
        (("inputs", 0, "zero_point"), None, r"\$\.inputs\[0\]"),
        (("inputs", 0, "shape", 1), 0, r"\$\.inputs\[0\]\.shape\[1\]"),
        (("inputs", 0, "dtype"), "int9", r"\$\.inputs\[0\]\.dtype.*expected one of"),
        (("inputs",), {}, r"\$\.inputs: found an object, expected a list"),
        (("outputs", 0), 3, r"\$\.outputs\[0\]: found 3, expected an object"),
        (("preprocess", "width"), -4, r"\$\.preprocess\.width: found -4"),
        (("preprocess", "kind"), "os", r"\$\.preprocess\.kind"),
        (("postprocess", "form"), "x", r"\$\.postprocess\.form"),
        (("labels", 1), 7, r"\$\.labels\[1\]: found 7, expected a string"),
        (("files", "../x"), {"bytes": 0, "sha256": "0" * 64}, r"expected a path inside the bundle"),
        (("files", "model.tflite", "bytes"), -1, r"\$\.files\.model\.tflite\.bytes"),
        (("files", "model.tflite", "sha256"), "g" * 64, "SHA-256"),
        (("files",), {}, r"no model\.tflite"),
        (("quantization",), [], r"\$\.quantization"),
    ],
)
def test_a_wrong_manifest_is_named_by_its_path(bundle, keys, value, message) -> None:
    rewrite(bundle, put(*keys, value=value))
    refused(bundle, match=message)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": NaN}', b"{}"]
)
def test_a_manifest_that_is_no_document(bundle, text) -> None:
    (bundle / MANIFEST).write_bytes(text)
    refused(bundle, match="manifest")


def repacked(packed: Path, change) -> Path:
    """Return the zip with its (name, info, data) entries passed through ``change``."""
    with zipfile.ZipFile(packed) as archive:
        entries = [(i, archive.read(i)) for i in archive.infolist()]
    place = packed.with_name("changed.zip")
    with warnings.catch_warnings(), zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        for info, data in change(entries):
            archive.writestr(info, data)
    return place


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "evil/"])
def test_zip_paths_that_lead_outside(packed, tmp_path, name) -> None:
    place = repacked(packed, lambda entries: [*entries, (zipfile.ZipInfo(name), b"x")])
    refused(place)
    assert not any(p.name == "evil" for p in tmp_path.parent.rglob("evil"))


def test_a_zip_with_a_link(packed) -> None:
    link = zipfile.ZipInfo("c/link")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(repacked(packed, lambda entries: [*entries, (link, b"/etc/passwd")]), match="a link")


def test_a_zip_with_a_name_twice(packed) -> None:
    refused(repacked(packed, lambda entries: [*entries, entries[-1]]), match="twice")


def test_a_zip_with_an_extra_or_missing_file(packed) -> None:
    refused(repacked(packed, lambda e: [*e, (zipfile.ZipInfo("new"), b"")]), match="does not belong")
    refused(repacked(packed, lambda e: e[:-1]), match="is missing")


def test_a_zip_bomb_stops_at_the_size_in_the_manifest(packed) -> None:
    import tracemalloc

    bomb = bytes(60 << 20)
    place = repacked(packed, lambda e: [(i, bomb if i.filename == "model.tflite" else d) for i, d in e])
    tracemalloc.start()
    refused(place, match="more than 15 bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_to_a_zip_is_refused_or_harmless(data) -> None:
    whole = _zip_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "zero"]))
    damaged = bytearray(whole)
    if kind == "cut":
        del damaged[position:]
    elif kind == "flip":
        damaged[position] ^= data.draw(st.integers(1, 255))
    else:
        damaged[position : position + 40] = bytes(40)
    place = _scratch() / "damaged.zip"
    place.write_bytes(damaged)
    try:
        found = read_bundle(place)
    except (IntegrityError, DataError):
        return
    assert found.manifest == manifest().with_files(files())
    assert {name: found.read(name) for name in found.manifest.files} == files()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_to_the_manifest_is_refused(data) -> None:
    folder = _scratch() / "rpi"
    whole = manifest().with_files(files()).encoded()
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[position] ^= data.draw(st.integers(1, 255))
    (folder / MANIFEST).write_bytes(damaged)
    try:
        found = read_bundle(folder)
    except IntegrityError:
        return
    assert found.manifest == manifest().with_files(files())


def _scratch(_made: list[Path] = []) -> Path:  # noqa: B006
    """Return one folder with a bundle for all examples of the property tests."""
    import atexit
    import shutil
    import tempfile

    if not _made:
        _made.append(Path(tempfile.mkdtemp()))
        atexit.register(shutil.rmtree, _made[0], True)
        write_bundle(_made[0] / "rpi", manifest(), files())
        pack_bundle(read_bundle(_made[0] / "rpi"), _made[0] / "whole.zip")
    return _made[0]


def _zip_bytes() -> bytes:
    return (_scratch() / "whole.zip").read_bytes()


def test_golden_arrays_of_another_shape_are_refused(tmp_path) -> None:
    wrong = {**files(), "golden/input_0.npy": npy_bytes(np.zeros((3, 1, 4, 4, 2), np.int8))}
    write_bundle(tmp_path / "b", manifest(), wrong)
    with pytest.raises(IntegrityError, match=r"found int8 \[3, 1, 4, 4, 2\]"):
        read_bundle(tmp_path / "b").golden()


def test_the_hashes_are_those_of_the_files(bundle) -> None:
    document = json.loads((bundle / MANIFEST).read_text())
    for name, entry in document["files"].items():
        data = (bundle / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


JSON_TEXTS = [
    "null", " [] \n", '{"a": [1, -2, 3.5e-9, true, false, null]}', '"\\u00e9\\ud800 \U0001f600 \\n\\/"', "1e400",
    "12345678901234567890123", '{"b": {"c": []}, "a": {}}', '"é"',
]  # fmt: skip
NO_JSON = [
    "",
    " ",
    "{",
    '{"a" 1}',
    "[1,]",
    "[1] x",
    "nul",
    '"\n"',
    "{'a': 1}",
    '{"a": 1, "a": 1}',
    '[{"b": {"a": 1, "b": 2, "a": 1}}]',
    "NaN",
    "-Infinity",
    "[Infinity]",
    "\ufeff1",
]


@pytest.mark.parametrize("text", JSON_TEXTS)
def test_canonical_json_is_that_of_the_module_json(text) -> None:
    value = canonical.loads(text)
    assert repr(value) == repr(json.loads(text))
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical.dumps(value) == expected


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES, st.sampled_from([None, 2]))
@settings(max_examples=200, deadline=None)
def test_canonical_json_survives_any_document(value, indent) -> None:
    assert canonical.loads(json.dumps(value, indent=indent)) == value
    assert canonical.dumps(value) == json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


@pytest.mark.parametrize("text", NO_JSON)
def test_what_is_no_json_is_refused_with_the_place(text) -> None:
    with pytest.raises(ValueError, match=r"char|JSON number|BOM|twice"):
        canonical.loads(text)


def test_without_the_c_half_json_does_the_same(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "_json", None)
    for text in JSON_TEXTS:
        value = canonical.loads(text)
        assert repr(value) == repr(json.loads(text))
        assert json.loads(canonical.dumps(value)) == value or text == "1e400"
    for text in NO_JSON:
        with pytest.raises(ValueError, match=r"char|JSON number|BOM|twice"):
            canonical.loads(text)


@pytest.mark.parametrize(
    "missing", [(), ("_hashlib",), ("_sha256", "_sha2"), ("_hashlib", "_sha256", "_sha2")]
)
@pytest.mark.parametrize("size", [0, 1000, SMALL_BYTES, SMALL_BYTES + 1])
def test_the_digest_is_sha256_by_every_way(monkeypatch, missing, size) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert sha256(data) == hashlib.sha256(data).hexdigest()


def test_labels_that_are_no_strings_are_named() -> None:
    from qedge.fields import Field

    assert Field(["a", "b"]).strings() == ("a", "b")
    assert Field([]).strings() == ()
    for value, found in ((["a", 1], r"\$\[1\]: found 1"), ("ab", "expected a list"), ([["a"]], r"\$\[0\]")):
        with pytest.raises(UsageError, match=found):
            Field(value).strings()
