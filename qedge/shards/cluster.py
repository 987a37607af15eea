"""The workers of a cluster that exists already: Dask's ``distributed``, which starts on anything that runs Python.

The job goes to the cluster once, and from worker to worker there; portions go out by the indices of their samples, and
results come back in order. What a worker that dies was at, or had done and not handed over, another one does again.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from qedge._version import __version__
from qedge.errors import QedgeError, ToolError
from qedge.installing import install_command
from qedge.shards.protocol import Found, Job, Tick, bundled, packed, silent

CONNECT_S = 15
LOOK_S, LONELY_S = 10.0, 120.0
"""How often it is looked whether there are workers, and how long it is waited for one where there is none."""
AHEAD = 4
"""Bundles of portions that are out for each thread of the cluster: some at work, some waiting, some on their way."""
MOST_PORTIONS = 16

Bundle = Sequence[Sequence[int]]
_thread = threading.local()


class Cluster:
    """The cluster at an address, as ``dask scheduler`` prints it: ``tcp://10.0.0.5:8786``."""

    def __init__(self, address: str) -> None:
        self.address = address

    def run(self, job: Job[Found], portions: Sequence[Sequence[int]], tick: Tick) -> Iterator[Found]:
        """Yield the result of every portion, in order."""
        distributed = _library()
        import cloudpickle  # what distributed itself sends functions by

        payload = packed(job, cloudpickle.dumps)
        with _quiet(distributed), self._client(distributed) as client:
            threads = self._threads(client)
            bundles = deque(bundled(portions, threads, MOST_PORTIONS))
            try:
                yield from _through(client, payload, bundles, threads * AHEAD, tick)
            except QedgeError:
                raise
            except ImportError as problem:
                raise ToolError(
                    f"a worker of {self.address} lacks the module {problem.name!r}",
                    hint="give a file or a folder as data, or install the module there",
                ) from None
            except (distributed.KilledWorker, distributed.CancelledError, OSError) as problem:
                raise ToolError(
                    f"the cluster at {self.address} lost the work: {problem}",
                    hint="its workers' logs say why; is there memory for so many?",
                ) from None

    def _client(self, distributed: Any) -> Any:
        try:
            return distributed.Client(self.address, timeout=CONNECT_S, set_as_default=False, name="qedge")
        except (OSError, ValueError, TypeError) as problem:
            raise ToolError(
                f"no cluster at {self.address}: {problem}",
                hint="start one: dask scheduler, and dask worker ADDRESS on each machine",
            ) from None

    def _threads(self, client: Any) -> int:
        """Return how many threads work there, once each worker has said that it has this version of qedge."""
        threads = sum(client.nthreads().values())
        if not threads:
            raise ToolError(
                f"the cluster at {self.address} has no workers", hint=f"dask worker {self.address}"
            )
        try:
            versions = client.run(_version)
        except ImportError as problem:
            raise ToolError(
                f"a worker of {self.address} lacks {problem.name}",
                hint=f"install there: {install_command('host')}",
            ) from None
        others = sorted(f"{where} has {found}" for where, found in versions.items() if found != __version__)
        if others:
            raise ToolError(
                f"workers with another version than {__version__}: {', '.join(others[:5])}",
                hint=f'pip install "qedge[host]=={__version__}" there',
            )
        return int(threads)


def _library() -> Any:
    try:
        import distributed
    except ImportError as problem:
        raise ToolError(
            f"a cluster needs {problem.name}, which is not installed", hint=install_command("cluster")
        ) from None
    return distributed


def _quiet(distributed: Any) -> Any:
    """Return a context in which a model may be as large as it is."""
    import dask

    return dask.config.set({"distributed.admin.large-graph-warning-threshold": 1 << 40})


def _through(client: Any, payload: bytes, left: deque[Bundle], ahead: int, tick: Tick) -> Iterator[Any]:
    """Yield the results of all portions, in order."""
    name = f"qedge-{uuid.uuid4().hex}"
    # a task of its own, not scattered data: what a dead worker held can be made again
    job = client.submit(_hold, payload, key=f"{name}-job")
    out: deque[tuple[Any, Bundle]] = deque()
    number = 0
    while left or out:
        while left and len(out) < ahead:
            bundle, number = left.popleft(), number + 1
            out.append((client.submit(_work, job, name, bundle, key=f"{name}-{number:06}"), bundle))
        future, bundle = out.popleft()
        found = _result(client, future)
        for _ in range(sum(map(len, bundle))):
            tick()
        yield from found


def _result(client: Any, future: Any) -> Any:
    """Return the result of some portions, as long as there is a worker that could have one.

    Raises:
        ToolError: all workers are gone, and none has come for ``LONELY_S``.
    """
    lonely_s = 0.0
    while True:
        began = time.monotonic()
        try:
            return future.result(timeout=LOOK_S)
        except _library().TimeoutError:
            lonely_s = 0.0 if client.nthreads() else lonely_s + time.monotonic() - began
            if lonely_s >= LONELY_S:
                raise ToolError(
                    f"all workers of {client.scheduler.address} are gone",
                    hint="their logs say why; is there memory for so many?",
                ) from None


def _version() -> str:
    return __version__


def _hold(payload: bytes) -> Any:
    """Return the job; each worker that needs it gets it from another."""
    import cloudpickle

    return cloudpickle.loads(payload)


def _work(job: Job[Any], name: str, bundle: Bundle) -> list[Any]:
    """Return the results of some portions; a thread begins a job once."""
    if getattr(_thread, "name", None) != name:
        _thread.name, _thread.work = name, job.begin()
    return [_thread.work(portion, silent) for portion in bundle]
