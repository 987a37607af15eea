"""Measuring a bundle on the machine it runs on, next to the bare binding in the same run."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.bundle.manifest import MODEL
from qedge.errors import ToolError, UsageError
from qedge.runtime import board, cores
from qedge.runtime.litert import BINDINGS, Binding, find_binding
from qedge.runtime.loader import load
from qedge.runtime.stages import example, profile
from qedge.runtime.twin import load_twin

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.runtime.model import Model

    Array = npt.NDArray[Any]

WARM_UP_RUNS = 5

_COLD_OURS = """
import sys, time
start = time.perf_counter()
import numpy, qedge
imported = time.perf_counter()
{load}
model = load(sys.argv[1], threads={threads}{engine})
loaded = time.perf_counter()
model.warm_up()
done = time.perf_counter()
print(imported - start, loaded - imported, done - loaded)
"""
_LOAD = {False: "load = qedge.load", True: "from qedge.runtime.twin import load_twin as load"}
_COLD_BARE = """
import sys, time
start = time.perf_counter()
import numpy
from {module} import Interpreter
imported = time.perf_counter()
interpreter = Interpreter(model_path=sys.argv[1], num_threads={threads})
interpreter.allocate_tensors()
loaded = time.perf_counter()
for x in interpreter.get_input_details():
    interpreter.set_tensor(x["index"], numpy.zeros(x["shape"], x["dtype"]))
interpreter.invoke()
done = time.perf_counter()
print(imported - start, loaded - imported, done - loaded)
"""


def bench_bundle(
    path: str | os.PathLike[str],
    *,
    runs: int = 100,
    threads: int | None = None,
    sample: Any = None,
    cold_starts: int = 3,
    compare: bool = True,
    twin: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Return what the bundle costs on this machine, as JSON.

    Args:
        runs: counted inferences, after a few that are not.
        threads: as of :func:`qedge.runtime.load`.
        sample: what the model is called with for the stages; None takes zeros.
        cold_starts: fresh processes to start, by turns with the bare binding; 0 leaves them out.
        compare: whether to measure the bare binding (one interpreter of ``model.tflite`` on the CPU).
        twin: measure the bundle's CPU twin, for targets that do not run in Python; ``runtime.twin`` is true then.
        options: of the runtime.

    Keys: ``latency_ms`` {median, mean, min, p95, p99, spread_percent} of ``model.run``; ``first_ms``;
    ``throughput_per_s``; ``stages_ms`` {pre, invoke, post} of a call; ``cold_start_ms`` {import, load, first,
    total}; ``memory_mb`` {model, process, peak}; ``bare`` with the same figures of the bare binding and
    ``overhead_us``; ``machine`` and ``before``, ``after`` {temperature_c, clock_mhz, throttled}.
    """
    if runs < 1:
        raise UsageError(f"runs: found {runs}, expected at least 1")
    binding = _binding(options)
    before, resident = board.state(), board.resident_mb()
    opener: Callable[..., Model] = load_twin if twin else load
    with opener(path, threads=threads, **options) as model:
        inputs = [np.zeros(spec.shape, spec.dtype) for spec in model.inputs]
        first_ms = _timed(lambda: model.run(inputs)) / 1e6
        described = model.engine.describe()
        memory = {"model": board.resident_mb() - resident, "process": board.resident_mb()}
        threads = int(described.get("threads", 1))
        bare = _bare_call(binding, model, inputs, threads) if compare and binding else None
        ours, plain = _by_turns(lambda: model.run(inputs), bare, runs)
        stages = profile(model, example(model) if sample is None else sample, min(runs, 50))
        document: dict[str, Any] = {
            "samples": runs,
            "runtime": {**described, "twin": True} if twin else described,
            "latency_ms": latency(ours),
            "first_ms": first_ms,
            "throughput_per_s": 1e9 / float(np.mean(ours)),
            "stages_ms": stages["stages_ms"],
            "memory_mb": {**memory, "peak": board.peak_mb()},
        }
        if plain is not None:
            extra = float(np.median(np.subtract(ours, plain))) / 1e3
            document["bare"] = {"latency_ms": latency(plain), "overhead_us": extra}
        if cold_starts:
            _add_cold_starts(document, model, cold_starts, twin, binding, options.get("engine"))
    document["machine"] = {**board.machine(), "cores": cores.available(), "numpy": np.__version__}
    document["before"], document["after"] = before, board.state()
    return document


