"""What is no model is refused before TensorFlow is started, in words that say what was found."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from quantize_models import cnn

from qedge.errors import ModelError, UnsupportedError
from qedge.frontends import load_model
from qedge.frontends.normalize import normalize
from qedge.frontends.source import hash_path, model_name
from qedge.testing.opmodels import ModelBuilder, Spec, constant


def refused(path: Path, workdir: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_model(path, workdir=workdir)
    assert caught.value.exit_code == 3
    return caught.value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"\x00" * 100, "100 bytes starting"),
        (b"TFL3", "4 bytes starting"),
        (b"\x1c\x00\x00\x00TFL3" + b"\xff" * 40, "damaged"),
        (b"PK\x03\x04" + b"\x00" * 60, "damaged .keras"),
        (b"\x89PNG\r\n\x1a\n", "no model that can be read"),
    ],
)
def test_files_that_are_no_model(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(content)
    error = refused(path, tmp_path)
    assert words in error.message
    assert str(path) in error.message
    assert error.hint


def test_a_zip_that_is_no_keras_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("hello.txt", "no model")
    assert "no config.json and no model.weights.h5" in refused(tmp_path / "m.keras", tmp_path).message


def test_a_zip_with_a_wrong_checksum(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "x" * 50)
        archive.writestr("model.weights.h5", "y" * 50)
    path.write_bytes(path.read_bytes().replace(b"x" * 50, b"x" * 49 + b"z"))
    assert "config.json has a wrong checksum" in refused(path, tmp_path).message


def test_folders_and_paths_that_are_no_model(tmp_path: Path) -> None:
    assert "no model at" in refused(tmp_path / "none.h5", tmp_path).message
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "holds nothing" in refused(folder, tmp_path).message
    (folder / "weights.bin").write_bytes(b"1")
    assert "holds weights.bin" in refused(folder, tmp_path).message
    (folder / "saved_model.pb").write_bytes(b"\n\x00")
    assert str(folder) in str(refused(folder / "saved_model.pb", tmp_path).hint)


def test_damaged_tflites_are_model_errors_or_still_models() -> None:
    original, outcomes = cnn(), set()
    for seed in range(150):
        random = np.random.default_rng(seed)
        damaged = bytearray(original)
        for place in random.integers(0, len(damaged), 3):
            damaged[place] = random.choice([0, 1, 127, 128, 255])
        if seed % 10 == 0:
            damaged = damaged[: random.integers(len(damaged))]
        try:
            outcomes.add(normalize(bytes(damaged), "m.tflite").kind)
        except ModelError:
            outcomes.add("refused")
    assert {"float", "refused"} <= outcomes


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/My Model-v2.keras", "my_model_v2"),
        ("2nd.h5", "m_2nd"),
        ("int.tflite", "m_int"),
        ("class.tflite", "m_class"),
        ("ünïcode.keras", "n_code"),
        ("---.keras", "model"),
        ("x" * 100 + ".h5", "x" * 64),
    ],
)
def test_names_are_safe_as_files_and_identifiers(path: str, name: str) -> None:
    assert model_name(Path(path)) == name


def test_the_hash_of_a_folder_covers_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"1")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"2")
    first = hash_path(tmp_path)
    assert hash_path(tmp_path) == first
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "c")
    renamed = hash_path(tmp_path)
    (tmp_path / "b").write_bytes(b"3")
    assert len({first, renamed, hash_path(tmp_path)}) == 3


def test_operators_that_no_target_runs_are_named_with_their_layers() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 1, 8), "float32", name="pcm"))
    spectrum = g.tensor(Spec((1, 1, 5), "complex64", name="front/stft/RFFT"))
    g.operator("RFFT2D", [x, g.tensor(constant([1, 8]))], [spectrum])
    places = [g.tensor(Spec((1, 1, 5), "float32", name=f"net/head_{i}/Mine")) for i in range(2)]
    for place in places:
        g.custom("Mine", [spectrum], [place], b"\x01")
    g.output(places[1])
    with pytest.raises(
        UnsupportedError, match=r"runs: RFFT2D in 'front/stft'; Mine in 'net/head_0', 'net/head_1'"
    ) as caught:
        normalize(builder.pack(), "m.tflite")
    assert "kind=log_mel" in str(caught.value.hint)
    assert [f.op for f in caught.value.findings] == ["Mine"]


def test_a_detection_head_of_tflite_itself_is_no_foreign_operator() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 4), "float32", name="x"))
    y = g.tensor(Spec((1, 4), "float32", name="y"))
    g.custom("TFLite_Detection_PostProcess", [x], [y], b"\x01")
    g.output(y)
    assert normalize(builder.pack(), "m.tflite").kind == "float"
