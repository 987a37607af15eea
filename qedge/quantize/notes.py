"""What a person should know of how a result came about, beside its figures."""

from __future__ import annotations

from collections.abc import Sequence

from qedge.findings import Finding
from qedge.processing.affine import INPUTS_KEY, steps_in
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import default_modes
from qedge.quantize.recipe import HEADROOM
from qedge.quantize.search import Tried


def step_findings(model: FloatModel) -> list[Finding]:
    """Return a note for each input whose first step is done in front of the model."""
    return [
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


def float_findings(model: FloatModel) -> list[Finding]:
    """Return one warning for each operator that stays float."""
    return [
        Finding(
            "warning",
            "float-operator",
            f"{op.label} has no int8 form and stays float",
            "targets that compute in integers only refuse the model; replace the operator",
            op=op.label,
        )
        for op, mode in zip(model.graph.operators, default_modes(model.graph))
        if mode == "float"
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
