"""Models that were trained with fake quantisation keep their ranges: int8 says what the simulation says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from qedge.graph import Graph
from qedge.quantize import Quantized, QuantizeOptions, quantize
from qedge.quantize.affine import from_range
from qedge.quantize.build import Builder
from qedge.quantize.compare import compare
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel
from qedge.quantize.recipe import Recipe
from qedge.quantize.rewrites import rewrite
from qedge.quantize.rewrites.trained_ranges import hold_trained_weights, simulated
from qedge.testing.opmodels import ModelBuilder, Spec, constant
from tests.unit.quantize_models import ArrayDataset

WINDOW = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
RANGES = {"x": (-2.0, 2.0), "first": (0.0, 1.5), "second": (-1.0, 3.0)}
"""Tighter than what the samples show, as training may well choose."""


def trained(*, narrow: bool = True, after_input: bool = True) -> bytes:
    """Return a float model with FAKE_QUANT behind its input, its weights and its layers."""
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    g = builder.subgraph()

    def const(values: npt.ArrayLike) -> int:
        return g.tensor(constant(np.asarray(values), "float32"))

    def fake(source: int, name: str, shape: tuple[int, ...], low: float, high: float, tight: bool) -> int:
        result = g.tensor(Spec(shape, "float32", name=name))
        options = {"min": low, "max": high, "num_bits": 8, "narrow_range": tight}
        g.operator("FAKE_QUANT", [source], [result], options, version=2 if tight else 1)
        return result

    def layer(source: int, name: str, weights: npt.NDArray[np.float64], activation: str) -> int:
        shape = (1, 6, 6, len(weights))
        limit = float(np.abs(weights).max()) * 0.9
        held = fake(const(weights), f"{name}/weights", weights.shape, -limit, limit, narrow)
        raw = g.tensor(Spec(shape, "float32", name=f"{name}/raw"))
        options = {**WINDOW, "fused_activation_function": activation}
        g.operator("CONV_2D", [source, held, const(0.1 * rng.normal(size=len(weights)))], [raw], options)
        return fake(raw, name, shape, *RANGES[name], tight=False)

    x = g.input(Spec((1, 6, 6, 3), "float32", name="x"))
    h = fake(x, "x/held", (1, 6, 6, 3), *RANGES["x"], tight=False) if after_input else x
    h = layer(h, "first", rng.normal(size=(5, 3, 3, 3)) * 0.2, "RELU")
    g.output(layer(h, "second", rng.normal(size=(4, 1, 1, 5)), "NONE"))
    return builder.pack()


def paired(*, readers: int = 1) -> bytes:
    """Return a float model as TensorFlow's converter writes one with the wrappers of tensorflow-model-optimization.

    QUANTIZE to uint8 and DEQUANTIZE behind the input, per channel behind the weights, and behind the layer.
    """
    rng = np.random.default_rng(1)
    builder = ModelBuilder()
    g = builder.subgraph()

    def there_and_back(
        source: int, shape: tuple[int, ...], scale: object, zero: object, back: int = 1
    ) -> list[int]:
        coded = g.tensor(Spec(shape, "uint8", scale, zero))  # type: ignore[arg-type]
        g.operator("QUANTIZE", [source], [coded])
        found = [g.tensor(Spec(shape, "float32")) for _ in range(back)]
        for t in found:
            g.operator("DEQUANTIZE", [coded], [t])
        return found

    weights = rng.normal(size=(5, 3, 3, 3)) * 0.2 * np.arange(1, 6).reshape(-1, 1, 1, 1)
    limits = np.abs(weights).max(axis=(1, 2, 3)) * 0.8
    x = g.input(Spec((1, 6, 6, 3), "float32", name="x"))
    (h,) = there_and_back(x, (1, 6, 6, 3), 0.02, 120)
    (held,) = there_and_back(
        g.tensor(constant(weights, "float32")), (5, 3, 3, 3), tuple(limits / 127), (128,) * 5
    )
    raw = g.tensor(Spec((1, 6, 6, 5), "float32", name="raw"))
    g.operator("CONV_2D", [h, held, g.tensor(constant(np.zeros(5), "float32"))], [raw], WINDOW)
    outs = there_and_back(raw, (1, 6, 6, 5), 0.03, 100, readers)
    result = g.tensor(Spec((1, 6, 6, 5), "float32", name="y"))
    g.operator("ADD", [outs[0], outs[-1]], [result])
    g.output(result)
    return builder.pack()


def samples(count: int = 30) -> ArrayDataset:
    return ArrayDataset(np.random.default_rng(2).normal(size=(count, 6, 6, 3)))


def _quantised(model: bytes, method: str) -> Quantized:
    return quantize(model, samples(), QuantizeOptions(method=method, io="int8"))


@pytest.mark.parametrize("method", ["minmax", "mse+round", "mse+equalize+round"])
@pytest.mark.parametrize("narrow", [True, False])
def test_int8_says_what_the_simulation_says(method: str, narrow: bool) -> None:
    model = trained(narrow=narrow)
    simulation, data = Runner(hold_trained_weights(model), threads=1), samples()
    runner = Runner(_quantised(model, method).data, threads=1)
    scale = float(runner.outputs[0]["quantization"][0])
    steps = [np.abs(runner.predict(data[i])[0] - simulation.predict(data[i])[0]) / scale for i in range(30)]
    assert (np.stack(steps) < 1.01).mean() >= 0.99


def test_the_ranges_of_training_are_used_and_not_those_of_the_samples() -> None:
    graph = Graph.from_bytes(_quantised(trained(), "mse").data)
    by_name = {t.name: t for t in graph.tensors}
    for name, (low, high) in RANGES.items():
        wanted, found = from_range(low, high), by_name[name].quantization
        assert found is not None
        assert found.scalar == (pytest.approx(wanted.scale[0]), wanted.zero_point)


def test_every_operator_of_the_simulation_is_gone_and_nothing_else() -> None:
    before, after = (Graph.from_bytes(m) for m in (trained(), rewrite(FloatModel.from_bytes(trained())).data))
    assert [op.op for op in after] == [op.op for op in before if op.op != "FAKE_QUANT"]
    assert [t.name for t in map(after.tensors.__getitem__, after.outputs)] == ["second"]


def test_what_has_no_trained_range_is_measured() -> None:
    graph = Graph.from_bytes(_quantised(trained(after_input=False), "minmax").data)
    found = graph.tensors[graph.inputs[0]].quantization
    assert found is not None
    largest = float(np.abs(np.concatenate([samples()[i][0] for i in range(30)])).max())
    assert found.scalar[0] > 1.5 * largest / 255


def test_other_widths_stay_and_are_refused() -> None:
    builder = ModelBuilder()
    options = {"min": -1.0, "max": 1.0, "num_bits": 4}
    builder.subgraph().add("FAKE_QUANT", [Spec((1, 4), "float32")], [Spec((1, 4), "float32")], options)
    model = FloatModel.from_bytes(builder.pack())
    assert rewrite(model).data == model.data


def test_weights_of_a_whole_range_are_rounded_as_tensorflow_does() -> None:
    model = trained(narrow=False)
    graph = Graph.from_bytes(hold_trained_weights(model))
    assert [op.op for op in graph].count("FAKE_QUANT") == 3
    runner = Runner(model, threads=1)
    held = Runner(graph.data, threads=1)
    sample = samples()[0]
    assert np.allclose(runner.predict(sample)[0], held.predict(sample)[0], atol=1e-5)


@pytest.mark.parametrize("readers", [1, 2])
def test_quantize_and_dequantize_are_the_simulation_too(readers: int) -> None:
    model, data = paired(readers=readers), samples()
    simulation = Runner(hold_trained_weights(model), threads=1)
    found = _quantised(model, "minmax")
    graph = Graph.from_bytes(found.data)
    assert [op.op for op in graph] == ["CONV_2D", "ADD"]
    held = graph.tensors[graph.operators[0].inputs[0]].quantization
    assert held is not None
    assert (held.scale[0], held.zero_point[0]) == (pytest.approx(0.02), 120 - 128)
    written = graph.tensors[graph.operators[0].outputs[0]].quantization
    assert written is not None
    assert (written.scale[0], written.zero_point[0]) == (pytest.approx(0.03), 100 - 128)
    runner = Runner(found.data, threads=1)
    scale = float(runner.outputs[0]["quantization"][0])
    steps = [np.abs(runner.predict(data[i])[0] - simulation.predict(data[i])[0]) / scale for i in range(30)]
    assert (np.stack(steps) < 1.01).mean() >= 0.99


def test_a_quantize_that_integers_read_is_no_simulation() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 4), "float32"))
    coded, result = g.tensor(Spec((1, 4), "int8", 0.1, 0)), g.tensor(Spec((1, 4), "int8", 0.1, 0))
    g.operator("QUANTIZE", [x], [coded])
    g.operator("RELU", [coded], [result])
    g.output(result)
    graph = Graph.from_bytes(builder.pack())
    assert simulated(graph, graph.operators[0]) is None


def rectified_by_its_grid() -> bytes:
    """Return a float model whose layer has no ReLU of its own: the grid behind it begins at 0, as exporters fold it."""
    rng = np.random.default_rng(3)
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 6, 6, 3), "float32", name="x"))
    raw, held = (g.tensor(Spec((1, 6, 6, 5), "float32", name=n)) for n in ("raw", "held"))
    weights, bias = rng.normal(size=(5, 3, 3, 3)) * 0.2, np.zeros(5)
    g.operator("CONV_2D", [x, *(g.tensor(constant(v, "float32")) for v in (weights, bias))], [raw], WINDOW)
    g.operator("FAKE_QUANT", [raw], [held], {"min": 0.0, "max": 1.5, "num_bits": 8})
    last = g.tensor(Spec((1, 6, 6, 4), "float32", name="y"))
    weights = rng.normal(size=(4, 1, 1, 5))
    bias = np.zeros(4)
    g.operator(
        "CONV_2D", [held, *(g.tensor(constant(v, "float32")) for v in (weights, bias))], [last], WINDOW
    )
    g.output(last)
    return builder.pack()


@pytest.mark.parametrize("mixed", [(), ((0, "int16"), (1, "int16"))])
def test_a_grid_that_begins_at_zero_rectifies_in_every_width(mixed: tuple[tuple[int, str], ...]) -> None:
    model, data = rectified_by_its_grid(), samples()
    ready = rewrite(FloatModel.from_bytes(model))
    assert ready.graph.operators[0].options["fused_activation_function"] == "RELU"
    builder = Builder(ready, data, range(30), threads=1)
    made = builder.build(Recipe(mixed=mixed))
    assert compare(model, made, data).sqnr_db > 30
