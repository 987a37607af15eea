"""Proves that a ``.tflite`` computes what onnxruntime does; names the first value that differs where it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.frontends.onnx.layout import Order
from qedge.frontends.onnx.session import Session, random_inputs
from qedge.frontends.onnx.shapes import Model
from qedge.frontends.protocol import Refusal
from qedge.graph import Graph
from qedge.quantize.interpreter import Runner

Array = npt.NDArray[Any]

TOLERANCE = 2e-4
"""Largest difference of an output, relative to its largest value, at which two models agree."""
ABSOLUTE = 5e-7
"""A smaller difference than this is rounding, however small the values are."""
ROUNDING = 4e-6
"""What rounding in float32 may amount to beside the largest value of an output."""
INTEGERS_THAT_MAY_DIFFER = 0.02
"""Fraction of integers that may differ: positions of values that are equal but for rounding."""
SAME_OF_A_TIE = 0.5
"""Share of rows that must be the same where the others have equal scores."""
MOST_ROWS = 1000
POINTER_BYTES = 48 << 20
"""What XNNPACK's pointers may take, one to each value that a convolution reads for each that it writes."""
REFERENCE_MACS = 1_000_000_000
"""Most products that the reference kernels, which need no pointers and are several times slower, are given."""


@dataclass(frozen=True)
class Proof:
    """What was compared: the worst output's difference relative to its largest value, and on how many samples."""

    error: float
    samples: int


def difference(ours: Array, theirs: Array) -> float:
    """Return how far two values are apart: relative to the largest for floats, a fraction for integers."""
    if theirs.dtype.kind != "f":
        return float(np.mean(ours.astype(np.int64) != theirs.astype(np.int64))) if theirs.size else 0.0
    theirs = theirs.astype(np.float64)
    known = np.isfinite(theirs)
    if not np.array_equal(known, np.isfinite(ours)):
        return float("inf")
    if not known.any():
        return 0.0
    top = float(np.max(np.abs(theirs[known])))
    apart = float(np.max(np.abs(ours.astype(np.float64)[known] - theirs[known])))
    return apart / max(top, 1e-6)


def agrees(ours: Array, theirs: Array, wavering: float = 0.0) -> bool:
    """Return whether two values are the same but for rounding.

    Every slice along every dimension is held against its own largest value, so that small scores beside large
    coordinates count as well.

    Args:
        wavering: how far the reference moves by itself when its inputs change in their last digits, relative to
            its largest value; ten times as much is taken for rounding.
    """
    if theirs.dtype.kind != "f":
        return difference(ours, theirs) <= INTEGERS_THAT_MAY_DIFFER + 10 * wavering
    if not np.isfinite(difference(ours, theirs)):
        return False
    known = np.isfinite(theirs)
    size = np.where(known, np.abs(theirs), 0.0).astype(np.float64)
    apart = np.where(known, np.abs(ours.astype(np.float64) - theirs), 0.0)
    top = float(size.max(initial=0.0))
    floor = ABSOLUTE + (ROUNDING + 10 * wavering) * top
    if theirs.ndim == 0:
        return bool(apart <= TOLERANCE * size + floor)
    for axis in range(theirs.ndim):
        others = tuple(d for d in range(theirs.ndim) if d != axis)
        if np.any(apart.max(others, initial=0.0) > TOLERANCE * size.max(others, initial=0.0) + floor):
            return False
    return True


def same_rows(ours: Array, theirs: Array) -> bool:
    """Return whether two lists of rows are the same but for rounding, their order, and a few of them.

    What is chosen by score changes places where two scores are equal but for rounding, and at the end one is left out
    for another: of equal scores any one. So are rows whose score is that of the last, where many have it (a net with
    random weights, whose scores are all 1), as long as most rows are the same. Numbers are held against the largest of
    their column.
    """
    if theirs.ndim < 2 or theirs.dtype.kind != "f" or theirs.size > MOST_ROWS * theirs.shape[-1]:
        return False
    columns, count = theirs.shape[-1], theirs.shape[-2]
    lists = (np.asarray(v, np.float64).reshape(-1, count, columns) for v in (ours, theirs))
    least = count - int(INTEGERS_THAT_MAY_DIFFER * count)
    for a, b in zip(*lists):
        far = TOLERANCE * np.abs(b).max(axis=0, initial=0.0) + ABSOLUTE
        same = np.all(np.abs(a[:, None] - b) <= far, axis=2)
        known = [same.any(axis=1), same.any(axis=0)]
        if min(map(np.sum, known)) >= least:
            continue
        if min(map(np.sum, known)) < SAME_OF_A_TIE * count or not _tied(a, b, known):
            return False
    return True


def _tied(ours: Array, theirs: Array, known: Sequence[Array]) -> bool:
    """Return whether all rows that have no partner share a score with the last that was chosen."""
    for column in np.flatnonzero(np.all(np.diff(theirs, axis=0) <= ABSOLUTE, axis=0)):  # scores fall
        last = theirs[-1, column]
        if last > 0 and all(
            np.all(seen | (np.abs(v[:, column] - last) <= ABSOLUTE)) for v, seen in zip((ours, theirs), known)
        ):
            return True
    return False


