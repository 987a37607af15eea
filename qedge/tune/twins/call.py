"""One operator with the values that it reads, as its twin gets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qedge.graph import Graph, Operator

Value = Any
"""A TensorFlow tensor: samples first, then the shape of the model's tensor."""


class NoTwin(Exception):
    """An operator, or a form of one, that cannot be tuned."""


@dataclass(frozen=True)
class Call:
    """One operator with the values that it reads.

    Args:
        tf: the TensorFlow module.
        values: by input slot; None where an optional input is absent. Weights and biases come without the samples.
    """

    tf: Any
    graph: Graph
    op: Operator
    values: Sequence[Value]

    def shape(self, slot: int) -> tuple[int, ...]:
        """Return the shape of an input in the model."""
        return self.graph.tensors[self.op.inputs[slot]].shape

    @property
    def result(self) -> tuple[int, ...]:
        """The shape of the first output in the model."""
        return self.graph.tensors[self.op.outputs[0]].shape

    def constant(self, slot: int) -> np.ndarray:
        """Return the values of an input that must be constant: axes, sizes, paddings."""
        data = self.graph.tensors[self.op.inputs[slot]].data
        if data is None:
            raise NoTwin(f"{self.op.label} computes what its input {slot} says while it runs")
        return np.asarray(data)

    def axes(self, slot: int) -> list[int]:
        """Return constant axes as those of values."""
        rank = len(self.shape(0))
        return [int(a) % rank + 1 for a in self.constant(slot).reshape(-1)]

    def axis(self, name: str, rank: int) -> int:
        """Return an axis among the options as that of values of this rank."""
        return int(self.op.options.get(name, 0)) % rank + 1

    def flat(self, slot: int) -> Value:
        """Return an input with the samples and the model's own batch as one axis."""
        return self.tf.reshape(self.values[slot], (-1, *self.shape(slot)[1:]))

    def shaped(self, value: Value, shape: tuple[int, ...] | None = None) -> Value:
        """Return a value in the shape of the first output, or another one."""
        return self.tf.reshape(value, (-1, *(self.result if shape is None else shape)))

    def aligned(self, *slots: int) -> list[Value]:
        """Return inputs with the rank of the largest, as broadcasting aligns them."""
        rank = max(len(self.shape(s)) for s in slots)
        return [
            self.tf.reshape(self.values[s], (-1, *(1,) * (rank - len(self.shape(s))), *self.shape(s)))
            for s in slots
        ]

    def spread(self, slots: Sequence[int]) -> list[Value]:
        """Return inputs that all have as many samples as the largest."""
        tf = self.tf
        samples = tf.reduce_max(tf.stack([tf.shape(self.values[s])[0] for s in slots]))
        return [
            tf.broadcast_to(self.values[s], tf.concat([[samples], self.shape(s)], 0))
            if self.graph.tensors[self.op.inputs[s]].is_constant
            else self.values[s]
            for s in slots
        ]

    def activated(self, value: Value) -> Value:
        """Return a value behind the fused activation."""
        name = self.op.options.get("fused_activation_function", "NONE")
        if name not in _FUSED:
            raise NoTwin(f"{self.op.label} has the fused activation {name}")
        return _FUSED[name](self.tf, value)


_FUSED: Mapping[str, Callable[[Any, Value], Value]] = {
    "NONE": lambda tf, x: x,
    "RELU": lambda tf, x: tf.nn.relu(x),
    "RELU6": lambda tf, x: tf.nn.relu6(x),
    "RELU_N1_TO_1": lambda tf, x: tf.clip_by_value(x, -1.0, 1.0),
    "TANH": lambda tf, x: tf.tanh(x),
}
