"""Models of the older kind of quantisation: uint8 for the targets that run it as it is, int8 for the others."""

from __future__ import annotations

from collections.abc import Mapping
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
    helped = [
        name
        for target, options in targets
        if before[name := target.info.name]
        and _against(prepared, target, options, signed.data) < before[name]
    ]
    if not helped:
        return prepared
    form = replace(
        prepared,
        model=signed.data,
        graph=Graph.from_bytes(signed.data, prepared.name),
        findings=(*prepared.findings, _finding(prepared, signed)),
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
