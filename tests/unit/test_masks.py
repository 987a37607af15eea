"""Masks of attention: huge negative constants ahead of a softmax take no more of the range than they need."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from quantize_models import ArrayDataset

from qedge.graph import Graph
from qedge.quantize import compare, quantize
from qedge.quantize.interpreter import Runner
from qedge.quantize.rewrites.masks import bound_masks
from qedge.testing.opmodels import ModelBuilder, Spec, constant

HUGE = [-np.inf, -1e9, float(np.finfo(np.float32).min), -65504.0, -10000.0]
SHAPE = (1, 8, 8)
CAUSAL = np.tri(8) > 0


def f32(name: str) -> Spec:
    return Spec(SHAPE, "float32", name=name)


def attention(mask: Callable[[object, int, int], None]) -> bytes:
    """Scores of a dense layer, what ``mask`` puts behind them, a softmax, and a dense layer."""
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(f32("x"))
    first, second = (g.tensor(constant(rng.normal(size=(8, 8)), "float32")) for _ in range(2))
    scores, masked, shares, out = (g.tensor(f32(n)) for n in ("scores", "masked", "shares", "out"))
    g.operator("FULLY_CONNECTED", [x, first, -1], [scores], {"keep_num_dims": True})
    mask(g, scores, masked)
    g.operator("SOFTMAX", [masked], [shares], {"beta": 1.0})
    g.operator("FULLY_CONNECTED", [shares, second, -1], [out], {"keep_num_dims": True})
    g.output(out)
    return builder.pack()


def added(value: float) -> bytes:
    held = constant(np.where(CAUSAL, 0, np.float32(value))[None], "float32")
    return attention(lambda g, x, y: g.operator("ADD", [x, g.tensor(held)], [y]))


def chosen(value: float) -> bytes:
    def mask(g: object, x: int, y: int) -> None:
        where, low = (
            g.tensor(constant(CAUSAL[None], "bool")),
            g.tensor(constant(np.float32(value), "float32")),
        )
        g.operator("SELECT_V2", [where, x, low], [y])

    return attention(mask)


def samples(count: int = 60) -> ArrayDataset:
    return ArrayDataset(np.random.default_rng(1).normal(size=(count, *SHAPE[1:])).astype(np.float32))


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("form", [added, chosen])
def test_the_masked_model_says_the_same(form: Callable[[float], bytes], value: float) -> None:
    model = form(value)
    bounded = bound_masks(model, samples())
    graph = Graph.from_bytes(bounded)
    assert min(t.data.min() for t in graph.tensors if t.data is not None and t.dtype == "float32") > -100
    before, after = Runner(model), Runner(bounded)
    for k in range(20):
        np.testing.assert_allclose(after.predict(samples()[k])[0], before.predict(samples()[k])[0], atol=1e-5)


def test_its_scores_keep_their_steps() -> None:
    model = added(-1e9)
    plain = compare(model, quantize(model, samples()).data, samples())
    bounded = bound_masks(model, samples())
    assert compare(bounded, quantize(bounded, samples()).data, samples()).sqnr_db > plain.sqnr_db + 20


def test_a_mask_that_the_model_computes() -> None:
    """1 - kept, times a huge number: what exports of language models do with a mask that is an input."""

    def mask(g: object, x: int, y: int) -> None:
        kept = g.tensor(constant(1.0 - CAUSAL[None], "float32"))
        spread, low = g.tensor(f32("low")), g.tensor(constant(np.float32(-1e9), "float32"))
        zeros = g.tensor(f32("zeros"))
        g.operator("SUB", [x, x], [zeros])
        hidden = g.tensor(f32("hidden"))
        g.operator("ADD", [zeros, kept], [hidden])
        g.operator("MUL", [hidden, low], [spread])
        g.operator("ADD", [x, spread], [y])

    model = attention(mask)
    bounded = bound_masks(model, samples())
    assert bounded != model
    for k in range(5):
        found, expected = (Runner(m).predict(samples()[k])[0] for m in (bounded, model))
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_huge_number_that_is_taken_away() -> None:
    """scores - 1e9 * hidden, the other way to write it."""

    def mask(g: object, x: int, y: int) -> None:
        held = g.tensor(constant(np.where(CAUSAL, 0.0, 1e9)[None], "float32"))
        g.operator("SUB", [x, held], [y])

    bounded = bound_masks(attention(mask), samples())
    graph = Graph.from_bytes(bounded)
    assert max(t.data.max() for t in graph.tensors if t.data is not None and t.dtype == "float32") < 100
    assert compare(bounded, quantize(bounded, samples()).data, samples()).sqnr_db > 20


def test_a_sharp_choice_is_no_mask() -> None:
    """Distances times a large negative number: what soft assignments to clusters do."""

    def mask(g: object, x: int, y: int) -> None:
        g.operator("MUL", [x, g.tensor(constant(np.float32(-2000.0), "float32"))], [y])

    assert bound_masks(attention(mask), samples()) == attention(mask)


def test_a_mask_that_is_read_elsewhere_behind_a_step_stays() -> None:
    def mask(g: object, x: int, y: int) -> None:
        low = g.tensor(constant(np.where(CAUSAL, 0.0, -1e9)[None], "float32"))
        ones, moved, other = (
            g.tensor(constant(np.float32(1.0), "float32")),
            g.tensor(f32("moved")),
            g.tensor(f32("o")),
        )
        g.operator("MUL", [low, ones], [moved])
        g.operator("ADD", [x, moved], [y])
        g.operator("MAXIMUM", [x, moved], [other])
        g.output(other)

    assert bound_masks(attention(mask), samples()) == attention(mask)


def test_what_is_no_mask_stays() -> None:
    def used_elsewhere(g: object, x: int, y: int) -> None:
        low = g.tensor(constant(np.where(CAUSAL, 0, -1e9)[None], "float32"))
        g.operator("ADD", [x, low], [y])
        other = g.tensor(f32("other"))
        g.operator("MAXIMUM", [x, low], [other])
        g.output(other)

    for model in (
        attention(used_elsewhere),
        attention(lambda g, x, y: g.operator("ABS", [x], [y])),
        added(-5.0),
    ):
        assert bound_masks(model, samples()) == model
    assert bound_masks(added(-1e9), ArrayDataset(np.zeros((0, 8, 8), np.float32))) == added(-1e9)