def latency(times_ns: Sequence[int]) -> dict[str, float]:
    """Return the figures of a series of nanoseconds, in milliseconds; the spread is (p95 - p5) / median.

    >>> latency([1_000_000] * 9 + [3_000_000])["median"]
    1.0
    """
    ms = np.asarray(times_ns, np.float64) / 1e6
    low, median, p95, p99 = (float(v) for v in np.percentile(ms, [5, 50, 95, 99]))
    return {
        "median": median,
        "mean": float(ms.mean()),
        "min": float(ms.min()),
        "p95": p95,
        "p99": p99,
        "spread_percent": 100 * (p95 - low) / median,
    }


def _timed(call: Callable[[], Any]) -> int:
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start


def _by_turns(
    ours: Callable[[], Any], bare: Callable[[], Any] | None, runs: int
) -> tuple[list[int], list[int] | None]:
    """Return nanoseconds of each run; both calls in turns, so that a slow moment of the machine hits both."""
    for _ in range(WARM_UP_RUNS):
        ours()
        if bare is not None:
            bare()
    enabled = gc.isenabled()
    gc.disable()
    try:
        pairs = [(_timed(ours), _timed(bare) if bare is not None else 0) for _ in range(runs)]
    finally:
        if enabled:
            gc.enable()
    return [p[0] for p in pairs], [p[1] for p in pairs] if bare is not None else None


def _binding(options: dict[str, Any]) -> Binding | None:
    """Return the binding to measure against; None where there is none and the model may do without."""
    try:
        return find_binding(options.get("binding"))
    except ToolError:
        return None


def _bare_call(binding: Binding, model: Model, inputs: Sequence[Array], threads: int) -> Callable[[], Any]:
    """Return set_tensor, invoke, get_tensor of a plain interpreter on the same model."""
    interpreter = binding.module.Interpreter(model_content=model.bundle.read(MODEL), num_threads=threads)
    interpreter.allocate_tensors()
    targets = [d["index"] for d in interpreter.get_input_details()]
    results = [d["index"] for d in interpreter.get_output_details()]

    def call() -> list[Any]:
        for index, array in zip(targets, inputs):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in results]

    return call


def _add_cold_starts(
    document: dict[str, Any],
    model: Model,
    count: int,
    twin: bool,
    binding: Binding | None,
    engine: str | None,
) -> None:
    """Add ``cold_start_ms`` and, where the bare binding is measured, ``bare.cold_start_ms``."""
    threads = int(document["runtime"].get("threads", 1))
    chosen = f", engine={engine!r}" if engine else ""
    own = _COLD_OURS.format(threads=threads, load=_LOAD[twin], engine=chosen)
    ours, plain = [], []
    for _ in range(count):
        ours.append(_cold(own, str(model.bundle.root)))
        if "bare" in document and binding:
            code = _COLD_BARE.format(threads=threads, module=BINDINGS[binding.name][1])
            plain.append(_cold(code, str(model.bundle.path(MODEL))))
    document["cold_start_ms"] = min(ours, key=lambda times: times["total"])
    if plain:
        document["bare"]["cold_start_ms"] = min(plain, key=lambda times: times["total"])


def _cold(code: str, argument: str) -> dict[str, float]:
    """Return the milliseconds of the parts of one fresh process; ``total`` includes Python's own start."""
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, argument],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path},
    )
    total = time.perf_counter() - start
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ToolError(f"a fresh process could not run the bundle: {last}")
    parts = [1e3 * float(word) for word in done.stdout.split()[-3:]]
    return {"import": parts[0], "load": parts[1], "first": parts[2], "total": 1e3 * total}


def summary(document: dict[str, Any]) -> str:
    """Return one line for a person: model latency, overhead and machine."""
    median = document["latency_ms"]["median"]
    extra = f", {document['bare']['overhead_us']:.1f} us above the binding" if "bare" in document else ""
    return f"{median:.3f} ms median{extra}, {document['runtime']['binding']} on {platform.machine()}"
