"""Which layers need more than 8 bits, where int8 alone misses what is asked for.

16x8 (int16 activations, int8 weights) is tried on regions: the first operators, the last ones, and those with the most
noise of their own. Of the regions that meet the demand the one with the least work in 16 bits is taken. No region is
trusted before it was compared with the float model: one more layer may make a model worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace

from qedge.errors import ModelError
from qedge.quantize.build import Builder
from qedge.quantize.judge import Judge, Verdict
from qedge.quantize.layers import LayerError
from qedge.quantize.plan import default_modes
from qedge.quantize.recipe import Recipe
from qedge.quantize.rules import RULES
from qedge.quantize.tables import find_tables

Meets = Callable[[Verdict], bool]
Unseen = Callable[[Recipe], Verdict]


def anything(verdict: Verdict) -> bool:
    """Say that a result meets a demand, whatever it is."""
    return True


@dataclass(frozen=True)
class Way:
    """One way to meet a demand.

    Args:
        mode: what layers go to: ``int16`` or ``float``.
        meets: what counts as met on the judge's samples.
        holds: what counts as met on samples that the ranges have not seen.
    """

    mode: str
    meets: Meets
    holds: Meets = anything


@dataclass(frozen=True)
class Rescued:
    """A model with layers in higher precision that meets a demand."""

    recipe: Recipe
    data: bytes
    verdict: Verdict


@dataclass(frozen=True)
class _Attempt:
    """A region that was built and judged; the model itself is made again where it is taken."""

    recipe: Recipe
    bytes: int
    verdict: Verdict


def rescue(
    builder: Builder,
    judge: Judge,
    recipes: Sequence[Recipe],
    layers: Sequence[LayerError],
    ways: Sequence[Way],
    unseen: Unseen | None = None,
) -> Rescued | None:
    """Return the model with the least work in higher precision that meets the first demand that can be met, or None.

    Args:
        recipes: what the layers that stay int8 are quantised by, the likeliest first; of those that meet the demand
            with every layer in higher precision the best one in int8 alone is taken.
        layers: by the noise that they add themselves, worst first.
        ways: what to try, in this order.
        unseen: what a recipe does on samples that its ranges have not seen.
    """
    trials = {mode: _Trials(builder, judge, unseen, mode) for mode in {way.mode for way in ways}}
    for way in ways:
        found = _rescue(trials[way.mode].by(way), recipes, layers)
        if found is not None:
            return Rescued(found.recipe, builder.build(found.recipe), found.verdict)
    return None


def regions(
    builder: Builder, judge: Judge, recipe: Recipe, layers: Sequence[LayerError], meets: Meets
) -> list[Rescued]:
    """Return the smallest region in 16x8 that meets a demand from the front, the back and the noisiest layers on.

    That with the least work comes first, and all layers are among them; arguments as :func:`rescue` has them.
    """
    trials = _Trials(builder, judge, None, "int16").by(Way("int16", meets))
    found = {a.recipe: a.verdict for a in _regions(trials, [recipe], layers)}
    return [Rescued(recipe, builder.build(recipe), verdict) for recipe, verdict in found.items()]


def _rescue(trials: _Trials, recipes: Sequence[Recipe], layers: Sequence[LayerError]) -> _Attempt | None:
    return next(iter(_regions(trials, recipes, layers)), None)


def _regions(trials: _Trials, recipes: Sequence[Recipe], layers: Sequence[LayerError]) -> list[_Attempt]:
    everything = trials.able
    fitting = [r for r in recipes if trials.attempt(r, everything) is not None]
    if not fitting:
        return []
    # What chose among them were other samples, or no demand: where int8 alone comes nearest the least has to move.
    recipe = max(fitting, key=trials.alone) if len(fitting) > 1 else fitting[0]
    found = [_fewest(trials, recipe, order) for order in (*_ends(everything), trials.noisiest(layers))]
    whole = trials.attempt(recipe, everything)
    return sorted((f for f in (*found, whole) if f is not None), key=lambda f: (trials.work(f), f.bytes))


def _ends(operators: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the orders in which operators join a region from the front and from the back."""
    return list(operators), list(reversed(operators))


