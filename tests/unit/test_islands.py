"""Functions that a full-integer model works out in float become tables, with the same codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qedge.cli._app import run
from qedge.graph import Graph
from qedge.oracle.golden import reference_outputs
from qedge.quantize.islands import in_tables
from qedge.testing.opmodels import ModelBuilder, Spec, constant

CODES = np.arange(-128, 128).astype(np.int8).reshape(1, 16, 16)
SHAPE = CODES.shape


def network(*functions: tuple[str, ...], scale: float = 0.03, joined: bool = False) -> bytes:
    """Return a model of one int8 input and an int8 output a function, each a chain of float operators.

    A number among them is a product with it; all read one DEQUANTIZE. ``joined`` adds the floats of the first two.
    """
    builder = ModelBuilder()
    graph = builder.subgraph()
    given = graph.input(Spec(SHAPE, scale=scale, zero_point=-3, name="x"))
    real = graph.tensor(Spec(SHAPE, "float32"))
    moved = graph.tensor(Spec(SHAPE, scale=scale, zero_point=-3))
    graph.operator("RESHAPE", [given, graph.tensor(constant(SHAPE))], [moved])
    graph.operator("DEQUANTIZE", [moved], [real], version=2)
    ends = []
    for chain in functions:
        last = real
        for op in chain:
            made = graph.tensor(Spec(SHAPE, "float32"))
            number = None if op.isidentifier() else graph.tensor(constant(np.float32(op), "float32"))
            graph.operator("MUL" if number else op, [last, *([number] if number else [])], [made])
            last = made
        ends.append(last)
    if joined:
        both = graph.tensor(Spec(SHAPE, "float32"))
        graph.operator("ADD", ends[:2], [both])
        ends = [both]
    for k, last in enumerate(ends):
        result = graph.tensor(Spec(SHAPE, scale=0.05, zero_point=-20, name=f"y{k}"))
        graph.operator("QUANTIZE", [last], [result])
        graph.output(result)
    return builder.pack()


@pytest.mark.parametrize("scale", [0.004, 0.03, 0.3])
@pytest.mark.parametrize(
    "functions", [(("NEG",),), (("SQUARE",), ("ELU",)), (("NEG", "EXP", "0.7"), ("ABS", "SQRT"), ("SIN",))]
)
def test_every_code_stays_the_same(functions, scale) -> None:
    model = network(*functions, scale=scale)
    found = in_tables(model)
    assert found is not None
    ops = [op.op for op in Graph.from_bytes(found.data)]
    assert ops == ["RESHAPE"] + ["CAST", "ADD", "GATHER"] * len(functions)
    assert set(found.operators) == {op if op.isidentifier() else "MUL" for chain in functions for op in chain}
    for ours, theirs in zip(*(reference_outputs(m, [[CODES]])[0] for m in (found.data, model))):
        assert len(np.unique(theirs)) > 3
        np.testing.assert_array_equal(ours, theirs)


def test_a_function_of_two_chains_is_one_of_one_value_still() -> None:
    model = network(("NEG",), ("SQUARE",), joined=True)
    found = in_tables(model)
    assert found is not None
    assert found.operators == ("ADD", "NEG", "SQUARE")
    np.testing.assert_array_equal(
        reference_outputs(found.data, [[CODES]])[0][0], reference_outputs(model, [[CODES]])[0][0]
    )


def test_a_model_of_integers_alone_has_none() -> None:
    builder = ModelBuilder()
    spec = Spec(SHAPE, scale=0.1)
    builder.subgraph().add("RELU", [spec], [spec])
    assert in_tables(builder.pack()) is None


def test_only_targets_that_refuse_floats_get_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.tflite").write_bytes(network(("NEG",), ("ELU",)))
    assert (
        run(["build", str(tmp_path / "m.tflite"), "-t", "rpi", "-t", "mcu", "-o", str(tmp_path / "b")]) == 0
    )
    capsys.readouterr()
    for target, expected in (("rpi", "NEG"), ("mcu", "GATHER")):
        bundle = tmp_path / "b" / "m" / target
        ops = {op.op for op in Graph.from_bytes((bundle / "model.tflite").read_bytes())}
        assert expected in ops
        rules = {f["rule"] for f in json.loads((bundle / "report.json").read_text())["findings"]}
        assert ("float-in-tables" in rules) == (target == "mcu")
