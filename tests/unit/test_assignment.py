"""The search under a budget: what it finds meets everything, and where it refuses there is nothing to find."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qedge.errors import AccuracyError, CapacityError
from qedge.graph import Graph
from qedge.price import Price
from qedge.quantize.assignment import Assignment, Priced
from qedge.quantize.build import Builder
from qedge.quantize.front import choices, unbeaten
from qedge.quantize.judge import Judge
from qedge.quantize.model import FloatModel
from qedge.quantize.narrowing import noise_of
from qedge.quantize.plan import narrow_operators
from qedge.quantize.recipe import Recipe
from qedge.quantize.search import attempt
from tests.unit.quantize_models import cnn, images

PEAKS = ("ram",)
SIZES = {"int8": 1.0, "int4": 0.5, "int16": 2.0}


def prices(limits: dict[str, float], data: bytes, exact: bool = False) -> Price:
    """Return what a device takes that keeps weights in flash, unpacks int4 in RAM, and takes longer for 16 bits."""
    graph = Graph.from_bytes(data)
    flash, ram, latency = 1000.0, 0.0, 0.0
    for op in graph:
        wide = max((SIZES.get(graph.tensors[t].dtype, 0.0) for t in op.outputs), default=0.0)
        values = sum(graph.tensors[t].elements for t in op.outputs)
        need = wide * values
        if op.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            weights = graph.tensors[op.inputs[1]]
            flash += SIZES[weights.dtype] * weights.elements
            narrow = weights.dtype == "int4"
            need += weights.elements * narrow
            latency += values * wide + weights.elements * narrow
        ram = max(ram, need)
    if any(t.dtype == "int4" for t in graph.tensors):
        flash += 40
    return Price({"flash": flash, "ram": ram, "latency": latency}, limits, PEAKS)


@pytest.fixture(scope="module")
def parts() -> tuple[Builder, Judge]:
    model, data = FloatModel.from_bytes(cnn()), images(24)
    builder = Builder(model, data, list(range(24)), threads=1)
    builder.statistics.distributions(moments=True)
    return builder, Judge(model, data, range(24), threads=1)


@pytest.fixture(scope="module")
def everything(parts: tuple[Builder, Judge]) -> list[tuple[float, dict[str, float]]]:
    """Every set of layers with int4 weights: its noise and figures."""
    builder, judge = parts
    layers = narrow_operators(builder.model.graph)
    assert len(layers) == 4
    found = []
    for count in range(len(layers) + 1):
        for chosen in itertools.combinations(layers, count):
            tried = attempt(builder, judge, Recipe(rounding=True, narrow=chosen))
            found.append((noise_of(tried), dict(prices({}, tried.data).figures)))
    return found


def searched(
    parts: tuple[Builder, Judge], limits: dict[str, float], most_noise: float, wide: bool = False
) -> tuple[Assignment, Callable[[], Priced]]:
    builder, judge = parts
    search = Assignment(
        builder,
        judge,
        lambda result: 10 ** (-result.sqnr_db / 10) <= most_noise,
        lambda tried: noise_of(tried) <= most_noise,
        partial(prices, limits),
        wide=wide,
    )
    chosen = attempt(builder, judge, Recipe(rounding=True))
    return search, lambda: search.known[search.of(chosen).recipe]


def test_every_budget_is_met_or_refused_as_trying_everything_says(
    parts: tuple[Builder, Judge], everything: list[tuple[float, dict[str, float]]]
) -> None:
    seen = set()
    for (_, first), (noise, second) in itertools.product(everything[::3], everything[::4]):
        limits = {"flash": first["flash"], "ram": second["ram"], "latency": first["latency"] * 1.01}
        fits = [n for n, figures in everything if all(figures[k] <= limits[k] for k in limits)]
        meets = [n for n in fits if n <= noise]
        search, run = searched(parts, limits, noise)
        if meets:
            found = run()
            assert found.good
            seen.add("met")
        else:
            with pytest.raises(AccuracyError if fits else CapacityError) as caught:
                run()
            assert ("misses the accuracy budget" if fits else "no assignment") in caught.value.message
            seen.add("accuracy" if fits else "capacity")
        assert all(p.price.limits == limits for p in search.known.values())
    assert seen == {"met", "accuracy", "capacity"}


def test_of_what_fits_the_least_noise_is_taken(
    parts: tuple[Builder, Judge], everything: list[tuple[float, dict[str, float]]]
) -> None:
    for _, figures in everything[1::4]:
        limits = {"flash": figures["flash"]}
        best = min(n for n, f in everything if f["flash"] <= limits["flash"])
        _, run = searched(parts, limits, 1.0)
        assert noise_of(run().tried) <= 1.3 * best


def test_what_fits_is_left_as_it_is(parts: tuple[Builder, Judge]) -> None:
    search, run = searched(parts, {"flash": 1e9}, 1.0)
    assert run().tried.recipe == Recipe(rounding=True)
    assert len(search.known) == 1


def test_16_bits_where_the_noise_is_and_int4_elsewhere(
    parts: tuple[Builder, Judge], everything: list[tuple[float, dict[str, float]]]
) -> None:
    int8 = min(n for n, _ in everything)
    limits = {"flash": max(f["flash"] for _, f in everything) - 100}
    with pytest.raises(AccuracyError):
        searched(parts, limits, 0.9 * int8)[1]()
    found = searched(parts, limits, 0.9 * int8, wide=True)[1]()
    assert found.good
    assert found.tried.recipe.mixed
    assert found.tried.recipe.narrow


def test_what_is_taken_was_priced_as_a_whole(
    parts: tuple[Builder, Judge], everything: list[tuple[float, dict[str, float]]]
) -> None:
    sizes = sorted(f["flash"] for _, f in everything)
    limits, asked = {"flash": sizes[len(sizes) // 2]}, []

    def near(data: bytes, exact: bool = False) -> Price:
        whole = prices(limits, data)
        if exact:
            asked.append(data)
            return whole
        return replace(whole, figures={**whole.figures, "flash": whole.figures["flash"] - 1}, exact=False)

    search, _ = searched(parts, limits, 1.0)
    search.pricer = near
    found = search.of(attempt(*parts, Recipe(rounding=True)))
    assert found.data in asked
    assert search.known[found.recipe].price.exact
    assert not prices(limits, found.data).over


def test_what_other_samples_let_pass_is_taken_before_all_is_refused(
    parts: tuple[Builder, Judge], everything: list[tuple[float, dict[str, float]]]
) -> None:
    limits = {"flash": min(f["flash"] for _, f in everything)}
    with pytest.raises(AccuracyError):
        searched(parts, limits, 0.0)[1]()
    search, run = searched(parts, limits, 0.0)
    search.passes = lambda tried: bool(tried.recipe.narrow)
    assert run().good
    search.passes = lambda tried: False
    search.known.clear()
    with pytest.raises(AccuracyError):
        run()


def test_where_no_equalised_candidate_holds_the_model_is_tried_as_it_was(
    parts: tuple[Builder, Judge], everything: list[tuple[float, dict[str, float]]]
) -> None:
    search, _ = searched(parts, {"flash": min(f["flash"] for _, f in everything)}, 1.0)
    search.holds = lambda tried: tried.recipe.equalize is None
    found = search.of(attempt(*parts, Recipe(rounding=True, equalize=0.5)))
    assert found.recipe.equalize is None
    assert found.recipe.narrow


def test_16_bits_are_left_where_nothing_comes_near(parts: tuple[Builder, Judge]) -> None:
    search, run = searched(parts, {"flash": 300.0}, 1.0, wide=True)
    with pytest.raises(CapacityError):
        run()
    assert not any(recipe.mixed for recipe in search.known)


def test_a_model_that_the_target_does_not_price_is_left_as_it_is(parts: tuple[Builder, Judge]) -> None:
    search, _ = searched(parts, {"flash": 1.0}, 1.0)
    search.pricer = lambda data, exact=False: None
    chosen = attempt(*parts, Recipe())
    assert search.of(chosen) is chosen


def test_the_front_has_what_nothing_beats(parts: tuple[Builder, Judge]) -> None:
    search, run = searched(parts, {"flash": 1300.0}, 1.0)
    found = run()
    front = search.front(found.tried)
    assert sum(o.candidate.chosen for o in front) == 1
    noise = [10 ** (-o.candidate.sqnr_db / 10) for o in front]
    for (a, x), (b, y) in itertools.permutations(zip(noise, front), 2):
        assert a > b or any(x.price.figures[k] > y.price.figures[k] for k in x.price.figures) or a == b


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-9, 9), st.integers(0, 9)), min_size=1, max_size=7))
def test_the_choices_are_those_of_trying_every_set(layers: Sequence[tuple[int, int, int]]) -> None:
    noise, figures = [float(n) for n, _, _ in layers], np.array([[a, b] for _, a, b in layers], float)
    rows = {
        (
            sum(layers[k][0] for k in chosen),
            sum(layers[k][1] for k in chosen),
            max((layers[k][2] for k in chosen), default=0),
        )
        for count in range(len(layers) + 1)
        for chosen in itertools.combinations(range(len(layers)), count)
    }
    best = {r for r in rows if not any(o != r and all(x <= y for x, y in zip(o, r)) for o in rows)}
    found = choices(noise, figures, (False, True))
    assert {(c.noise, *c.figures) for c in found} == best


def test_equal_rows_are_kept_once() -> None:
    rows = np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 3.0], [2.0, 2.0]])
    assert sorted(unbeaten(rows).tolist()) == [0, 2]


def test_a_price_says_what_is_over() -> None:
    price = Price({"flash": 120.0, "ram": 5.0, "latency": 3.0}, {"flash": 100.0, "latency": 4.0})
    assert price.over == {"flash": 20.0}
    assert price.excess == pytest.approx(0.2)
    assert price.words() == "flash 120 of 100 bytes, latency 3 of 4 ms"
    assert replace(price, limits={}).excess == 0
