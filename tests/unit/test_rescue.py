"""Layers in 16 bits where int8 alone loses: from the model's input to its output, as few as meet the demand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from quantize_models import ArrayDataset, cnn, f32, images

from qedge.bundle import read_bundle
from qedge.cli import _verdict
from qedge.errors import AccuracyError, UsageError
from qedge.graph import Graph
from qedge.pipeline import BuildRequest, BuildResult, build
from qedge.quantize import QuantizeOptions, compare, prove_full_integer, quantize
from qedge.quantize.build import Builder
from qedge.quantize.judge import Judge, Verdict
from qedge.quantize.layers import layer_errors
from qedge.quantize.model import FloatModel
from qedge.quantize.recipe import Recipe
from qedge.quantize.rescue import Way, rescue
from qedge.target import resolve_all
from qedge.testing.opmodels import ModelBuilder, Spec, constant


def _exact_weights() -> bytes:
    """Return a dense layer whose weights int8 holds exactly: all noise is that of its input and its output."""
    rows = np.random.default_rng(0).integers(-127, 128, size=(6, 32)).astype(np.float64) / 127
    rows[:, 0] = 1.0
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 32), "float32", name="x"))
    y = g.tensor(f32(1, 6))
    weights, bias = g.tensor(constant(rows, "float32")), g.tensor(constant(np.zeros(6), "float32"))
    g.operator("FULLY_CONNECTED", [x, weights, bias], [y])
    g.output(y)
    return builder.pack()


def _rows(count: int = 120, seed: int = 1) -> ArrayDataset:
    return ArrayDataset(np.random.default_rng(seed).uniform(-1, 1, size=(count, 32)).astype(np.float32))


def _edges(data: bytes) -> list[str]:
    graph = Graph.from_bytes(data)
    return [graph.tensors[t].dtype for t in (*graph.inputs, *graph.outputs)]


def test_a_demand_that_eight_bits_of_input_miss_is_met_by_sixteen() -> None:
    model = _exact_weights()
    plain = quantize(model, _rows())
    assert _edges(plain.data) == ["int8", "int8"]
    assert plain.sqnr_db < 50
    met = quantize(model, _rows(), QuantizeOptions(min_sqnr=60.0))
    assert _edges(met.data) == ["int16", "int16"]
    assert [op.op for op in Graph.from_bytes(met.data)] == ["FULLY_CONNECTED"]
    assert compare(model, met.data, _rows(seed=2)).sqnr_db > 60
    assert prove_full_integer(Graph.from_bytes(met.data)) == []
    assert [f.rule for f in prove_full_integer(Graph.from_bytes(met.data), io="int8")] == ["io-type"] * 2


def test_a_layer_normalisation_of_units_of_unlike_size_runs_in_sixteen_bits() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    last = g.tensor(constant(np.array([1]), "int32"))
    x = g.input(Spec((1, 4), "float32", name="x"))
    mean, square, variance, y = (g.tensor(f32(1, n)) for n in (1, 4, 1, 4))
    g.operator("MEAN", [x, last], [mean], {"keep_dims": True})
    g.operator("SQUARED_DIFFERENCE", [x, mean], [square])
    g.operator("MEAN", [square, last], [variance], {"keep_dims": True})
    centred, share = g.tensor(f32(1, 4)), g.tensor(f32(1, 1))
    none = {"fused_activation_function": "NONE"}
    g.operator("SUB", [x, mean], [centred], none)
    g.operator("RSQRT", [variance], [share])
    g.operator("MUL", [centred, share], [y], none)
    g.output(y)
    model, (low, high) = builder.pack(), np.array([[950, -20, 0, 0], [1050, 40, 100, 3600]], np.float32)
    one, other = (
        ArrayDataset(np.random.default_rng(k).uniform(low, high, (120, 4)).astype(np.float32)) for k in (0, 1)
    )
    plain, met = (quantize(model, one, QuantizeOptions(min_sqnr=demand)) for demand in (None, 50.0))
    assert compare(model, plain.data, other).sqnr_db < 50
    found = Graph.from_bytes(met.data)
    assert [op.op for op in found] == ["MEAN", "SUB", "MUL", "MEAN", "SUB", "RSQRT", "MUL"]
    assert {t.dtype for t in found.tensors if not t.is_constant} == {"int16"}
    assert prove_full_integer(found) == []
    assert compare(model, met.data, other).sqnr_db > 50


@pytest.mark.parametrize("io", ["int8", "uint8", "int16", "float32"])
def test_the_type_that_is_asked_for_is_that_of_the_edges(io: str) -> None:
    for method in ("minmax", "auto"):
        made = quantize(cnn(), images(), QuantizeOptions(method, io=io, min_sqnr=20.0))
        assert _edges(made.data) == [io, io]
        assert prove_full_integer(Graph.from_bytes(made.data), io=io) == []
        assert compare(cnn(), made.data, images()).sqnr_db > 20


def test_an_input_keeps_eight_bits_outside_where_that_is_asked_for() -> None:
    met = quantize(_exact_weights(), _rows(), QuantizeOptions(io="int8", min_sqnr=36.0, method="minmax"))
    assert _edges(met.data) == ["int8", "int8"]


def test_every_region_that_is_taken_was_judged_and_the_least_work_wins() -> None:
    model, samples = FloatModel.from_bytes(cnn()), images()
    builder, judge = Builder(model, samples, range(40)), Judge(model, samples, range(40))
    plain = builder.build(Recipe())
    layers = layer_errors(model.data, plain, samples, indices=range(8))
    seen: list[Verdict] = []
    floor = judge.judge(builder.build(Recipe(rounding=True))).comparison.sqnr_db + 3

    def meets(verdict: Verdict) -> bool:
        seen.append(verdict)
        return verdict.comparison.sqnr_db >= floor

    found = rescue(builder, judge, [Recipe(rounding=True)], layers, [Way("int16", meets)])
    assert found is not None
    assert found.verdict in seen
    assert found.verdict.comparison.sqnr_db >= floor
    everything = tuple((op.index, "int16") for op in model.graph.operators)
    assert set(found.recipe.mixed) < set(everything)
    assert rescue(builder, judge, [Recipe()], layers, [Way("int16", lambda _: False)]) is None


def test_sixteen_bit_layers_are_rounded_jointly_too() -> None:
    model, samples = FloatModel.from_bytes(cnn()), images()
    builder = Builder(model, samples, range(40))
    mixed = tuple((op.index, "int16") for op in model.graph.operators)
    plain, rounded = (builder.build(Recipe(rounding=r, mixed=mixed)) for r in (False, True))
    assert (
        compare(cnn(), rounded, images(60, seed=4)).sqnr_db
        > compare(cnn(), plain, images(60, seed=4)).sqnr_db + 2
    )


def _tailed(count: int, seed: int) -> ArrayDataset:
    """Return samples that now and then go further than all before."""
    return ArrayDataset(np.random.default_rng(seed).standard_t(5, size=(count, 32)).astype(np.float32))


def test_few_samples_get_room_for_what_they_do_not_show() -> None:
    model, few, fresh = _exact_weights(), _tailed(40, 3), _tailed(400, 4)
    found = quantize(model, few)
    assert "headroom" in found.method
    assert "headroom" in {f.rule for f in found.findings}
    tight = quantize(model, few, QuantizeOptions(found.method.replace("+headroom", "")))
    assert compare(model, found.data, fresh).sqnr_db > compare(model, tight.data, fresh).sqnr_db + 1


def test_samples_that_show_the_ends_get_no_more_room() -> None:
    # Every sample reaches both ends of the input, and each output is one input's value.
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 32), "float32", name="x"))
    y = g.tensor(f32(1, 32))
    weights, bias = g.tensor(constant(np.eye(32), "float32")), g.tensor(constant(np.zeros(32), "float32"))
    g.operator("FULLY_CONNECTED", [x, weights, bias], [y])
    g.output(y)
    values = np.random.default_rng(0).uniform(-1, 1, size=(40, 32)).astype(np.float32)
    values[:, 0], values[:, 1] = 1, -1
    assert "headroom" not in quantize(builder.pack(), ArrayDataset(values)).method


def test_float_islands_are_the_last_way_and_only_where_they_are_allowed() -> None:
    demand = QuantizeOptions("minmax", min_sqnr=75.0)
    with pytest.raises(AccuracyError, match="CONV_2D"):
        quantize(cnn(), images(), demand)
    found = quantize(cnn(), images(), replace(demand, floats=True))
    assert "xfloat" in found.method
    assert compare(cnn(), found.data, images()).sqnr_db > 70
    (named,) = [f.message for f in found.findings if f.rule == "mixed-precision"]
    assert "(float)" in named
    met = quantize(cnn(), images(), replace(demand, min_sqnr=44.0, floats=True))
    assert "xint16" in met.method
    assert "xfloat" not in met.method


def test_functions_that_int8_holds_in_tables_go_to_float_as_well() -> None:
    """Root of a square, as spectra have it: of small values eight bits of the square say nothing."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 32), "float32", name="x"))
    weights = g.tensor(constant(np.random.default_rng(0).normal(size=(32, 32)), "float32"))
    spectrum, square, root, out = (g.tensor(f32(1, 32)) for _ in range(4))
    g.operator("FULLY_CONNECTED", [x, weights, -1], [spectrum])
    g.operator("MUL", [spectrum, spectrum], [square])
    g.operator("SQRT", [square], [root])
    g.operator("FULLY_CONNECTED", [root, weights, -1], [out])
    g.output(out)
    model, samples = builder.pack(), _tailed(80, 3)
    demand = QuantizeOptions("minmax", min_sqnr=60.0)
    with pytest.raises(AccuracyError):
        quantize(model, samples, demand)
    found = quantize(model, samples, replace(demand, floats=True))
    assert compare(model, found.data, samples).sqnr_db >= 60
    graph = Graph.from_bytes(found.data)
    (taken,) = [op for op in graph if op.op == "SQRT"]
    assert {t.dtype for t in (*graph.input_tensors(taken), *graph.output_tensors(taken)) if t} == {"float32"}


