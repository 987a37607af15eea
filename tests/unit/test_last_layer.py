"""The layers that end a model, fitted to what the quantised layers ahead of them give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from quantize_models import ArrayDataset, cnn, f32, images

from qedge.graph import Graph
from qedge.quantize import QuantizeOptions, Recipe, compare, quantize
from qedge.quantize.build import Builder
from qedge.quantize.judge import Judge
from qedge.quantize.last_layer import fitted, last_layers
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import make_plan
from qedge.quantize.rows import LayerRows
from qedge.quantize.search import HeldOut, Tried, attempt, with_last_layer
from qedge.testing.opmodels import ModelBuilder, constant

CONV = {
    "padding": "SAME",
    "stride_h": 1,
    "stride_w": 1,
    "dilation_h_factor": 1,
    "dilation_w_factor": 1,
    "fused_activation_function": "NONE",
}


def _layer(rng: np.random.Generator, biased: bool = True, by_channel: bool = False) -> LayerRows:
    rows, offsets = rng.normal(size=(3, 5)), rng.normal(size=3) if biased else np.zeros(3)
    return LayerRows(0, 1 if biased else -1, rows, offsets, (3, 5), by_channel)


def _products(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the products of two kinds of inputs, (outputs or 1, rows, inputs), with a last column of ones."""
    a, b = (np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=2) for x in (first, second))
    found: npt.NDArray[Any] = a.transpose(0, 2, 1) @ b
    return found if len(found) > 1 else found[0]


def _error(layer: LayerRows, found: LayerRows, real: npt.NDArray[Any], seen: npt.NDArray[Any]) -> float:
    """Return the mean square of what the outputs are off."""
    a = (
        np.einsum("kni,oi->kno", real, layer.rows)
        if len(real) == 1
        else np.einsum("oni,oi->no", real, layer.rows)
    )
    b = (
        np.einsum("kni,oi->kno", seen, found.rows)
        if len(seen) == 1
        else np.einsum("oni,oi->no", seen, found.rows)
    )
    return float(np.square(a + layer.offsets - b - found.offsets).mean())


@pytest.mark.parametrize("matrices", [1, 3])
@pytest.mark.parametrize("biased", [True, False])
def test_a_layer_makes_up_for_inputs_that_are_off(matrices: int, biased: bool) -> None:
    rng = np.random.default_rng(0)
    layer = _layer(rng, biased, matrices == 3)
    real = rng.normal(size=(matrices, 200, 5)) + 0.5
    same = fitted(layer, _products(real, real), _products(real, real))
    np.testing.assert_allclose(same.rows, layer.rows, atol=1e-9)
    np.testing.assert_allclose(same.offsets, layer.offsets, atol=1e-9)
    seen = 0.8 * real + 0.3
    found = fitted(layer, _products(seen, seen), _products(seen, real))
    assert _error(layer, found, real, seen) < (0.5 if biased else 0.8) * _error(layer, layer, real, seen)
    assert biased or not found.offsets.any()


def test_what_is_always_off_goes_into_the_bias() -> None:
    rng = np.random.default_rng(1)
    layer = _layer(rng)
    real = rng.normal(size=(1, 400, 5))
    real -= real.mean(axis=1)
    seen = real + np.array([0.3, 0.0, 0.0, 0.0, 0.0])
    found = fitted(layer, _products(seen, seen), _products(seen, real))
    np.testing.assert_allclose(found.offsets - layer.offsets, -0.3 * layer.rows[:, 0], rtol=0.2, atol=0.02)


def _heads() -> bytes:
    """Return a trunk of two layers with two heads, one of them with an activation, and a pair of layers that share
    weights."""
    rng = np.random.default_rng(2)
    builder = ModelBuilder()
    g = builder.subgraph()

    def layer(name: str, source: int, outputs: int, weights: int | None = None) -> int:
        if weights is None:
            weights = g.tensor(constant(rng.normal(size=(outputs, 1, 1, 4)), "float32"))
        made = g.tensor(replace(f32(1, 3, 3, outputs), name=name))
        bias = g.tensor(constant(rng.normal(size=outputs), "float32"))
        g.operator("CONV_2D", [source, weights, bias], [made], CONV)
        return made

    x = g.input(replace(f32(1, 3, 3, 4), name="x"))
    trunk = layer("second", layer("first", x, 4), 4)
    scores = g.tensor(replace(f32(1, 3, 3, 2), name="scores"))
    g.operator("LOGISTIC", [layer("logits", trunk, 2)], [scores])
    shared = g.tensor(constant(rng.normal(size=(4, 1, 1, 4)), "float32"))
    for out in (
        scores,
        layer("boxes", trunk, 4),
        layer("left", trunk, 4, shared),
        layer("right", x, 4, shared),
    ):
        g.output(out)
    return builder.pack()


