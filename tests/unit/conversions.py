"""Many models through their front ends in one child process, because TensorFlow takes seconds to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qedge.errors import ModelError, ToolError, UnsupportedError
from qedge.frontends import child
from qedge.frontends.normalize import Normalized, normalize
from qedge.frontends.protocol import Job
from qedge.frontends.registry import resolve

Outcome = Normalized | ModelError | ToolError | UnsupportedError
Shapes = Mapping[str, Mapping[str, Sequence[int]]]


def convert_all(
    models: Mapping[str, tuple[Path, str]],
    folder: Path,
    shapes: Shapes | None = None,
    trusted: Sequence[str] = (),
) -> dict[str, Outcome]:
    """Return what became of every model: (path, front end) by any name; errors are returned, not raised."""
    given, jobs = shapes or {}, {}
    for name, (path, kind) in models.items():
        work = folder / name
        work.mkdir(parents=True)
        job = Job(str(path), path, work, folder, given.get(name, {}), trusted=name in trusted)
        jobs[name] = resolve(kind), job
    requests = [child.write_request(front_end, job) for front_end, job in jobs.values()]
    ended = child.run(requests, [front_end for front_end, _ in jobs.values()], folder, child.Limits(600))
    assert ended.status == 0, (ended.why, ended.said[-3000:])
    found: dict[str, Outcome] = {}
    for name, (front_end, job) in jobs.items():
        try:
            made = child.read_result(front_end, job, ended)
            found[name] = normalize(made.data, job.given, made.names)
        except (ModelError, ToolError, UnsupportedError) as error:
            found[name] = error
    return found
