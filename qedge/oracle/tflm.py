"""The oracle of the microcontroller export: TFLite Micro's interpreter, from the ``tflite-micro`` wheel.

Its kernels requantise with double rounding, as every TFLite Micro build does (:mod:`qedge.quantmath`).
The wheel exists for Linux on x86-64; elsewhere :func:`available` is False and a bundle's golden vectors
take its place. It runs in a child process, because it ends its process on a failed internal check.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.errors import ModelError, ToolError
from qedge.graph import Graph
from qedge.graph.edit import Editor

Array = npt.NDArray[Any]

DISTRIBUTION = "tflite-micro"
_MOST_PRESERVED = 1024
"""Buffers that the interpreter plans at most where it preserves every tensor; an operator may want one of its own."""
_READABLE = {"float32", "int8", "uint8", "int16", "int32", "int64", "bool"}


@dataclass(frozen=True, eq=False)
class Job:
    """A model, and inputs for consecutive runs of one interpreter (so state carries over).

    Args:
        model: a ``.tflite``.
        samples: for each run one array an input, in the input's shape and type.
        inner: whether the inner tensors are wanted too.
        arena_bytes: size of the interpreter's arena, or None for one that surely suffices.
    """

    model: bytes
    samples: Sequence[Sequence[Array]]
    inner: bool = False
    arena_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """What one run gave: ``outputs`` in order, and what operators wrote, by tensor index."""

    outputs: tuple[Array, ...]
    tensors: dict[int, Array] = field(default_factory=dict)


def available() -> bool:
    """Whether the wheel is installed."""
    return importlib.util.find_spec("tflite_micro") is not None


def version() -> str | None:
    """Return the wheel's version, or None where it is not installed."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None


def run(
    model: bytes,
    samples: Sequence[Sequence[Array]],
    *,
    inner: bool = False,
    arena_bytes: int | None = None,
) -> list[Run]:
    """Run one model on consecutive samples; see :func:`run_many`.

    Raises:
        ToolError: the wheel is missing or crashes.
        ModelError: the interpreter refuses the model.
    """
    (found,) = run_many([Job(model, samples, inner, arena_bytes)])
    if isinstance(found, ModelError):
        raise found
    return found


def run_many(jobs: Sequence[Job], *, timeout_s: float = 600.0) -> list[list[Run] | ModelError]:
    """Run several models in one child process; a model that the interpreter refuses gives its error.

    Raises:
        ToolError: the wheel is missing, or does not start.
    """
    if not available():
        raise ToolError(
            f"{DISTRIBUTION} is not installed, and it is the oracle of the microcontroller export",
            hint=f"pip install {DISTRIBUTION}, on Linux x86-64",
        )
    graphs = [Graph.from_bytes(job.model) for job in jobs]
    with tempfile.TemporaryDirectory(prefix="qedge-tflm-") as name:
        folder = Path(name)
        wanted = [_write(folder, k, job, graph) for k, (job, graph) in enumerate(zip(jobs, graphs))]
        first = 0
        while first < len(wanted):
            (folder / "jobs.json").write_text(json.dumps(wanted[first:]))
            first = _child(folder, first, len(wanted), timeout_s)
        return [_read(folder, job) for job in wanted]


def inner_tensors(graph: Graph) -> list[int]:
    """Return the indices of the tensors that operators of the main graph write and that can be compared."""
    written = [t for op in graph.operators for t in op.outputs]
    return [t for t in dict.fromkeys(written) if graph.tensors[t].dtype in _READABLE]


def _write(folder: Path, index: int, job: Job, graph: Graph) -> dict[str, Any]:
    stem = folder / str(index)
    tensors = inner_tensors(graph) if job.inner else []
    computed = sum(not t.is_constant for t in graph.tensors)
    as_outputs = bool(tensors) and computed + len(graph.operators) > _MOST_PRESERVED
    model = _with_outputs(job.model, tensors) if as_outputs else job.model
    stem.with_suffix(".tflite").write_bytes(model)
    values = {
        f"{n}.{k}": np.asarray(value, order="C")
        for n, sample in enumerate(job.samples)
        for k, value in enumerate(sample)
    }
    np.savez(stem.with_suffix(".npz"), **values)  # type: ignore[arg-type]
    return {
        "index": index,
        "runs": len(job.samples),
        "inputs": len(graph.inputs),
        "outputs": len(graph.outputs),
        "tensors": tensors,
        "as_outputs": as_outputs,
        "arena_bytes": job.arena_bytes or _ample_arena(graph),
    }


def _with_outputs(model: bytes, tensors: Sequence[int]) -> bytes:
    """Return a model with more outputs behind its own: they keep their memory to the end of a run."""
    editor = Editor.from_bytes(model)
    editor.outputs = [*editor.outputs, *tensors]
    return editor.pack()


def _ample_arena(graph: Graph) -> int:
    """Bytes for every tensor at once, an im2col's worth of scratch and the interpreter's records."""
    activations = sum(t.nbytes for g in graph.subgraphs for t in g.tensors if not t.is_constant)
    records = sum(1024 * len(g.operators) + 256 * len(g.tensors) for g in graph.subgraphs)
    constants = sum(t.nbytes for g in graph.subgraphs for t in g.tensors if t.is_constant)
    return (1 << 18) + 6 * activations + 4 * constants + records


def _child(folder: Path, first: int, count: int, timeout_s: float) -> int:
    """Run the jobs from ``first`` on; return the job to go on with, which is ``count`` unless one crashed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "qedge.oracle.tflm_child", str(folder)]
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{DISTRIBUTION} did not finish in {timeout_s:.0f} s") from error
    _, *said = re.split(r"^job \d+\n", done.stderr, flags=re.MULTILINE)
    for k, lines in enumerate(said, first):
        refused = folder / f"{k}.error"
        if refused.exists():
            refused.write_text(f"{refused.read_text()}: {_last_lines(lines)}")
    if done.returncode == 0:
        return count
    if not said:
        raise ToolError(
            f"{DISTRIBUTION} {version()} does not start: {_last_lines(done.stderr)}",
            hint=f"install it again: pip install --force-reinstall {DISTRIBUTION}",
        )
    crashed = first + len(said) - 1
    reason = f"it ends the interpreter with status {done.returncode}: {_last_lines(said[-1])}"
    (folder / f"{crashed}.error").write_text(reason)
    return crashed + 1


def _read(folder: Path, job: dict[str, Any]) -> list[Run] | ModelError:
    stem = folder / str(job["index"])
    refused = stem.with_suffix(".error")
    if refused.exists():
        return ModelError(
            f"{DISTRIBUTION} refuses the model: {refused.read_text()}",
            hint="where it names an operator, put another layer in its place, or build for a target with LiteRT",
        )
    with np.load(stem.with_suffix(".out.npz")) as results:
        return [
            Run(
                tuple(results[f"{n}.output.{k}"] for k in range(job["outputs"])),
                {t: results[f"{n}.tensor.{t}"] for t in job["tensors"]},
            )
            for n in range(job["runs"])
        ]


def _last_lines(text: str) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-4:]) or "it said nothing"
