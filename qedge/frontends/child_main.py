"""The child process: models to ``.tflite``, each by its front end.

Run as ``python -m qedge.frontends.child_main REQUEST.json ...``. A request names the front end, the model and a
folder; the folder then holds ``result.json`` (names, or a refusal) and ``model.tflite``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qedge.children import end_with
from qedge.errors import QedgeError
from qedge.frontends import registry, trust
from qedge.frontends.protocol import FrontEnd, Job, Refusal

LARGEST_FILE = 8 << 30
"""Bytes of the largest file that a conversion may write."""
BEYOND = 2 << 30
"""Bytes that a process may reserve beyond the memory it may use: libraries reserve more than they touch."""


def main(request_file: str) -> None:
    """Convert what a request names; always leave a ``result.json`` unless the process dies."""
    request = json.loads(Path(request_file).read_text())
    folder = Path(request["folder"])
    os.chdir(folder)
    try:
        result = _answer(request)
    except Refusal as refusal:
        result = {"error": _refused(refusal)}
    except QedgeError as error:
        result = {"error": _refused(Refusal(error.message, error.hint or "", findings=error.findings))}
    except MemoryError:
        result = {"error": _refused(Refusal("the conversion ran out of memory", _MEMORY))}
    (folder / "result.json").write_text(json.dumps(result))


_MEMORY = "close other programs, or convert on a larger machine; the file may also be damaged"


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    front_end = registry.resolve(request["front_end"])
    job = Job(
        given=request["given"],
        path=Path(request["path"]),
        folder=Path(request["folder"]),
        started_in=Path(request["started_in"]),
        input_shapes=request["input_shapes"],
        input_values=request["input_values"],
        trusted=request["trusted"],
    )
    try:
        if request.get("prove"):
            return {"findings": [asdict(f) for f in front_end.prove(job, _samples(job.folder))]}
        return _convert(front_end, job)
    except (Refusal, QedgeError, MemoryError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise front_end.explain(error) from error


def _convert(front_end: FrontEnd, job: Job) -> dict[str, Any]:
    hazards = front_end.hazards(job)
    if hazards and not job.trusted:
        error = trust.refusal("it", hazards)
        raise Refusal(error.message.removeprefix("it is "), error.hint or "", kind="hazards")
    if job.trusted:
        sys.path.append(str(job.started_in))  # where the author's own modules are
    made = front_end.convert(job)
    (job.folder / "model.tflite").write_bytes(made.data)
    names = made.names
    return {
        "names": None if names is None else [names.inputs, names.outputs, names.layers],
        "orders": {name: [int(d) for d in order] for name, order in made.orders.items()},
        "findings": [asdict(f) for f in made.findings],
        "trusted": [h.what for h in hazards],
        "shapes_applied": made.shapes_applied,
        "notes": dict(made.notes),
    }


def _samples(folder: Path) -> list[list[Any]]:
    """Return the samples that the parent wrote: one array an input."""
    import numpy as np

    found: dict[int, dict[int, Any]] = {}
    with np.load(folder / "samples.npz") as stored:
        for key in stored.files:
            i, _, k = key.partition("_")
            found.setdefault(int(i), {})[int(k)] = stored[key]
    return [[sample[k] for k in sorted(sample)] for _, sample in sorted(found.items())]


def _refused(refusal: Refusal) -> dict[str, Any]:
    return {
        "kind": refusal.kind,
        "message": refusal.message,
        "hint": refusal.hint,
        "findings": [asdict(f) for f in refusal.findings],
    }


def bound(memory_bytes: int) -> None:
    """Bound this process's memory and the files that it writes, where the system can; no core dumps."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, limit in (
        (resource.RLIMIT_DATA, memory_bytes + BEYOND),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        wanted = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(what, (wanted, hard))
        except (OSError, ValueError):  # a system that does not bound this
            continue


if __name__ == "__main__":
    end_with(os.getppid())
    bound(int(sys.argv[1]))
    for argument in sys.argv[2:]:
        main(argument)
