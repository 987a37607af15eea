"""Read a model of any kind that an installed front end knows."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qedge.errors import ModelError
from qedge.findings import Finding
from qedge.frontends import child, registry
from qedge.frontends.candidate import Candidate, look
from qedge.frontends.normalize import normalize
from qedge.frontends.protocol import Converted, FrontEnd, Job, Refusal
from qedge.frontends.source import SourceModel, hash_path

Progress = Callable[[str, float], None]


def load_model(
    path: str | Path,
    *,
    workdir: Path,
    progress: Progress | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    input_values: Mapping[str, Sequence[float]] | None = None,
    timeout_s: float = 900,
    memory_bytes: int | None = None,
    trust: bool = False,
) -> SourceModel:
    """Return a model as a static ``.tflite`` of batch 1: float, or full-integer as it was given.

    The kind is told by the content before the name. Frameworks run in a child process with bounded time and
    memory, and only those that the model needs.

    Args:
        path: a model of any installed front end: a file or a folder.
        workdir: existing folder for intermediate files.
        progress: called with what is being done and the fraction done.
        input_shapes: shape by input name, batch 1 included, for inputs with dynamic dimensions; the name
            ``""`` is the only input, whatever it is called.
        input_values: numbers by input name, for inputs that become constants; not every front end can.
        timeout_s: seconds after which the conversion is given up.
        memory_bytes: memory that the conversion may take; None is three quarters of what is free.
        trust: whether the user vouches for the file, so that code in it may run.

    Raises:
        ModelError: the model cannot be read or converted, or is not only data; says what was found, and what
            helps.
        UnsupportedError: operators without a form in TFLite, all of them.
        ToolError: the model needs a framework that is not installed.
    """
    report = progress or (lambda _what, _fraction: None)
    candidate = look(path)
    report(f"reading {candidate.path.name}", 0.0)
    front_end = registry.recognise(candidate)
    front_end.examine(candidate)
    shapes = dict(input_shapes or {})
    with tempfile.TemporaryDirectory(prefix="convert-", dir=workdir) as folder:
        job = Job(
            given=candidate.given,
            path=candidate.path.resolve(),
            folder=Path(folder).resolve(),
            started_in=Path.cwd(),
            input_shapes=shapes,
            input_values=dict(input_values or {}),
            trusted=trust,
        )
        if front_end.info.isolated:
            report(f"converting with {front_end.info.title}", 0.1)
            made = child.convert(front_end, job, child.Limits(timeout_s, memory_bytes))
        else:
            made = _here(front_end, job)
    report("checking the float model", 0.9)
    result = normalize(made.data, candidate.given, made.names, {} if made.shapes_applied else shapes)
    report(f"read {candidate.path.name}", 1.0)
    return SourceModel(
        data=result.data,
        kind=result.kind,
        origin=front_end.info.name,
        name=front_end.name_of(candidate),
        sha256=_hash(candidate, made),
        findings=(*made.findings, *result.findings),
        orders=made.orders,
        notes=made.notes,
    )


def prove(
    given: str | Path,
    source: SourceModel,
    samples: Sequence[Sequence[Any]],
    *,
    workdir: Path,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    input_values: Mapping[str, Sequence[float]] | None = None,
) -> list[Finding]:
    """Compare a model that was read with its original on samples, where its front end can; return the findings.

    Args:
        given: what :func:`load_model` was given.
        samples: one array an input, as ``source.data`` takes them.

    Raises:
        ModelError: they differ; nothing is to be built from it.
    """
    front_end = registry.resolve(source.origin)
    if not front_end.info.proves or not samples:
        return []
    candidate = look(given)
    with tempfile.TemporaryDirectory(prefix="prove-", dir=workdir) as folder:
        job = Job(
            given=candidate.given,
            path=candidate.path.resolve(),
            folder=Path(folder).resolve(),
            started_in=Path.cwd(),
            input_shapes=dict(input_shapes or {}),
            input_values=dict(input_values or {}),
        )
        return child.prove(front_end, job, samples, child.Limits())


def _here(front_end: FrontEnd, job: Job) -> Converted:
    """Convert in this process, for a front end that runs no foreign code."""
    try:
        return front_end.convert(job)
    except Refusal as refusal:
        raise child.as_error(front_end, job.given, refusal) from refusal
    except OSError as error:
        raise ModelError(f"cannot read {job.given}: {error.strerror or error}") from error


def _hash(candidate: Candidate, made: Converted) -> str:
    """Return the SHA-256 of what the user gave; of the result where that is no file."""
    if candidate.kind == "nothing":
        return hashlib.sha256(made.data).hexdigest()
    try:
        return hash_path(candidate.path)
    except OSError as error:
        raise ModelError(f"cannot read {candidate.given}: {error.strerror or error}") from error