def test_what_layers_go_to_can_be_chosen() -> None:
    demand = QuantizeOptions("minmax", min_sqnr=44.0, floats=True)
    assert "xint16" in quantize(cnn(), images(), replace(demand, lift="int16")).method
    found = quantize(cnn(), images(), replace(demand, lift="float"))
    assert "xfloat" in found.method
    assert "xint16" not in found.method
    for options in (replace(demand, lift="none"), replace(demand, lift="float", floats=False)):
        with pytest.raises(AccuracyError):
            quantize(cnn(), images(), options)
    with pytest.raises(UsageError, match="'half'"):
        QuantizeOptions(lift="half")


def _build(folder: Path, targets: list[str], min_sqnr: float) -> BuildResult:
    (folder / "m.tflite").write_bytes(cnn())
    np.savez(folder / "d.npz", x=images(60).arrays[0])
    options = QuantizeOptions("minmax", min_sqnr=min_sqnr)
    request = BuildRequest(
        folder / "m.tflite", resolve_all(targets), folder / "out", folder / "d.npz", options=options
    )
    return build(request, lambda stage, share: None)


def test_a_build_leaves_floats_to_the_targets_that_run_them(tmp_path: Path) -> None:
    result = _build(tmp_path, ["rpi", "mcu"], 75.0)
    graph = Graph.from_bytes(read_bundle(result.bundles["rpi"]).read("model.tflite"))
    assert any(op.op == "DEQUANTIZE" for op in graph)
    assert {f.severity for f in result.report.findings if f.rule == "float-operator"} == {"info"}
    assert list(result.bundles) == ["rpi"]
    assert isinstance(result.failures["mcu"], AccuracyError)
    assert "worst layers" in result.failures["mcu"].message
    with pytest.raises(AccuracyError, match="worst layers"):
        _build(tmp_path, ["mcu"], 75.0)


