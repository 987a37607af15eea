"""What is done where int8 misses a budget or is under the floor: which layers change, and which samples say so."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from qedge.findings import Finding
from qedge.quantize.budget import MARGIN_DB, accuracy_error, missed, stricter, worst_layers
from qedge.quantize.build import Builder
from qedge.quantize.compare import Comparison
from qedge.quantize.floor import LEAST_DB, below_floor
from qedge.quantize.judge import Judge, Verdict
from qedge.quantize.model import FloatModel
from qedge.quantize.options import QuantizeOptions
from qedge.quantize.recipe import Recipe
from qedge.quantize.rescue import Rescued, Way, rescue
from qedge.quantize.search import Tried

RESCUE_SAMPLES = 48  # that each region is judged by, where the budget is in dB
SMALL_MARGIN_DB = 1.0
AIM_DB = 30.0  # of a lift: once layers move, the floor is a poor place to stop at


@dataclass(frozen=True)
class Bench:
    """What a rescue builds and judges with.

    Args:
        judge: by the samples that every region is compared on.
        unseen: what a recipe does on samples that its ranges have not seen; None where the judge's own are such, or
            where there are too few to hold some out.
        modes: what layers may go to: ``int16``, ``float``.
    """

    builder: Builder
    judge: Judge
    unseen: Callable[[Recipe], Verdict] | None = None
    modes: Sequence[str] = ("int16",)

    def rescue(self, chosen: Tried, ways: Sequence[Way]) -> Rescued | None:
        """Return what the first of the ways that leads anywhere gives."""
        layers = worst_layers(self.builder, chosen.data)
        ways = [way for way in ways if way.mode in self.modes]
        return rescue(
            self.builder, self.judge.expecting(), recipes_of(chosen.recipe), layers, ways, self.unseen
        )


def meet_budget(bench: Bench, chosen: Tried, options: QuantizeOptions, shortfall: float = 0.0) -> Tried:
    """Return the chosen recipe with some layers in higher precision.

    16 bits come before floats, and a little room before none: other samples show other noise.

    Args:
        shortfall: dB that samples lose which the ranges have not seen.

    Raises:
        AccuracyError: the budget is still missed, or mixed precision is not allowed.
    """
    started = time.perf_counter()
    if options.mixed:
        if options.max_drop is None:
            some = bench.judge.indices
            bench = replace(bench, judge=bench.judge.of(some[:: max(1, len(some) // RESCUE_SAMPLES)]))
        found = bench.rescue(chosen, budget_ways(options, shortfall))
        if found is not None:
            return Tried(found.recipe, found.data, found.verdict, time.perf_counter() - started)
    why = missed(chosen.result, options) or missed(chosen.result, stricter(options, shortfall)) or ""
    raise accuracy_error(why, worst_layers(bench.builder, chosen.data), options.mixed)


def budget_ways(options: QuantizeOptions, shortfall: float) -> list[Way]:
    """Return the ways to meet a budget, in order."""
    if options.min_sqnr is None:
        return [Way(mode, partial(_within, options=options)) for mode in ("int16", "float")]
    most = max(shortfall, MARGIN_DB)
    order = [("int16", most), ("int16", SMALL_MARGIN_DB), ("float", most), ("int16", 0.0), ("float", 0.0)]
    # A share of a few samples says little: on those that the ranges have not seen the noise alone is judged.
    return [
        Way(mode, partial(_within, options=demand), partial(_within, options=replace(demand, max_drop=None)))
        for mode, more in order
        for demand in [stricter(options, more)]
    ]


def lift(bench: Bench, chosen: Tried) -> Tried | None:
    """Return the chosen recipe with the fewest layers in 16x8, or as the last way in float, that lift every output
    over the floor; None where nothing does."""
    started = time.perf_counter()
    # The samples may be those that the model was trained with, whose answers hold out longest: noise is told first.
    aims = [partial(_quiet, least=least) for least in (AIM_DB, LEAST_DB)]
    ways = [*(Way("int16", quiet, quiet) for quiet in aims), Way("int16", _lifted)]
    ways += [Way("float", quiet) for quiet in aims]
    found = bench.rescue(chosen, ways)
    if found is None or found.verdict.score <= chosen.score:
        return None
    return Tried(found.recipe, found.data, found.verdict, time.perf_counter() - started)


def _lifted(verdict: Verdict) -> bool:
    return not below_floor(verdict.comparison)


def _quiet(verdict: Verdict, least: float) -> bool:
    return _lifted(verdict) and min(verdict.comparison.sqnr_db, verdict.expected) >= least


def enough(result: Comparison, options: QuantizeOptions) -> bool:
    """Whether a result is within the budget, or above the floor where none is stated."""
    if options.max_drop is None and options.min_sqnr is None:
        return not below_floor(result)
    return missed(result, options) is None


def _within(verdict: Verdict, options: QuantizeOptions) -> bool:
    """Whether a region is within the budget, on the judge's samples and by what others will show."""
    return missed(verdict.comparison, options) is None and verdict.expected >= (options.min_sqnr or -math.inf)


def recipes_of(chosen: Recipe) -> list[Recipe]:
    """Return what a rescue starts from: the chosen recipe with its weights rounded jointly, as it is, and others."""
    if chosen.tuned:  # what was learned holds for this one recipe
        return [chosen, *recipes_of(chosen.untuned)]
    # A region changes what the last layers would be fitted to.
    chosen = replace(chosen, last_layer=False)
    rounded = replace(chosen, rounding=True)
    plain = Recipe(equalize=chosen.equalize, rounding=True)
    per_channel = [replace(r, dense_per_channel=True) for r in (rounded, plain)]
    return list(dict.fromkeys([rounded, chosen, plain, *per_channel]))


def mixed_finding(model: FloatModel, recipe: Recipe) -> Finding:
    """Return which layers a budget moved out of int8."""
    names = [f"{model.graph.operators[i].label} ({mode})" for i, mode in recipe.mixed]
    return Finding(
        "warning",
        "mixed-precision",
        f"int8 alone misses the accuracy budget; in higher precision: {', '.join(names)}",
        "targets that compute in 8 bits only keep the int8 form, or get no bundle where that misses the budget",
    )
