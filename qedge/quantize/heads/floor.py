"""Scores that reach far below what any threshold asks for: cut off there, so that int8 has its steps for the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qedge.graph import Graph, Operator, schema
from qedge.graph.edit import Editor
from qedge.processing.detect import Detect
from qedge.quantize.heads.maps import MOVES
from qedge.quantize.heads.tail import is_layer
from qedge.quantize.interpreter import Runner

FLOOR = 12.0
"""Where logits end: a probability of 6e-6."""
FAR = 48.0
"""How far below 0 they reach where it is worth it: int8 has steps of a fifth of it then."""
IMAGES = 2
BIAS = 2


@dataclass(frozen=True)
class Floored:
    """A model whose scores are logits above ``-FLOOR``, and none below: ``RELU(logit + FLOOR)``.

    Args:
        data: the float ``.tflite``.
        postprocess: what its outputs mean.
        lowest: the lowest logit that random images gave before.
    """

    data: bytes
    postprocess: Detect
    lowest: float


def floored(model: bytes, post: Detect, seed: int = 0) -> Floored | None:
    """Return a float detector whose last layers end its scores; None where they need none, or are not alone.

    Nothing is added to the model: a bias is moved, and the layer gets a RELU.
    """
    graph = Graph.from_bytes(model)
    places = post.score_places()
    if post.score_form != "sigmoid" or post.score_shift or not places or max(places) >= len(graph.outputs):
        return None
    ways = [op for k in places for op in _way(graph, graph.outputs[k])]
    layers = [op for op in ways if op is not None and is_layer(graph, op)]
    own = {op.index for op in ways if op is not None}
    ends = {graph.outputs[k] for k in places}
    alone = all(
        reader.index in own
        for op in ways
        if op is not None
        for t in op.outputs
        for reader in graph.consumers[t]
    )
    if None in ways or not alone or ends & {t for op in layers for t in op.inputs} or not layers:
        return None
    if any(op.options.get("fused_activation_function", "NONE") != "NONE" for op in layers):
        return None
    rng, runner, shape = np.random.default_rng(seed), Runner(model), graph.tensors[graph.inputs[0]].shape
    runs = [runner.predict([rng.random(shape, np.float32)]) for _ in range(IMAGES)]
    lowest = min(float(run[k].min()) for run in runs for k in places)
    if lowest > -FAR:
        return None
    return Floored(_ended(model, graph, layers), post.replace(score_shift=FLOOR), lowest)


def _way(graph: Graph, tensor: int) -> Iterator[Operator | None]:
    """Yield the operators that put an output together, back to the layers; None where something else makes it."""
    op = graph.producer.get(tensor)
    if op is not None and op.op in MOVES:
        yield op
        for t in op.inputs if op.op == "CONCATENATION" else op.inputs[:1]:
            yield from _way(graph, t)
    else:
        yield op if op is not None and is_layer(graph, op) else None


def _ended(model: bytes, graph: Graph, layers: list[Operator]) -> bytes:
    """Return the model with layers that give ``RELU(x + FLOOR)`` in place of ``x``."""
    editor = Editor.from_bytes(model)
    for op in {op.index: op for op in layers}.values():
        node = editor.node(op.index)
        inputs = [int(t) for t in node.inputs]
        known = inputs[BIAS] if len(inputs) > BIAS else -1
        channels = graph.tensors[op.outputs[0]].shape[-1]
        bias = (
            np.zeros(channels, np.float32) if known < 0 else np.asarray(graph.tensors[known].data, np.float32)
        )
        node.inputs = np.array([*inputs[:BIAS], editor.constant(bias + np.float32(FLOOR))], np.int32)
        node.builtinOptions.fusedActivationFunction = schema.generated().ActivationFunctionType.RELU
    editor.sweep()
    return editor.pack()