class Prover:
    """Compares a model with its conversion.

    Args:
        model: as onnxruntime runs it.
        data: the ``.tflite``.
        inputs, outputs: names in the author's order, with the order of dimensions in the ``.tflite``.
        values: tensor's name and order of dimensions, by ONNX's name, for telling what differs.
    """

    def __init__(
        self,
        model: Model,
        data: bytes,
        inputs: Mapping[str, Order],
        outputs: Mapping[str, Order],
        values: Mapping[str, tuple[str, Order]],
    ) -> None:
        self.model, self.data = model, data
        self.inputs, self.outputs, self.values = dict(inputs), dict(outputs), dict(values)

    def random(self, count: int) -> Proof:
        """Compare on random inputs; on one where the slow kernels run.

        Raises:
            Refusal: they differ; the first value that does is named.
        """
        count = min(count, 1) if self._by_reference() else count
        samples = [
            random_inputs(self.model.graph, self.model.shapes, self.model.dtypes, seed)
            for seed in range(count)
        ]
        return self.compare(samples, "random inputs")

    def compare(self, samples: Sequence[Mapping[str, Array]], what: str) -> Proof:
        """Compare on samples, as ONNX has them.

        Raises:
            Refusal: they differ; the first value that does is named.
        """
        session = Session(self.model.runnable(), list(self.outputs))
        expected = [session.run(s) for s in samples]
        del session
        runner = Runner(self.data, threads=1, reference=self._by_reference())
        worst = 0.0
        for sample, theirs in zip(samples, expected):
            ours = runner.predict(self._fed(sample))
            for (name, order), mine, other in zip(self.outputs.items(), ours, theirs):
                back = mine.transpose(np.argsort(order)) if order else mine.reshape(other.shape)
                worst = max(worst, difference(back, other)) if other.dtype.kind == "f" else worst
                if agrees(back, other):
                    continue
                if other.ndim > 1 and other.dtype.kind == "f" and self._chosen(name):
                    fits = same_rows(back, other)  # how far rows move that change places says nothing
                else:
                    fits = agrees(back, other, self._wavering(sample, name, other))
                if not fits:
                    raise self._refusal(sample, name, back, other, what)
        return Proof(worst, len(samples))

    def _chosen(self, name: str) -> bool:
        """Return whether an output comes from a choice of the best, whose order equal scores leave open."""
        makers = {o: node for node in self.model.graph.node for o in node.output}
        left, seen = [name], set()
        while left:
            node = makers.get(left.pop())
            if node is None or id(node) in seen:
                continue
            if node.op_type in ("TopK", "NonMaxSuppression"):
                return True
            seen.add(id(node))
            left += list(node.input)
        return False

    def _by_reference(self) -> bool:
        """Return whether filters are so large for what they compute that XNNPACK would take much memory."""
        pointers = products = 0
        graph = Graph.from_bytes(self.data, "the conversion")
        for op in graph:
            if op.op != "CONV_2D":
                continue
            filters, rows, columns, channels = graph.tensors[op.inputs[1]].shape
            places = math.prod(graph.tensors[op.outputs[0]].shape[:3]) * rows * columns
            pointers += 8 * places if rows * columns > 1 else 0
            products += places * channels * filters
        return pointers > POINTER_BYTES and products < REFERENCE_MACS

    def _wavering(self, sample: Mapping[str, Array], name: str, theirs: Array) -> float:
        """Return how far an output moves when the inputs change in their last digits."""
        rng = np.random.default_rng(0)
        session = Session(self.model.runnable(), [name])
        found = 0.0
        for _ in range(3):
            moved = {
                k: (v * (1 + 3e-7 * rng.standard_normal(v.shape))).astype(v.dtype)
                if v.dtype.kind == "f"
                else v
                for k, v in sample.items()
            }
            apart = difference(session.run(moved)[0], theirs)
            found = max(found, apart) if np.isfinite(apart) else found
        return found

    def _fed(self, sample: Mapping[str, Array]) -> list[Array]:
        fed = []
        for name, order in self.inputs.items():
            value = np.asarray(sample[name])
            fed.append(np.ascontiguousarray(value.transpose(order) if order else value.reshape(1)))
        return fed

    def _refusal(
        self, sample: Mapping[str, Array], name: str, ours: Array, theirs: Array, what: str
    ) -> Refusal:
        first = self._first(sample)
        far = f"{difference(ours, theirs):.2g} of its largest value"
        told = f"the conversion differs from onnxruntime on {what}: output {name!r} by {far}"
        if first is not None:
            told += (
                f"; the first value that differs is {first[0]!r}, which {first[1]} writes, by {first[2]:.2g}"
            )
        return Refusal(
            told,
            "this is a fault in qedge: please report it with the model, or cut the model before that node",
        )

    def _first(self, sample: Mapping[str, Array]) -> tuple[str, str, float] | None:
        """Return the first value that differs, the node that writes it, and by how much."""
        runner = Runner(self.data, threads=1, keep_all=True)
        runner.run(self._fed(sample))
        index = {d["name"]: d["index"] for d in runner.tensors()}
        nodes = [
            (o, n) for n in self.model.graph.node for o in n.output if o in self.values
            and self.values[o][0] in index
        ]  # fmt: skip
        for start in range(0, len(nodes), 64):
            part = nodes[start : start + 64]
            names = [o for o, _ in part]
            theirs = Session(self.model.runnable(names), names).run(sample)
            for (name, node), other in zip(part, theirs):
                tensor, order = self.values[name]
                ours = runner.read(index[tensor])
                if ours.size != other.size:
                    continue
                shape = [other.shape[d] for d in order]
                back = (
                    ours.reshape(shape).transpose(np.argsort(order)) if order else ours.reshape(other.shape)
                )
                if not agrees(back, other):
                    return name, f"{node.op_type} {node.name or node.output[0]!r}", difference(back, other)
        return None
