"""What the student is asked for: the teacher's outputs, and on the way there its layers' outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qedge.graph import Graph
from qedge.processing.affine import OUTPUTS_KEY, finishes_in
from qedge.quantize.rules import RULES

Value = Any
SMALLEST = 1e-12
QUIET = 1e-2
"""Share of the mean variance that a column counts with at least, so that one that hardly moves is not all there is."""


@dataclass(frozen=True)
class Goal:
    """One output: the tensor that is compared, and how (``classes``, ``yes_no`` or ``values``)."""

    tensor: int
    kind: str


def goals_of(graph: Graph) -> tuple[Goal, ...]:
    """Return what each output of a model is compared by: scores ahead of a softmax or sigmoid, else the values."""
    finishes = finishes_in(graph.metadata.get(OUTPUTS_KEY, b""))
    found = []
    for k, t in enumerate(graph.outputs):
        if graph.tensors[t].dtype != "float32":
            continue
        maker = graph.producer.get(t)
        if maker is not None and maker.op == "SOFTMAX":
            found.append(Goal(maker.inputs[0], "classes"))
        elif maker is not None and maker.op == "LOGISTIC":
            found.append(Goal(maker.inputs[0], "yes_no"))
        else:
            found.append(Goal(t, "classes" if finishes.get(k) == "softmax" else "values"))
    return tuple(found)


class Loss:
    """How far the student is from the teacher.

    Args:
        layers: weight of the layers' outputs beside the model's own.
        labels: weight of the labels; they count where the only output is of classes.
    """

    def __init__(self, tf: Any, graph: Graph, layers: float, labels: float = 0.0) -> None:
        self.tf, self.layers, self.labels = tf, layers, labels
        self.goals = goals_of(graph)
        self._taps = [
            op.outputs[0]
            for op in graph.operators
            if op.op in RULES and RULES[op.op].kind == "weights" and op.outputs[0] not in graph.outputs
        ]

    def of(self, student: Mapping[int, Value], teacher: Mapping[int, Value], labels: Value) -> Value:
        """Return the loss of a batch, a scalar.

        Args:
            labels: (batch, classes) shares that add up to 1, or to 0 where a sample has no label.
        """
        total = sum(_DISTANCES[g.kind](self.tf, student[g.tensor], teacher[g.tensor]) for g in self.goals)
        total = total / max(len(self.goals), 1)
        if self._taps and self.layers:
            taps = [_relative(self.tf, student[t], teacher[t]) for t in self._taps]
            total += self.layers * self.tf.add_n(taps) / len(taps)
        if self.labels and len(self.goals) == 1 and self.goals[0].kind == "classes":
            scores = self.tf.nn.log_softmax(_rows(self.tf, student[self.goals[0].tensor]))
            total -= self.labels * self.tf.reduce_mean(self.tf.reduce_sum(labels * scores, -1))
        return total


def _rows(tf: Any, value: Value) -> Value:
    return tf.reshape(value, (-1, value.shape[-1]))


def _classes(tf: Any, student: Value, teacher: Value) -> Value:
    """Return the mean Kullback-Leibler divergence of the teacher's classes from the student's."""
    said, wanted = (tf.nn.log_softmax(_rows(tf, v)) for v in (student, teacher))
    return tf.reduce_mean(tf.reduce_sum(tf.exp(wanted) * (wanted - said), -1))


def _yes_no(tf: Any, student: Value, teacher: Value) -> Value:
    wanted = tf.sigmoid(teacher)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    return tf.reduce_mean(entropy(wanted, student) - entropy(wanted, teacher))


def _values(tf: Any, student: Value, teacher: Value) -> Value:
    """Return the noise of each column over its variance, the mean of all columns."""
    said, wanted = _rows(tf, student), _rows(tf, teacher)
    variance = tf.math.reduce_variance(wanted, 0)
    floor = QUIET * tf.reduce_mean(variance) + SMALLEST
    return tf.reduce_mean(tf.reduce_mean(tf.square(said - wanted), 0) / (variance + floor))


def _relative(tf: Any, student: Value, teacher: Value) -> Value:
    noise, power = tf.reduce_mean(tf.square(student - teacher)), tf.reduce_mean(tf.square(teacher))
    return noise / (power + SMALLEST)


_DISTANCES: Mapping[str, Callable[[Any, Value, Value], Value]] = {
    "classes": _classes,
    "yes_no": _yes_no,
    "values": _values,
}
