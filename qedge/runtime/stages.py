"""Where the time of one call goes: pre-processing, inference, post-processing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from qedge.runtime.model import Model

NO_OPERATORS = "the binding's Python interface has no profiler of single operators"


def profile(model: Model, sample: Any = None, runs: int = 50) -> dict[str, Any]:
    """Return the median milliseconds of the stages ``pre``, ``invoke`` and ``post`` of a call.

    Args:
        sample: what the model is called with; None uses a sample of zeros.

    The key ``operators`` is a list of {op, ms} where the engine offers one (``Engine.profile_operators``),
    otherwise empty, and ``note`` says why.
    """
    if sample is None:
        sample = example(model)
    times: dict[str, list[int]] = {"pre": [], "invoke": [], "post": []}
    for _ in range(max(1, runs)):
        start = time.perf_counter_ns()
        inputs = model.encode(sample)
        encoded = time.perf_counter_ns()
        raw = model.engine.run(inputs)
        invoked = time.perf_counter_ns()
        _ = model._result(raw).value
        done = time.perf_counter_ns()
        for stage, ns in zip(times, (encoded - start, invoked - encoded, done - invoked)):
            times[stage].append(ns)
    operators = getattr(model.engine, "profile_operators", None)
    return {
        "stages_ms": {stage: float(np.median(ns)) / 1e6 for stage, ns in times.items()},
        "operators": operators() if operators else [],
        "note": None if operators else NO_OPERATORS,
    }


def example(model: Model) -> Any:
    """Return a sample that the model can be called with: zeros of the right shape."""
    if model.preprocess is None:
        return [np.zeros(spec.shape, spec.dtype) for spec in model.inputs]
    sample = model.preprocess.example()
    rest = [np.zeros(spec.shape, spec.dtype) for spec in model.inputs[1:]]
    return [sample, *rest] if rest else sample
