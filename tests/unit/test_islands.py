"""What a full-integer model works out in float, or counts in 64 bits, has another form for targets without that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qedge.cli._app import run
from qedge.graph import Graph
from qedge.oracle.golden import reference_outputs
from qedge.quantize.islands import in_tables
from qedge.quantize.narrow import in_int32
from qedge.quantize.tails import in_integers
from qedge.testing.opmodels import ModelBuilder, Spec, constant
from qedge_mcu.cores import core
from qedge_mcu.program import build

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


def _built(place: Path, model: bytes, capsys: pytest.CaptureFixture[str]) -> tuple[Graph, dict[str, str]]:
    """Return what a build for mcu runs, which is verified, and what it tells by rule."""
    (place / "m.tflite").write_bytes(model)
    assert run(["build", str(place / "m.tflite"), "-t", "mcu", "-o", str(place / "b")]) == 0
    bundle = place / "b" / "m" / "mcu"
    assert run(["verify", str(bundle)]) == 0
    capsys.readouterr()
    told = json.loads((bundle / "report.json").read_text())["findings"]
    return Graph.from_bytes((bundle / "model.tflite").read_bytes()), {f["rule"]: f["message"] for f in told}


def _ended(op: str, options: dict[str, object] | None = None, reshaped: bool = False) -> bytes:
    """Return an int8 model that ends with an operator in float, behind a RESHAPE in float if asked."""
    builder = ModelBuilder()
    graph = builder.subgraph()
    given = graph.input(Spec((1, 10), scale=0.1, zero_point=4, name="x"))
    scores = graph.tensor(Spec((1, 10), scale=0.2, zero_point=4))
    graph.operator("RELU", [given], [scores])
    real = graph.tensor(Spec((1, 10), "float32"))
    graph.operator("DEQUANTIZE", [scores], [real], version=2)
    shape = (2, 5) if reshaped else (1, 10)
    if reshaped:
        moved = graph.tensor(Spec(shape, "float32"))
        graph.operator("RESHAPE", [real, graph.tensor(constant(shape))], [moved])
        real = moved
    result = graph.tensor(Spec(shape, "float32", name="y"))
    graph.operator(op, [real], [result], options)
    graph.output(result)
    return builder.pack()


@pytest.mark.parametrize("reshaped", [False, True])
@pytest.mark.parametrize(("op", "step"), [("SOFTMAX", 1 / 256), ("LOG_SOFTMAX", 1 / 16)])
def test_a_float_end_with_a_known_range_is_in_integers(op: str, step: float, reshaped: bool) -> None:
    model = _ended(op, {"beta": 1.0} if op == "SOFTMAX" else None, reshaped)
    found = in_integers(model)
    assert found is not None
    assert (found.operators, found.step) == ((op,), step)
    ops = [o.op for o in Graph.from_bytes(found.data)]
    assert ops == ["RELU", *["RESHAPE"] * reshaped, op, "DEQUANTIZE"]
    samples = [[np.arange(-20, 20, 4, dtype=np.int8).reshape(1, 10)]]
    (theirs,), (ours,) = (reference_outputs(m, samples)[0] for m in (model, found.data))
    assert ours.dtype == theirs.dtype == np.float32
    assert 0 < np.abs(ours - theirs).max() <= step


def test_a_float_end_that_others_lead_to_stays() -> None:
    builder = ModelBuilder()
    spec = Spec((1, 10), "float32")
    builder.subgraph().add("SOFTMAX", [spec], [spec], {"beta": 1.0})
    assert in_integers(builder.pack()) is None


def test_a_softmax_in_float_is_built_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, told = _built(tmp_path, _ended("SOFTMAX", {"beta": 1.0}), capsys)
    assert [op.op for op in graph] == ["RELU", "SOFTMAX", "DEQUANTIZE"]
    assert "SOFTMAX in float at the end" in told["float-end"]
    assert "0.00391" in told["float-end"]


@pytest.mark.long
def test_a_function_at_the_end_keeps_its_real_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = _ended("LOGISTIC")
    graph, told = _built(tmp_path, model, capsys)
    assert [op.op for op in graph] == ["RELU", "CAST", "ADD", "GATHER"]
    assert "LOGISTIC" in told["float-in-tables"]
    samples = [[np.arange(-20, 20, 4, dtype=np.int8).reshape(1, 10)]]
    (theirs,), (ours,) = (reference_outputs(m, samples)[0] for m in (model, graph.data))
    np.testing.assert_allclose(
        ours, theirs, rtol=2e-7
    )  # LiteRT's own depend on a value's place in its vectors


def _scaled(dtype: str) -> bytes:
    """Return a model that scales the bytes of an image in float, then quantises it."""
    builder = ModelBuilder()
    graph = builder.subgraph()
    given = graph.input(Spec(SHAPE, dtype, name="image"))
    real, less, scaled = (graph.tensor(Spec(SHAPE, "float32")) for _ in range(3))
    codes = graph.tensor(Spec(SHAPE, scale=1 / 128, zero_point=-1, name="y"))
    graph.operator("CAST", [given], [real])
    graph.operator("SUB", [real, graph.tensor(constant(np.float32(127.5), "float32"))], [less])
    graph.operator("MUL", [less, graph.tensor(constant(np.float32(1 / 127.5), "float32"))], [scaled])
    graph.operator("QUANTIZE", [scaled], [codes])
    graph.output(codes)
    return builder.pack()


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_scaling_of_bytes_in_float_is_a_table(dtype: str) -> None:
    model = _scaled(dtype)
    found = in_tables(model)
    assert found is not None
    assert [op.op for op in Graph.from_bytes(found.data)] == ["CAST", *["ADD"] * (dtype == "int8"), "GATHER"]
    sample = CODES if dtype == "int8" else CODES.view(np.uint8)
    ours, theirs = (reference_outputs(m, [[sample]])[0][0] for m in (found.data, model))
    assert len(np.unique(theirs)) > 100 or dtype == "int8"
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("tabled", [False, True])
def test_a_scaling_of_bytes_is_one_lookup_in_c(dtype: str, tabled: bool) -> None:
    model = _scaled(dtype)
    found = in_tables(model) if tabled else None
    program = build(Graph.from_bytes(found.data if found else model), core("cortex-m4"), "m", tries=0)
    assert program.arena_bytes <= 2 * CODES.size
    functions = [step.emitted.function for step in program.steps if step.emitted.function]
    assert functions == ["qe_lookup_s8"]
    expected = reference_outputs(model, [[CODES.view(dtype)]])[0][0]
    (table,) = (array.values for step in program.steps for array in step.emitted.arrays)
    np.testing.assert_array_equal(table[CODES.astype(int) + 128], expected)


def test_a_quotient_of_two_activations_runs_in_float(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builder = ModelBuilder()
    graph = builder.subgraph()
    ends = []
    for name in "ab":
        given = graph.input(Spec((1, 6), scale=0.1, zero_point=-128, name=name))
        ends.append(graph.tensor(Spec((1, 6), "float32")))
        graph.operator("DEQUANTIZE", [given], [ends[-1]], version=2)
    one, root, quotient = (graph.tensor(Spec((1, 6), "float32")) for _ in range(3))
    graph.operator("ADD", [ends[1], graph.tensor(constant(np.float32(1), "float32"))], [one])
    graph.operator("SQRT", [one], [root])
    graph.operator("DIV", [ends[0], root], [quotient])
    codes = graph.tensor(Spec((1, 6), scale=0.1, name="y"))
    graph.operator("QUANTIZE", [quotient], [codes])
    graph.output(codes)
    found, told = _built(tmp_path, builder.pack(), capsys)
    assert sorted(op.op for op in found) == ["ADD", "CAST", "DEQUANTIZE", "DIV", "GATHER", "QUANTIZE"]
    assert "SQRT" in told["float-in-tables"]


@pytest.mark.long
def test_indices_of_64_bits_are_of_32(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = ModelBuilder()
    graph = builder.subgraph()
    given = graph.input(Spec((1, 4, 7), scale=0.1, name="x"))
    best, more = (graph.tensor(Spec((1, 4), "int64", name=name)) for name in ("best", "more"))
    axis = graph.tensor(constant([2]))
    graph.operator("ARG_MAX", [given, axis], [best], {"output_type": "INT64"})
    graph.operator("ADD", [best, graph.tensor(constant([5], "int64"))], [more], version=4)
    graph.output(more)
    found, told = _built(tmp_path, builder.pack(), capsys)
    assert found.tensors[found.outputs[0]].dtype == "int32"
    assert "more" in told["narrow-indices"]


def test_an_index_that_needs_64_bits_keeps_them() -> None:
    builder = ModelBuilder()
    spec = Spec((1, 4), "int64")
    builder.subgraph().add("ADD", [spec, constant([1 << 40], "int64")], [spec])
    assert in_int32(builder.pack()) is None
