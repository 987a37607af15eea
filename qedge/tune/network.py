"""Teacher and student: the float model, and the same model with every value and weight on its grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qedge.graph import Graph, Operator
from qedge.quantize.plan import data_slots
from qedge.quantize.rules import RULES
from qedge.tune.job import Job, Start
from qedge.tune.twins import Call, outputs_of

Value = Any


@dataclass
class Learned:
    """What is learned, as TensorFlow variables, each with the rate that suits its size.

    Args:
        weights, scales, biases: by tensor; scales as logarithms.
        ranges: (low, high), by grid.
        rates: by the variable's name, broadcastable to it.
    """

    weights: dict[int, Any] = field(default_factory=dict)
    scales: dict[int, Any] = field(default_factory=dict)
    biases: dict[int, Any] = field(default_factory=dict)
    ranges: dict[int, Any] = field(default_factory=dict)
    rates: list[np.ndarray] = field(default_factory=list)

    @property
    def variables(self) -> list[Any]:
        """All of them, in the order of their rates."""
        parts = (self.weights, self.scales, self.biases, self.ranges)
        return [variable for part in parts for variable in part.values()]


BIAS_RATE = 1e-4


class Network:
    """One graph, run as teacher or as student.

    Args:
        tf: the TensorFlow module.
        graph: of the float model.
        job: the student's grids.
        start: where the student starts.
    """

    def __init__(self, tf: Any, graph: Graph, job: Job, start: Start) -> None:
        self.tf, self.graph, self.job = tf, graph, job
        self._round_activations, self._round_weights = rounding(tf)
        self.learned = self._variables(start)
        self._constants = {
            t.index: tf.constant(np.ascontiguousarray(t.data)[None])
            for t in graph.tensors
            if t.data is not None and t.data.dtype.kind in "fiub"
        }

    def _variables(self, start: Start) -> Learned:
        tf, found, settings = self.tf, Learned(), self.job.settings
        rates: dict[str, list[Any]] = {"w": [], "s": [], "b": [], "r": []}
        for t, values in start.weights.items():
            axis = self.job.weights[t].axis
            others = tuple(a for a in range(values.ndim) if a != axis)
            spread = np.sqrt(np.square(values).mean(axis=others, keepdims=True))
            found.weights[t] = tf.Variable(values)
            rates["w"].append(settings.rate * np.maximum(spread, 1e-3 * spread.max(initial=1e-9)))
            found.scales[t] = tf.Variable(np.log(start.scales[t]).astype(np.float32))
            rates["s"].append(np.float32(settings.scale_rate))
        for t, values in start.biases.items():
            found.biases[t] = tf.Variable(values)
            rates["b"].append(np.float32(BIAS_RATE * self._reach(t)))
        for k, grid in enumerate(self.job.grids):
            if grid.learned:
                found.ranges[k] = tf.Variable(start.ranges[k])
                rates["r"].append(np.float32(settings.range_rate * np.abs(start.ranges[k]).max()))
        found.rates = [np.asarray(r, np.float32) for part in rates.values() for r in part]
        return found

    def _reach(self, bias: int) -> float:
        """Return how far the values go that a bias is part of."""
        (op, *_) = self.graph.consumers[bias]
        grid = self.job.written.get(op.outputs[0])
        return 1.0 if grid is None else self.job.grids[grid].high - self.job.grids[grid].low

    def run(self, inputs: Sequence[Value], student: bool) -> dict[int, Value]:
        """Return the value of every tensor, by index.

        Args:
            inputs: one a model input, samples in front of the model's own shape.
            student: whether values and weights lie on their grids; else the float model's own.
        """
        values = {t: self._written(t, x, student) for t, x in zip(self.graph.inputs, inputs)}
        for op in self.graph.operators:
            found = outputs_of(Call(self.tf, self.graph, op, self._read(op, values, student)))
            for t, value in zip(op.outputs, found):
                values[t] = self._written(t, value, student)
        return values

    def _read(self, op: Operator, values: Mapping[int, Value], student: bool) -> list[Value | None]:
        data = set(data_slots(self.graph, op))
        layer = RULES[op.op] if op.op in RULES and RULES[op.op].kind == "weights" else None
        read: list[Value | None] = []
        for slot, t in enumerate(op.inputs):
            if t < 0:
                read.append(None)
            elif layer is not None and slot in (layer.weight, layer.bias) and t in self._constants:
                read.append(self._parameter(t, student))
            elif t in values:
                read.append(self._on(self.job.read.get((op.index, slot)), values[t], student))
            elif t in self._constants:
                value = self._constants[t]
                read.append(self._written(t, value, student) if slot in data else value)
            else:
                read.append(None)
        return read

    def _parameter(self, t: int, student: bool) -> Value:
        if not student or (t not in self.learned.weights and t not in self.learned.biases):
            return self._constants[t][0]
        if t in self.learned.biases:
            return self.learned.biases[t]
        grid, weights = self.job.weights[t], self.learned.weights[t]
        scale = self.tf.exp(self.learned.scales[t])
        shape = [1] * len(weights.shape)
        if scale.shape[0] > 1:
            shape[grid.axis] = -1
        return self._round_weights(weights, self.tf.reshape(scale, shape), float(grid.steps))

    def _written(self, t: int, value: Value, student: bool) -> Value:
        return self._on(self.job.written.get(t), value, student)

    def _on(self, grid: int | None, value: Value, student: bool) -> Value:
        if grid is None or not student:
            return value
        if grid in self.learned.ranges:
            low, high = self.tf.unstack(self.learned.ranges[grid])
        else:
            low, high = (self.tf.constant(v, self.tf.float32) for v in self._bounds(grid))
        return self._round_activations(value, low, high)

    def _bounds(self, grid: int) -> tuple[float, float]:
        return self.job.grids[grid].low, self.job.grids[grid].high

    def snapshot(self, start: Start) -> Start:
        """Return what is learned so far; what is not learned is as in ``start``."""
        ranges = start.ranges.copy()
        for k, variable in self.learned.ranges.items():
            low, high = variable.numpy()
            ranges[k] = min(low, 0.0), max(high, 0.0)
        return Start(
            {t: v.numpy() for t, v in self.learned.weights.items()},
            {t: np.exp(v.numpy()) for t, v in self.learned.scales.items()},
            {t: v.numpy() for t, v in self.learned.biases.items()},
            ranges,
        )


def rounding(tf: Any) -> tuple[Any, Any]:
    """Return two functions that put values on a grid: activations (x, low, high) and weights (w, scale, steps).

    Rounding passes gradients straight through; the ends of the grid learn from what they cut off and its step from
    what rounding leaves (S. K. Esser et al., "Learned step size quantization", arXiv 1902.08153; with an offset:
    Y. Bhalgat et al., "LSQ+", arXiv 2004.09576).
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def activations(x: Value, low: Value, high: Value) -> Any:
        low, high = tf.minimum(low, 0.0), tf.maximum(high, 0.0)
        scale = tf.maximum((high - low) / 255.0, 1e-12)
        zero = tf.clip_by_value(tf.round(-128.0 - low / scale), -128.0, 127.0)
        exact = x / scale
        nearest = tf.round(exact)
        code = tf.clip_by_value(nearest + zero, -128.0, 127.0)

        def gradient(g: Value) -> tuple[Value, Value, Value]:
            above, below = nearest + zero > 127.0, nearest + zero < -128.0
            inside = tf.logical_not(tf.logical_or(above, below))
            nothing = tf.zeros_like(g)
            step = tf.reduce_sum(tf.where(inside, g * (nearest - exact), nothing)) / 255.0
            up = tf.reduce_sum(tf.where(above, g, nothing))
            down = tf.reduce_sum(tf.where(below, g, nothing))
            return tf.where(inside, g, nothing), down - step, up + step

        return (code - zero) * scale, gradient

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def weights(w: Value, scale: Value, steps: float) -> Any:
        exact = w / scale
        code = tf.clip_by_value(tf.round(exact), -steps, steps)

        def gradient(g: Value) -> tuple[Value, Value, None]:
            inside = tf.abs(exact) <= steps + 0.5
            moved = g * tf.where(inside, code - exact, code)
            axes = [a for a, size in enumerate(scale.shape) if size == 1]
            return tf.where(inside, g, tf.zeros_like(g)), tf.reduce_sum(moved, axes, keepdims=True), None

        return code * scale, gradient

    return activations, weights
