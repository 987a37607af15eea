"""Chooses a method, or applies the one that was asked for."""

from __future__ import annotations

import time

import numpy as np

from qedge.datasets.protocol import Dataset
from qedge.errors import DataError, unknown
from qedge.findings import Finding
from qedge.quantize.calibrate import MinMax, Progress, calibrate, check_finite
from qedge.quantize.compare import Judge
from qedge.quantize.materialise import materialise
from qedge.quantize.model import FloatModel
from qedge.quantize.options import Candidate, Quantized, QuantizeOptions
from qedge.quantize.plan import Plan, make_plan
from qedge.quantize.rewrite import rewrite

METHODS = ("minmax",)
JUDGED_SAMPLES = 100


def quantize(
    float_model: bytes,
    dataset: Dataset,
    options: QuantizeOptions | None = None,
    progress: Progress | None = None,
) -> Quantized:
    """Return the full-integer form of a float ``.tflite``.

    Args:
        progress: called with a stage, what is done and what there is in all.

    Raises:
        ModelError: the model is no float model, or has control flow.
        DataError: no samples, or samples of another shape than the model's inputs.
    """
    started = time.perf_counter()
    options = options or QuantizeOptions()
    if options.method not in ("auto", *METHODS):
        raise unknown("method", options.method, ("auto", *METHODS))
    model = rewrite(FloatModel.from_bytes(float_model))
    samples = choose(len(dataset), options.samples, options.seed)
    observer = MinMax()
    calibrate(model, dataset, [observer], indices=samples, threads=options.threads, progress=progress)
    check_finite(model, observer.ranges)
    plan = make_plan(model.graph, observer.ranges, per_channel=_per_channel(model, options))
    data = materialise(model.graph, model.tree(), plan, io=options.io)
    judge = Judge(model.data, dataset, samples[:JUDGED_SAMPLES], threads=options.threads)
    result = judge.compare(data)
    seconds = time.perf_counter() - started
    candidate = Candidate(
        "minmax", result.sqnr_db, result.agreement, result.quantized_metric, len(data), seconds, chosen=True
    )
    return Quantized(
        data,
        "minmax",
        result.sqnr_db,
        result.agreement,
        (candidate,),
        tuple(float_findings(model, plan)),
        seconds,
    )


def choose(count: int, wanted: int | None, seed: int) -> list[int]:
    """Return which of ``count`` samples are used, in order; the same seed chooses the same ones."""
    if count == 0:
        raise DataError("the calibration set is empty", hint="pass a folder or file with samples")
    if wanted is None or wanted >= count:
        return list(range(count))
    return sorted(int(i) for i in np.random.default_rng(seed).choice(count, wanted, replace=False))


def float_findings(model: FloatModel, plan: Plan) -> list[Finding]:
    """Return one warning for each operator that stays float."""
    return [
        Finding(
            "warning",
            "float-operator",
            f"{op.label} has no int8 form and stays float",
            "targets that compute in integers only refuse the model; replace the operator",
            op=op.label,
        )
        for op, mode in zip(model.graph.operators, plan.modes)
        if mode == "float"
    ]


def _per_channel(model: FloatModel, options: QuantizeOptions) -> dict[int, bool]:
    if options.per_channel is None:
        return {}
    return {op.index: options.per_channel for op in model.graph.operators}