def _fewest(trials: _Trials, recipe: Recipe, order: Sequence[int]) -> _Attempt | None:
    """Return the region with the fewest of the operators, taken in this order, that meets the demand.

    Their number doubles until it is met, then halves back.
    """
    fails, count = 0, 1
    best: _Attempt | None = None
    while best is None and fails < len(order):
        count = min(count, len(order))
        best = trials.attempt(recipe, order[:count])
        if best is None:
            fails, count = count, count * 2
    while best is not None and count - fails > 1:
        middle = (count + fails) // 2
        found = trials.attempt(recipe, order[:middle])
        if found is None:
            fails = middle
        else:
            count, best = middle, found
    return best


class _Trials:
    """Builds and judges regions in one mode, each once, and says which meet the demand."""

    def __init__(self, builder: Builder, judge: Judge, unseen: Unseen | None, mode: str) -> None:
        self._builder, self._judge, self._unseen, self._mode = builder, judge, unseen, mode
        self._way = Way(mode, anything)
        self._known: dict[Recipe, _Attempt | None] = {}
        self._held: dict[Recipe, Verdict] = {}
        graph = builder.model.graph
        # In float the operators of a table compute what it holds, all of them or none.
        tables = find_tables(graph) if mode == "float" else ()
        self._together = {k: table.operators for table in tables for k in table.operators}
        self.able: list[int] = [
            op.index
            for op, default in zip(graph.operators, default_modes(graph))
            if op.index in self._together
            or (default == "int8" and (mode == "float" or RULES[op.op].version_int16 is not None))
        ]

    def by(self, way: Way) -> _Trials:
        """Return the same trials under a demand."""
        found = copy(self)
        found._way = way
        return found

    def work(self, region: _Attempt) -> int:
        """Return how many products, and values of other operators, are computed in higher precision."""
        graph = self._builder.model.graph
        total = 0
        for index, _ in region.recipe.mixed:
            op = graph.operators[index]
            values = sum(graph.tensors[t].elements for t in op.outputs)
            rule = RULES.get(op.op)
            if rule is not None and rule.kind == "weights":
                shape = graph.tensors[op.inputs[rule.weight]].shape
                values *= graph.tensors[op.inputs[rule.weight]].elements // shape[rule.axis]
            total += values
        return total

    def noisiest(self, layers: Sequence[LayerError]) -> list[int]:
        """Return the operators that can change, those with the most noise of their own first."""
        graph = self._builder.model.graph
        of_tensor = {graph.tensors[t].name: op.index for op in graph.operators for t in op.outputs}
        order = dict.fromkeys(of_tensor[e.tensor] for e in layers if e.tensor in of_tensor)
        return [index for index in order if index in self.able]

    def alone(self, recipe: Recipe) -> float:
        """Return the SQNR in dB that the recipe has without any layer in the mode."""
        if recipe not in self._known:
            self._known[recipe] = self._try(recipe)
        found = self._known[recipe]
        if found is None:
            return -math.inf
        return min(found.verdict.comparison.sqnr_db, found.verdict.expected)

    def attempt(self, recipe: Recipe, operators: Sequence[int]) -> _Attempt | None:
        """Return what the recipe gives with these operators in the mode, or None where that misses the demand."""
        if not operators:
            return None
        chosen = {k for index in operators for k in self._together.get(index, (index,))}
        trial = replace(recipe, mixed=tuple((index, self._mode) for index in sorted(chosen)))
        if trial not in self._known:
            self._known[trial] = self._try(trial)
        found = self._known[trial]
        if found is None or not self._way.meets(found.verdict):
            return None
        return found if self._unseen is None or self._way.holds(self._without(trial)) else None

    def _try(self, trial: Recipe) -> _Attempt | None:
        data = self._builder.build(trial)
        try:
            return _Attempt(trial, len(data), self._judge.judge(data))
        except ModelError:  # LiteRT has no such kernel for a layer of this form
            return None

    def _without(self, trial: Recipe) -> Verdict:
        """Return what a region does where its ranges have not seen the samples."""
        if trial not in self._held:
            assert self._unseen is not None
            self._held[trial] = self._unseen(trial)
        return self._held[trial]
