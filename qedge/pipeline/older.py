"""Full-integer models in another form for the targets that refuse theirs: uint8, the older kind of quantisation, in
int8; functions that are left in float as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.errors import UnsupportedError
from qedge.findings import Finding, errors
from qedge.graph import Graph
from qedge.oracle.golden import Samples, golden_samples, reference_outputs
from qedge.pipeline.forms import Targets
from qedge.pipeline.opinion import what_it_says
from qedge.pipeline.request import Prepared
from qedge.quantize.islands import in_tables
from qedge.quantize.signed import Signed, in_int8, is_unsigned, lowered
from qedge.report.verdict import IN_INT8
from qedge.target import Target

SAMPLES = 8


def in_int8_where_refused(prepared: Prepared, targets: Targets) -> Prepared:
    """Return a full-integer model with, apart from it, its int8 form for targets that have less against it."""
    if not is_unsigned(prepared.graph):
        return prepared
    before = {pair[0].info.name: _against(prepared, *pair, prepared.model) for pair in targets}
    if not any(before.values()):
        return prepared
    try:
        signed = in_int8(prepared.model)
    except UnsupportedError as problem:
        told = Finding("warning", "no-int8-form", str(problem), problem.hint)
        return replace(prepared, findings=(*prepared.findings, told))
    return _where_it_helps(prepared, targets, before, signed.data, lambda: _finding(prepared, signed))


def in_tables_where_refused(prepared: Prepared, targets: Targets) -> Prepared:
    """Return a full-integer model with, apart from it, one whose float functions are tables for targets that have less
    against it."""
    if prepared.apart or not any(op.op == "DEQUANTIZE" for op in prepared.graph):
        return prepared
    before = {pair[0].info.name: _against(prepared, *pair, prepared.model) for pair in targets}
    tabled = in_tables(prepared.model) if any(before.values()) else None
    if tabled is None:
        return prepared
    message = f"{', '.join(tabled.operators)} in float between integers became tables of their 256 codes"
    told = Finding("info", "float-in-tables", message)
    return _where_it_helps(prepared, targets, before, tabled.data, lambda: told)


def _where_it_helps(
    prepared: Prepared,
    targets: Targets,
    before: Mapping[str, int],
    model: bytes,
    told: Callable[[], Finding],
) -> Prepared:
    """Return what targets get that have less against ``model`` than ``before``: all of them, or these apart."""
    helped = [
        name
        for target, options in targets
        if before[name := target.info.name] and _against(prepared, target, options, model) < before[name]
    ]
    if not helped:
        return prepared
    form = replace(
        prepared,
        model=model,
        graph=Graph.from_bytes(model, prepared.name),
        findings=(*prepared.findings, told()),
    )
    if len(helped) == len(targets):
        return form
    return replace(prepared, apart=dict.fromkeys(helped, form))


def _against(prepared: Prepared, target: Target, options: Mapping[str, Any], model: bytes) -> int:
    """Return how much a target has against a form of the model."""
    return len(errors(what_it_says(target, options, prepared.name, model).findings))


def _finding(prepared: Prepared, signed: Signed) -> Finding:
    """Return what the int8 form is, and how close LiteRT's outputs of it are to those of the uint8 file."""
    samples = golden_samples(prepared.graph, prepared.dataset, SAMPLES)
    equal, values, largest = _compared(prepared.model, signed.data, samples)
    rounded, weights = signed.channels - signed.exact, "its weights keep their codes"
    if rounded:
        kept = f"{signed.exact} of {signed.channels}"
        weights = f"{kept} channels of its weights keep their codes, the others are rounded"
    where = f"{len(samples)} samples" + (" of noise" if prepared.dataset is None else "")
    return Finding(
        "warning" if rounded else "info",
        IN_INT8,
        f"the model is uint8, the older kind of quantisation, and is written in int8: {weights}; on {where}"
        f" {100 * equal / max(values, 1):.1f} % of the output codes are those of the uint8 file, and none is more than"
        f" {largest} off",
        "the float model, where you have it, gives int8 that was calibrated as such" if rounded else None,
    )


def _compared(model: bytes, signed: bytes, samples: Samples) -> tuple[int, int, int]:
    """Return how many output codes are equal, of how many, and the largest difference."""
    equal = values = largest = 0
    ours = reference_outputs(signed, [[_lowered(v) for v in row] for row in samples])
    for theirs, row in zip(reference_outputs(model, samples), ours):
        for a, b in zip(theirs, row):
            apart = np.abs(_lowered(a).astype(np.float64) - b)
            equal, values = equal + int((apart == 0).sum()), values + apart.size
            largest = max(largest, int(np.ceil(apart.max(initial=0.0))))
    return equal, values, largest


def _lowered(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return lowered(values) if values.dtype == np.uint8 else values
