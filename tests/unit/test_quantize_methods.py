"""Each method against what it promises, independently of a whole model where that is possible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantize_models import ArrayDataset, cnn, f32, images

from qedge.errors import UsageError
from qedge.graph import Graph
from qedge.quantize import QuantizeOptions, Recipe, compare, prove_full_integer, quantize
from qedge.quantize.affine import from_range
from qedge.quantize.build import Builder
from qedge.quantize.histogram import BINS, Histogram, Histograms
from qedge.quantize.interpreter import Runner
from qedge.quantize.judge import Judge
from qedge.quantize.methods.entropy import entropy
from qedge.quantize.methods.equalization import equalize, find_links
from qedge.quantize.methods.mse import mse
from qedge.quantize.methods.percentile import percentile
from qedge.quantize.methods.rounding import DAMPING, Factors, _inverse_factor, round_jointly
from qedge.quantize.model import FloatModel
from qedge.quantize.patches import rows_of
from qedge.quantize.samples import choose, split, thin
from qedge.testing.opmodels import ModelBuilder, Spec, constant


def _histogram(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part.astype(np.float32))
    return histogram


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_a_histogram_does_not_depend_on_the_order(scales: list[float], random: object) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=50) * s for s in scales]
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    a, b = _histogram(*parts), _histogram(*shuffled)
    assert (a.counts == b.counts).all()
    assert (a.low, a.high, a.width) == (b.low, b.high, b.width)
    assert a.counts.sum() == 50 * len(parts)


def test_a_histogram_counts_where_the_values_are() -> None:
    histogram = _histogram(np.array([-1.0, -1e-9, 0.0, 0.5, 3.0]))
    found = histogram.centers[np.repeat(np.arange(BINS), histogram.counts.astype(int))]
    np.testing.assert_allclose(found, [-1.0, 0.0, 0.0, 0.5, 3.0], atol=histogram.width)
    assert _histogram(np.zeros(9)).counts[BINS // 2] == 9


def test_small_tensors_are_counted_in_the_end() -> None:
    histograms = Histograms()
    for value in range(10):
        histograms.observe(3, np.array([value], np.float32))
    assert histograms.of[3].counts.sum() == 10
    assert histograms.ranges == {3: (0.0, 9.0)}


def test_percentile_leaves_out_what_is_rare() -> None:
    values = np.append(np.linspace(-1, 1, 7_999), 50.0)
    low, high = percentile(_histogram(values), 0.999)
    assert low == pytest.approx(-1, abs=0.05)
    assert high == pytest.approx(1, abs=0.05)
    assert percentile(_histogram(values), 1.0)[1] == 50.0


def test_mse_beats_the_true_extremes_and_every_other_symmetric_range() -> None:
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(size=799_999) * 0.1, 3.0)

    def error(low: float, high: float) -> float:
        affine = from_range(low, high)
        return float(np.square(affine.real(affine.codes(values)) - values).mean())

    found = error(*mse(_histogram(*values.reshape(100, 8000))))
    assert found < 0.9 * error(float(values.min()), float(values.max()))
    limit = np.abs(values).max()
    assert found <= 1.05 * min(error(-limit * k, limit * k) for k in np.linspace(0.05, 1, 40))


def test_entropy_cuts_an_outlier_and_leaves_an_even_distribution() -> None:
    rng = np.random.default_rng(0)
    even = np.linspace(-1, 1, 8000)
    assert entropy(_histogram(even)) == pytest.approx((-1, 1), abs=0.1)
    assert entropy(_histogram(np.append(rng.normal(size=8000), 100.0)))[1] < 20


def test_a_range_of_nothing_but_zeros_stays_usable() -> None:
    nothing = _histogram(np.zeros(10))
    for method in (percentile, mse, entropy):
        assert method(nothing) == (0.0, 0.0)


def test_equalisation_keeps_what_the_model_computes_and_evens_out_its_channels() -> None:
    model, data = FloatModel.from_bytes(cnn(spread=300.0)), images()
    even = Builder(model, data, range(len(data))).statistics.variant(1.0)
    before, after = Runner(model.data), Runner(even.data)
    for i in range(5):
        np.testing.assert_allclose(after.predict(data[i])[0], before.predict(data[i])[0], atol=1e-4)
    names = [model.graph.tensors[link.tensor].name for link in find_links(model.graph)]
    assert names == ["first", "second", "pooled", "flat"] or names == ["first", "second", "flat"]
    plain = quantize(model.data, data, QuantizeOptions(method="minmax"))
    better = quantize(model.data, data, QuantizeOptions(method="equalize1"))
    fresh = images(40, seed=5)
    assert (
        compare(model.data, better.data, fresh).sqnr_db > compare(model.data, plain.data, fresh).sqnr_db + 6
    )


def _normalised() -> bytes:
    """Return LayerNorm (gamma, beta spread far apart) and two dense layers that read it."""
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    g = builder.subgraph()

    def const(values: object) -> int:
        return g.tensor(constant(np.asarray(values), "float32"))

    def op(name: str, inputs: list[int], shape: tuple[int, ...], **options: object) -> int:
        y = g.tensor(f32(*shape))
        g.operator(name, inputs, [y], options or None)
        return y

    x = g.input(Spec((1, 5, 8), "float32", name="x"))
    axis = g.tensor(constant([-1]))
    mean = op("MEAN", [x, axis], (1, 5, 1), keep_dims=True)
    square = op("SQUARED_DIFFERENCE", [x, mean], (1, 5, 8))
    variance = op("MEAN", [square, axis], (1, 5, 1), keep_dims=True)
    inverse = op("RSQRT", [op("ADD", [variance, const(1e-3)], (1, 5, 1))], (1, 5, 1))
    gamma = op("MUL", [inverse, const(np.logspace(-2, 1, 8).reshape(1, 1, 8))], (1, 5, 8))
    shift = op("SUB", [const(rng.normal(size=(1, 1, 8))), op("MUL", [mean, gamma], (1, 5, 8))], (1, 5, 8))
    y = op("ADD", [op("MUL", [x, gamma], (1, 5, 8)), shift], (1, 5, 8))
    outputs = []
    for _ in range(2):
        weights = const(rng.normal(size=(6, 8)) / np.logspace(-2, 1, 8))
        outputs.append(op("FULLY_CONNECTED", [y, weights, const(np.zeros(6))], (1, 5, 6), keep_num_dims=True))
    g.output(op("ADD", outputs, (1, 5, 6)))
    return builder.pack()


def test_equalisation_reaches_across_layer_norm_to_all_its_readers() -> None:
    model = FloatModel.from_bytes(_normalised())
    (link,) = find_links(model.graph)
    assert len(link.multiplied) == 2
    rng = np.random.default_rng(1)
    data = ArrayDataset(rng.normal(size=(30, 5, 8)).astype(np.float32))
    even = equalize(model, {link.tensor: np.logspace(-2, 1, 8)})
    before, after = Runner(model.data), Runner(even.data)
    np.testing.assert_allclose(after.predict(data[0])[0], before.predict(data[0])[0], rtol=1e-3, atol=1e-2)
    plain = quantize(model.data, data, QuantizeOptions(method="minmax"))
    better = quantize(model.data, data, QuantizeOptions(method="equalize"))
    assert compare(model.data, better.data, data).sqnr_db > compare(model.data, plain.data, data).sqnr_db + 3


def test_a_tensor_that_others_read_is_left_alone() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 4), "float32", name="x"))
    a, b, c = (g.tensor(f32(1, 4)) for _ in range(3))
    for source, result in ((x, a), (a, b)):
        weights, bias = g.tensor(constant(np.eye(4), "float32")), g.tensor(constant(np.ones(4), "float32"))
        g.operator("FULLY_CONNECTED", [source, weights, bias], [result])
    g.operator("ADD", [a, b], [c])
    g.output(c)
    assert find_links(FloatModel.from_bytes(builder.pack()).graph) == []


@pytest.mark.parametrize("matrices", [False, True])
def test_joint_rounding_changes_the_output_less_than_the_nearest_codes(matrices: bool) -> None:
    rng = np.random.default_rng(0)
    inputs, outputs = 24, 6
    x = rng.normal(size=(400, inputs)) @ rng.normal(size=(inputs, inputs)) + 2.0
    rows = np.concatenate([x, np.ones((400, 1))], axis=1)
    weights, bias = rng.normal(size=(outputs, inputs)), rng.normal(size=outputs)
    scales = np.abs(weights).max(axis=1) / 7
    moment = rows.T @ rows
    factors = Factors.of(np.repeat(moment[None], outputs, axis=0) if matrices else moment)
    codes, corrected = round_jointly(weights, scales, factors, bias)
    real = x @ weights.T + bias
    nearest = x @ (np.rint(weights / scales[:, None]) * scales[:, None]).T + bias
    joint = x @ (codes * scales[:, None]).T + corrected
    assert np.square(joint - real).mean() < 0.5 * np.square(nearest - real).mean()
    assert np.abs((joint - real).mean(axis=0)).max() < 0.05 * np.abs((nearest - real).mean(axis=0)).max()


@pytest.mark.parametrize("size", [3, 64, 65, 200])
def test_the_factor_is_that_of_the_inverse(size: int) -> None:
    rows = np.random.default_rng(size).normal(size=(3 * size, size))
    moment = (rows.T @ rows)[None]
    upper = _inverse_factor(moment, free_bias=False)[0]
    damped = moment[0] + np.eye(size) * DAMPING * np.trace(moment[0]) / size
    np.testing.assert_allclose(upper.T @ upper @ damped, np.eye(size), atol=1e-8)
    np.testing.assert_array_equal(np.tril(upper, -1), 0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("depthwise", [False, True])
def test_patches_times_weights_are_the_layers_output(stride: int, depthwise: bool) -> None:
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 7, 6, 4), "float32", name="x"))
    size = (-(-7 // stride), -(-6 // stride))
    y = g.tensor(Spec((1, *size, 8), "float32"))
    kernel = rng.normal(size=(1, 3, 5, 8) if depthwise else (8, 3, 5, 4)).astype(np.float32)
    options = {"padding": "SAME", "stride_h": stride, "stride_w": stride, "dilation_h_factor": 1}
    options |= {"dilation_w_factor": 1} | ({"depth_multiplier": 2} if depthwise else {})
    weights, bias = g.tensor(constant(kernel, "float32")), g.tensor(constant(np.zeros(8), "float32"))
    g.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, weights, bias], [y], options)
    g.output(y)
    values = rng.normal(size=(1, 7, 6, 4)).astype(np.float32)
    expected = Runner(builder.pack()).predict([values])[0].reshape(-1, 8)
    graph = Graph.from_bytes(builder.pack())
    rows = rows_of(graph, graph.operators[0], values, 1000, rng)
    if depthwise:
        found = np.einsum("ptc,tc->pc", rows, kernel.reshape(15, 8))
    else:
        found = rows @ kernel.reshape(8, -1).T
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_choice_is_never_worse_than_min_max_and_tells_what_was_tried() -> None:
    model, data = cnn(spread=1000.0), images(120)
    result = quantize(model, data)
    fresh = images(60, seed=7)
    plain = quantize(model, data, QuantizeOptions(method="minmax"))
    assert compare(model, result.data, fresh).sqnr_db > compare(model, plain.data, fresh).sqnr_db + 3
    assert result.candidates[0].method == "minmax"
    assert [c.method for c in result.candidates if c.chosen] == [result.method]
    assert all(c.seconds >= 0 and c.bytes > 0 for c in result.candidates)
    assert prove_full_integer(Graph.from_bytes(result.data)) == []
    assert quantize(model, data).data == result.data


def test_too_few_samples_to_hold_out_are_said() -> None:
    result = quantize(cnn(), images(3))
    assert [f.rule for f in result.findings] == ["few-samples"]


def test_held_out_samples_are_not_calibrated_with() -> None:
    fit, held = split(choose(60, None, 0), 0)
    assert not set(fit) & set(held)
    assert len(fit) + len(held) == 60
    assert split(choose(60, None, 0), 1) != (fit, held)
    model = FloatModel.from_bytes(cnn())
    assert thin(model, list(range(60)), 0) == list(range(60))
    assert len(thin(model, list(range(10_000)), 0)) == 128


def test_the_judge_ranks_by_errors_on_every_sample() -> None:
    model, data = FloatModel.from_bytes(cnn()), images(40)
    judge = Judge(model, data, range(20))
    coarse = quantize(model.data, data, QuantizeOptions(method="entropy"))
    fine = quantize(model.data, data, QuantizeOptions(method="minmax+round"))
    assert judge.judge(fine.data).score > judge.judge(coarse.data).score
    assert judge.judge(model.data).score > 80


def test_recipes_are_read_from_names() -> None:
    recipe = Recipe.parse("round+mse+equalize0.8")
    assert recipe == Recipe("mse", 0.8, rounding=True)
    assert Recipe.parse(recipe.name) == recipe
    assert Recipe.parse("equalize") == Recipe("minmax", 0.5)
    for wrong in ("mse+entropy", "msee", "equalize2", "equalizex", ""):
        with pytest.raises(UsageError):
            Recipe.parse(wrong)


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy", "round", "mse+dense-per-channel"])
def test_each_method_gives_a_full_integer_model(method: str) -> None:
    result = quantize(cnn(), images(), QuantizeOptions(method=method))
    assert prove_full_integer(Graph.from_bytes(result.data)) == []
    assert compare(cnn(), result.data, images(40, seed=3)).sqnr_db > 20
    assert result.method == Recipe.parse(method).name


def test_grouped_convolutions_are_quantised_without_joint_rounding() -> None:
    rng = np.random.default_rng(3)
    builder = ModelBuilder()
    g = builder.subgraph()
    window = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    x = g.input(Spec((1, 6, 6, 8), "float32", name="x"))
    made = x
    for outputs, inputs in ((12, 4), (6, 12)):  # two groups, then one
        weights = g.tensor(constant(0.2 * rng.normal(size=(outputs, 3, 3, inputs)), "float32"))
        bias = g.tensor(constant(0.1 * rng.normal(size=outputs), "float32"))
        source, made = made, g.tensor(Spec((1, 6, 6, outputs), "float32", name=f"y{outputs}"))
        options = {**window, "fused_activation_function": "RELU"}
        g.operator("CONV_2D", [source, weights, bias], [made], options)
    g.output(made)
    model, samples = builder.pack(), ArrayDataset(rng.normal(size=(24, 6, 6, 8)))
    for method in ("mse+equalize+round", "auto"):
        found = quantize(model, samples, QuantizeOptions(method=method))
        assert prove_full_integer(Graph.from_bytes(found.data)) == []
        assert found.sqnr_db > 25
