"""Masks of attention: huge negative numbers ahead of a softmax, brought to the size that the scores need."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.quantize.interpreter import Runner

Array = npt.NDArray[Any]
HUGE = -1000.0  # no score is as low: what is, masks
CLEAR = 16.0  # how far what is masked stays under all scores: e^-16 of the least of them
SAMPLES = 16
SAME = 1e-4
_MOVES = frozenset(
    {
        "RESHAPE",
        "TRANSPOSE",
        "BROADCAST_TO",
        "EXPAND_DIMS",
        "SQUEEZE",
        "SLICE",
        "STRIDED_SLICE",
        "CAST",
        "PACK",
    }
    | {"ADD", "SUB", "MUL", "SELECT", "SELECT_V2", "CONCATENATION", "TILE"}
)
"""What may lie between the constant of a mask and its softmax."""


def bound_masks(float_model: bytes, dataset: Dataset) -> bytes:
    """Return the model with huge constants that only mask a softmax made no larger than its scores need.

    -1e9 and minus infinity leave no step of an 8-bit range for the scores themselves. ``CLEAR`` under the lowest
    score that samples show is as good as either: the softmax gives less than 1e-7 of the least score there is. A model
    whose softmaxes say anything else on those samples stays as it is: its constants were no masks.

    Args:
        float_model: a float ``.tflite``.
        dataset: samples that show how far the scores go.
    """
    graph = Graph.from_bytes(float_model)
    found = _masked(graph)
    if not found or not len(dataset):
        return float_model
    samples = [dataset[k] for k in range(min(SAMPLES, len(dataset)))]
    lowest = _lowest(float_model, list(found), samples)
    values: dict[int, float] = {}
    for end, constants in found.items():
        for t in constants:
            values[t] = min(values.get(t, 0.0), lowest[graph.operators[end].inputs[0]])
    editor = Editor.from_bytes(float_model)
    for t, value in values.items():
        data = graph.tensors[t].data
        assert data is not None
        bounded = np.where(np.abs(data) >= -HUGE, -np.sign(data) * np.float32(value), data)
        editor.set_constant(t, bounded.astype(np.float32))
    made = editor.pack()
    return made if _same_shares(float_model, made, list(found), samples) else float_model


def _masked(graph: Graph) -> dict[int, set[int]]:
    """Return the huge constants ahead of each softmax, by its index, that lead to softmaxes and nowhere else."""
    ends = [op.index for op in graph.operators if op.op == "SOFTMAX"]
    ways = {end: _way(graph, graph.operators[end].inputs[0]) for end in ends}
    inside = {*ends, *(k for way, _ in ways.values() for k in way)}
    found = {
        end: {t for t in constants if _leads_to(graph, t, ends, inside)}
        for end, (_, constants) in ways.items()
    }
    return {end: constants for end, constants in found.items() if constants}


def _leads_to(graph: Graph, tensor: int, ends: Collection[int], inside: Collection[int]) -> bool:
    """Return whether all that depends on a tensor is inside, as far as the ends."""
    waiting, seen = [tensor], {tensor}
    while waiting:
        t = waiting.pop()
        if t in graph.outputs:
            return False
        for reader in graph.consumers[t]:
            if reader.index not in inside:
                return False
            more = set() if reader.index in ends else set(reader.outputs) - seen
            seen |= more
            waiting += more
    return True


def _same_shares(
    before: bytes, after: bytes, ends: Sequence[int], samples: Sequence[Sequence[Array]]
) -> bool:
    """Return whether softmaxes give the same in both models."""
    runners = [Runner(model, keep_all=True) for model in (before, after)]
    results = [[Graph.from_bytes(model).operators[k].outputs[0] for k in ends] for model in (before, after)]
    for sample in samples:
        for runner in runners:
            runner.run(sample)
        for first, second in zip(*results):
            if not np.allclose(runners[0].read(first), runners[1].read(second), atol=SAME, equal_nan=True):
                return False
    return True


def _way(graph: Graph, tensor: int) -> tuple[set[int], set[int]]:
    """Return the operators ahead of a tensor that only move, add or choose, and the huge constants that they read."""
    operators: set[int] = set()
    constants: set[int] = set()
    waiting = [tensor]
    while waiting:
        t = waiting.pop()
        held, maker = graph.tensors[t], graph.producer.get(t)
        if held.data is not None and held.dtype == "float32" and (np.abs(held.data) >= -HUGE).any():
            constants.add(t)
        elif maker is not None and maker.op in _MOVES and maker.index not in operators:
            operators.add(maker.index)
            waiting += [s for s in maker.inputs if s >= 0]
    return operators, constants


def _lowest(
    float_model: bytes, ends: Sequence[int], samples: Sequence[Sequence[Array]]
) -> Mapping[int, float]:
    """Return for what each softmax reads how low a mask must be: added to a score, or in its place."""
    graph, runner = Graph.from_bytes(float_model), Runner(float_model, keep_all=True)
    tensors = {graph.operators[end].inputs[0] for end in ends}
    low, high = (dict.fromkeys(tensors, 0.0) for _ in range(2))
    for sample in samples:
        runner.run(sample)
        for t in tensors:
            scores = runner.read(t)
            real = scores[scores > HUGE / 2]
            if real.size:
                low[t], high[t] = min(low[t], float(real.min())), max(high[t], float(real.max()))
    return {t: min(low[t] - high[t], low[t]) - CLEAR for t in tensors}
