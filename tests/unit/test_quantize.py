"""From a float model to a full-integer one, and the proof that it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from quantize_models import ArrayDataset, cnn, f32, images

from qedge.errors import DataError, ModelError, UsageError
from qedge.graph import Graph
from qedge.oracle import tflm
from qedge.quantize import QuantizeOptions, compare, prove_full_integer, quantize
from qedge.quantize.affine import from_range, symmetric
from qedge.quantize.interpreter import Runner
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op

MINMAX = QuantizeOptions(method="minmax")


def test_the_result_is_full_integer_static_and_close() -> None:
    model, data = cnn(), images()
    result = quantize(model, data, MINMAX)
    graph = Graph.from_bytes(result.data)
    assert prove_full_integer(graph) == []
    assert prove_full_integer(Graph.from_bytes(model))
    assert [t.dtype for t in (graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]])] == [
        "int8"
    ] * 2
    assert graph.input_names == ("image",)
    assert compare(model, result.data, images(60, seed=9)).sqnr_db > 25
    assert result.candidates[0].method == "minmax"
    assert not result.findings


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert quantize(cnn(), images(), MINMAX).data == quantize(cnn(), images(), MINMAX).data


def test_every_tensor_has_a_name_of_its_own_and_shared_constants_stay_shared() -> None:
    graph = Graph.from_bytes(quantize(cnn(), images(), MINMAX).data)
    names = [t.name for t in graph.tensors]
    assert all(names)
    assert len(set(names)) == len(names)
    assert max(len(t.name) for t in graph.tensors if t.is_constant) <= 3
    kept = {t.name for t in Graph.from_bytes(cnn()).tensors if not t.is_constant}
    assert kept <= set(names)


def test_a_name_that_two_activations_share_is_given_once() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 4), "float32", name="x"))
    same = [g.tensor(Spec((1, 4), "float32", name="again")) for _ in range(2)]
    g.operator("RELU", [x], [same[0]])
    g.operator("RELU6", [same[0]], [same[1]])
    g.output(same[1])
    data = ArrayDataset(np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4))
    graph = Graph.from_bytes(quantize(builder.pack(), data, MINMAX).data)
    assert sorted(t.name for t in graph.tensors) == ["a", "again", "x"]


def test_ranges_are_the_true_extremes_whatever_the_order() -> None:
    data = images()
    graph = Graph.from_bytes(quantize(cnn(), data, MINMAX).data)
    quantization = graph.tensors[graph.inputs[0]].quantization
    assert quantization is not None
    expected = from_range(float(data.arrays[0].min()), float(data.arrays[0].max()))
    assert quantization.scalar == (expected.scale[0], expected.zero_point)
    backwards = ArrayDataset(data.arrays[0][::-1])
    assert quantize(cnn(), backwards, MINMAX).data == graph.data


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_inputs_and_outputs_take_the_type_asked_for(io: str) -> None:
    model, data = cnn(), images()
    plain = Runner(quantize(model, data, MINMAX).data, reference=True)
    outside = quantize(model, data, QuantizeOptions(method="minmax", io=io)).data
    graph = Graph.from_bytes(outside)
    assert prove_full_integer(graph, io) == []
    assert {f.rule for f in prove_full_integer(graph)} >= {"io-type"}
    other = Runner(outside, reference=True)
    for i in range(5):
        np.testing.assert_allclose(other.predict(data[i])[0], plain.predict(data[i])[0], atol=1e-6)


@pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")
def test_tflite_micro_computes_what_litert_computes() -> None:
    data = images()
    quantised = quantize(cnn(), data, MINMAX).data
    litert = Runner(quantised, reference=True)
    scale, zero = litert.inputs[0]["quantization"]
    samples = [
        np.clip(np.rint(data[i][0] / np.float32(scale)) + zero, -128, 127).astype(np.int8) for i in range(8)
    ]
    for i, found in enumerate(tflm.run(quantised, [[s] for s in samples])):
        step, offset = litert.outputs[0]["quantization"]
        real = (found.outputs[0].astype(np.float32) - offset) * step
        np.testing.assert_allclose(real, litert.predict(data[i])[0], atol=6 * step)


def test_operators_that_copy_codes_share_one_scale() -> None:
    graph = Graph.from_bytes(quantize(cnn(), images(), MINMAX).data)
    by_name = {t.name: t.quantization for t in graph.tensors}
    scalars = {by_name[n].scalar for n in ("pooled", "flat")}  # type: ignore[union-attr]
    assert len(scalars) == 1
    assert by_name["scores"].scalar == (1 / 256, -128)  # type: ignore[union-attr]


def test_the_mean_of_a_whole_map_has_a_scale_of_its_own() -> None:
    graph = Graph.from_bytes(quantize(cnn(), images(), MINMAX).data)
    assert [op.op for op in graph.operators].count("MEAN") == 1
    by_name = {t.name: t.quantization for t in graph.tensors}
    assert by_name["pooled"].scalar[0] < 0.5 * by_name["third"].scalar[0]  # type: ignore[union-attr]


def test_a_concatenation_of_a_fixed_and_a_free_scale_is_requantised() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 4), "float32", name="x"))
    soft, double, both = g.tensor(f32(1, 4)), g.tensor(f32(1, 4)), g.tensor(f32(1, 8))
    g.operator("SOFTMAX", [x], [soft], {"beta": 1.0})
    g.operator("ADD", [x, x], [double])
    g.operator("CONCATENATION", [soft, double], [both], {"axis": 1})
    g.output(both)
    data = ArrayDataset(np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32))
    result = quantize(builder.pack(), data, MINMAX)
    graph = Graph.from_bytes(result.data)
    assert prove_full_integer(graph) == []
    join = next(op for op in graph.operators if op.op == "CONCATENATION")
    scales = {graph.tensors[t].quantization.scalar for t in (*join.inputs, *join.outputs)}  # type: ignore[union-attr]
    assert len(scales) == 1
    assert compare(builder.pack(), result.data, data).sqnr_db > 35


def test_negation_has_an_int8_form() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 16), "float32", name="x"))
    y = g.tensor(f32(1, 16))
    g.operator("NEG", [x], [y])
    g.output(y)
    data = ArrayDataset(np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32))
    result = quantize(builder.pack(), data, MINMAX)
    assert prove_full_integer(Graph.from_bytes(result.data)) == []
    assert compare(builder.pack(), result.data, data).sqnr_db > 35


def test_an_operator_without_int8_kernels_stays_float_and_is_named() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 16), "float32", name="x"))
    a, y = g.tensor(f32(1, 16)), g.tensor(f32(1, 16))
    g.operator("CUMSUM", [x, g.tensor(constant(np.int32(0)))], [a], {"exclusive": False, "reverse": False})
    g.operator("ADD", [a, x], [y])
    g.output(y)
    data = ArrayDataset(np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32))
    result = quantize(builder.pack(), data, MINMAX)
    assert [f.op for f in result.findings] == ["#0 CUMSUM"]
    assert "float-operator" in {f.rule for f in prove_full_integer(Graph.from_bytes(result.data))}
    assert compare(builder.pack(), result.data, data).sqnr_db > 35


def test_shared_weights_and_biases_are_stored_once() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    rng = np.random.default_rng(0)
    x = g.input(Spec((1, 16), "float32", name="x"))
    weights = g.tensor(constant(rng.normal(size=(16, 16)), "float32"))
    bias = g.tensor(constant(rng.normal(size=16), "float32"))
    for _ in range(3):
        y = g.tensor(f32(1, 16))
        g.operator("FULLY_CONNECTED", [x, weights, bias], [y])
        x = y
    g.output(x)
    data = ArrayDataset(rng.normal(size=(50, 16)).astype(np.float32))
    graph = Graph.from_bytes(quantize(builder.pack(), data, MINMAX).data)
    assert len({op.inputs[1:] for op in graph.operators}) == 1


def test_a_dead_channel_with_a_large_bias_does_not_overflow() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    rng = np.random.default_rng(0)
    x = g.input(Spec((1, 4, 4, 2), "float32", name="x"))
    kernel = rng.normal(size=(4, 1, 1, 2))
    kernel[0], kernel[1] = 0.0, 1e-12
    y = g.tensor(f32(1, 4, 4, 4))
    weights = g.tensor(constant(kernel, "float32"))
    bias = g.tensor(constant([3.0, 3.0, 0.0, 1.0], "float32"))
    options = {
        "padding": "SAME",
        "stride_h": 1,
        "stride_w": 1,
        "dilation_h_factor": 1,
        "dilation_w_factor": 1,
    }
    g.operator("CONV_2D", [x, weights, bias], [y], options)
    g.output(y)
    data = ArrayDataset(rng.normal(size=(20, 4, 4, 2)).astype(np.float32))
    assert compare(builder.pack(), quantize(builder.pack(), data, MINMAX).data, data).sqnr_db > 35


def test_wrong_samples_are_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        quantize(cnn(), ArrayDataset(np.zeros((0, 8, 8, 3))), MINMAX)
    with pytest.raises(DataError, match=r"\(1, 3, 8, 8\)"):
        quantize(cnn(), ArrayDataset(np.zeros((4, 3, 8, 8))), MINMAX)
    with pytest.raises(DataError, match="expected 1"):
        quantize(cnn(), ArrayDataset(np.zeros((4, 8, 8, 3)), np.zeros((4, 1))), MINMAX)
    with pytest.raises(DataError, match="finite"):
        quantize(cnn(), ArrayDataset(np.full((4, 8, 8, 3), 1e38)), MINMAX)


def test_a_quantised_model_is_refused() -> None:
    with pytest.raises(ModelError, match="quantised already"):
        quantize(quantize(cnn(), images(), MINMAX).data, images(), MINMAX)
    bare = single_op("RELU", [Spec((1, 4), "int8")], [Spec((1, 4), "int8")])
    with pytest.raises(ModelError, match="integers without a scale and zero point"):
        quantize(bare, ArrayDataset(np.zeros((8, 4))), MINMAX)


@pytest.mark.parametrize(
    "wrong", [{"io": "int4"}, {"samples": 0}, {"threads": 0}, {"max_drop": 1.5}, {"method": "minmx"}]
)
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        quantize(cnn(), images(), QuantizeOptions(**wrong))  # type: ignore[arg-type]


def test_samples_and_seed_choose_the_same_subset() -> None:
    seen = []
    for seed in (0, 0, 1):
        data = images()
        quantize(cnn(), data, QuantizeOptions(method="minmax", samples=7, seed=seed))
        seen.append(set(data.read))
    assert seen[0] == seen[1] != seen[2]
    assert len(seen[0]) == 7


def test_progress_counts_up_to_the_end() -> None:
    calls: list[tuple[str, int, int]] = []
    quantize(cnn(), images(10), MINMAX, progress=lambda *a: calls.append(a))
    assert ("calibrate", 10, 10) in calls


def test_codes_and_real_numbers_agree() -> None:
    affine = from_range(-1.0, 3.0)
    values = np.linspace(-1, 3, 50)
    np.testing.assert_allclose(affine.real(affine.codes(values)), values, atol=affine.scale[0] / 2 + 1e-6)
    weights = symmetric([1.0, 2.0], axis=0).codes([[-9.0, 1.0], [-9.0, 1.0]])
    assert weights.tolist() == [[-127, 127], [-127, 64]]


def test_quantisation_needs_no_framework() -> None:
    import subprocess
    import sys

    code = (
        "import sys, qedge.quantize;"
        "bad = {'tensorflow', 'ai_edge_quantizer', 'ai_edge_litert'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert importlib.util.find_spec("qedge.quantize") is not None


@pytest.mark.shared
def test_a_residual_network_stays_close(shared: Path) -> None:
    model = (shared / "models/mlperf_tiny/ic01_resnet8_float.tflite").read_bytes()
    folder = shared / "data/cifar10/calibration"
    from PIL import Image

    pictures = [np.asarray(Image.open(p), np.float32) for p in sorted(folder.glob("*/000*.jpg"))]
    data = ArrayDataset(np.stack(pictures))
    result = quantize(model, data, MINMAX)
    assert prove_full_integer(Graph.from_bytes(result.data)) == []
    assert len(result.data) < 98_500
    assert compare(model, result.data, data).sqnr_db > 18


def test_a_vanishing_branch_beside_a_large_one_still_loads_in_xnnpack() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    rng = np.random.default_rng(0)
    x = g.input(Spec((1, 4, 4, 8), "float32", name="x"))
    options = {
        "padding": "SAME",
        "stride_h": 1,
        "stride_w": 1,
        "dilation_h_factor": 1,
        "dilation_w_factor": 1,
    }
    small, y = g.tensor(f32(1, 4, 4, 8)), g.tensor(f32(1, 4, 4, 8))
    kernel = rng.normal(size=(8, 1, 1, 8))
    kernel -= kernel.mean(axis=3, keepdims=True)
    weights, bias = g.tensor(constant(kernel, "float32")), g.tensor(constant(np.zeros(8), "float32"))
    g.operator("CONV_2D", [x, weights, bias], [small], options)
    g.operator("ADD", [x, small], [y])
    g.output(y)
    # The convolution sees the same value in all channels, so that nothing but rounding errors is left of it.
    data = ArrayDataset(np.repeat(rng.normal(size=(20, 4, 4, 1)), 8, axis=3).astype(np.float32))
    result = quantize(builder.pack(), data, MINMAX)
    assert compare(builder.pack(), result.data, data).sqnr_db > 35


def test_a_hard_swish_that_reads_little_above_zero_still_loads() -> None:
    """Its kernel refuses an output scale below 2**-7 of the input's; values so small add nothing there."""
    model = single_op("HARD_SWISH", [Spec((1, 64), "float32")], [Spec((1, 64), "float32")])
    far = np.linspace(-90, -2.99, 64 * 20).astype(np.float32).reshape(20, 64)
    result = quantize(model, ArrayDataset(far), MINMAX)
    graph = Graph.from_bytes(result.data)
    (op,) = (op for op in graph if op.op == "HARD_SWISH")
    read, made = (graph.tensors[t].quantization.scalar[0] for t in (op.inputs[0], op.outputs[0]))
    assert made >= read / 128
    (found,) = Runner(result.data).predict([far[:1]])
    wanted = far[:1] * np.clip(far[:1] + 3, 0, 6) / 6
    assert np.abs(found - wanted).max() <= 2 * made


