"""A Dask cluster on this machine, started as its users start it, and which of its processes does the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def cluster(workers: int, folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Yield a scheduler's address and the processes of its workers; one that dies is started again by its nanny."""
    notes = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    started = [
        subprocess.Popen(
            [*dask, "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", notes], **quiet
        )
    ]
    try:
        for _ in range(workers):
            line = [*dask, "worker", "--scheduler-file", notes, "--nthreads", "1", "--no-dashboard"]
            started.append(subprocess.Popen([*line, "--local-directory", folder], **quiet))
        address = _address(notes, workers)
        yield address, started[1:]
    finally:
        for process in reversed(started):
            with suppress(ProcessLookupError):  # a test ended it
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _address(notes: Path, workers: int) -> str:
    from distributed import Client

    while not notes.exists():
        time.sleep(0.1)
    with Client(scheduler_file=str(notes), set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=120)
        return str(client.scheduler.address)


def worker_of(nanny: int) -> int | None:
    """Return the process that does a nanny's work."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            if parent == nanny and b"spawn_main" in (entry.parent / "cmdline").read_bytes():
                return int(entry.parent.name)
        except OSError:
            continue
    return None
