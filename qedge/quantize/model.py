"""The float model that everything here starts from: static, one subgraph, with a signature."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qedge.errors import ModelError
from qedge.graph import Graph, schema


@dataclass(frozen=True)
class FloatModel:
    """A float ``.tflite`` that is ready to be calibrated.

    Args:
        data: its bytes.
        graph: the read-only view of them.
    """

    data: bytes
    graph: Graph

    @classmethod
    def from_bytes(cls, data: bytes) -> FloatModel:
        """Return the model; its batch becomes static.

        Raises:
            ModelError: no model, one that is quantised already, or one with control flow.
        """
        graph = Graph.from_bytes(data, "the float model")
        loops = [op.label for op in graph.operators if op.op in ("WHILE", "IF", "CALL_ONCE")]
        if loops:
            raise ModelError(
                f"the float model has control flow: {', '.join(loops)}; expected plain operators",
                hint="unroll the recurrent layer (Keras: unroll=True) and convert again",
            )
        for t in graph.inputs:
            tensor = graph.tensors[t]
            if tensor.dtype in ("int8", "uint8", "int16"):
                raise ModelError(
                    f"input {tensor.name!r} is {tensor.dtype}: quantised already; expected float32",
                    hint="pass the float model that it was made from",
                )
        for tensor in graph.tensors:
            if tensor.is_constant and tensor.quantization is not None and tensor.dtype == "int8":
                raise ModelError(
                    f"tensor {tensor.name!r} holds int8 weights: the model is dynamic-range quantised",
                    hint="pass the float model, converted without optimizations",
                )
        return cls(data, graph)

    @cached_property
    def activations(self) -> tuple[int, ...]:
        """Float tensors that take a value when the model runs, graph inputs first, in execution order."""
        made = [t for op in self.graph.operators for t in op.outputs]
        everything = dict.fromkeys([*self.graph.inputs, *made])
        return tuple(t for t in everything if self.graph.tensors[t].dtype == "float32")

    def tree(self) -> Any:
        """Return a fresh object tree of the model."""
        tree = schema.unpack(self.data)
        for tensor in tree.subgraphs[0].tensors:
            tensor.shapeSignature = None
        return tree
