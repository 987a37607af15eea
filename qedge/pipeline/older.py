"""Full-integer models in another form for the targets that refuse theirs: uint8, the older kind of quantisation, in
int8; what is left in float as tables or in integers; indices of 64 bits in 32."""

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
from qedge.quantize import islands, narrow, tails
from qedge.quantize.signed import Signed, in_int8, is_unsigned, lowered
from qedge.report.verdict import IN_INT8
from qedge.target import Target

SAMPLES = 8


def in_forms_that_run(prepared: Prepared, targets: Targets) -> Prepared:
    """Return a full-integer model with, apart from it, other forms of it for targets that have less against them.

    Each form builds on the one before it, as far as that helped.
    """
    made: dict[tuple[int, int], Prepared | None] = {}
    forms: dict[str, Prepared] = {}
    told: list[Finding] = []
    for target, options in targets:
        form, against = prepared, _against(prepared, target, options, prepared.model)
        for k, other in enumerate(_OTHERS if against else ()):
            if (key := (id(form), k)) not in made:
                try:
                    made[key] = other(form)
                except UnsupportedError as problem:
                    made[key] = None
                    told.append(Finding("warning", "no-int8-form", str(problem), problem.hint))
            found = made[key]
            left = against if found is None else _against(found, target, options, found.model)
            if found is not None and left < against:
                form, against = found, left
        if form is not prepared:
            forms[target.info.name] = form
    prepared = replace(prepared, findings=(*prepared.findings, *told)) if told else prepared
    shared = {id(f): f for f in forms.values()}
    if len(forms) == len(targets) and len(shared) == 1:
        (form,) = shared.values()
        return replace(form, findings=(*form.findings, *told))
    return replace(prepared, apart=forms) if forms else prepared


def _with(prepared: Prepared, model: bytes, told: Finding) -> Prepared:
    graph = Graph.from_bytes(model, prepared.name)
    return replace(prepared, model=model, graph=graph, findings=(*prepared.findings, told))


def _signed(prepared: Prepared) -> Prepared | None:
    """Return a uint8 model in int8.

    Raises:
        UnsupportedError: an operator has no int8 form.
    """
    if not is_unsigned(prepared.graph):
        return None
    signed = in_int8(prepared.model)
    return _with(prepared, signed.data, _finding(prepared, signed))


def _in_tables(prepared: Prepared) -> Prepared | None:
    """Return a model whose float functions of one code are tables."""
    if not any(op.op in ("DEQUANTIZE", "CAST") for op in prepared.graph):
        return None
    tabled = islands.in_tables(prepared.model)
    if tabled is None:
        return None
    message = f"{', '.join(tabled.operators)} in float between integers became tables of their 256 codes"
    return _with(prepared, tabled.data, Finding("info", "float-in-tables", message))


def _ending_in_integers(prepared: Prepared) -> Prepared | None:
    """Return a model whose last function is in integers, its outputs float as before."""
    tailed = tails.in_integers(prepared.model)
    if tailed is None:
        return None
    message = (
        f"{', '.join(tailed.operators)} in float at the end of an integer model is worked out in integers: its results"
        f" are in steps of {tailed.step:.3g}"
    )
    hint = "end the model ahead of it to have the scores themselves; the largest one is in the same place"
    return _with(prepared, tailed.data, Finding("warning", "float-end", message, hint))


def _in_int32(prepared: Prepared) -> Prepared | None:
    """Return a model whose indices have 32 bits."""
    narrowed = narrow.in_int32(prepared.model)
    if narrowed is None:
        return None
    ends = f", {', '.join(narrowed.ends)} among them" if narrowed.ends else ""
    message = f"indices of 64 bits are int32{ends}"
    return _with(prepared, narrowed.data, Finding("info", "narrow-indices", message))


_OTHERS: tuple[Callable[[Prepared], Prepared | None], ...] = (
    _signed,
    _in_tables,
    _ending_in_integers,
    _in_int32,
)


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
