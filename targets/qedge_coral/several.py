"""More than one Edge TPU: copies that take turns, or segments of one model in a pipeline."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy.typing as npt

from qedge.bundle.manifest import Manifest
from qedge.errors import UsageError
from qedge.runtime.engine import Engine

Array = npt.NDArray[Any]


def run_many(engine: Engine, samples: Iterable[Sequence[Array]], at_once: int) -> Iterator[list[Array]]:
    """Yield the outputs of each sample in order, with ``at_once`` inferences under way."""
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        pending: list[Future[list[Array]]] = []
        for sample in samples:
            pending.append(pool.submit(engine.run, sample))
            if len(pending) > at_once:
                yield pending.pop(0).result()
        for one in pending:
            yield one.result()


class TakingTurns:
    """The same model on several devices: a call takes the one that has been free for longest."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = list(engines)
        self._free: SimpleQueue[Engine] = SimpleQueue()
        for engine in engines:
            self._free.put(engine)
        self.inputs, self.outputs = engines[0].inputs, engines[0].outputs

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs; as many calls as there are devices run at the same time."""
        engine = self._free.get()
        try:
            return engine.run(arrays)
        finally:
            self._free.put(engine)

    def describe(self) -> dict[str, Any]:
        """Return what runs the model, with one entry a device."""
        each = [e.describe() for e in self._engines]
        return {**each[0], "device": f"edgetpu x{len(each)}", "streams": len(each), "devices": each}

    def close(self) -> None:
        """Free all devices."""
        for engine in self._engines:
            engine.close()


class Pipeline:
    """One model in segments, each on its own device; calls from several threads overlap.

    A segment takes its inputs by tensor name from the model's inputs and from the segments before it.
    """

    def __init__(
        self, engines: Sequence[Engine], manifest: Manifest, stages: Sequence[Mapping[str, Any]]
    ) -> None:
        self._engines = list(engines)
        self._locks = [threading.Lock() for _ in engines]
        self._names = [([t["name"] for t in s["inputs"]], [t["name"] for t in s["outputs"]]) for s in stages]
        data = manifest.target_data
        self._first, self._last = list(data["input_tensors"]), list(data["output_tensors"])
        self.inputs, self.outputs = manifest.inputs, manifest.outputs
        self._closed = False

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs of the last segment; each device works on one call at a time."""
        if self._closed:
            raise UsageError("the model is closed", hint="load it again, or run it inside the with block")
        values = dict(zip(self._first, arrays))
        for engine, lock, (taken, given) in zip(self._engines, self._locks, self._names):
            with lock:
                values.update(zip(given, engine.run([values[name] for name in taken])))
        return [values[name] for name in self._last]

    def describe(self) -> dict[str, Any]:
        """Return what runs the model, with one entry a segment."""
        each = [e.describe() for e in self._engines]
        return {**each[0], "device": f"edgetpu x{len(each)}", "streams": len(each), "segments": each}

    def close(self) -> None:
        """Free all devices."""
        self._closed = True
        for engine in self._engines:
            engine.close()