def test_equal_vectors_of_scales_and_zeros_are_stored_once() -> None:
    data = quantize(cnn(), images(), MINMAX).data
    assert data.count(np.zeros(16, np.int64).tobytes()) <= 1
    graph = Graph.from_bytes(data)
    wide = [
        t.quantization for t in graph.tensors if t.quantization is not None and t.quantization.per_channel
    ]
    assert len(wide) >= 5
    assert all((q.zero_point == 0).all() and q.scale.size == q.zero_point.size for q in wide)


def test_a_search_ends_where_nothing_is_left_to_gain_and_says_what_it_skipped() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 8), "float32", name="x"))
    y = g.tensor(Spec((1, 8), "float32", name="y"))
    g.operator("RELU", [x], [y])
    g.output(y)
    data = ArrayDataset(np.random.default_rng(0).uniform(-1, 1, (60, 8)).astype(np.float32))
    ended = quantize(builder.pack(), data)
    (finding,) = [f for f in ended.findings if f.rule == "search-ended"]
    assert "joint rounding" not in finding.message  # it is tried before the end
    thorough = quantize(builder.pack(), data, QuantizeOptions(effort="thorough"))
    assert len(ended.candidates) < len(thorough.candidates)
    assert not [f for f in thorough.findings if f.rule == "search-ended"]


def test_effort_says_how_much_is_tried() -> None:
    counts = [
        len(quantize(cnn(), images(), QuantizeOptions(effort=effort)).candidates)
        for effort in ("fast", "normal", "thorough")
    ]
    assert counts == sorted(set(counts))
    with pytest.raises(UsageError, match="effort"):
        QuantizeOptions(effort="much")
