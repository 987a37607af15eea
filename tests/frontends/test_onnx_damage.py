"""Damaged ``.onnx`` files: every one is converted or refused, in bounded time and memory, and nothing else happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frontends.damage import mutate
from tests.frontends.onnx_cases import chain, f, i, model_of

pytest.importorskip("onnxruntime", reason="the ONNX front end is not installed")

NET = chain(
    "net",
    [("Conv", ["x", "w", "b"], ["a"], {"pads": [1, 1, 1, 1]}), ("Relu", ["a"], ["r"]),
     ("MaxPool", ["r"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Reshape", ["p", "s"], ["q"]),
     ("Transpose", ["q"], ["t"], {"perm": [0, 2, 1]}), ("MatMul", ["t", "v"], ["m"]), ("Softmax", ["m"], ["y"])],
    {"x": (1, 3, 8, 6)}, {"w": f(4, 3, 3, 3), "b": f(4), "v": f(4, 5), "s": i(1, 4, 12)},
)  # fmt: skip


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.onnx").write_bytes(model_of(NET))
    return tmp_path / "net.onnx"


def test_damaged_files_are_converted_or_refused(net: Path) -> None:
    mutate(net, 0, 60)


@pytest.mark.long
def test_five_hundred_damaged_files_are_converted_or_refused(net: Path) -> None:
    mutate(net, 60, 560)