def test_what_misses_on_samples_that_nothing_has_seen_is_raised_by_others(tmp_path: Path) -> None:
    """Evaluation samples go further than those that calibrate: half of them say which layers take 16 bits."""
    model, few, fresh = _exact_weights(), _rows(120), 1.2 * _rows(240, seed=5).arrays[0]
    options = QuantizeOptions("minmax", min_sqnr=30.0)
    found = quantize(model, few, options)
    assert found.plain is None
    assert compare(model, found.data, ArrayDataset(fresh)).sqnr_db < 30
    (tmp_path / "m.tflite").write_bytes(model)
    np.savez(tmp_path / "d.npz", x=few.arrays[0])
    np.savez(tmp_path / "e.npz", x=fresh)
    request = BuildRequest(
        tmp_path / "m.tflite", resolve_all(["rpi"]), tmp_path / "out", tmp_path / "d.npz",
        options=options, eval_data=tmp_path / "e.npz",
    )  # fmt: skip
    result = build(request, lambda stage, share: None)
    assert "advised" in {f.rule for f in result.report.findings}
    assert result.report.samples == 120
    assert (result.report.quantization["sqnr_db"] or 0) >= 30


def test_what_sixteen_bits_cost_here_is_told_beside_int8_and_float(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _build(tmp_path, ["rpi"], 44.0)
    infos = {t.info.name: t.info for t, _ in resolve_all(["rpi"])}
    monkeypatch.setattr(_verdict, "SLOW", 0.0)
    said = _verdict.latencies(result, infos)["rpi"]
    assert re.fullmatch(
        r"[\d.]+ ms on this machine \(int8 alone [\d.e-]+, float [\d.e-]+: --lift none, --lift float\)",
        str(said),
    )
    monkeypatch.setattr(_verdict, "SLOW", 1e9)
    assert str(_verdict.latencies(result, infos)["rpi"]).endswith("on this machine")
