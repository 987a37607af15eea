"""UNIDIRECTIONAL_SEQUENCE_LSTM: several times, units and batches; state from run to run."""

from __future__ import annotations

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant
from tests.ops.building import q, random_int8


def case(
    name: str,
    times: int,
    inputs: int,
    units: int,
    *,
    batches: int = 1,
    time_major: bool = False,
    quantized_in: tuple[float, int] = (0.02, 3),
    hidden: tuple[float, int] = (1 / 128, 0),
    cell_scale: float = 2.0**-12,
    weight_scale: float = 0.004,
    cell_clip: float = 0.0,
) -> Case:
    """Return a case of one layer."""
    lead = (times, batches) if time_major else (batches, times)
    weights = [
        constant(
            random_int8(f"{name}{i}", (units, inputs if i < 4 else units)),
            "int8",
            weight_scale * (1 + 0.1 * i),
        )
        for i in range(8)
    ]
    biases = [
        constant(
            random_int8(f"{name}b{i}", (units,)) * 9, "int32", quantized_in[0] * weight_scale * (1 + 0.1 * i)
        )
        for i in range(4)
    ]
    state = Spec((batches, units), "int8", hidden[0], hidden[1], variable=True)
    cell = Spec((batches, units), "int16", cell_scale, 0, variable=True)
    specs = [q((*lead, inputs), *quantized_in), *weights, None, None, None, *biases, None, None, state, cell]
    options = {
        "fused_activation_function": "TANH",
        "time_major": time_major,
        "cell_clip": cell_clip,
    }
    return Case(
        name,
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        [*specs, None, None, None, None],
        [q((*lead, units), *hidden)],
        options,
    )


CASES = [
    case("one-step", 1, 3, 5),
    case("steps", 7, 5, 9, quantized_in=(0.02, -128), hidden=(0.0071, 127)),
    case("high-end", 3, 5, 4, quantized_in=(0.02, 127), hidden=(0.0079, -128)),
    case("time-major", 4, 3, 5, batches=2, time_major=True),
    case("batches", 3, 3, 5, batches=2),
    case("saturates", 5, 8, 6, weight_scale=0.1),
    case("coarse-cell", 9, 4, 4, cell_scale=2.0**-9, weight_scale=0.05),
    case("fine-cell", 5, 4, 4, cell_scale=2.0**-15),
    case("clips", 9, 4, 4, weight_scale=0.05, cell_clip=2.5),
]
