"""What the search leans on: the guard of held-out samples, the judge's temperature, the cost of the squared error."""

from __future__ import annotations

import numpy as np
import pytest
from quantize_models import ArrayDataset, f32

from qedge.quantize import QuantizeOptions, compare, quantize
from qedge.quantize.affine import from_range
from qedge.quantize.histogram import Histogram
from qedge.quantize.judge import CONFIDENCE, Judge
from qedge.quantize.methods.mse import mse, squared_errors
from qedge.quantize.model import FloatModel
from qedge.testing.opmodels import ModelBuilder, Spec, constant

INPUTS = 256


def _wide() -> bytes:
    """Return one dense layer of far more inputs than there are samples: joint rounding learns them by heart.

    One large weight a row makes the step of all others coarse.
    """
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(16, INPUTS))
    rows[:, 0] = 10
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, INPUTS), "float32", name="x"))
    y = g.tensor(f32(1, 16))
    weights, bias = g.tensor(constant(rows, "float32")), g.tensor(constant(np.zeros(16), "float32"))
    g.operator("FULLY_CONNECTED", [x, weights, bias], [y])
    g.output(y)
    return builder.pack()


def _samples(count: int, seed: int) -> ArrayDataset:
    values = np.random.default_rng(seed).uniform(-1, 1, size=(count, INPUTS)).astype(np.float32)
    values[:, 0] *= 0.05
    values[:, 1] = np.where(np.arange(count) % 2, 1, -1)  # every set has the same extremes
    return ArrayDataset(values)


def test_a_candidate_that_learned_its_samples_by_heart_is_refused() -> None:
    model, few, fresh = _wide(), _samples(40, 1), _samples(200, 2)
    by_heart = quantize(model, few, QuantizeOptions(method="minmax+round")).data
    plain = quantize(model, few, QuantizeOptions(method="minmax")).data
    assert compare(model, by_heart, few).sqnr_db > compare(model, plain, few).sqnr_db + 5
    assert compare(model, by_heart, fresh).sqnr_db < compare(model, plain, fresh).sqnr_db - 0.5
    chosen = quantize(model, few)
    assert "round" not in chosen.method
    assert compare(model, chosen.data, fresh).sqnr_db >= compare(model, plain, fresh).sqnr_db - 0.1


def _classifier(sure: float) -> bytes:
    """Return a dense layer and a softmax, the logits ``sure`` times as large."""
    rows = np.random.default_rng(0).normal(size=(5, 8)) * sure
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 8), "float32", name="x"))
    logits, scores = g.tensor(Spec((1, 5), "float32", name="logits")), g.tensor(f32(1, 5))
    weights, bias = g.tensor(constant(rows, "float32")), g.tensor(constant(np.zeros(5), "float32"))
    g.operator("FULLY_CONNECTED", [x, weights, bias], [logits])
    g.operator("SOFTMAX", [logits], [scores], {"beta": 1.0})
    g.output(scores)
    return builder.pack()


def test_a_model_without_doubt_is_judged_as_one_that_has_some() -> None:
    data = ArrayDataset(np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32))
    scores = []
    for sure in (8.0, 16.0, 32.0):
        model = FloatModel.from_bytes(_classifier(sure))
        candidate = quantize(model.data, data, QuantizeOptions(method="minmax")).data
        scores.append(Judge(model, data, range(40)).judge(candidate).score)
    # The errors ahead of the softmax grow with the logits: what is left of them behind it must not vanish.
    assert scores == pytest.approx([scores[0]] * 3, abs=0.3)


@pytest.mark.parametrize("sure", [0.1, 20.0])
def test_the_judges_confidence_is_brought_down_and_never_up(sure: float) -> None:
    data = ArrayDataset(np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32))
    judge = Judge(FloatModel.from_bytes(_classifier(sure)), data, range(40))
    inner = np.stack([values[1] for values in judge.expected]).astype(np.float64)
    mean = float(judge._finish(inner, judge._temperature).max(axis=-1).mean())
    if sure < 1:
        assert judge._temperature == 1.0
        assert mean < CONFIDENCE
    else:
        assert judge._temperature > 2
        assert mean == pytest.approx(CONFIDENCE, abs=0.01)


def _error(values: np.ndarray, low: float, high: float) -> float:
    affine = from_range(low, high)
    return float(np.square(affine.real(affine.codes(values)) - values).mean())


_RNG = np.random.default_rng(0)
SHAPES = {
    "one-sided": np.append(_RNG.exponential(size=20_000), 40.0),
    "mostly next to nothing": np.append(_RNG.normal(size=60_000) * 0.01, _RNG.uniform(-3, 3, size=3_000)),
    "one large below": np.append(_RNG.normal(size=20_000), -25.0),
    "two heaps": np.append(_RNG.normal(-6, 0.2, 5_000), _RNG.normal(1, 0.05, 20_000)),
    "even": np.linspace(-1, 3, 20_000),
}


def _histogram(values: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in np.array_split(values, 1 + values.size // 4000):  # longer ones are thinned out
        histogram.add(part)
    return histogram


@pytest.mark.parametrize("name", SHAPES)
def test_the_cost_of_a_range_is_the_squared_error_that_rounding_to_it_makes(name: str) -> None:
    """Against rounding every value in truth, at ends over the whole grid."""
    values = SHAPES[name].astype(np.float32)
    lows, highs, cost = squared_errors(_histogram(values))
    for i in range(0, len(lows), 9):
        for j in range(0, len(highs), 9):
            made = _error(values, float(lows[i]), float(highs[j])) * values.size
            assert cost[i, j] == pytest.approx(made, rel=0.12), (name, lows[i], highs[j])


@pytest.mark.parametrize("name", SHAPES)
def test_the_range_of_least_squares_is_the_best_of_all_that_are_tried(name: str) -> None:
    values = SHAPES[name].astype(np.float32)
    histogram = _histogram(values)
    lows, highs, _ = squared_errors(histogram)
    best = min(_error(values, float(a), float(b)) for a in lows[::3] for b in highs[::3])
    assert _error(values, *mse(histogram)) <= 1.05 * best
