"""Weights of 4 bits for as many layers as an accuracy budget allows.

Each layer is tried by itself; those that add the least noise for the bytes that they save come first. How many of
them go together is found by halving, on whole models that are judged: noise of layers does not simply add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from qedge.findings import Finding
from qedge.graph import Graph
from qedge.quantize.build import Builder
from qedge.quantize.calibrate import Progress
from qedge.quantize.judge import Judge
from qedge.quantize.plan import narrow_operators, weight_slots
from qedge.quantize.recipe import Recipe
from qedge.quantize.search import Tried, attempt

Tune = Callable[[Tried], Tried]


class Narrowing:
    """Chooses which layers of a recipe have int4 weights.

    Args:
        builder: of all samples.
        judge: of the candidates.
        holds: whether a candidate is within the budget.
        tune: tunes a candidate, or None where tuning is not asked for.
    """

    def __init__(
        self,
        builder: Builder,
        judge: Judge,
        holds: Callable[[Tried], bool],
        tune: Tune | None,
        progress: Progress | None = None,
    ) -> None:
        self.builder, self.judge, self.holds, self.tune, self.progress = builder, judge, holds, tune, progress
        self.tried: list[Tried] = []

    def of(self, chosen: Tried) -> Tried:
        """Return the candidate with int4 weights in as many layers as the budget allows; as it is where in none."""
        recipe = replace(chosen.recipe.untuned, rounding=True, last_layer=False)
        every = narrow_operators(self.builder.statistics.variant(recipe.equalize).graph)
        if not every:
            return chosen
        whole = self._good(recipe, every)
        if whole is not None:
            return whole
        order = self._order(recipe)
        low, best = self._most(recipe, order)
        if self.tune is not None:
            # What is tuned holds more than what is not: between the two, once.
            middle = (low + len(order)) // 2
            tuned = self._good(recipe, order[:middle]) if middle > low else None
            if tuned is None and low:
                tuned = self._good(recipe, order[:low])
            best = tuned or best
        return best or chosen

    def _most(self, recipe: Recipe, order: Sequence[int]) -> tuple[int, Tried | None]:
        """Return the most layers, in this order, that meet the budget untuned, and the candidate with them."""
        low, high, best = 0, len(order), None
        while high - low > 1:
            middle = (low + high) // 2
            found = self._attempt(recipe, order[:middle])
            if self.holds(found):
                low, best = middle, found
            else:
                high = middle
        return low, best

    def _good(self, recipe: Recipe, layers: Sequence[int]) -> Tried | None:
        """Return the candidate with these layers where it meets the budget, tuned where that is asked for."""
        found = self._attempt(recipe, layers)
        if self.tune is not None:
            found = self.tune(found)
            self.tried.append(found)
        return found if self.holds(found) else None

    def _attempt(self, recipe: Recipe, layers: Sequence[int]) -> Tried:
        found = attempt(self.builder, self.judge, replace(recipe, narrow=tuple(sorted(layers))))
        self.tried.append(found)
        return found

    def _order(self, recipe: Recipe) -> list[int]:
        """Return the layers by the noise that they add for each byte that they save, least first."""
        model = self.builder.statistics.variant(recipe.equalize)
        layers = narrow_operators(model.graph)
        base = noise_of(attempt(self.builder, self.judge, recipe))
        price = {}
        for done, index in enumerate(layers):
            alone = attempt(self.builder, self.judge, replace(recipe, narrow=(index,)))
            price[index] = max(noise_of(alone) - base, 0.0) / _saved(model.graph, index)
            if self.progress is not None:
                self.progress("try int4 weights", done + 1, len(layers))
        return sorted(layers, key=lambda index: price[index])


def noise_of(tried: Tried) -> float:
    """Return a candidate's noise as a share of the signal, by what it is ranked by."""
    return float(10 ** (-min(tried.score, 120.0) / 10))


def _saved(graph: Graph, index: int) -> float:
    """Return how many bytes an operator's weights save in 4 bits."""
    weight, _ = weight_slots(graph, graph.operators[index])
    return graph.tensors[weight].elements / 2


def narrow_finding(graph: Graph, recipe: Recipe, before: bytes, after: bytes) -> Finding:
    """Return which layers have int4 weights, and what that saves.

    Args:
        graph: of the float model.
        recipe: names the layers.
        before, after: the model with int8 weights alone and with these.
    """
    every = narrow_operators(graph)
    kept = [graph.operators[i].label for i in every if i not in recipe.narrow]
    others = f" (not {', '.join(kept[:6])}{' ...' if len(kept) > 6 else ''})" if kept else ""
    less = 100 * (1 - len(after) / len(before))
    return Finding(
        "info",
        "int4-weights",
        f"{len(recipe.narrow)} of {len(every)} layers have int4 weights{others}: {less:.1f} % fewer bytes",
    )
