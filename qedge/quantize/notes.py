"""What a person should know of how a result came about, beside its figures."""

from __future__ import annotations

from collections.abc import Sequence

from qedge.findings import Finding
from qedge.graph.layers import kinds_with_layers, listed
from qedge.processing.affine import INPUTS_KEY, OUTPUTS_KEY, OutputStep, finishes_in, steps_in
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import default_modes
from qedge.quantize.recipe import HEADROOM
from qedge.quantize.search import Tried

STAYS_FLOAT = "stays-float"


def step_findings(model: FloatModel) -> list[Finding]:
    """Return a note for each input whose first step is done in front of the model, and each output whose last one is
    done behind it."""
    inputs = [
        Finding(
            "info",
            "input-step",
            f"the features of input {model.graph.input_names[k]!r} differ in size: they are brought to one in float,"
            " in front of the model",
            "pass the units that the model was trained with; raw int8 inputs stand behind that step",
            tensor=model.graph.input_names[k],
        )
        for k in steps_in(model.graph.metadata.get(INPUTS_KEY, b""))
    ]
    outputs = [
        Finding(
            "info",
            "output-step",
            f"the columns of output {model.graph.output_names[k]!r} differ in size, or vary little about a large mean:"
            " the model gives them at one size, and they are brought to their units in float, behind it",
            "results have the units that the model was trained with; raw int8 outputs stand ahead of that step",
            tensor=model.graph.output_names[k],
        )
        for k, left in finishes_in(model.graph.metadata.get(OUTPUTS_KEY, b"")).items()
        if isinstance(left, OutputStep)
    ]
    return [*inputs, *outputs]


def float_findings(model: FloatModel) -> list[Finding]:
    """Return a warning that names the operators that stay float, each kind with its layers; none without any."""
    graph = model.graph
    found = [op for op, mode in zip(graph.operators, default_modes(graph)) if mode == "float"]
    if not found:
        return []
    kinds = kinds_with_layers(graph, [(op.custom_name or op.op, op) for op in found]).items()
    said = "; ".join(listed(name, layers) for name, layers in kinds)
    count = "1 operator has" if len(found) == 1 else f"{len(found)} operators have"
    return [
        Finding(
            "warning",
            STAYS_FLOAT,
            f"{count} no int8 form and run{'s' * (len(found) == 1)} in float: {said}",
            "targets that compute in integers only refuse the model: replace them there",
            op=found[0].label,
        )
    ]


def few_samples(count: int) -> Finding:
    return Finding(
        "warning",
        "few-samples",
        f"{count} calibration samples are too few to hold some out; the choice is made on the same ones",
        "give at least 100 samples that look like what the device will see",
    )


def roomy(count: int) -> Finding:
    return Finding(
        "info",
        "headroom",
        f"ranges of {count} samples do not hold the others': they were made {100 * HEADROOM:g} % wider",
        "give at least 100 samples that look like what the device will see",
    )


def search_ended(chosen: Tried, skipped: Sequence[str]) -> Finding:
    return Finding(
        "info",
        "search-ended",
        f"{chosen.recipe.name} holds {chosen.result.sqnr_db:.1f} dB and every answer on held-out samples too;"
        f" not tried: {', '.join(skipped) or 'nothing'}",
        "--effort thorough tries them all",
    )
