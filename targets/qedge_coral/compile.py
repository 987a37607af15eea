"""Drive ``edgetpu_compiler``: find it, run it with a time limit, read what it said and wrote."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qedge.errors import ModelError, ToolError, UsageError
from qedge.graph import Graph
from qedge_coral import compiler_log, package

PROGRAM = "edgetpu_compiler"
VARIABLE = "QEDGE_EDGETPU_COMPILER"
DEFAULT_TIMEOUT_S = 180
MARGIN_S = 20
"""The compiler watches its own time limit; a process that hangs is ended this much later."""
STEM = "model"


@dataclass(frozen=True)
class Result:
    """What a run of the compiler gave: the compiled models in order of segments, and its log."""

    models: tuple[bytes, ...]
    log: compiler_log.CompilerLog
    text: str


def find(options: Mapping[str, Any]) -> Path | None:
    """Return the compiler: the option, the environment variable, then the search path; None without any.

    Raises:
        ToolError: a compiler was named that is not there or cannot be run.
    """
    named = options.get("compiler") or os.environ.get(VARIABLE)
    if not named:
        found = shutil.which(PROGRAM)
        return Path(found) if found else None
    resolved = shutil.which(str(named))
    if resolved is None:
        raise ToolError(
            f"the Edge TPU compiler {str(named)!r} is not there, or cannot be run",
            hint=f"give its path with --compiler or {VARIABLE}; leave both away to build without it",
        )
    return Path(resolved)


def arguments(options: Mapping[str, Any]) -> list[str]:
    """Return the compiler's options for ours, without the model and the output folder."""
    found = ["-s", "-t", str(timeout_s(options))]
    segments = int(options.get("segments") or 1)
    if segments < 1:
        raise UsageError(f"--segments: found {segments}, expected 1 or more", hint="one segment an Edge TPU")
    if segments > 1:
        found += ["-n", str(segments)]
    if options.get("all_subgraphs"):
        found.append("-a")
    if options.get("search"):
        found.append("-d")
    if options.get("intermediate"):
        found += ["-i", str(options["intermediate"])]
    return found


def timeout_s(options: Mapping[str, Any]) -> int:
    """Return the time limit of the compiler in whole seconds, at least 1."""
    value = options.get("timeout")
    return max(1, round(float(value))) if value is not None else DEFAULT_TIMEOUT_S


def command(options: Mapping[str, Any], model: str = "model.tflite") -> str:
    """Return the command line to type where the compiler is installed."""
    return shlex.join([PROGRAM, *arguments(options), model])


def run(program: Path, model: bytes, options: Mapping[str, Any], workdir: Path) -> Result:
    """Compile a model.

    Raises:
        ToolError: the compiler fails, is too slow or writes no model; ``findings`` has its reasons.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    source, out = workdir / f"{STEM}.tflite", workdir / "compiled"
    source.write_bytes(model)
    out.mkdir(exist_ok=True)
    limit = timeout_s(options)
    line = [str(program), *arguments(options), "-o", str(out), str(source)]
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=limit + MARGIN_S, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"{PROGRAM} did not end within {limit} s",
            hint="raise --timeout, or compile with --search, or a smaller model",
        ) from error
    except OSError as error:
        raise ToolError(
            f"{PROGRAM} cannot be run: {error.strerror}",
            hint="it is an x86-64 Linux program; COMPILE.md of the bundle says how to run it elsewhere",
        ) from error
    text = done.stdout + done.stderr
    log = compiler_log.parse(text)
    if done.returncode or log.findings or not log.succeeded:
        raise _failure(done.returncode, log, text)
    return Result(tuple(_outputs(out, int(options.get("segments") or 1), text)), log, text)


def _failure(code: int, log: compiler_log.CompilerLog, text: str) -> ToolError:
    if log.findings:
        first = log.findings[0]
        return ToolError(first.message, hint=first.hint, findings=log.findings)
    said = [line.strip() for line in text.splitlines() if line.strip()]
    last = said[-1] if said else "nothing"
    if "completed within timeout period" in text and "Compilation failed" in text:
        cause = "the compiler failed or ran out of time without a reason"
    else:
        cause = f"{PROGRAM} ended with status {code}; its last words: {last}"
    return ToolError(
        cause, hint="raise --timeout, then try --search; COMPILE.md has the command to try by hand"
    )


def _outputs(folder: Path, segments: int, text: str) -> list[bytes]:
    if segments == 1:
        names = [f"{STEM}_edgetpu.tflite"]
    else:
        names = [f"{STEM}_segment_{i}_of_{segments}_edgetpu.tflite" for i in range(segments)]
    found = []
    for name in names:
        path = folder / name
        if not path.is_file():
            raise ToolError(
                f"{PROGRAM} reported success but wrote no {name}",
                hint="run the command of COMPILE.md by hand and pass its result with --compiled",
            )
        found.append(path.read_bytes())
    return found


def read_given(path: str | Path, segments: int) -> list[bytes]:
    """Return compiled models that the user brings: one file, or a segment's file whose siblings lie beside
    it.

    Raises:
        ModelError: a file is missing or has not been compiled.
    """
    first = Path(path)
    names = [first]
    if segments > 1:
        marker = f"_segment_0_of_{segments}"
        if marker not in first.name:
            raise ModelError(
                f"--compiled {first.name}: expected the first of {segments} segments",
                hint=f"pass NAME{marker}_edgetpu.tflite; the others are looked for beside it",
            )
        names = [
            first.with_name(first.name.replace(marker, f"_segment_{i}_of_{segments}"))
            for i in range(segments)
        ]
    found = []
    for name in names:
        graph = Graph.from_file(name)
        if not package.is_compiled(graph):
            raise ModelError(
                f"--compiled {name.name}: found {len(graph.operators)} operators and no {package.CUSTOM_OP}",
                hint="pass the file that edgetpu_compiler wrote, NAME_edgetpu.tflite",
            )
        found.append(graph.data)
    return found
