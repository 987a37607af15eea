"""Damaged ``.onnx`` files: every one is converted or refused, in bounded time and memory, and nothing else happens."""

from __future__ import annotations

import json
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

_LOOP = """
import json, random, resource, sys, time
from pathlib import Path
from qedge.errors import QedgeError
from qedge.frontends.onnx import convert
from qedge.frontends.protocol import Refusal

resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))
source, path, first, last = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
told = {"converted": 0, "refused": 0, "other": [], "slowest": 0.0}
for seed in range(first, last):
    rng, data = random.Random(seed), bytearray(source)
    kind = rng.choice(("flip", "flip", "cut", "zero", "insert", "swap"))
    at = rng.randrange(len(data))
    if kind == "flip":
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "zero":
        data[at : at + 16] = bytes(min(16, len(data) - at))
    elif kind == "insert":
        data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
    else:
        other = rng.randrange(len(data))
        data[at], data[other] = data[other], data[at]
    path.write_bytes(data)
    began = time.perf_counter()
    try:
        convert(path)
        told["converted"] += 1
    except (Refusal, QedgeError, MemoryError):
        told["refused"] += 1
    except Exception as error:
        told["other"].append(f"{seed}: {type(error).__name__}: {error}")
    told["slowest"] = max(told["slowest"], time.perf_counter() - began)
told["mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print("\\n" + json.dumps(told))
"""


def _mutate(tmp_path: Path, first: int, last: int) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "net.onnx").write_bytes(model_of(NET))
    command = [
        sys.executable,
        "-c",
        _LOOP,
        str(tmp_path / "net.onnx"),
        str(work / "m.onnx"),
        str(first),
        str(last),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False, cwd=work)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["other"] == []
    assert told["converted"] + told["refused"] == last - first
    assert told["refused"] > (last - first) // 5
    assert told["mb"] < 1024
    assert sorted(p.name for p in work.iterdir()) == ["m.onnx"]


def test_damaged_files_are_converted_or_refused(tmp_path: Path) -> None:
    _mutate(tmp_path, 0, 60)


@pytest.mark.long
def test_five_hundred_damaged_files_are_converted_or_refused(tmp_path: Path) -> None:
    _mutate(tmp_path, 60, 560)
