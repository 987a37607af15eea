"""Applies a recipe; what recipes have in common is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.graph import Operator
from qedge.graph.edit import Editor
from qedge.quantize.calibrate import MinMax, Progress, Scaled, calibrate, check_finite
from qedge.quantize.channels import ChannelStatistics
from qedge.quantize.histogram import Histograms
from qedge.quantize.materialise import materialise
from qedge.quantize.methods.equalization import equalize, find_links
from qedge.quantize.methods.ranges import RANGES
from qedge.quantize.methods.rounding import Factors, round_jointly
from qedge.quantize.model import FloatModel, factor_of
from qedge.quantize.patches import LARGEST_MOMENT, LAYERS, Moments
from qedge.quantize.pins import Pin
from qedge.quantize.plan import Plan, Range, complete, default_modes, derived, make_plan, weight_slots
from qedge.quantize.recipe import Recipe

Array = npt.NDArray[Any]


MODERATE_WEIGHTS = 1_000_000
KEPT_FACTORS = 8_000_000  # values of the factors that are kept between recipes, 64 MB


class Builder:
    """Makes quantised models from one float model and one set of samples.

    Args:
        indices: the samples that ranges and moments come from.
        io: type of inputs and outputs.
        per_channel: True or False forces it for all weights; None leaves it to the recipes.
        pins: what a recipe file says about single operators; it wins over everything else.
    """

    def __init__(
        self,
        model: FloatModel,
        dataset: Dataset,
        indices: Sequence[int],
        *,
        io: str = "int8",
        per_channel: bool | None = None,
        pins: Sequence[Pin] = (),
        threads: int = 2,
        progress: Progress | None = None,
    ) -> None:
        self.model, self.dataset, self.indices = model, dataset, list(indices)
        self.io, self.per_channel, self.threads, self.progress = io, per_channel, threads, progress
        self.pins = tuple(pins)
        self.links = find_links(model.graph)
        self._channels = ChannelStatistics(link.tensor for link in self.links)
        self._models: dict[float | None, FloatModel] = {None: model}
        self._histograms: dict[float | None, Histograms] = {}
        self._extremes: dict[float | None, dict[int, Range]] = {}
        self._moments: Moments | None = None
        self._editors: dict[float | None, Editor] = {}
        self._factors: dict[tuple[float | None, int], Factors] = {}

    def build(self, recipe: Recipe) -> bytes:
        """Return the quantised model of a recipe."""
        model, plan = self.plan(recipe)
        source = self._editors.setdefault(recipe.equalize, model.editor())
        codes, biases = self._round(recipe, model, plan) if recipe.rounding else ({}, {})
        return materialise(model, source, plan, io=self.io, codes=codes, biases=biases)

    def plan(self, recipe: Recipe) -> tuple[FloatModel, Plan]:
        """Return the float model that the recipe quantises, and how."""
        model = self.variant(recipe.equalize)
        if recipe.ranges == "minmax":
            ranges = dict(self.extremes(recipe.equalize))
        else:
            method = RANGES[recipe.ranges]
            ranges = {t: method(h) for t, h in self.histograms(recipe.equalize).of.items()}
        modes = list(default_modes(model.graph))
        per_channel = self._per_channel(recipe, model)
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
        ranges = complete(model.graph, ranges)
        return model, make_plan(model.graph, ranges, modes=tuple(modes), per_channel=per_channel)

    def _pin(self, pin: Pin, op: Operator, recipe: Recipe, ranges: dict[int, Range]) -> None:
        """Set the ranges of an operator's outputs as a recipe file says."""
        for t in op.outputs:
            if pin.range is not None:
                ranges[t] = pin.range
            elif pin.ranges is not None and t in ranges:
                ranges[t] = RANGES[pin.ranges](self.histograms(recipe.equalize).of[t])

    def variant(self, share: float | None) -> FloatModel:
        """Return the float model, equalised where ``share`` says so."""
        if share not in self._models:
            if not self._channels.largest:
                self.histograms(None)
            self._models[share] = equalize(self.model, self._channels.largest, share=share or 0.0)
        return self._models[share]

    def extremes(self, share: float | None) -> dict[int, Range]:
        """Return the true range of each activation, with nothing else measured unless it is known already."""
        if share in self._histograms:
            return self._histograms[share].ranges
        if share not in self._extremes:
            observer = MinMax()
            if share is None:
                self._calibrate([observer])
            else:
                observer.ranges.update(self.extremes(None))
                scaled = MinMax()
                self._calibrate_scaled(share, scaled)
                observer.ranges.update(scaled.ranges)
            check_finite(self.model, observer.ranges)
            self._extremes[share] = observer.ranges
        return self._extremes[share]

    def histograms(self, share: float | None) -> Histograms:
        """Return the distribution of each activation."""
        if share not in self._histograms:
            found = Histograms()
            if share is None:
                self._calibrate([found, self._channels])
            else:
                self._calibrate_scaled(share, found)
                found.complete(self.histograms(None))
            check_finite(self.model, found.ranges)
            self._histograms[share] = found
        return self._histograms[share]

    def _calibrate(self, observers: Sequence[Any], **choice: Any) -> None:
        calibrate(
            self.model,
            self.dataset,
            observers,
            threads=self.threads,
            progress=self.progress,
            **{"indices": self.indices, **choice},
        )

    def _calibrate_scaled(self, share: float, observer: Any) -> None:
        """Show an observer those activations of the equalised model that are not as they were.

        They are the model's own, divided by the factors: nothing else need be run.
        """
        factors = {t: f for t, f in self._scales(share).items() if t not in derived(self.model.graph)}
        if factors:
            self._calibrate([Scaled(observer, factors)], tensors=list(factors))

    def _scales(self, share: float | None) -> dict[int, npt.NDArray[np.float32]]:
        """Return how much smaller equalisation made the channels of activations, by tensor."""
        of_name = {self.model.graph.tensors[t].name: t for t in self.model.activations}
        steps = self.variant(share).steps
        return {of_name[name]: factor_of(taken).astype(np.float32) for name, taken in steps.items()}

    def _moments_of(self, share: float | None) -> dict[int, npt.NDArray[np.float64]]:
        """Return the moments of the layers' inputs, by tensor of weights; those of equalised ones are scaled."""
        if self._moments is None:
            found = Moments(self.model.graph, samples=len(self.indices), largest=self._largest_moment())
            self._calibrate([found], tensors=found.tensors, stage="round")
            self._moments = found
        return self._moments.scaled(self._scales(share)) if share is not None else self._moments.of

    def _largest_moment(self) -> int:
        """Return how many inputs a layer may have that is rounded jointly, for which its moments are inverted."""
        total = sum(t.elements for t in self.model.graph.tensors if t.is_constant)
        return LARGEST_MOMENT if total <= MODERATE_WEIGHTS else LARGEST_MOMENT // 8

    def _per_channel(self, recipe: Recipe, model: FloatModel) -> dict[int, bool]:
        if self.per_channel is not None:
            return {op.index: self.per_channel for op in model.graph.operators}
        if recipe.dense_per_channel:
            return {op.index: True for op in model.graph.operators}
        return {}

    def _round(
        self, recipe: Recipe, model: FloatModel, plan: Plan
    ) -> tuple[dict[int, npt.NDArray[np.int8]], dict[int, npt.NDArray[np.float32]]]:
        moments = self._moments_of(recipe.equalize)
        codes: dict[int, npt.NDArray[np.int8]] = {}
        biases: dict[int, npt.NDArray[np.float32]] = {}
        for op in model.graph.operators:
            if op.op not in LAYERS or plan.modes[op.index] != "int8":
                continue
            weight, bias = weight_slots(model.graph, op)
            if weight not in moments or weight in codes:
                continue
            values = model.graph.tensors[weight].data
            offsets = model.graph.tensors[bias].data if bias >= 0 else None
            assert values is not None
            by_channel = op.op == "DEPTHWISE_CONV_2D"
            rows = (
                values.reshape(-1, values.shape[3]).T if by_channel else values.reshape(values.shape[0], -1)
            )
            start = np.zeros(len(rows)) if offsets is None else offsets.astype(np.float64)
            scales = np.asarray(plan.tensors[weight].scale, np.float64)
            factors = self._factors_of(recipe.equalize, weight, moments[weight], offsets is not None)
            rounded, corrected = round_jointly(rows.astype(np.float64), scales, factors, start)
            codes[weight] = (rounded.T if by_channel else rounded).reshape(values.shape)
            if offsets is not None:
                biases[bias] = corrected.astype(np.float32)
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