def test_the_last_layers_are_those_that_no_other_follows() -> None:
    graph = Graph.from_bytes(_heads())
    ranges = {t.index: (-8.0, 8.0) for t in graph.tensors if not t.is_constant}
    found = last_layers(graph, make_plan(graph, ranges))
    assert [graph.tensors[op.outputs[0]].name for op in found] == ["logits", "boxes"]


def test_the_fit_changes_the_last_layers_alone_and_brings_them_nearer() -> None:
    data = ArrayDataset(np.random.default_rng(3).normal(size=(64, 3, 3, 4)).astype(np.float32))
    plain, found = (
        quantize(_heads(), data, QuantizeOptions(method=m)) for m in ("minmax", "minmax+last-layer")
    )
    before, after = Graph.from_bytes(plain.data), Graph.from_bytes(found.data)
    for op, other in zip(before.operators, after.operators, strict=True):
        name = before.tensors[op.outputs[0]].name
        if op.op == "CONV_2D":
            codes = [g.tensors[o.inputs[1]].data for g, o in ((before, op), (after, other))]
            assert np.array_equal(*codes) == (name not in ("logits", "boxes")), name
    unseen = ArrayDataset(np.random.default_rng(4).normal(size=(64, 3, 3, 4)).astype(np.float32))
    old, new = (compare(_heads(), r.data, unseen).outputs for r in (plain, found))
    assert all(new[k].sqnr_db > old[k].sqnr_db for k in (0, 1))
    assert found.method == "minmax+last-layer" == Recipe.parse(found.method).name


def test_a_depthwise_layer_in_16_bits_is_fitted_too() -> None:
    rng = np.random.default_rng(5)
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(replace(f32(1, 4, 4, 3), name="x"))
    middle, made = (g.tensor(replace(f32(1, 4, 4, 3), name=n)) for n in ("middle", "y"))
    weights = g.tensor(constant(rng.normal(size=(3, 1, 1, 3)), "float32"))
    g.operator("CONV_2D", [x, weights, g.tensor(constant(rng.normal(size=3), "float32"))], [middle], CONV)
    taps = g.tensor(constant(rng.normal(size=(1, 3, 3, 3)), "float32"))
    bias = g.tensor(constant(rng.normal(size=3), "float32"))
    g.operator("DEPTHWISE_CONV_2D", [middle, taps, bias], [made], {**CONV, "depth_multiplier": 1})
    g.output(made)
    model, data = FloatModel.from_bytes(builder.pack()), ArrayDataset(rng.normal(size=(32, 4, 4, 3)))
    whole, judge = Builder(model, data, range(32)), Judge(model, data, range(32), ranks=False)
    for mixed in ((), ((1, "int16"),)):
        plain, fit = (attempt(whole, judge, Recipe(last_layer=k, mixed=mixed)) for k in (False, True))
        assert fit.score > plain.score


def test_held_out_samples_have_the_last_word_on_the_fit() -> None:
    model, data = FloatModel.from_bytes(cnn()), images(64)
    whole = Builder(model, data, range(64), held=range(16))
    judge = Judge(model, data, range(64))
    chosen = attempt(whole, judge, Recipe("entropy"))
    held = HeldOut(whole.without_held(), judge.of(range(16)))
    found = with_last_layer(whole, judge, held, chosen)
    assert found is not None
    assert found.recipe.last_layer
    assert found.score > chosen.score
    # The same candidates, held-out samples that say otherwise.
    after = held.of(found.recipe)
    worse = replace(after.verdict, score=held.of(chosen.recipe).score - 0.01)
    held._known[found.recipe] = Tried(after.recipe, after.data, worse, 0.0)
    assert with_last_layer(whole, judge, held, chosen) is None
    few = HeldOut(whole.without_held(), judge.of(range(15)))
    assert with_last_layer(whole, judge, few, chosen) is None
    assert not few._known


def test_the_fit_knows_nothing_of_held_out_samples() -> None:
    model, data = FloatModel.from_bytes(cnn()), images(40)
    recipe = Recipe(last_layer=True)
    known = Builder(model, data, range(10, 40)).build(recipe)
    assert Builder(model, data, range(40), held=range(10)).without_held().build(recipe) == known
    assert Builder(model, data, range(40), held=range(10)).build(recipe) != known
