"""The child process of :mod:`qedge.oracle.tflm`: the only import of the ``tflite-micro`` wheel.

The wheel ends its process on a failed internal check, so it never runs in ours. Started as
``python -m qedge.oracle.tflm_child FOLDER``, it answers ``<k>.tflite`` and ``<k>.npz`` of the folder with
``<k>.out.npz``, in order, and with ``<k>.error`` where the interpreter refused.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(folder: Path) -> None:
    """Run every job of ``folder``."""
    from tflite_micro.python.tflite_micro import runtime

    for job in json.loads((folder / "jobs.json").read_text()):
        stem = folder / str(job["index"])
        print(f"job {job['index']}", file=sys.stderr, flush=True)
        try:
            results = _run(runtime, job, stem)
        except (RuntimeError, ValueError) as error:
            stem.with_suffix(".error").write_text(str(error))
            continue
        np.savez(stem.with_suffix(".out.npz"), **results)


def _run(runtime: Any, job: dict[str, Any], stem: Path) -> dict[str, Any]:
    preserve = bool(job["tensors"]) and not job["as_outputs"]
    kind = runtime.InterpreterConfig
    interpreter = runtime.Interpreter.from_bytes(
        stem.with_suffix(".tflite").read_bytes(),
        arena_size=job["arena_bytes"],
        intrepreter_config=kind.kPreserveAllTensors if preserve else kind.kAllocationRecording,
    )
    results: dict[str, Any] = {}
    with np.load(stem.with_suffix(".npz")) as given:
        for run in range(job["runs"]):
            for k in range(job["inputs"]):
                interpreter.set_input(given[f"{run}.{k}"], k)
            interpreter.invoke()
            for k in range(job["outputs"]):
                results[f"{run}.output.{k}"] = interpreter.get_output(k)
            for k, t in enumerate(job["tensors"], job["outputs"]):
                held = (
                    interpreter.get_output(k)
                    if job["as_outputs"]
                    else interpreter.GetTensor(t, 0)["tensor_data"]
                )
                results[f"{run}.tensor.{t}"] = held
    return results


if __name__ == "__main__":
    main(Path(sys.argv[1]))
