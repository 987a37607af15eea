"""Gradient descent on the student, with the teacher's answers on the same samples as its only truth.

Beside the samples themselves, mixtures of two of them are learned from: the teacher has an answer to those too, so
that a hundred samples last longer (L. Beyer et al., "Knowledge distillation: a good teacher is patient and
consistent", arXiv 2106.05237).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph
from qedge.tune.job import Job, Start
from qedge.tune.losses import Loss
from qedge.tune.network import Network

Array = npt.NDArray[Any]
MOMENTUM, DECAY, SMALLEST = 0.9, 0.99, 1e-16
MIXED = 0.5
"""Share of steps that learn from mixtures."""
LOOKS = 12
"""How often the held-out samples are looked at."""
WORSE = 1.5
"""Times the loss of the start at which the first looks call the steps too large: it begins again with smaller ones."""
SMALLER = 0.25
PATIENCE = 9
"""Looks without progress that end it: large steps disturb a good start at first, and small ones come late."""
Report = Callable[[int, int, float, float], None]
Keep = Callable[[Start], None]


@dataclass(frozen=True)
class Samples:
    """Samples in memory.

    Args:
        inputs: one array an input, samples in front.
        labels: (samples, classes) one-hot; zeros where there is none.
    """

    inputs: Sequence[Array]
    labels: Array

    def take(self, indices: Array) -> tuple[list[Array], Array]:
        """Return some of them."""
        return [x[indices] for x in self.inputs], self.labels[indices]


class Trainer:
    """Learns one job.

    Args:
        tf: the TensorFlow module.
        fit: samples to learn from.
        held: samples to stop by, or None where there are too few.
    """

    def __init__(
        self, tf: Any, graph: Graph, job: Job, start: Start, fit: Samples, held: Samples | None
    ) -> None:
        self.tf, self.graph, self.job, self.start = tf, graph, job, start
        self.fit, self.held = fit, held or fit
        self.network = Network(tf, graph, job, start)
        self._loss = Loss(tf, graph, job.settings.layers, job.settings.labels)
        self._judge = Loss(tf, graph, 0.0)
        variables = self.network.learned.variables
        self._moments = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in variables]
        self._random = np.random.default_rng(job.settings.seed)
        self._first = [v.numpy() for v in variables]
        self._step = tf.function(self._descend)
        self._look = tf.function(self._measure)

    def run(self, began: float, report: Report, keep: Keep) -> None:
        """Learn until the steps, the time or the progress end.

        Args:
            began: ``time.monotonic()`` at the start of all.
            report: called with the step, how many there are, the loss and the seconds left.
            keep: called with what is learned whenever the held-out samples say that it is the best so far.
        """
        settings = self.job.settings
        end = began + settings.seconds
        first = best = self.held_loss()
        idle, total, size, since = 0, settings.steps, 1.0, 0
        batches = self._batches()
        warm = time.monotonic()
        step = 0
        while step < total:
            inputs, labels = next(batches)
            rate = size * 0.5 * (1 + np.cos(np.pi * step / total))
            loss = self._step(inputs, labels, np.float32(rate), np.float32(since + 1))
            step, since = step + 1, since + 1
            if step == 1:
                warm = time.monotonic()  # the first step traces the graph
            elif step == 6:
                each = max((time.monotonic() - warm) / 5, 1e-4)
                total = max(min(total, int((end - time.monotonic()) / (each * 1.15)) + step), step)
            if step % max(total // LOOKS, 1) == 0 or step == total or time.monotonic() > end:
                found = self.held_loss()
                left = (time.monotonic() - warm) / max(step - 1, 1) * (total - step)
                report(step, total, found, left)
                if best == first and found > WORSE * first and step < total // 2:
                    self._begin_again()
                    size, since, idle = size * SMALLER, 0, 0
                    continue
                idle = 0 if found < best else idle + 1
                if found < best:
                    best = found
                    keep(self.network.snapshot(self.start))
                if idle >= PATIENCE or not np.isfinite(float(loss)) or time.monotonic() > end:
                    return

    def _begin_again(self) -> None:
        for variable, value, (m, s) in zip(self.network.learned.variables, self._first, self._moments):
            variable.assign(value)
            m.assign(self.tf.zeros_like(m))
            s.assign(self.tf.zeros_like(s))

    def held_loss(self) -> float:
        """Return the distance of the outputs on the held-out samples."""
        count, size = len(self.held.labels), self.job.settings.batch
        total = 0.0
        for first in range(0, count, size):
            inputs, labels = self.held.take(np.arange(first, min(first + size, count)))
            total += float(self._look(inputs, labels)) * len(labels)
        return total / count

    def _batches(self) -> Iterator[tuple[list[Array], Array]]:
        count = len(self.fit.labels)
        size = min(self.job.settings.batch, count)
        while True:
            order = self._random.permutation(count)
            for first in range(0, count - size + 1, size):
                inputs, labels = self.fit.take(order[first : first + size])
                if self._random.random() < MIXED:
                    inputs, labels = self._mixed(inputs, labels, size)
                yield inputs, labels

    def _mixed(self, inputs: list[Array], labels: Array, size: int) -> tuple[list[Array], Array]:
        """Return a batch mixed with another one; whole numbers cannot be mixed."""
        if any(x.dtype.kind != "f" for x in inputs):
            return inputs, labels
        others, named = self.fit.take(self._random.integers(0, len(self.fit.labels), size))
        share = self._random.beta(1.0, 1.0, size).astype(np.float32)

        def mix(a: Array, b: Array) -> Array:
            part = share.reshape(-1, *(1,) * (a.ndim - 1))
            mixed: Array = part * a + (1 - part) * b
            return mixed

        return [mix(a, b) for a, b in zip(inputs, others)], mix(labels, named)

    def _measure(self, inputs: Sequence[Any], labels: Any) -> Any:
        teacher = self.network.run(inputs, student=False)
        return self._judge.of(self.network.run(inputs, student=True), teacher, labels)

    def _descend(self, inputs: Sequence[Any], labels: Any, rate: Any, step: Any) -> Any:
        tf, learned = self.tf, self.network.learned
        teacher = self.network.run(inputs, student=False)
        variables = learned.variables
        with tf.GradientTape() as tape:
            loss = self._loss.of(self.network.run(inputs, student=True), teacher, labels)
        gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self._adam(variables, gradients, rate, step)
        return loss

    def _adam(self, variables: Sequence[Any], gradients: Sequence[Any], rate: Any, step: Any) -> None:
        """One step of Adam (D. Kingma and J. Ba, arXiv 1412.6980), each variable with its own rate."""
        tf = self.tf
        first, second = 1 - tf.pow(MOMENTUM, step), 1 - tf.pow(DECAY, step)
        for v, g, own, (m, s) in zip(variables, gradients, self.network.learned.rates, self._moments):
            m.assign(MOMENTUM * m + (1 - MOMENTUM) * g)
            s.assign(DECAY * s + (1 - DECAY) * tf.square(g))
            v.assign_sub(rate * own * (m / first) / (tf.sqrt(s / second) + SMALLEST))
