"""Models of other kinds that people bring: told by name, with the way to one that can be read.

Asked only where no front end is sure of a model, so that a third party's front end goes before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qedge.frontends.candidate import Candidate

_EXPORT = "export it to ONNX from where it was trained, then qedge build model.onnx"
_HUB = "optimum-cli export onnx --model NAME --task TASK out/, or torch.onnx.export, then qedge build out/model.onnx"
_SOURCE = "bring the model that it was made of, in one of the forms that qedge reads"
_WHOLE = "where the model is: model.save('model.keras'), then qedge build model.keras"


@dataclass(frozen=True)
class Foreign:
    """A kind of model that cannot be read.

    Args:
        what: it is, as the rest of a sentence: ``a Core ML model``.
        hint: how to come from there to a model that can be read.
        told: whether a candidate is one.
    """

    what: str
    hint: str
    told: Callable[[Candidate], bool]


def _suffix(*suffixes: str) -> Callable[[Candidate], bool]:
    return lambda c: c.suffix in suffixes


def _head(*starts: bytes, at: int = 0) -> Callable[[Candidate], bool]:
    return lambda c: any(c.head[at:].startswith(start) for start in starts)


def _text(suffix: str, *words: bytes) -> Callable[[Candidate], bool]:
    return lambda c: c.suffix == suffix and any(word in c.head for word in words)


def _holds(*endings: str) -> Callable[[Candidate], bool]:
    return lambda c: any(name.endswith(endings) for name in c.members)


def _any(*tests: Callable[[Candidate], bool]) -> Callable[[Candidate], bool]:
    return lambda c: any(test(c) for test in tests)


KINDS = (
    Foreign("a pointer of Git LFS", "fetch the file itself: git lfs pull", _head(b"version https://git-lfs")),
    Foreign(
        "a web page",
        "download the file itself, not the page about it",
        _head(b"<!DOCTYPE", b"<!doctype", b"<html"),
    ),
    Foreign(
        "weights without a graph (safetensors, or a folder of Hugging Face's)",
        _HUB,
        _any(_suffix(".safetensors"), _holds(".safetensors", "pytorch_model.bin")),
    ),
    Foreign(
        "a TensorFlow checkpoint: weights without a graph",
        _WHOLE,
        _any(_suffix(".ckpt", ".index"), _holds(".ckpt.index", "variables.index")),
    ),
    Foreign(
        "the layers of a Keras model without its weights",
        _WHOLE,
        _text(".json", b'"class_name"', b'"config"'),
    ),
    Foreign(
        "a TensorFlow.js model",
        f"{_WHOLE}; or tensorflowjs_converter --input_format tfjs_layers_model --output_format keras FILE.json net.h5",
        _any(_text(".json", b'"modelTopology"', b"layers-model", b"graph-model"), _holds("-shard1of1.bin")),
    ),
    Foreign(
        "a frozen TensorFlow graph",
        "python -m tf2onnx.convert --graphdef FILE.pb --inputs NAME:0 --outputs NAME:0 --output model.onnx,"
        " then qedge build model.onnx",
        lambda c: c.suffix == ".pbtxt" or (c.suffix == ".pb" and c.head[:1] == b"\x0a"),
    ),
    Foreign("a Core ML model", _EXPORT, _any(_suffix(".mlmodel", ".mlpackage", ".mlmodelc"))),
    Foreign("an OpenVINO model", _EXPORT, _text(".xml", b"<net ")),
    Foreign(
        "a TensorRT engine, built for one GPU", _EXPORT, _any(_suffix(".engine", ".plan"), _head(b"ftrt"))
    ),
    Foreign("an ExecuTorch program", "bring the .pt2 file that it was made of", _head(b"ET12", at=4)),
    Foreign(
        "a model in ONNX Runtime's own format",
        "bring the .onnx file that it was made of",
        _head(b"ORTM", at=4),
    ),
    Foreign("a language model for llama.cpp", "qedge builds models of at most some 100 MB", _head(b"GGUF")),
    Foreign("a Caffe model", _EXPORT, _suffix(".caffemodel", ".prototxt")),
    Foreign("a Darknet model", _EXPORT, _text(".cfg", b"[net]", b"[convolutional]")),
    Foreign(
        "a pickle of Python objects (scikit-learn writes such), code that would run",
        "qedge builds neural networks: train one in Keras or PyTorch, or write an MLP's weights into one",
        _any(_suffix(".joblib", ".sav"), _head(*(bytes([0x80, version]) for version in range(2, 6)))),
    ),
    Foreign(
        "a PaddlePaddle model",
        "paddle2onnx --model_dir FOLDER ..., then qedge build model.onnx",
        _suffix(".pdmodel"),
    ),
    Foreign("a model for Rockchip's NPU", _SOURCE, _head(b"RKNN")),
    Foreign("an ncnn model", _SOURCE, _head(b"7767517\n")),
    Foreign("an MNN model", _SOURCE, _suffix(".mnn")),
    Foreign("an MXNet model", _EXPORT, _text(".json", b'"nodes"')),
    Foreign(
        "a model written as a C array",
        "bring the .tflite file that it was made of",
        lambda c: c.suffix in (".c", ".cc", ".cpp", ".h") and b"unsigned char" in c.head,
    ),
    Foreign(
        "a folder with models inside",
        "name the one that is meant",
        lambda c: c.kind == "folder" and _holds(".tflite", ".onnx", ".keras", ".h5", ".pt2")(c),
    ),
    Foreign(
        "an archive with models inside",
        "unpack it and name the .tflite file (or the folder with saved_model.pb) that it holds",
        lambda c: c.is_zip and _holds(".tflite", ".onnx", ".keras", "saved_model.pb", "TFL3")(c),
    ),
    Foreign(
        "a compressed archive",
        "unpack it and name the model that it holds",
        _any(_head(b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"7z\xbc\xaf\x27\x1c"), _suffix(".tar")),
    ),
)


def kind_of(candidate: Candidate) -> Foreign | None:
    """Return what other kind of model a candidate is, or None where that is not known.

    >>> from pathlib import Path
    >>> kind_of(Candidate("net.mlmodel", Path("net.mlmodel"), "file", 9, b"a")).what
    'a Core ML model'
    """
    if candidate.kind == "nothing":
        return None
    return next((kind for kind in KINDS if kind.told(candidate)), None)
