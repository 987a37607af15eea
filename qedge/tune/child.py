"""Starts the child process that learns, and takes what it leaves: TensorFlow stays out of this one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.children import environment
from qedge.errors import ToolError
from qedge.installing import install_command
from qedge.tune.job import MODEL, SAMPLES, SETTINGS, START, Job, Start, write_samples

Array = npt.NDArray[Any]
Look = Callable[[int, int, float], None]
GRACE, STARTING = 1.25, 30.0
"""Times the stated time, and seconds beside it, after which a child is ended that did not end by itself."""


@dataclass(frozen=True)
class Lesson:
    """What came of it.

    Args:
        best: what was learned, or None where nothing beat the start.
        why: why there is nothing, for a person; "" where all went well, though nothing may have beaten the start.
        stopped: whether the user ended it early.
    """

    best: Start | None
    why: str = ""
    stopped: bool = False


def require_tensorflow() -> None:
    """Raise unless TensorFlow is installed.

    Raises:
        ToolError: it is not.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ToolError(
            "tuning needs TensorFlow, which is not installed",
            hint=f"{install_command('keras')}, or build without --tune",
        )


def learn(
    model: bytes,
    job: Job,
    start: Start,
    samples: Sequence[Sequence[Array]],
    held: Sequence[int],
    labels: Array,
    look: Look,
) -> Lesson:
    """Return what a child process learned.

    Args:
        model: the float model that the job's tensors belong to.
        samples: one array an input each, as the first layer reads them.
        held: positions of the samples that only judge.
        labels: class indices, -1 where there is none.
        look: called with the step, how many there are and the seconds left.
    """
    require_tensorflow()
    with tempfile.TemporaryDirectory(prefix="qedge-tune-") as scratch:
        folder = Path(scratch)
        (folder / MODEL).write_bytes(model)
        (folder / SETTINGS).write_text(job.dump())
        start.save(folder / START)
        write_samples(folder / SAMPLES, samples, held, labels)
        why, stopped = _run(folder, look, GRACE * job.settings.seconds + STARTING)
        kept = folder / "best.npz"
        best = Start.read(kept) if kept.is_file() else None
    return Lesson(best, "" if best is not None else why, stopped)


def _run(folder: Path, look: Look, seconds: float) -> tuple[str, bool]:
    """Run the child; return why it found nothing ("" when it did not say) and whether the user ended it.

    The child minds its time between steps. What is still busy after ``seconds``, with a graph that takes long to build,
    is ended from here.
    """
    why, late = "", threading.Event()
    with (
        open(folder / "said", "wb") as said,
        subprocess.Popen(
            [sys.executable, "-m", "qedge.tune.child_main", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env=environment(),
            cwd=folder,
            text=True,
            start_new_session=True,  # Ctrl-C ends it from here, once its best is read
        ) as process,
    ):
        assert process.stdout is not None

        def end() -> None:
            late.set()
            process.kill()

        watch = threading.Timer(seconds, end)
        watch.start()
        try:
            for line in process.stdout:
                told = json.loads(line) if line.startswith("{") else {}
                why = told.get("refused", why)
                if "step" in told:
                    look(told["step"], told["of"], told["left"])
            process.wait()
        except KeyboardInterrupt:
            return "it was ended early", True
        finally:
            watch.cancel()
            process.kill()
    if late.is_set():
        return f"it took longer than {seconds:.0f} s: allow more with --tune-minutes", False
    if process.returncode and not why:
        last = (folder / "said").read_text(errors="replace").strip().splitlines()[-1:]
        why = f"the child process ended with status {process.returncode}: {''.join(last)[:200]}"
    return why, False


def class_labels(labels: npt.NDArray[np.int64] | None, indices: Sequence[int]) -> Array:
    """Return the class indices of samples, -1 for all where there are none."""
    if labels is None:
        return np.full(len(indices), -1, np.int64)
    return np.asarray(labels, np.int64)[list(indices)]
