"""Run TensorFlow in a child process, so that a crash there becomes an error here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import qedge
from qedge.errors import ModelError, ToolError

_INSTALL = 'pip install "qedge[keras]"'
_NOISE = re.compile(
    r"cuda|computation_placer|oneDNN|cpu_feature_guard|TF-TRT|absl::InitializeLog|rebuild TensorFlow"
    r"|^[IW]\d{4} |^[IW]0000|^\s*$|WARNING:|warnings\.warn|Warning:",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Names:
    """Names of a model's inputs and outputs, in the order in which its author gave them.

    ``layers`` are the names of its layers, where it has such.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[str, ...] = ()


def convert(
    path: Path, kind: str, workdir: Path, input_shapes: Mapping[str, Sequence[int]], timeout_s: float
) -> tuple[bytes, Names]:
    """Return a float ``.tflite`` as TensorFlow writes it, and the model's names.

    Args:
        path: of the model.
        kind: ``keras``, ``h5`` or ``savedmodel``.
        workdir: existing folder; a temporary folder is made in it.
        input_shapes: shape by input name.
        timeout_s: seconds after which the child is ended.

    Raises:
        ModelError: the model cannot be converted, or the child crashed, ran out of memory or of time.
        ToolError: TensorFlow or tf-keras is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="convert-", dir=workdir) as name:
        folder = Path(name)
        status, said = run([write_request(path, kind, folder, input_shapes)], timeout_s)
        if status is None:
            raise ModelError(
                f"the conversion of {path} took more than {timeout_s:.0f} s and was ended{_last_lines(said)}",
                hint="convert the model to a float .tflite yourself and pass that",
            )
        return read_result(path, folder, status, said)


def write_request(path: Path, kind: str, folder: Path, input_shapes: Mapping[str, Sequence[int]]) -> Path:
    """Write what the child is to do with one model into an existing folder; return the file."""
    request = {
        "path": str(path.resolve()),
        "kind": kind,
        "folder": str(folder),
        "input_shapes": {name: [int(d) for d in shape] for name, shape in input_shapes.items()},
    }
    file = folder / "request.json"
    file.write_text(json.dumps(request))
    return file


def read_result(path: Path, folder: Path, status: int, said: str) -> tuple[bytes, Names]:
    """Return what the child left for one model.

    Raises:
        ModelError: it crashed, or refused the model.
        ToolError: something is not installed.
    """
    result_file = folder / "result.json"
    if not result_file.is_file():
        raise _crash(path, status, said)
    result = json.loads(result_file.read_text())
    if "error" in result:
        raise _reported(path, result["error"])
    names = Names(*(tuple(result[key]) for key in ("inputs", "outputs", "layers")))
    return (folder / "model.tflite").read_bytes(), names


def run(requests: Sequence[Path], timeout_s: float) -> tuple[int | None, str]:
    """Run the child on requests; return its exit status (None when the time ran out) and what it said.

    The child's own children end with it.
    """
    root = str(Path(qedge.__file__).resolve().parent.parent)
    settings = {
        "PYTHONPATH": os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p),
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore",
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, "-m", "qedge.frontends._convert", *map(str, requests)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **settings},
            start_new_session=True,
        ) as process,
    ):
        status: int | None = None
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        log.seek(0)
        return status, log.read().decode("utf-8", "replace")


def _last_lines(said: str) -> str:
    lines = [line.rstrip() for line in said.splitlines() if not _NOISE.search(line)]
    return "".join(f"\n  {line[:200]}" for line in lines[-6:])


def _crash(path: Path, status: int, said: str) -> ModelError:
    hint = "convert the model to a float .tflite yourself and pass that"
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        if -status == signal.SIGKILL:
            hint = (
                "the machine probably ran out of memory: close other programs or convert on a larger machine"
            )
        what = f"crashed with {name}"
    else:
        what = f"ended with status {status}"
    return ModelError(f"TensorFlow {what} while it converted {path}{_last_lines(said)}", hint=hint)


def _reported(path: Path, error: Mapping[str, str]) -> ModelError | ToolError:
    if error["kind"] == "missing":
        return ToolError(f"{path} needs {error['message']}, which is not installed", hint=_INSTALL)
    return ModelError(f"{path}: {error['message']}", hint=error.get("hint") or None)
