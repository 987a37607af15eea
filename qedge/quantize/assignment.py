"""The assignment of int4, int8 and 16x8 to layers that meets all that the user stated, or what comes nearest.

Whatever meets the accuracy budget is priced by the target itself. Where a price is over a limit, layers get int4
weights: each is built and priced by itself, what they do together is foretold from that (:mod:`qedge.quantize.front`),
and of the sets within the limits those with the least noise are built, judged and priced. Where int4 costs too much
accuracy, the noisiest layers move to 16x8 beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from qedge.errors import AccuracyError, CapacityError, QedgeError
from qedge.findings import Finding
from qedge.graph import Graph
from qedge.price import Price
from qedge.quantize.budget import worst_layers
from qedge.quantize.build import Builder
from qedge.quantize.calibrate import Progress
from qedge.quantize.compare import Comparison
from qedge.quantize.front import choices, unbeaten
from qedge.quantize.judge import Judge
from qedge.quantize.narrowing import noise_of
from qedge.quantize.options import Offer
from qedge.quantize.plan import narrow_operators
from qedge.quantize.recipe import Recipe
from qedge.quantize.rescue import regions
from qedge.quantize.search import Tried, attempt


class Pricer(Protocol):
    """What a model takes on a target; :func:`qedge.pipeline.pricing.pricer_of` gives the one that there is."""

    def __call__(self, model: bytes, *, exact: bool = False) -> Price | None:
        """Return what a model takes; None where the target has no such figures.

        Args:
            exact: whether nothing may be taken over from other candidates.
        """


MISSES = 4
"""Sets that fit and miss the accuracy, after which none is expected to hold it."""
TRIES = 12
"""Sets of layers with int4 weights that are built, the least noise first, of those that are foretold to fit."""
REGIONS = 2
"""Regions in 16x8 beside which int4 weights are tried, those with the least work."""
NEAR = 0.02
"""Share of a limit by which a foretold figure may be over it and the set be built all the same."""
UNSURE = 0.002
"""Share of a limit by which a price that is not exact may be over it and be asked for once more."""
HOPELESS = 0.1
"""Excess of what comes nearest in 8 and 4 bits, above which 16 bits are not tried: all that they save is some code."""
STAGE = "search under the budget"


@dataclass(frozen=True)
class Priced:
    """A candidate with what it takes.

    Args:
        holds: whether it is within the accuracy budget.
    """

    tried: Tried
    price: Price
    holds: bool

    @property
    def good(self) -> bool:
        """Whether it meets everything."""
        return self.holds and not self.price.over


@dataclass(frozen=True)
class Foretold:
    """A recipe with what it is expected to take."""

    recipe: Recipe
    figures: Mapping[str, float]

    def within(self, limits: Mapping[str, float], room: float = 1.0) -> bool:
        """Whether no figure is over its limit times ``room``."""
        return all(self.figures[name] <= most * room for name, most in limits.items())


class Assignment:
    """Searches the assignments of one recipe.

    Args:
        builder: of all samples.
        judge: of the candidates.
        meets: whether figures are within the accuracy budget.
        holds: whether a candidate is, which may ask for more than its figures.
        likely: the same by less, for those that do not fit; ``holds`` by default.
        passes: whether samples that calibrate nothing let a candidate pass, whatever calibration foretells; None
            without such samples. It is asked before all is refused.
        pricer: what a model takes on the target; None where it has no such figures.
        narrow: whether layers may get int4 weights.
        wide: whether layers may go to 16x8.
        tune: tunes a candidate, or None where tuning is not asked for.
    """

    def __init__(
        self,
        builder: Builder,
        judge: Judge,
        meets: Callable[[Comparison], bool],
        holds: Callable[[Tried], bool],
        pricer: Pricer,
        *,
        likely: Callable[[Tried], bool] | None = None,
        passes: Callable[[Tried], bool] | None = None,
        narrow: bool = True,
        wide: bool = True,
        tune: Callable[[Tried], Tried] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.builder, self.judge, self.pricer = builder, judge, pricer
        self.meets, self.holds, self.likely = meets, holds, likely or holds
        self.passes = passes
        self.narrow, self.wide, self.tune, self.progress = narrow, wide, tune, progress
        self.known: dict[Recipe, Priced] = {}
        self._first = Price({})

    def of(self, chosen: Tried) -> Tried:
        """Return the candidate, or the assignment with the least noise that meets everything.

        Raises:
            CapacityError: nothing fits; what comes nearest is named.
            AccuracyError: something fits, and nothing that fits is within the accuracy budget.
        """
        first = self.pricer(chosen.data)
        if first is None:
            return chosen
        self._first = first
        steps = (self._as_it_is, self._narrowed, self._unequalised, self._widened, self._tuned, self._passing)
        if any(step(chosen) is not None for step in steps):
            good = (p.tried for p in self.known.values() if p.good)
            return min(good, key=noise_of)
        raise self._refusal()

    def fits(self, tried: Tried) -> bool:
        """Whether another candidate is within the limits; it is on the front from then on."""
        return not self._priced(tried).price.over

    def front(self, chosen: Tried) -> tuple[Offer, ...]:
        """Return what was built that nothing else beats in noise and in every figure, least noise first.

        What was chosen is among them: what beats it misses the accuracy budget.
        """
        found = [p for p in self.known.values() if math.isfinite(p.price.excess)]
        if not found:
            return ()
        rows = np.array([[noise_of(p.tried), *p.price.figures.values()] for p in found])
        front = {id(found[i]) for i in unbeaten(rows)}
        kept = [p for p in found if id(p) in front or p.tried.recipe == chosen.recipe]
        kept.sort(key=lambda p: noise_of(p.tried))
        return tuple(
            Offer(p.tried.candidate(p.tried.recipe == chosen.recipe), p.holds, p.price, p.tried.data)
            for p in kept
        )

    def _as_it_is(self, chosen: Tried) -> Priced | None:
        priced = self._priced(chosen)
        return priced if priced.good else None

    def explore(self, chosen: Tried, count: int) -> None:
        """Build and price this many assignments over all of the front, whatever fits."""
        found = self._foretold(replace(_start(chosen), narrow=(), rounding=True))
        for k in np.unique(np.linspace(0, len(found) - 1, count).round().astype(int)) if found else ():
            self._attempt(found[k].recipe)

    def _narrowed(self, chosen: Tried) -> Priced | None:
        """Return the set of layers with int4 weights that meets everything with the least noise, or None."""
        recipe = replace(_start(chosen), rounding=True)
        start = self._attempt(recipe)
        if not all(map(math.isfinite, start.price.figures.values())):
            return None
        if start.good or not self.narrow:
            return start if start.good else None
        found, missed = self._foretold(recipe), 0
        near = [f for f in found if f.within(start.price.limits, 1 + NEAR)]
        sure = [f for f in near if f.within(start.price.limits)]
        for likely in [*sure[:TRIES], *[f for f in near if f not in sure][:TRIES]]:
            priced = self._attempt(likely.recipe)
            # Those that follow have more noise.
            missed += not priced.price.over and not priced.holds
            if priced.good or missed == MISSES:
                break
        return next((p for p in self._fitting() if p.good), None)

    def _unequalised(self, chosen: Tried) -> Priced | None:
        """Return the same from the model without equalisation on, which suits 8 bits and may not suit 4; or None."""
        if chosen.recipe.equalize is None or not self._fitting():
            return None
        return self._narrowed(replace(chosen, recipe=replace(chosen.recipe, equalize=None)))

    def _foretold(self, recipe: Recipe) -> list[Foretold]:
        """Return what sets of layers with int4 weights are expected to take, least noise first.

        What a layer adds is measured without layers in 16x8, whose own weights stay as they are.
        """
        plain = replace(recipe, mixed=(), narrow=())
        graph = self.builder.statistics.variant(recipe.equalize).graph
        layers = narrow_operators(graph)
        taken = {*recipe.narrow, *(index for index, _ in recipe.mixed)}
        free = [k for k, index in enumerate(layers) if index not in taken]
        if not free:
            return []
        start = self._attempt(plain)
        names = list(start.price.figures)
        peaks = [name in start.price.peaks for name in names]
        # All together first: that counts what a target then knows of each.
        every = self._attempt(_with(plain, layers))
        alone = self._alone(plain, layers)
        base, whole, *each = (np.array([p.price.figures[n] for n in names]) for p in (start, every, *alone))
        more = np.stack(each) - base
        shared = np.zeros(len(names))
        if len(alone) > 1:
            # Code that all of them share is in each of them, and once in all together.
            shared = np.where(peaks, 0.0, (more.sum(axis=0) - (whole - base)) / (len(alone) - 1))
        noise = [max(noise_of(p.tried) - noise_of(start.tried), 0.0) for p in alone]
        own = np.array([self._attempt(recipe).price.figures[n] for n in names])
        return [
            Foretold(
                _with(recipe, [layers[free[k]] for k in c.layers]), dict(zip(names, own + shared + c.figures))
            )
            for c in choices([noise[k] for k in free], (more - shared)[free], peaks)
            if c.layers
        ]

    def _alone(self, plain: Recipe, layers: Sequence[int]) -> list[Priced]:
        """Return each layer with int4 weights by itself."""
        found = []
        for done, index in enumerate(layers):
            found.append(self._attempt(_with(plain, [index])))
            if self.progress is not None:
                self.progress(STAGE, done + 1, len(layers))
        return found

    def _widened(self, chosen: Tried) -> Priced | None:
        """Return what meets everything with some layers in 16x8, others with int4 weights beside them, or None."""
        if not self.wide or min(p.price.excess for p in self.known.values()) > HOPELESS:
            return None
        plain = replace(_start(chosen), mixed=())
        fitting = self._fitting()
        starts = [replace(_start(fitting[0].tried), mixed=())] if fitting else []
        for recipe in dict.fromkeys([*starts, plain]):
            layers = worst_layers(self.builder, self._attempt(recipe).tried.data)
            found = [
                Tried(r.recipe, r.data, r.verdict, 0.0)
                for r in regions(self.builder, self.judge, recipe, layers, lambda v: self.meets(v.comparison))
            ]
            answers = itertools.chain(map(self._as_it_is, found), map(self._narrowed, found[:REGIONS]))
            answer = next((a for a in answers if a is not None), None)
            if answer is not None:
                return answer
        return None

    def _tuned(self, chosen: Tried) -> Priced | None:
        """Return the candidate that fits with the least noise, tuned, where that meets everything; else None."""
        fitting = self._fitting()
        if self.tune is None or not fitting:
            return None
        priced = self._priced(self.tune(fitting[0].tried))
        return priced if priced.good else None

    def _passing(self, chosen: Tried) -> Priced | None:
        """Return the candidate with the least noise that fits and that other samples let pass, or None."""
        passes = self.passes
        if passes is None:
            return None
        for found in self._fitting()[: 2 * MISSES]:
            if passes(found.tried):
                price = found.price if found.price.exact else self.pricer(found.tried.data, exact=True)
                priced = replace(found, price=price or found.price, holds=True)
                self.known[found.tried.recipe] = priced
                if priced.good:
                    return priced
        return None

    def _fitting(self) -> list[Priced]:
        """Return what was built and fits, least noise first."""
        return sorted((p for p in self.known.values() if not p.price.over), key=lambda p: noise_of(p.tried))

    def _attempt(self, recipe: Recipe) -> Priced:
        if recipe in self.known:
            return self.known[recipe]
        return self._priced(attempt(self.builder, self.judge, recipe))

    def _priced(self, tried: Tried) -> Priced:
        if tried.recipe not in self.known:
            # What the target has no kernel for fits nowhere.
            nowhere = replace(self._first, figures=dict.fromkeys(self._first.figures, math.inf))
            price = self.pricer(tried.data) or nowhere
            if 0 < price.excess < UNSURE and not price.exact:
                price = self.pricer(tried.data, exact=True) or nowhere
            holds = self.likely(tried) if price.over else self.holds(tried)
            if holds and not price.over and not price.exact:
                price = self.pricer(tried.data, exact=True) or nowhere
            self.known[tried.recipe] = Priced(tried, price, holds)
        return self.known[tried.recipe]

    def _refusal(self) -> QedgeError:
        """Return why nothing meets everything, with what comes nearest."""
        fitting = self._fitting()
        within = [p for p in self.known.values() if p.holds]
        least = min(within, key=lambda p: p.price.excess, default=None)
        holding = (
            ""
            if least is None
            else f"; of what was tried, the smallest that holds the accuracy takes {least.price.words()}"
        )
        if fitting:
            best = fitting[0]
            return AccuracyError(
                f"what fits misses the accuracy budget: {best.tried.recipe.name} takes {best.price.words()}, at"
                f" {_figures(best.tried)}{holding}",
                hint="allow more room, widen --max-drop, or let it learn: --tune",
            )
        nearest = min(self.known.values(), key=lambda p: p.price.excess)
        over = ", ".join(f"{name} by {more:,.4g}" for name, more in nearest.price.over.items())
        return CapacityError(
            f"no assignment of int4, int8 and 16x8 to the layers fits: the nearest, {nearest.tried.recipe.name},"
            f" takes {nearest.price.words()}, which is over in {over}{holding}",
            hint="allow more, choose another board, or make the largest layers smaller",
        )


def _start(tried: Tried) -> Recipe:
    """Return a candidate's recipe without what was learned for it alone."""
    return replace(tried.recipe, tuned=False, last_layer=False)


def _with(recipe: Recipe, layers: Sequence[int]) -> Recipe:
    return replace(recipe, narrow=tuple(sorted({*recipe.narrow, *layers})))


def _figures(tried: Tried) -> str:
    result = tried.result
    shown = result.agreement if result.quantized_metric is None else result.quantized_metric
    word = "the same answers" if result.quantized_metric is None else str(result.metric)
    share = "" if shown is None else f"{100 * shown:.1f} % {word}, "
    return f"{share}{result.sqnr_db:.1f} dB"


def search_finding(graph: Graph, found: Priced) -> Finding:
    """Return which layers have int4 weights or 16-bit activations, and what the model takes."""
    recipe = found.tried.recipe
    parts = [f"int4 weights in {_labels(graph, recipe.narrow)}"] if recipe.narrow else []
    wide = [index for index, mode in recipe.mixed if mode == "int16"]
    parts += [f"16-bit activations in {_labels(graph, wide)}"] if wide else []
    return Finding(
        "info",
        "budget-search",
        f"{' and '.join(parts) or 'int8 throughout'} meet everything that was stated: {found.price.words()}",
    )


def _labels(graph: Graph, indices: Sequence[int]) -> str:
    names = [graph.operators[i].label for i in indices]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more
