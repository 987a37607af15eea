"""Fits the layers that end a model to what the quantised layers ahead of them give.

Joint rounding takes a layer's inputs as the float model has them. The layers that no other weights follow can take
them as they are by then: least squares on pairs of both makes up for what the layers ahead lost, as far as that can
be told from their own output. Fitted further ahead as well, the layers learn their samples by heart. A ridge holds
the weights near the float model's, and held-out samples say whether the fit stays. The bias is free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.graph import Graph, Operator
from qedge.graph.outputs import tensor_named, with_outputs
from qedge.quantize.interpreter import Runner, decode
from qedge.quantize.methods.rounding import BIAS_DAMPING, Factors
from qedge.quantize.model import FloatModel
from qedge.quantize.patches import ROWS_AT_ONCE, can_measure, positions_of, rows_of
from qedge.quantize.plan import Plan, weight_slots
from qedge.quantize.rows import LayerRows
from qedge.quantize.rules import RULES

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]
RIDGE = 1.0
"""Of the mean square of the layer's inputs, summed over the rows."""


def last_layers(graph: Graph, plan: Plan) -> list[Operator]:
    """Return the layers in 8 or 16 bits that no layer with weights follows, and whose weights are theirs alone."""
    followed: set[int] = set()
    found = []
    for op in reversed(graph.operators):
        weighted = op.op in RULES and RULES[op.op].kind == "weights"
        if weighted and not followed.intersection(op.outputs) and _alone(graph, plan, op):
            found.append(op)
        if weighted or followed.intersection(op.outputs):
            followed.update(t for t in op.inputs if t >= 0)
    return found[::-1]


def _alone(graph: Graph, plan: Plan, op: Operator) -> bool:
    if plan.modes[op.index] not in ("int8", "int16") or not can_measure(graph, op):
        return False
    return all(
        len(graph.consumers[t]) == 1 and graph.tensors[t].is_constant
        for t in weight_slots(graph, op)
        if t >= 0
    )


def fit_last(
    model: FloatModel,
    plan: Plan,
    quantised: bytes,
    dataset: Dataset,
    indices: Sequence[int],
    threads: int,
) -> tuple[dict[int, npt.NDArray[np.int8]], dict[int, npt.NDArray[np.float32]]]:
    """Return codes of the weights and biases of the last layers, by tensor.

    Args:
        model: the float model that the plan is of.
        quantised: the ``.tflite`` of the plan, its activations named as the float model's.
        indices: the samples that pairs come from.
    """
    pairs = _Pairs(model, plan, quantised, len(indices), threads)
    for i in indices:
        pairs.add(dataset[i])
    codes, biases = {}, {}
    for op in pairs.layers:
        layer = LayerRows.of(model.graph, op)
        seen, crossed = pairs.moments(op)
        layer = fitted(layer, seen, crossed)
        codes[layer.weight], bias = layer.rounded(plan, Factors.of(seen, free_bias=layer.biased))
        if layer.biased:
            biases[layer.bias] = bias
    return codes, biases


def fitted(layer: LayerRows, seen: Float, crossed: Float) -> LayerRows:
    """Return the layer whose outputs on the quantised inputs come nearest to its own on the float ones.

    Args:
        seen: ``Q.T @ Q`` of the quantised inputs and a last column of ones: (inputs + 1, inputs + 1), or one matrix
            an output.
        crossed: ``Q.T @ X``, X the float inputs and a last column of ones, likewise.
    """
    both = np.concatenate([layer.rows, layer.offsets[:, None]], axis=1)
    each, other = (m if m.ndim == 3 else m[None] for m in (seen, crossed))
    if not layer.biased:
        both, each, other = both[:, :-1], each[:, :-1, :-1], other[:, :-1, :-1]
    size = each.shape[-1]
    held = np.ones(size)
    if layer.biased:
        held[-1] = BIAS_DAMPING
    ridge = np.maximum(RIDGE * np.trace(each, axis1=1, axis2=2) / size, 1e-12)[:, None, None] * np.diag(held)
    if len(each) == 1:
        found = np.linalg.solve(each[0] + ridge[0], (other[0] + ridge[0]) @ both.T).T
    else:
        found = np.linalg.solve(each + ridge, (other + ridge) @ both[:, :, None])[:, :, 0]
    inputs = layer.rows.shape[1]
    return replace(layer, rows=found[:, :inputs], offsets=found[:, -1] if layer.biased else layer.offsets)


