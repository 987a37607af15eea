"""Run a front end in a child process, so that a crash there becomes an error here, with bounded time and memory."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from qedge.children import environment
from qedge.errors import ModelError, QedgeError, ToolError, UnsupportedError
from qedge.findings import Finding
from qedge.frontends.protocol import Converted, FrontEnd, Job, Names, Refusal

_YOURSELF = "convert the model to a float .tflite yourself and pass that"
_LARGER = "close other programs or convert on a larger machine"
_LOOK_S = 0.1


@dataclass(frozen=True)
class Limits:
    """What a conversion may take.

    Args:
        seconds: wall-clock time.
        memory_bytes: resident memory of the child and its children; None is three quarters of what the machine
            has free, at least 1 GiB.
    """

    seconds: float = 900
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Ended:
    """How the child ended: its status (None when it was ended for ``why``), and what it said."""

    status: int | None
    said: str
    why: str = ""


def convert(front_end: FrontEnd, job: Job, limits: Limits) -> Converted:
    """Return what a front end makes of a model in a child process.

    Args:
        job: its ``folder`` must exist and be empty.
        limits: what the child may take.

    Raises:
        ModelError: the model cannot be converted, is not only data, or the child crashed or passed a limit.
        UnsupportedError: operators without a form in TFLite.
        ToolError: a package is not installed.
    """
    request = write_request(front_end, job)
    ended = run([request], [front_end], job.folder, limits)
    if ended.status is None:
        hint = f"{_LARGER}; the file may also be damaged" if "memory" in ended.why else _YOURSELF
        said = _last_lines(front_end, ended.said)
        raise ModelError(f"the conversion of {job.given} {ended.why} and was ended{said}", hint=hint)
    return read_result(front_end, job, ended)


def prove(front_end: FrontEnd, job: Job, samples: Sequence[Sequence[Any]], limits: Limits) -> list[Finding]:
    """Compare a conversion with its original on samples, in a child process; return its findings.

    Raises:
        ModelError: they differ, or the child crashed or passed a limit.
    """
    arrays = {f"{i}_{k}": array for i, sample in enumerate(samples) for k, array in enumerate(sample)}
    np.savez(job.folder / "samples.npz", **cast(Any, arrays))
    request = write_request(front_end, job, prove=True)
    ended = run([request], [front_end], job.folder, limits)
    if ended.status is None:
        said = _last_lines(front_end, ended.said)
        raise ModelError(f"comparing {job.given} on samples {ended.why} and was ended{said}", hint=_LARGER)
    return [Finding(**f) for f in _result(front_end, job, ended)["findings"]]


def write_request(front_end: FrontEnd, job: Job, *, prove: bool = False) -> Path:
    """Write what the child is to do with one model into the job's folder; return the file."""
    request = {
        "prove": prove,
        "front_end": front_end.info.name,
        "given": job.given,
        "path": str(job.path),
        "folder": str(job.folder),
        "started_in": str(job.started_in),
        "input_shapes": {name: [int(d) for d in shape] for name, shape in job.input_shapes.items()},
        "input_values": {name: [float(v) for v in values] for name, values in job.input_values.items()},
        "trusted": job.trusted,
    }
    file = job.folder / "request.json"
    file.write_text(json.dumps(request))
    return file


def read_result(front_end: FrontEnd, job: Job, ended: Ended) -> Converted:
    """Return what the child left for one model.

    Raises:
        ModelError, UnsupportedError: it crashed, or refused the model.
        ToolError: something is not installed.
    """
    result = _result(front_end, job, ended)
    names = result["names"]
    findings = [Finding(**f) for f in result["findings"]]
    if result["trusted"]:
        listed = "; ".join(result["trusted"][:5])
        findings.append(Finding("info", "trusted-model", f"you vouched for {job.given}: {listed}"))
    return Converted(
        data=(job.folder / "model.tflite").read_bytes(),
        names=None if names is None else Names(*(tuple(part) for part in names)),
        orders={name: tuple(order) for name, order in result["orders"].items()},
        findings=tuple(findings),
        shapes_applied=result["shapes_applied"],
        notes=result["notes"],
    )


