"""Which layers need more than 8 bits, where int8 alone misses what is asked for.

16x8 (int16 activations, int8 weights) is tried on regions: the first operators, the last ones, and those with the most
noise of their own. Of the regions that meet the demand the one with the least work in 16 bits is taken. No region is
trusted before it was compared with the float model: one more layer may make a model worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qedge.errors import ModelError
from qedge.quantize.build import Builder
from qedge.quantize.compare import Comparison
from qedge.quantize.judge import Judge, Verdict
from qedge.quantize.layers import LayerError
from qedge.quantize.plan import default_modes
from qedge.quantize.recipe import Recipe
from qedge.quantize.rules import RULES

Meets = Callable[[Comparison], bool]


@dataclass(frozen=True)
class Rescued:
    """A model with layers in higher precision that meets a demand."""

    recipe: Recipe
    data: bytes
    verdict: Verdict


def rescue(
    builder: Builder,
    judge: Judge,
    recipes: Sequence[Recipe],
    layers: Sequence[LayerError],
    meets: Meets,
    *,
    modes: Sequence[str] = ("int16", "float"),
) -> Rescued | None:
    """Return the model with the least work in 16x8 that meets a demand, else one with some layers in float, or None.

    Args:
        recipes: what the layers that stay int8 are quantised by, the likeliest first; the first one that meets
            the demand with every layer in 16x8 is taken.
        layers: by the noise that they add themselves, worst first.
        modes: what to try, in this order.
    """
    for mode in modes:
        found = _rescue(_Trials(builder, judge, meets, mode), recipes, layers)
        if found is not None:
            return found
    return None


def _rescue(trials: _Trials, recipes: Sequence[Recipe], layers: Sequence[LayerError]) -> Rescued | None:
    everything = trials.able
    recipe = next((r for r in recipes if trials.attempt(r, everything) is not None), None)
    if recipe is None:
        return None
    found = [_fewest(trials, recipe, order) for order in (*_ends(everything), trials.noisiest(layers))]
    whole = trials.attempt(recipe, everything)
    return min((f for f in (*found, whole) if f is not None), key=lambda f: (trials.work(f), len(f.data)))


def _ends(operators: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the orders in which operators join a region from the front and from the back."""
    return list(operators), list(reversed(operators))


def _fewest(trials: _Trials, recipe: Recipe, order: Sequence[int]) -> Rescued | None:
    """Return the region with the fewest of the operators, taken in this order, that meets the demand.

    Their number doubles until it is met, then halves back.
    """
    fails, count = 0, 1
    best: Rescued | None = None
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
    """Builds and judges regions in one mode, each once."""

    def __init__(self, builder: Builder, judge: Judge, meets: Meets, mode: str) -> None:
        self._builder, self._judge, self._meets, self._mode = builder, judge, meets, mode
        self._known: dict[Recipe, Rescued | None] = {}
        graph = builder.model.graph
        self.able: list[int] = [
            op.index
            for op, default in zip(graph.operators, default_modes(graph))
            if default == "int8" and (mode == "float" or RULES[op.op].version_int16 is not None)
        ]

    def work(self, rescued: Rescued) -> int:
        """Return how many products, and values of other operators, are computed in higher precision."""
        graph = self._builder.model.graph
        total = 0
        for index, _ in rescued.recipe.mixed:
            op = graph.operators[index]
            values = sum(graph.tensors[t].elements for t in op.outputs)
            rule = RULES[op.op]
            if rule.kind == "weights":
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

    def attempt(self, recipe: Recipe, operators: Sequence[int]) -> Rescued | None:
        """Return what the recipe gives with these operators in the mode, or None where that misses the demand."""
        trial = replace(recipe, mixed=tuple((index, self._mode) for index in sorted(operators)))
        if trial not in self._known:
            self._known[trial] = self._try(trial) if operators else None
        return self._known[trial]

    def _try(self, trial: Recipe) -> Rescued | None:
        data = self._builder.build(trial)
        try:
            verdict = self._judge.judge(data)
        except ModelError:  # LiteRT has no such kernel for a layer of this form
            return None
        return Rescued(trial, data, verdict) if self._meets(verdict.comparison) else None
