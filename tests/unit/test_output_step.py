"""Scale and offset of an output's columns, left to whoever reads it where one scale would flatten them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from quantize_models import ArrayDataset, f32

from qedge.bundle.manifest import TensorSpec
from qedge.emulate.host import compile_host, run_host
from qedge.errors import IntegrityError
from qedge.fields import Field
from qedge.graph import Graph
from qedge.pipeline.package import with_finishes
from qedge.processing.affine import OUTPUTS_KEY, OutputStep, finishes_in, finishes_note
from qedge.quantize import QuantizeOptions, compare, layer_errors, prove_full_integer, quantize
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel
from qedge.quantize.rewrites.output_step import leave_output_steps
from qedge.runtime.result import Result
from qedge.testing.opmodels import ModelBuilder, SubgraphBuilder, constant
from qedge_mcu.output_step import read_output

NONE = {"fused_activation_function": "NONE"}
SIZES = np.array([8.0, 10.0, 0.2, 3.0, 0.001])
MEANS = np.array([1013.0, 15.0, 0.5, 2.0, 0.0])
DATA = ArrayDataset(np.random.default_rng(0).normal(size=(80, 12)).astype(np.float32))


class Regressor:
    """A dense layer with a ReLU on 12 features, and one on that; what follows is up to the test."""

    def __init__(self, outputs: int = 5) -> None:
        self.builder = ModelBuilder()
        self.g: SubgraphBuilder = self.builder.subgraph()
        self.outputs = outputs
        self.rng = np.random.default_rng(1)
        x = self.g.input(f32(1, 12))
        self.hidden = self.dense(x, self.rng.normal(size=(16, 12)) * 0.3, np.zeros(16), "RELU")
        self.rows = self.rng.normal(size=(outputs, 16)) * 0.3

    def dense(self, x: int, weights: np.ndarray, bias: np.ndarray | None, activation: str = "NONE") -> int:
        y = self.g.tensor(f32(1, len(weights)))
        parts = [weights] if bias is None else [weights, bias]
        read = [x, *(self.g.tensor(constant(p, "float32")) for p in parts)]
        self.g.operator("FULLY_CONNECTED", read, [y], {"fused_activation_function": activation})
        return y

    def step(self, op: str, x: int, values: np.ndarray) -> int:
        y = self.g.tensor(f32(1, self.outputs))
        self.g.operator(op, [x, self.g.tensor(constant(values, "float32"))], [y], NONE)
        return y

    def done(self, *outputs: int) -> FloatModel:
        for y in outputs:
            self.g.output(y)
        return FloatModel.from_bytes(self.builder.pack())


def _left(model: FloatModel) -> dict[int, OutputStep]:
    found = finishes_in(model.graph.metadata.get(OUTPUTS_KEY, b""))
    return {k: step for k, step in found.items() if isinstance(step, OutputStep)}


def _same(before: FloatModel, after: FloatModel) -> None:
    first, second = Runner(before.data), Runner(after.data)
    for i in range(8):
        for real, found in zip(first.predict(DATA[i]), second.predict(DATA[i]), strict=True):
            np.testing.assert_allclose(found, real, rtol=1e-4, atol=2e-6)


def _folded(bias: bool = True) -> FloatModel:
    net = Regressor()
    return net.done(net.dense(net.hidden, net.rows * SIZES[:, None], MEANS if bias else None))


def _trailing(activation: str = "RELU6") -> FloatModel:
    net = Regressor()
    made = net.dense(net.hidden, net.rows, np.zeros(5), activation)
    return net.done(net.step("SUB", net.step("MUL", made, SIZES), -MEANS))


@pytest.mark.parametrize("model", [_folded(), _folded(False), _trailing(), _trailing("NONE")])
def test_columns_of_unlike_size_are_kept_and_results_have_the_authors_units(model: FloatModel) -> None:
    after = leave_output_steps(model, DATA, range(80))
    _same(model, after)
    assert set(_left(after)) == {0}
    result = quantize(model.data, DATA, QuantizeOptions("minmax"))
    graph = Graph.from_bytes(result.data)
    assert [op.op for op in graph.operators] == ["FULLY_CONNECTED"] * 2
    assert prove_full_integer(graph) == []
    (figures,) = compare(model.data, result.data, DATA).outputs
    assert figures.sqnr_db > 25
    assert [f.rule for f in result.findings] == ["output-step"]
    assert all(layer.sqnr_db > 20 for layer in layer_errors(model.data, result.data, DATA))


def test_a_single_value_that_varies_little_about_a_large_mean_keeps_what_varies() -> None:
    net = Regressor(1)
    model = net.done(net.dense(net.hidden, net.rows * 8, np.array([1013.0])))
    runner = Runner(quantize(model.data, DATA, QuantizeOptions("minmax")).data)
    real = np.array([Runner(model.data).predict(DATA[i])[0].item() for i in range(80)])
    found = np.array([runner.predict(DATA[i])[0].item() for i in range(80)])
    assert np.square(real - found).mean() < 1e-3 * real.var()


def test_only_what_is_unlike_and_private_is_left_to_the_reader() -> None:
    net = Regressor()
    alike = net.dense(net.hidden, net.rows, np.zeros(5))
    unlike = net.dense(net.hidden, net.rows * SIZES[:, None], MEANS)
    model = net.done(alike, unlike)
    after = leave_output_steps(model, DATA, range(80))
    assert set(_left(after)) == {1}
    _same(model, after)
    assert after.graph.output_names == model.graph.output_names
    net = Regressor()
    model = net.done(net.dense(net.hidden, net.rows, np.zeros(5)))
    assert leave_output_steps(model, DATA, range(80)) is model
    net = Regressor()  # the last step is small: nothing is gained
    model = net.done(net.step("MUL", net.dense(net.hidden, net.rows, np.zeros(5)), np.full(5, 3.0)))
    assert leave_output_steps(model, DATA, range(80)) is model
    net = Regressor()  # the standardised values are an output as well
    inner = net.dense(net.hidden, net.rows, np.zeros(5), "RELU")
    model = net.done(net.step("MUL", inner, SIZES), inner)
    assert leave_output_steps(model, DATA, range(80)) is model
    net = Regressor()  # a ReLU behind the unlike columns is no step
    model = net.done(net.dense(net.hidden, net.rows * SIZES[:, None], MEANS, "RELU"))
    assert leave_output_steps(model, DATA, range(80)) is model


def test_a_long_vector_is_no_regressor() -> None:
    net = Regressor(40)
    model = net.done(net.dense(net.hidden, net.rows * np.logspace(-3, 3, 40)[:, None], np.zeros(40)))
    assert leave_output_steps(model, DATA, range(80)) is model


def test_a_step_of_outputs_survives_in_notes_and_manifests() -> None:
    step = OutputStep.of(SIZES, MEANS)
    notes = finishes_note({0: step, 1: "softmax"})
    assert finishes_in(notes) == {0: step, 1: "softmax"}
    plain = TensorSpec("y", (1, 5), "int8", 0.5, 3)
    spec, other = with_finishes([plain, plain], notes)
    for found in (spec, other):
        assert TensorSpec.from_json(Field(found.to_json(), "$", IntegrityError)) == found
    read = Result([np.full((1, 5), 5, np.int8)], [spec], (), None)
    np.testing.assert_allclose(read.outputs[0], [SIZES + MEANS], rtol=1e-6)
    for wrong in (spec.replace(finish=OutputStep((1.0, 2.0), (0.0,))), plain.replace(finish="sofmax")):
        with pytest.raises(IntegrityError, match="finish"):
            TensorSpec.from_json(Field(wrong.to_json(), "$", IntegrityError))


MAIN = """
#include <stdint.h>
#include <stdio.h>
typedef struct { int8_t codes[256 * 5]; } m_context;
static const float m_output_scale = %s;
static const int32_t m_output_zero_point = -3;
static inline const int8_t *m_output(const m_context *context) { return context->codes; }
%s
int main(void)
{
    static m_context context;
    if (fread(context.codes, sizeof context.codes, 1, stdin) != 1) {
        return 1;
    }
    for (int32_t i = 0; i < 256 * 5; ++i) {
        const float value = m_read_output(&context, i);
        fwrite(&value, sizeof value, 1, stdout);
    }
    return 0;
}
"""


def test_the_c_function_gives_the_values_of_python(tmp_path: Path) -> None:
    step, scale = OutputStep.of(SIZES, MEANS), float(np.float32(1 / 30))
    net = Regressor()
    result = quantize(
        net.done(net.dense(net.hidden, net.rows, np.zeros(5))).data, DATA, QuantizeOptions("minmax")
    )
    graph = Graph.from_bytes(result.data)
    code = read_output("m", "output", graph.tensors[graph.outputs[0]], step)
    (tmp_path / "main.c").write_text(MAIN % (f"{scale.hex()}f", code))
    codes = np.repeat(np.arange(-128, 128), 5).reshape(256, 5).astype(np.int8)
    program = compile_host([tmp_path / "main.c"], tmp_path / "main")
    found = np.frombuffer(run_host(program, codes.tobytes()), np.float32).reshape(256, 5)
    spec = TensorSpec("y", (256, 5), "int8", scale, -3, finish=step)
    np.testing.assert_allclose(found, Result([codes], [spec], (), None).outputs[0], rtol=1e-6, atol=1e-6)
