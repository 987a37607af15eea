"""The child process: learns one job. The only module of tuning that imports TensorFlow.

Run as ``python -m qedge.tune.child_main FOLDER``. The folder holds the float model, the samples, the job and its
start; a line of JSON on standard output tells of every look at the held-out samples, and ``best.npz`` is replaced
whenever one is the best so far, so that nothing is lost when the process is ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from qedge.children import end_with
from qedge.graph import Graph
from qedge.tune.job import MODEL, SAMPLES, SETTINGS, START, Job, Start
from qedge.tune.training import Samples, Trainer
from qedge.tune.twins import NoTwin

BEST = "best.npz"


def main(folder: Path) -> None:
    """Learn what the folder holds, and leave the best there."""
    began = time.monotonic()
    job = Job.load((folder / SETTINGS).read_text())
    tf = tensorflow(job.settings.threads)
    graph = Graph.from_bytes((folder / MODEL).read_bytes(), "the float model")
    fit, held = read_samples(folder / SAMPLES)
    try:
        trainer = Trainer(tf, graph, job, Start.read(folder / START), fit, held)
        trainer.run(began, _tell, lambda best: _keep(best, folder))
    except NoTwin as found:
        _say({"refused": str(found)})


def tensorflow(threads: int) -> Any:
    """Return the TensorFlow module, quiet, on this many threads, with results that repeat."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    return tf


def read_samples(path: Path) -> tuple[Samples, Samples | None]:
    """Return the samples to learn from and those held out, None where there are none."""
    with np.load(path) as stored:
        inputs = [stored[f"x{k}"] for k in range(sum(name.startswith("x") for name in stored.files))]
        named, held = stored["labels"], stored["held"]
    classes = int(named.max(initial=-1)) + 1
    labels = np.zeros((len(named), classes), np.float32)
    labels[named >= 0, named[named >= 0]] = 1.0
    every = Samples(inputs, labels)
    others = np.setdiff1d(np.arange(len(named)), held)
    return Samples(*every.take(others)), Samples(*every.take(held)) if len(held) else None


def _keep(best: Start, folder: Path) -> None:
    best.save(folder / "next.npz")
    os.replace(folder / "next.npz", folder / BEST)


def _tell(step: int, total: int, loss: float, left: float) -> None:
    _say({"step": step, "of": total, "loss": loss, "left": left})


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    end_with(os.getppid())
    main(Path(sys.argv[1]))
