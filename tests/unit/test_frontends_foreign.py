"""Models of other kinds: each is told by what it is, with a way out, and no front end's error speaks for it."""

from __future__ import annotations

import gzip
import json
import pickle
import zipfile
from pathlib import Path

import pytest

from qedge.errors import ModelError
from qedge.frontends.candidate import look
from qedge.frontends.registry import recognise

FILES = {
    "net.safetensors": (b"\x08\0\0\0\0\0\0\0{}", "safetensors"),
    "model.ckpt.index": (b"\0\0\0\0", "checkpoint"),
    "frozen.pb": (b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder", "frozen TensorFlow graph"),
    "net.mlmodel": (b"\x08\x04\x12\x30", "Core ML"),
    "net.xml": (b'<?xml version="1.0"?><net name="a" version="11"></net>', "OpenVINO"),
    "net.engine": (b"ftrt\0\0", "TensorRT"),
    "net.pte": (b"\x30\0\0\0ET12", "ExecuTorch"),
    "net.ort": (b"\x1c\0\0\0ORTM", "ONNX Runtime's own"),
    "net.bin": (b"GGUF\x03\0\0\0", "llama.cpp"),
    "net.caffemodel": (b"\x0a\x03net", "Caffe"),
    "yolov3.cfg": (b"[net]\nbatch=1\n", "Darknet"),
    "clf.joblib": (pickle.dumps([1]), "scikit-learn"),
    "any.model": (pickle.dumps({"a": 1}), "scikit-learn"),
    "arch.json": (json.dumps({"class_name": "Functional", "config": {}}).encode(), "without its weights"),
    "model.json": (json.dumps({"format": "layers-model", "modelTopology": {}}).encode(), "TensorFlow.js"),
    "net.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git lfs pull"),
    "net.tflite": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git lfs pull"),
    "page.keras": (b"<!DOCTYPE html><html>404", "web page"),
    "net.rknn": (b"RKNN\0\0\0\0", "Rockchip"),
    "net.pdmodel": (b"\x08\x01\x12\x04", "PaddlePaddle"),
    "net.param": (b"7767517\n3 3\n", "ncnn"),
    "net-symbol.json": (b'{"nodes": [{"op": "null"}]}', "MXNet"),
    "model.cc": (b"alignas(16) const unsigned char g_model[] = {0x1c", "C array"),
    "hub.tar.gz": (gzip.compress(b"saved_model.pb"), "compressed archive"),
}


def examine(path: Path) -> None:
    candidate = look(path)
    recognise(candidate).examine(candidate)


def said(path: Path) -> str:
    with pytest.raises(ModelError) as raised:
        examine(path)
    assert raised.value.hint
    return f"{raised.value.message}\n{raised.value.hint}"


@pytest.mark.parametrize("name", FILES)
def test_files_of_other_kinds_are_told_by_what_they_are(name: str, tmp_path: Path) -> None:
    data, what = FILES[name]
    (tmp_path / name).write_bytes(data)
    assert what in said(tmp_path / name)


@pytest.mark.parametrize(
    ("members", "what"),
    [
        (("config.json", "model.safetensors"), "safetensors"),
        (("checkpoint", "model.ckpt.index"), "checkpoint"),
        (("config.json", "pytorch_model.bin"), "Hugging Face"),
        (("model.json", "group1-shard1of1.bin"), "TensorFlow.js"),
        (("a.onnx", "a.onnx.data"), "name the one that is meant"),
    ],
)
def test_folders_of_other_kinds_too(members: tuple[str, ...], what: str, tmp_path: Path) -> None:
    for name in members:
        (tmp_path / name).write_bytes(b"{}")
    assert what in said(tmp_path)


def test_an_archive_with_a_model_inside_is_to_be_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "hand.task", "w") as archive:
        archive.writestr("hand_landmarks.tflite", b"....TFL3")
    assert "unpack it" in said(tmp_path / "hand.task")


def test_ultralytics_own_file_is_answered_with_its_own_command(tmp_path: Path) -> None:
    for name, word in (("yolo.pt", b"cultralytics.nn.tasks\nDetectionModel\n"), ("other.pt", b"cnet\nNet\n")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02" + word)
    assert "yolo export model=" in said(tmp_path / "yolo.pt")
    assert "torch.export" in said(tmp_path / "other.pt")


def test_an_onnx_file_of_another_name_is_still_one_and_a_part_of_a_savedmodel_none(tmp_path: Path) -> None:
    head = b"\x08\x08\x12\x07pytorch"
    for name in ("net.pb", "net.bin", "net.onnx"):
        (tmp_path / name).write_bytes(head)
        assert recognise(look(tmp_path / name)).info.name == "onnx"
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\x07")
    assert "one file of a SavedModel" in said(tmp_path / "saved_model.pb")