class _Pairs:
    """Adds up the products of both models' inputs of the last layers."""

    def __init__(self, model: FloatModel, plan: Plan, quantised: bytes, samples: int, threads: int) -> None:
        self._graph, self._plan, self._samples = model.graph, plan, samples
        inputs, names = model.graph.inputs, Counter(t.name for t in model.graph.tensors)
        told = {t.index for t in model.graph.tensors if t.name and names[t.name] == 1}
        self.layers = [op for op in last_layers(model.graph, plan) if op.inputs[0] in {*told, *inputs}]
        self._inner = list(dict.fromkeys(op.inputs[0] for op in self.layers if op.inputs[0] not in inputs))
        self._real = Runner(with_outputs(model.data, self._inner), threads=threads)
        there = [tensor_named(quantised, model.graph.tensors[t].name) for t in self._inner]
        self._found = Runner(with_outputs(quantised, there), threads=threads)
        # The same positions of both.
        self._random = [np.random.default_rng(0) for _ in range(2)]
        self._waiting: dict[int, list[tuple[Array, Array]]] = {op.index: [] for op in self.layers}
        self._sums: dict[int, tuple[Float, Float]] = {}

    def add(self, sample: Sequence[Array]) -> None:
        """Run one sample through both models."""
        self._real.run(sample)
        self._found.run(sample)
        entry = self._real.stepped(sample)
        values = {t: (given, given) for t, given in zip(self._graph.inputs, entry)}
        for t, real, found in zip(self._inner, self._real.outputs, self._found.outputs):
            codes = self._found.view(int(found["index"]))
            values[t] = self._real.view(int(real["index"])), decode(codes, found)
        for op in self.layers:
            self._take(op, *values[op.inputs[0]])

    def moments(self, op: Operator) -> tuple[Float, Float]:
        """Return ``Q.T @ Q`` and ``Q.T @ X`` of a layer."""
        self._sum(op)
        return self._sums[op.index]

    def _take(self, op: Operator, real: Array, found: Array) -> None:
        shape = self._graph.tensors[op.inputs[0]].shape
        if (op.index, 0) in self._plan.wanted or op.inputs[0] in self._graph.inputs:
            read = self._plan.reads(op, 0)
            found = read.real(read.codes(found))
        count = positions_of(self._graph, op, self._samples)
        rows = [
            rows_of(self._graph, op, values.reshape(shape), count, random)
            for values, random in zip((real, found), self._random)
        ]
        waiting = self._waiting[op.index]
        waiting.append((rows[0], rows[1]))
        if len(waiting) * len(rows[0]) >= ROWS_AT_ONCE:
            self._sum(op)

    def _sum(self, op: Operator) -> None:
        waiting = self._waiting[op.index]
        if not waiting:
            return
        real, found = (_columns(np.concatenate(part)) for part in zip(*waiting))
        waiting.clear()
        seen, crossed = found @ found.swapaxes(-1, -2), found @ real.swapaxes(-1, -2)
        before = self._sums.get(op.index, (np.zeros_like(seen), np.zeros_like(crossed)))
        self._sums[op.index] = before[0] + seen, before[1] + crossed


def _columns(rows: Array) -> Float:
    """Return rows with a last column of ones as (inputs + 1, positions); depthwise: (channels, taps + 1, positions)."""
    wide = np.concatenate([rows.astype(np.float64), np.ones((len(rows), 1, *rows.shape[2:]))], axis=1)
    return wide.T if wide.ndim == 2 else wide.transpose(2, 1, 0)