def _result(front_end: FrontEnd, job: Job, ended: Ended) -> dict[str, Any]:
    """Return the child's answer, or raise what it refused."""
    result_file = job.folder / "result.json"
    if not result_file.is_file():
        raise _crash(front_end, job.given, ended)
    result = json.loads(result_file.read_text())
    if "error" in result:
        error = result["error"]
        findings = [Finding(**f) for f in error["findings"]]
        refusal = Refusal(error["message"], error["hint"], error["kind"], findings)
        raise as_error(front_end, job.given, refusal)
    return dict(result)


def run(requests: Sequence[Path], front_ends: Sequence[FrontEnd], folder: Path, limits: Limits) -> Ended:
    """Run the child on requests and return how it ended; its own children end with it.

    Args:
        folder: its working directory and home of temporary files.
    """
    memory = limits.memory_bytes or _free_memory()
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, "-m", "qedge.frontends.child_main", str(memory), *map(str, requests)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(front_ends, folder),
            cwd=folder,
            start_new_session=True,
        ) as process,
    ):
        try:
            why = _watch(process, time.monotonic() + limits.seconds, limits.seconds, memory)
        finally:
            _end(process)
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
        return Ended(None if why else process.returncode, said, why)


def _environment(front_ends: Sequence[FrontEnd], folder: Path) -> dict[str, str]:
    settings = {**environment(), "PYTHONWARNINGS": "ignore", "TMPDIR": str(folder)}
    for front_end in front_ends:
        for name, value in front_end.info.environment.items():
            settings[name] = value.replace("{folder}", str(folder))
    return settings


def _watch(process: subprocess.Popen[bytes], end: float, seconds: float, memory: int) -> str:
    """Wait for the child; return why it must be ended, "" when it ended itself."""
    while True:
        try:
            process.wait(min(_LOOK_S, max(end - time.monotonic(), 0.001)))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                return f"took more than {seconds:.0f} s"
            if _resident(process.pid) > memory:
                return f"took more than the {memory / 2**30:.1f} GiB of memory that it may"
            continue
        return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child with its own children; where there are no process groups (Windows), the child alone."""
    if not hasattr(os, "killpg"):
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


def _resident(pid: int) -> int:
    """Return the resident bytes of a process and its children, 0 where the system does not tell."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except (OSError, IndexError, ValueError):
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE")
        waiting += [int(child) for child in children]
    return total


def _free_memory() -> int:
    """Return three quarters of the memory that is free here, in bytes, at least 1 GiB."""
    free = 8 << 30
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        free = int(found[1]) * 1024 if found else free
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        free = min(free, int(limit) - used) if limit.isdigit() else free
    except (OSError, ValueError):
        pass
    return max(free * 3 // 4, 1 << 30)


def _last_lines(front_end: FrontEnd, said: str) -> str:
    noise = re.compile(front_end.info.noise, re.IGNORECASE)
    lines = [line.rstrip() for line in said.splitlines() if not noise.search(line)]
    return "".join(f"\n  {line[:200]}" for line in lines[-6:])


def _crash(front_end: FrontEnd, given: str, ended: Ended) -> ModelError:
    hint, status = _YOURSELF, ended.status or 0
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        if name == "SIGKILL":
            hint = f"the machine probably ran out of memory: {_LARGER}"
        what = f"crashed with {name}"
    else:
        what = f"ended with status {status}"
    said = _last_lines(front_end, ended.said)
    return ModelError(f"{front_end.info.title} {what} while it converted {given}{said}", hint=hint)


def as_error(front_end: FrontEnd, given: str, refusal: Refusal) -> QedgeError:
    """Return a front end's refusal as the error that a user sees."""
    message, hint = refusal.message, refusal.hint or None
    if refusal.kind == "missing":
        return ToolError(f"{given} needs {message}, which is not installed", hint=front_end.info.install)
    if refusal.kind == "hazards":
        return ModelError(f"{given} is {message}", hint=hint)
    kind = UnsupportedError if refusal.kind == "unsupported" else ModelError
    return kind(f"{given}: {message}", hint=hint, findings=refusal.findings)
