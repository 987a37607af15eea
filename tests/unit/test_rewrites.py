"""Rewrites before quantising: the float model computes the same, and int8 keeps what it lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from quantize_models import ArrayDataset

from qedge import quantmath
from qedge.bundle.manifest import TensorSpec
from qedge.datasets.outputs import output_infos
from qedge.emulate.host import compile_host, run_host
from qedge.errors import IntegrityError
from qedge.fields import Field
from qedge.graph import Graph
from qedge.pipeline.package import with_finishes
from qedge.processing.affine import InputStep, apply_steps, note_of, steps_in
from qedge.quantize import QuantizeOptions, compare, layer_errors, prove_full_integer, quantize
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel
from qedge.quantize.rewrites import rewrite
from qedge.quantize.rewrites.input_step import take_steps
from qedge.quantize.rewrites.unlike_parts import keep_parts_apart
from qedge.runtime.model import as_input
from qedge.runtime.result import Result
from qedge.testing.opmodels import ModelBuilder, Spec, SubgraphBuilder, constant
from qedge_mcu.input_step import write_input

NONE = {"fused_activation_function": "NONE"}
CONV = {"stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1, **NONE}
POOL = {"padding": "VALID", "stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2, **NONE}
RNG = np.random.default_rng(3)
SIZES = np.array([1e5, 3e3, 50, 1, 0.1, 0.01], np.float32)


class Net:
    """A float model written one operator a line."""

    def __init__(self, *shape: int, dtype: str = "float32") -> None:
        self.builder = ModelBuilder()
        self.g: SubgraphBuilder = self.builder.subgraph()
        self.input = self.g.input(Spec(shape, dtype, name="x"))

    def const(self, values: npt.ArrayLike, dtype: str = "float32") -> int:
        return self.g.tensor(constant(np.asarray(values, dtype), dtype))

    def op(
        self, name: str, inputs: Sequence[int], shape: Sequence[int], options: Any = None, out: str = ""
    ) -> int:
        y = self.g.tensor(Spec(tuple(shape), "float32", name=out))
        self.g.operator(name, list(inputs), [y], options)
        return y

    def dense(self, x: int, weights: npt.ArrayLike, bias: npt.ArrayLike, out: str = "") -> int:
        count = np.shape(weights)[0]
        return self.op("FULLY_CONNECTED", [x, self.const(weights), self.const(bias)], (1, count), NONE, out)

    def done(self, *outputs: int) -> bytes:
        for y in outputs:
            self.g.output(y)
        return self.builder.pack()


def normalised(offset: npt.ArrayLike, factor: npt.ArrayLike) -> bytes:
    """Return features that are normalised inside: SUB, MUL, dense, ReLU, dense."""
    net = Net(1, 6)
    x = net.op("SUB", [net.input, net.const(offset)], (1, 6), NONE)
    x = net.op("MUL", [x, net.const(factor)], (1, 6), NONE)
    h = net.op("RELU", [net.dense(x, RNG.normal(size=(16, 6)), RNG.normal(size=16))], (1, 16))
    return net.done(net.dense(h, RNG.normal(size=(3, 16)), np.zeros(3), "y"))


def features(count: int = 60, mean: float = 0.0) -> ArrayDataset:
    z = np.random.default_rng(5).normal(size=(count, 6)).astype(np.float32) + np.float32(mean)
    return ArrayDataset(z * SIZES)


def test_a_normalisation_at_the_input_is_done_in_front_and_callers_pass_their_own_units() -> None:
    model, data = normalised(SIZES * 0.5, 1 / SIZES), features()
    result = quantize(model, data, QuantizeOptions("minmax"))
    graph = Graph.from_bytes(result.data)
    assert prove_full_integer(graph) == []
    assert [op.op for op in graph] == ["FULLY_CONNECTED", "RELU", "FULLY_CONNECTED"]
    assert graph.input_names == ("x",)
    assert compare(model, result.data, data).sqnr_db > 30
    (step,) = steps_in(graph.metadata["qedge.inputs"]).values()
    np.testing.assert_allclose(step.offset, SIZES * 0.5, rtol=1e-6)
    for layer in layer_errors(model, result.data, data):
        assert layer.isolated_db > 30


def test_features_of_unlike_size_get_a_step_that_the_first_layer_takes_back() -> None:
    net = Net(1, 6)
    h = net.dense(net.input, RNG.normal(size=(16, 6)) / SIZES, RNG.normal(size=16))
    model = net.done(net.dense(h, RNG.normal(size=(3, 16)), np.zeros(3), "y"))
    data = features(mean=3.0)
    assert compare(model, quantize(model, data, QuantizeOptions("minmax")).data, data).sqnr_db > 30
    plain = quantize(model, data, QuantizeOptions("minmax", input_steps=False))
    assert compare(model, plain.data, data).sqnr_db < 10
    assert "qedge.inputs" not in Graph.from_bytes(plain.data).metadata


def test_features_alike_are_left_alone() -> None:
    net = Net(1, 6)
    model = FloatModel.from_bytes(net.done(net.dense(net.input, RNG.normal(size=(3, 6)), np.zeros(3))))
    data = ArrayDataset(RNG.normal(size=(20, 6)).astype(np.float32) * [1, 2, 3, 4, 5, 6])
    assert take_steps(model, data, range(20)).data == model.data


def test_pixels_of_one_byte_go_in_as_they_are() -> None:
    net = Net(1, 6, 6, 3, dtype="uint8")
    x = net.op("CAST", [net.input], (1, 6, 6, 3))
    x = net.op("MUL", [x, net.const(1 / 255)], (1, 6, 6, 3), NONE)
    kernel = RNG.normal(size=(4, 3, 3, 3))
    y = net.op(
        "CONV_2D", [x, net.const(kernel), net.const(np.zeros(4))], (1, 4, 4, 4), {**CONV, "padding": "VALID"}
    )
    model = net.done(y)
    pixels = RNG.integers(0, 256, (40, 6, 6, 3)).astype(np.float32)
    pixels[0, 0, 0], pixels[1, 0, 0] = 0, 255
    data = ArrayDataset(pixels)
    result = quantize(model, data, QuantizeOptions("minmax"))
    graph = Graph.from_bytes(result.data)
    assert [op.op for op in graph] == ["CONV_2D"]
    entry = graph.tensors[graph.inputs[0]]
    assert entry.quantization is not None
    assert (entry.dtype, entry.quantization.scalar) == ("int8", (1.0, -128))
    assert compare(model, result.data, data).sqnr_db > 35


def after_relu(padding: str) -> bytes:
    """Return conv, ReLU, factor and offset a channel, pool, conv: BatchNormalization after an activation."""
    rng = np.random.default_rng(8)
    net = Net(1, 8, 8, 2)
    conv = {**CONV, "padding": padding}
    size = 8 if padding == "SAME" else 6
    half = size // 2
    last = half if padding == "SAME" else half - 2
    first = [net.input, net.const(rng.normal(size=(6, 3, 3, 2))), net.const(rng.normal(size=6))]
    h = net.op("CONV_2D", first, (1, size, size, 6), {**conv, "fused_activation_function": "RELU"})
    h = net.op("MUL", [h, net.const(np.logspace(-2, 1, 6))], (1, size, size, 6), NONE)
    h = net.op("ADD", [h, net.const(rng.normal(size=6))], (1, size, size, 6), NONE)
    h = net.op("AVERAGE_POOL_2D", [h], (1, half, half, 6), POOL)
    second = [h, net.const(rng.normal(size=(4, 3, 3, 6))), net.const(np.zeros(4))]
    return net.done(net.op("CONV_2D", second, (1, last, last, 4), conv, "y"))


@pytest.mark.parametrize(("padding", "left"), [("VALID", []), ("SAME", ["ADD"])])
def test_a_normalisation_after_an_activation_moves_into_the_next_layer(padding: str, left: list[str]) -> None:
    model = FloatModel.from_bytes(after_relu(padding))
    moved = rewrite(model)
    steps = [op.op for op in moved.graph if op.op in ("MUL", "ADD")]
    assert steps == left  # zeros that are padded must stay zeros
    for x in RNG.normal(size=(4, 1, 8, 8, 2)).astype(np.float32):
        np.testing.assert_allclose(
            Runner(moved.data).predict([x])[0], Runner(model.data).predict([x])[0], rtol=1e-4, atol=1e-4
        )


def test_a_normalisation_that_is_read_elsewhere_stays() -> None:
    net = Net(1, 6)
    h = net.op("MUL", [net.op("RELU", [net.input], (1, 6)), net.const(SIZES)], (1, 6), NONE)
    data = net.done(net.dense(h, RNG.normal(size=(3, 6)), np.zeros(3)), h)
    assert rewrite(FloatModel.from_bytes(data)).data == data


def test_a_step_survives_as_json_and_applies_to_its_input_only() -> None:
    step = InputStep.of([1, 2], [0.1, 3])
    assert steps_in(note_of({1: step})) == {1: step}
    assert steps_in(b"") == {}
    first, second = apply_steps([None, step], [np.ones((1, 2)), np.array([[3.0, 4.0]])])
    np.testing.assert_array_equal(first, [[1, 1]])
    np.testing.assert_allclose(second, [[0.2, 6]], rtol=1e-6)
    np.testing.assert_allclose(step.real(second), [[3, 4]], rtol=1e-6)
    assert InputStep.of([2, 2], 5.0) == InputStep((2.0,), (5.0,))


MAIN = """
#include <stdint.h>
#include <stdio.h>
#define M_INPUT_ELEMENTS 6
typedef struct { int8_t codes[6]; } m_context;
static const float m_input_scale = %s;
static const int32_t m_input_zero_point = -3;
static inline int8_t *m_input(m_context *context) { return context->codes; }
%s
int main(void)
{
    static m_context context;
    static float values[6];
    while (fread(values, sizeof values, 1, stdin) == 1) {
        m_write_input(&context, values);
        fwrite(context.codes, sizeof context.codes, 1, stdout);
    }
    return 0;
}
"""


def test_the_c_function_gives_the_codes_of_python(tmp_path: Path) -> None:
    step = InputStep.of(SIZES * 0.3, np.append(1 / SIZES[:5], 0.5))
    scale = float(np.float32(1 / 32))
    graph = Graph.from_bytes(
        quantize(normalised(SIZES, 1 / SIZES), features(), QuantizeOptions("minmax")).data
    )
    source = tmp_path / "main.c"
    tensor = graph.tensors[graph.inputs[0]]
    source.write_text(MAIN % (f"{scale.hex()}f", write_input("m", "input", tensor, "int8_t", step)))
    program = compile_host([source], tmp_path / "main")
    values = (np.random.default_rng(1).normal(size=(2000, 6)) * 3 * SIZES).astype(np.float32)
    values[:, 5] = (np.arange(2000) - 1000) / 32 + np.float32(step.offset[5])  # ties
    values[0], values[1] = 1e30, -1e30
    spec = TensorSpec("x", (2000, 6), "int8", scale, -3, step=step)
    expected = quantmath.quantize(step.apply(values), scale, -3, np.dtype("int8"))
    assert run_host(program, values.tobytes()) == expected.tobytes()
    np.testing.assert_array_equal(as_input(values[2:], spec.replace(shape=(1998, 6)), step), expected[2:])


def many_classes(sharp: float) -> bytes:
    net = Net(1, 16)
    rng = np.random.default_rng(2)
    y = net.op(
        "SOFTMAX",
        [net.dense(net.input, rng.normal(size=(400, 16)) * sharp, np.zeros(400))],
        (1, 400),
        {"beta": 1.0},
    )
    return net.done(y)


def test_a_softmax_over_many_classes_is_left_to_the_reader_who_sees_probabilities() -> None:
    model = many_classes(0.3)
    data = ArrayDataset(np.random.default_rng(4).normal(size=(60, 16)).astype(np.float32))
    result = quantize(model, data, QuantizeOptions("minmax"))
    graph = Graph.from_bytes(result.data)
    assert [op.op for op in graph] == ["FULLY_CONNECTED"]
    (info,) = output_infos(graph)
    assert info.ending == "softmax"
    np.testing.assert_allclose(Runner(result.data).predict(data[0])[0].sum(), 1, rtol=1e-5)
    found = compare(model, result.data, data)
    assert found.agreement is not None
    assert found.agreement >= 0.9
    (spec,) = with_finishes([TensorSpec("y", (1, 400), "int8", 0.1, 3)], graph.metadata["qedge.outputs"])
    read = Result([np.zeros((1, 400), np.int8)], [spec], (), None)
    np.testing.assert_allclose(read.outputs[0], np.full((1, 400), 1 / 400), rtol=1e-5)
    assert TensorSpec.from_json(Field(spec.to_json(), "$", IntegrityError)) == spec


def test_a_softmax_that_is_sure_of_its_classes_stays() -> None:
    data = ArrayDataset(np.random.default_rng(4).normal(size=(60, 16)).astype(np.float32))
    result = quantize(many_classes(6.0), data, QuantizeOptions("minmax"))
    assert [op.op for op in Graph.from_bytes(result.data)] == ["FULLY_CONNECTED", "SOFTMAX"]


def test_a_step_of_the_manifest_has_a_value_a_channel() -> None:
    spec = TensorSpec("x", (1, 3), "int8", 0.5, 1, step=InputStep.of([1, 2, 3], 0.5))
    assert TensorSpec.from_json(Field(spec.to_json(), "$", IntegrityError)) == spec
    wrong = spec.replace(step=InputStep((1.0, 2.0), (0.5, 0.5)))
    with pytest.raises(IntegrityError, match="one a channel"):
        TensorSpec.from_json(Field(wrong.to_json(), "$", IntegrityError))


def test_an_index_that_counts_from_the_end_is_arithmetic() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 4), "int32", name="ids"))
    zero, size = g.tensor(constant(np.int32(0))), g.tensor(constant(np.int32(5)))
    below, moved, found = (
        g.tensor(Spec((1, 4), "bool")),
        g.tensor(Spec((1, 4), "int32")),
        g.tensor(Spec((1, 4), "int32")),
    )
    y = g.tensor(Spec((1, 4, 3), "float32", name="y"))
    table = g.tensor(constant(np.arange(15).reshape(5, 3) / 7, "float32"))
    g.operator("LESS", [x, zero], [below])
    g.operator("ADD", [x, size], [moved], {"fused_activation_function": "NONE"})
    g.operator("SELECT", [below, moved, x], [found])
    g.operator("GATHER", [table, found], [y], {"axis": 0})
    g.output(y)
    before = FloatModel.from_bytes(builder.pack())
    after = rewrite(before)
    assert [op.op for op in after.graph] == ["LESS", "CAST", "MUL", "ADD", "GATHER"]
    for ids in ([0, 4, -1, -5], [2, -2, 3, -3]):
        sample = [np.array([ids], np.int32)]
        np.testing.assert_array_equal(
            Runner(after.data).predict(sample)[0], Runner(before.data).predict(sample)[0]
        )


def _joined(
    sizes: Sequence[float], fused: str = "RELU", conv: bool = False, weighed: Sequence[float] | None = None
) -> bytes:
    """Return a model that joins a part for each size and weighs them so that all count alike, or as stated."""
    rng = np.random.default_rng(1)
    net = Net(1, 2, 2, 8) if conv else Net(1, 8)
    shape = (1, 2, 2) if conv else (1,)
    parts, back = [], []
    for size, by in zip(sizes, weighed or [1 / size for size in sizes]):
        rows = size * rng.normal(size=(4, 8))
        weights = net.const(rows.reshape(4, 1, 1, 8) if conv else rows)
        options = {**CONV, "padding": "SAME"} if conv else NONE
        name = "CONV_2D" if conv else "FULLY_CONNECTED"
        parts.append(net.op(name, [net.input, weights, net.const(np.zeros(4))], (*shape, 4), options))
        back.append(by * rng.normal(size=(6, 4)))
    total = 4 * len(sizes)
    joined = net.op("CONCATENATION", parts, (*shape, total), {"axis": -1, **NONE})
    rows = np.concatenate(back, axis=1)
    weights = net.const(rows.reshape(6, 1, 1, total) if conv else rows)
    options = {**(CONV | {"padding": "SAME"} if conv else NONE), "fused_activation_function": fused}
    name = "CONV_2D" if conv else "FULLY_CONNECTED"
    y = net.op(name, [joined, weights, net.const(rng.normal(size=6))], (*shape, 6), options, "y")
    net.g.output(y)
    return net.builder.pack()


@pytest.mark.parametrize("conv", [False, True])
@pytest.mark.parametrize("sizes", [(1.0, 300.0), (1000.0, 1.0, 600.0), (1.0, 0.01, 100.0)])
def test_parts_of_unlike_size_are_weighed_apart(sizes: tuple[float, ...], conv: bool) -> None:
    model = _joined(sizes, conv=conv)
    values = RNG.normal(size=(100, 2, 2, 8) if conv else (100, 8)).astype(np.float32)
    data = ArrayDataset(values)
    rewritten = keep_parts_apart(FloatModel.from_bytes(model), data, range(100))
    before, after = Runner(model), Runner(rewritten.data)
    for i in range(5):
        expected = before.predict(data[i])[0]
        np.testing.assert_allclose(after.predict(data[i])[0], expected, rtol=1e-4, atol=1e-4)
    assert compare(model, quantize(model, data, QuantizeOptions("minmax")).data, data).sqnr_db > 33
    assert keep_parts_apart(rewritten, data, range(100)) is rewritten


def test_parts_of_like_size_stay_joined() -> None:
    data = ArrayDataset(RNG.normal(size=(40, 8)).astype(np.float32))
    model = FloatModel.from_bytes(_joined((1.0, 4.0, 2.0)))
    assert keep_parts_apart(model, data, range(40)) is model


def test_a_small_part_that_hardly_counts_stays_joined() -> None:
    data = ArrayDataset(RNG.normal(size=(40, 8)).astype(np.float32))
    model = FloatModel.from_bytes(_joined((1.0, 300.0), weighed=(1.0, 1.0)))
    assert keep_parts_apart(model, data, range(40)) is model


@pytest.mark.parametrize(("op", "bound"), [("MAXIMUM", -np.inf), ("MINIMUM", np.finfo(np.float32).max)])
def test_a_bound_that_no_number_passes_is_none(op: str, bound: float) -> None:
    net = Net(1, 6)
    y = net.op(op, [net.const(bound), net.dense(net.input, RNG.normal(size=(6, 6)), np.zeros(6))], (1, 6))
    net.g.output(y)
    model = net.builder.pack()
    assert [o.op for o in rewrite(FloatModel.from_bytes(model)).graph] == ["FULLY_CONNECTED", "RESHAPE"]
    data = ArrayDataset(RNG.normal(size=(50, 6)).astype(np.float32))
    assert compare(model, quantize(model, data).data, data).sqnr_db > 30


@pytest.mark.parametrize("activation", ["NONE", "RELU"])
@pytest.mark.parametrize("bias", [None, 0.0, 0.7])
def test_weights_that_are_computed_become_a_product_of_matrices(activation: str, bias: float | None) -> None:
    """The scores of an attention: TFLiteConverter multiplies two activations by FULLY_CONNECTED."""
    net = Net(1, 5, 6)
    key = net.op("FULLY_CONNECTED", [net.input, net.const(RNG.normal(size=(6, 6)) / 2), -1], (5, 6), NONE)
    last = net.op("SLICE", [key, net.const([4, 0], "int32"), net.const([1, 6], "int32")], (1, 6))
    given = -1 if bias is None else net.const([bias])
    options = {"fused_activation_function": activation}
    scores = net.op("FULLY_CONNECTED", [net.input, last, given], (5, 1), options)
    model = net.done(scores)
    rewritten = rewrite(FloatModel.from_bytes(model)).data
    found = [op.op for op in Graph.from_bytes(rewritten)]
    assert found.count("FULLY_CONNECTED") == 1
    assert ("ADD" in found) == bool(bias)
    for _ in range(3):
        x = RNG.normal(size=(1, 5, 6)).astype(np.float32)
        before, after = (Runner(m).predict([x])[0] for m in (model, rewritten))
        np.testing.assert_allclose(after, before, atol=1e-6)
    samples = RNG.normal(size=(40, 5, 6)).astype(np.float32)
    result = quantize(model, ArrayDataset(samples), QuantizeOptions("minmax"))
    assert prove_full_integer(Graph.from_bytes(result.data)) == []
