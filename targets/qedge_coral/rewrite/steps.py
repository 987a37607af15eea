"""A function of one value as a row of operators on 8 bits, and whether the row gives what the operator gave.

Each value of the function's input is tried, by the interpreter, on a model of the operator alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qedge.graph import Graph, Operator, Quantization
from qedge.graph.edit import Editor, affine
from qedge_coral.rewrite.draft import Array, Draft
from qedge_coral.rewrite.write import write

Form = Callable[[Draft, Graph, Operator], "list[Operator]"]
"""Returns the operators that stand for one."""

WITHIN = 1
"""Steps that a value may be off."""


def alone(graph: Graph, op: Operator) -> bytes:
    """Return a model of one operator of one value, with its 256 values as input."""
    source, result = graph.tensors[op.inputs[0]], graph.output_tensors(op)[0]
    editor = Editor.empty(op.op)
    x, y = (
        editor.tensor(name, (1, 256), t.dtype, quantization=_affine(t.quantization))
        for name, t in (("x", source), ("y", result))
    )
    editor.append(editor.operator(op.op, [x], [y], op.options, version=op.version))
    editor.inputs, editor.outputs = [x], [y]
    return editor.pack()


def holds(form: Form, graph: Graph, op: Operator, within: int = WITHIN) -> bool:
    """Return whether a form gives each of the 256 values within so many steps."""
    model = alone(graph, op)
    tiny = Graph.from_bytes(model)
    trial = Draft(tiny)
    trial.replace([tiny.operators[0]], form(trial, tiny, tiny.operators[0]), "tried")
    given, wanted = values(write(tiny, trial.finish())), values(model)
    return bool(np.abs(given.astype(np.int64) - wanted.astype(np.int64)).max() <= within)


def _affine(quantization: Quantization | None) -> object:
    assert quantization is not None
    return affine(quantization.scale, quantization.zero_point, quantization.axis)


def values(model: bytes) -> Array:
    """Return what a model of one value gives for each of the 256 it can get, from the lowest to the highest."""
    from qedge.runtime.litert import BUILTIN, open_engine, tensor_specs

    engine = open_engine(model, *tensor_specs(model), threads=1, kernels=BUILTIN)
    try:
        low = np.iinfo(engine.inputs[0].dtype).min
        given = (np.arange(256) + low).astype(engine.inputs[0].dtype).reshape(1, 256)
        return np.asarray(engine.run([given])[0]).reshape(-1)
    finally:
        engine.close()


class Steps:
    """Operators on 8 bits one after another, from one tensor."""

    def __init__(self, draft: Draft, graph: Graph, op: Operator) -> None:
        self.draft, self.x, self.y = draft, op.inputs[0], op.outputs[0]
        source = graph.tensors[self.x]
        assert source.quantization is not None
        self.scale, self.zero = source.quantization.scalar
        self.kind = np.dtype(source.dtype)
        self.low, self.high = int(np.iinfo(self.kind).min), int(np.iinfo(self.kind).max)
        self.version = 2 if source.dtype == "int8" else 1
        self.name, self.nodes = graph.tensors[self.y].name, list[Operator]()

    @property
    def largest(self) -> float:
        """The largest amount of the source."""
        return max(abs(self.low - self.zero), abs(self.high - self.zero)) * self.scale

    def fixed(self, what: str, value: float) -> int:
        """Return a constant, exact but for the rounding of its scale."""
        held = np.full(1, 127, self.kind.type)
        return self.draft.constant(f"{self.name}/{what}", held, scale=value / 127)

    def made(self, op: str, what: str, inputs: list[int], scale: float, zero: int) -> int:
        """Add an operator and return its result."""
        result = self.draft.tensor_like(self.x, f"{self.name}/{what}", quantization=(scale, zero))
        self.add(op, inputs, result)
        return result

    def add(self, op: str, inputs: list[int], result: int) -> None:
        """Add an operator that writes a tensor."""
        options = {} if op == "LOGISTIC" else {"fused_activation_function": "NONE"}
        self.nodes.append(self.draft.operator(op, self.version, inputs, [result], options))

    def gated(self, argument: int) -> list[Operator]:
        """Return the operators with ``x * sigmoid(argument)`` at their end."""
        gate = self.made("LOGISTIC", "gate", [argument], 1 / 256, self.low)
        self.add("MUL", [self.x, gate], self.y)
        return self.nodes
