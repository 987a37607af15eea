"""Damaged ``.onnx`` files: every one is converted or refused, in bounded time and memory, and nothing else happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frontends.onnx_cases import chain, f, i, model_of

pytest.importorskip("onnxruntime", reason="the ONNX front end is not installed")

NET = chain(
    "net",
    [("Conv", ["x", "w", "b"], ["a"], {"pads": [1, 1, 1, 1]}), ("Relu", ["a"], ["r"]),
     ("MaxPool", ["r"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Reshape", ["p", "s"], ["q"]),
     ("Transpose", ["q"], ["t"], {"perm": [0, 2, 1]}), ("MatMul", ["t", "v"], ["m"]), ("Softmax", ["m"], ["y"])],
    {"x": (1, 3, 8, 6)}, {"w": f(4, 3, 3, 3), "b": f(4), "v": f(4, 5), "s": i(1, 4, 12)},
)  # fmt: skip

LOOP = Path(__file__).with_name("damage_loop.py")


def mutate(model: Path, first: int, last: int) -> None:
    """Damage a model again and again in a process and a folder of its own, and assert that nothing else happens."""
    work, home = model.parent / "work", model.parent / "home"
    work.mkdir()
    home.mkdir()
    done = subprocess.run(
        [sys.executable, str(LOOP), str(model), str(first), str(last)],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        cwd=work,
        env={**os.environ, "HOME": str(home), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["other"] == []
    assert told["converted"] + told["refused"] == last - first
    assert told["refused"] > (last - first) // 5
    assert told["mb"] < 1536
    assert [p.name for p in work.iterdir()] == [f"damaged{model.suffix}"]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.onnx").write_bytes(model_of(NET))
    return tmp_path / "net.onnx"


def test_damaged_files_are_converted_or_refused(net: Path) -> None:
    mutate(net, 0, 60)


@pytest.mark.long
def test_five_hundred_damaged_files_are_converted_or_refused(net: Path) -> None:
    mutate(net, 60, 560)


@pytest.mark.long
@pytest.mark.parametrize(("first", "last"), [(0, 40)])
def test_damaged_programs_of_pytorch_are_converted_or_refused(tmp_path: Path, first: int, last: int) -> None:
    pytest.importorskip("onnxscript", reason="PyTorch's exporter is not installed")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()
    module = torch.nn.Sequential(*layers, torch.nn.Linear(4 * 36, 5)).eval()
    program = torch.export.export(module, (torch.zeros(1, 3, 8, 8),))
    torch.export.save(program, str(tmp_path / "net.pt2"))
    mutate(tmp_path / "net.pt2", first, last)
