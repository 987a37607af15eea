"""Applies a recipe; what recipes have in common is computed once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.graph import Operator
from qedge.graph.edit import Editor
from qedge.quantize.calibrate import Progress
from qedge.quantize.histogram import Histogram
from qedge.quantize.last_layer import fit_last
from qedge.quantize.learned import Learned
from qedge.quantize.materialise import Biases, Codes, materialise
from qedge.quantize.methods.narrow import best_limits
from qedge.quantize.methods.ranges import RANGES
from qedge.quantize.methods.rounding import Factors
from qedge.quantize.model import FloatModel
from qedge.quantize.patches import LAYERS
from qedge.quantize.pins import Pin
from qedge.quantize.plan import (
    Plan,
    Range,
    can_narrow,
    complete,
    default_modes,
    make_plan,
    narrow_operators,
    weight_slots,
)
from qedge.quantize.recipe import Recipe
from qedge.quantize.rows import LayerRows
from qedge.quantize.rules import RULES
from qedge.quantize.samples import thin
from qedge.quantize.statistics import Statistics
from qedge.quantize.tables import Table, find_tables, reach

Array = npt.NDArray[Any]

WIDE_ROOM = 1.25  # of the ranges of 16-bit activations: other samples may go further
KEPT_FACTORS = 8_000_000  # values of the factors that are kept between recipes, 64 MB


class Builder:
    """Makes quantised models from one float model and one set of samples.

    Args:
        indices: the samples that ranges and moments come from.
        held: those of them that :meth:`without_held` leaves out.
        io: type of inputs and outputs.
        per_channel: True or False forces it for all weights; None leaves it to the recipes.
        pins: what a recipe file says about single operators; it wins over everything else.
        narrow: whether all weights that kernels read so are int4, and not only those that a recipe names.
    """

    def __init__(
        self,
        model: FloatModel,
        dataset: Dataset,
        indices: Sequence[int],
        *,
        held: Collection[int] = (),
        io: str = "auto",
        per_channel: bool | None = None,
        pins: Sequence[Pin] = (),
        narrow: bool = False,
        loops: bool = False,
        threads: int = 2,
        progress: Progress | None = None,
    ) -> None:
        self.model, self.dataset, self.indices = model, dataset, list(indices)
        self.io, self.per_channel, self.threads = io, per_channel, threads
        self.pins = tuple(pins)
        self.loops = loops
        self.narrow = narrow_operators(model.graph) if narrow else ()
        self.learned: dict[Recipe, Learned] = {}
        self.built: dict[Recipe, bytes] = {}  # what a fit of the last layers need not write again
        self._limits: dict[tuple[float | None, int], npt.NDArray[np.float64]] = {}
        self.statistics = Statistics(model, dataset, indices, held=held, threads=threads, progress=progress)
        self.links, self.trained = self.statistics.links, self.statistics.trained
        self._fit, self._held = False, frozenset(held)
        self._editors: dict[float | None, Editor] = {}
        self._reaches: dict[tuple[float | None, int], tuple[Range, Range]] = {}
        self._factors: dict[tuple[float | None, int], Factors] = {}
        self._ranges: dict[tuple[str, float | None], dict[int, Range]] = {}

    def without_held(self) -> Builder:
        """Return a builder that knows nothing of the samples that are held out."""
        found = copy(self)
        found._fit, found._factors, found._ranges, found.built = True, {}, {}, {}
        return found

    def build(self, recipe: Recipe) -> bytes:
        """Return the quantised model of a recipe."""
        model, plan = self.plan(recipe)
        codes, biases = self.rounded(recipe, model, plan)
        return self._written(recipe, model, plan, codes, biases)

    def _written(self, recipe: Recipe, model: FloatModel, plan: Plan, codes: Codes, biases: Biases) -> bytes:
        return materialise(model, self._editor(recipe, model), plan, io=self.io, codes=codes, biases=biases)

    def _editor(self, recipe: Recipe, model: FloatModel) -> Editor:
        if recipe.equalize not in self._editors:
            self._editors[recipe.equalize] = model.editor()
        return self._editors[recipe.equalize]

    def rounded(self, recipe: Recipe, model: FloatModel, plan: Plan) -> tuple[Codes, Biases]:
        """Return the codes of weights and the biases that are not simply the float model's, by tensor."""
        if recipe.tuned:
            learned = self.learned[recipe.untuned]
            return learned.codes(plan), learned.biases
        codes, biases = self._round(recipe, model, plan) if recipe.rounding else ({}, {})
        if recipe.last_layer:
            known = self.built.get(replace(recipe, last_layer=False))
            ahead = known or self._written(recipe, model, plan, codes, biases)
            last = fit_last(model, plan, ahead, self.dataset, self._fitted_on(), self.threads)
            codes, biases = {**codes, **last[0]}, {**biases, **last[1]}
        return codes, biases

    def _fitted_on(self) -> list[int]:
        """Return the samples that the last layers are fitted on: they need no more than a search."""
        seen = [i for i in self.indices if not (self._fit and i in self._held)]
        return thin(self.model, seen, 0)

    def plan(self, recipe: Recipe) -> tuple[FloatModel, Plan]:
        """Return the float model that the recipe quantises, and how."""
        model = self.statistics.variant(recipe.equalize)
        learned = self.learned[recipe.untuned] if recipe.tuned else None
        if learned is not None:
            ranges = dict(learned.ranges)
        else:
            room = 1 + recipe.headroom
            ranges = {t: (low * room, high * room) for t, (low, high) in self._ranges_of(recipe).items()}
            ranges |= self.trained.ranges
        modes = list(default_modes(model.graph))
        per_channel = self._per_channel(recipe, model)
        narrow = {*self.narrow, *recipe.narrow}
        for index, mode in recipe.mixed:
            modes[index] = mode
        for pin in self.pins:
            for op in model.graph.operators:
                if pin.matches(model.graph, op):
                    self._pin(pin, op, recipe, ranges)
                    if pin.mode is not None and modes[op.index] not in ("table", "plain"):
                        modes[op.index] = pin.mode
                    if pin.per_channel is not None:
                        per_channel[op.index] = pin.per_channel
                    if pin.weights is not None:
                        (narrow.add if pin.weights == "int4" else narrow.discard)(op.index)
        self._widen(model, recipe, modes, ranges)
        self._shorten(model, recipe, ranges)
        ranges = complete(model.graph, ranges)
        limits = self._limits_of(recipe, model, narrow) if learned is None else learned.limits
        return model, make_plan(
            model.graph,
            ranges,
            modes=tuple(modes),
            per_channel=per_channel,
            weight_limits=limits,
            narrow=narrow,
            loops=self.loops,
        )

    def _limits_of(
        self, recipe: Recipe, model: FloatModel, narrow: Collection[int]
    ) -> dict[int, npt.NDArray[np.float64]]:
        """Return limits of weights: those that training chose, and of int4 ones those that lose least.

        These lose less where the largest of them are cut off.
        """
        found = dict(self.trained.limits)
        for index in narrow:
            op = model.graph.operators[index]
            weight = weight_slots(model.graph, op)[0] if can_narrow(model.graph, op, "int8") else -1
            values = model.graph.tensors[weight].data if weight >= 0 else None
            if values is not None:
                key = recipe.equalize, weight
                if key not in self._limits:
                    self._limits[key] = best_limits(values, RULES[op.op].axis)
                found[weight] = self._limits[key]
        return found

    def pinned(self, model: FloatModel) -> set[int]:
        """Return the activations whose range a recipe file or the model's training states."""
        stated = [pin for pin in self.pins if pin.range is not None or pin.ranges is not None]
        ops = [op for op in model.graph.operators if any(pin.matches(model.graph, op) for pin in stated)]
        return {t for op in ops for t in op.outputs} | set(self.trained.ranges)

    def _widen(
        self, model: FloatModel, recipe: Recipe, modes: Sequence[str], ranges: dict[int, Range]
    ) -> None:
        """Set the ranges of 16-bit activations to more than all that there is: they have steps enough."""
        if not {"int16", "float"} & set(modes):
            return
        extremes = self.statistics.extremes(recipe.equalize, self._fit)
        graph = model.graph
        wide = [t for op in graph.operators if modes[op.index] in ("int16", "float") for t in op.outputs]
        wide += [
            t for t in graph.inputs if {modes[op.index] for op in graph.consumers[t]} <= {"int16", "float"}
        ]
        for t in wide:
            if t in extremes and t not in self.trained.ranges:  # what training cut off stays so
                ranges[t] = extremes[t][0] * WIDE_ROOM, extremes[t][1] * WIDE_ROOM

    def _shorten(self, model: FloatModel, recipe: Recipe, ranges: dict[int, Range]) -> None:
        """Leave out of the ranges what tables alone read and are flat over, unless the range is stated."""
        graph = model.graph
        tables = find_tables(graph)
        inside = {k for table in tables for k in table.operators}
        stated = self.pinned(model)
        for t in {table.source for table in tables} & set(ranges) - stated - set(graph.outputs):
            if any(op.index not in inside for op in graph.consumers[t]):
                continue
            low, high = self._reach(
                model, recipe, [table for table in tables if table.source == t], *ranges[t]
            )
            ranges[t] = max(low, ranges[t][0]), min(high, ranges[t][1])

    def _reach(
        self, model: FloatModel, recipe: Recipe, tables: Sequence[Table], low: float, high: float
    ) -> Range:
        """Return the part of a range that any of these functions of one activation tells apart, measured once."""
        key = recipe.equalize, tables[0].source
        known = self._reaches.get(key)
        if known is None or low < known[0][0] or high > known[0][1]:
            wide = low * WIDE_ROOM, high * WIDE_ROOM
            found = [reach(self._editor(recipe, model), table, *wide) for table in tables]
            known = self._reaches[key] = wide, (min(f[0] for f in found), max(f[1] for f in found))
        return known[1]

    def _pin(self, pin: Pin, op: Operator, recipe: Recipe, ranges: dict[int, Range]) -> None:
        """Set the ranges of an operator's outputs as a recipe file says."""
        for t in op.outputs:
            if pin.range is not None:
                ranges[t] = pin.range
            elif pin.ranges is not None and t in ranges:
                ranges[t] = RANGES[pin.ranges](self._histograms(recipe)[t])

    def _ranges_of(self, recipe: Recipe) -> dict[int, Range]:
        """Return what the range method of a recipe says of each activation."""
        if recipe.ranges == "minmax":
            return dict(self.statistics.extremes(recipe.equalize, self._fit))
        key = recipe.ranges, recipe.equalize
        if key not in self._ranges:
            method = RANGES[recipe.ranges]
            self._ranges[key] = {t: method(h) for t, h in self._histograms(recipe).items()}
        return dict(self._ranges[key])

    def _histograms(self, recipe: Recipe) -> Mapping[int, Histogram]:
        return self.statistics.histograms(recipe.equalize, self._fit).of

    def _per_channel(self, recipe: Recipe, model: FloatModel) -> dict[int, bool]:
        if self.per_channel is not None:
            return {op.index: self.per_channel for op in model.graph.operators}
        if recipe.dense_per_channel:
            return {op.index: True for op in model.graph.operators}
        return {}

    def _round(self, recipe: Recipe, model: FloatModel, plan: Plan) -> tuple[Codes, Biases]:
        moments = self.statistics.moments(recipe.equalize, self._fit)
        codes: dict[int, npt.NDArray[np.int8]] = {}
        biases: dict[int, npt.NDArray[np.float32]] = {}
        for op in model.graph.operators:
            if op.op not in LAYERS or plan.modes[op.index] not in ("int8", "int16"):
                continue
            weight, _ = weight_slots(model.graph, op)
            if weight not in moments or weight in codes:
                continue
            layer = LayerRows.of(model.graph, op)
            factors = self._factors_of(recipe.equalize, weight, moments[weight], layer.biased)
            codes[weight], corrected = layer.rounded(plan, factors)
            if layer.biased:
                biases[layer.bias] = corrected
        return codes, biases

    def _factors_of(
        self, share: float | None, weight: int, moment: npt.NDArray[np.float64], free_bias: bool
    ) -> Factors:
        """Return the factors of a layer's moments, kept for the next recipe while there is room."""
        if (share, weight) in self._factors:
            return self._factors[share, weight]
        found = Factors.of(moment, free_bias=free_bias)
        if sum(f.upper.size for f in self._factors.values()) + found.upper.size <= KEPT_FACTORS:
            self._factors[share, weight] = found
        return found
