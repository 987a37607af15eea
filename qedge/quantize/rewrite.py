"""Rewrites of the float model that compute the same and quantise better, or quantise at all."""

from __future__ import annotations

from typing import Any

import numpy as np

from qedge.graph import Graph, Operator, schema
from qedge.quantize.model import FloatModel


def rewrite(model: FloatModel) -> FloatModel:
    """Return the model with those operators replaced that have no int8 kernel or a poor one.

    * NEG has none: multiply by -1.
    * AVERAGE_POOL_2D must keep its input's scale, so that the mean of a whole map, which varies far less than
      the map, keeps few of the 256 steps: MEAN has a scale of its own.
    """
    tree = model.tree()
    editor = Editor(tree)
    for op in model.graph.operators:
        if op.op == "NEG":
            negate = editor.constant(np.array(-1.0, np.float32))
            editor.replace(op.index, "MUL", [op.inputs[0], negate], "MulOptions")
        elif op.op == "AVERAGE_POOL_2D" and _covers_map(model.graph, op):
            axes = editor.constant(np.array([1, 2], np.int32))
            editor.replace(op.index, "MEAN", [op.inputs[0], axes], "ReducerOptions").keepDims = True
    return FloatModel.from_bytes(schema.pack(tree)) if editor.edited else model


def _covers_map(graph: Graph, op: Operator) -> bool:
    """Whether a pool averages a whole map into one value a channel."""
    shape, options = graph.tensors[op.inputs[0]].shape, op.options
    return (
        graph.tensors[op.outputs[0]].shape[1:3] == (1, 1)
        and (options["filter_height"], options["filter_width"]) == shape[1:3]
        and options["fused_activation_function"] == "NONE"
    )


class Editor:
    """Small edits of an object tree."""

    def __init__(self, tree: Any) -> None:
        self.tree, self.subgraph = tree, tree.subgraphs[0]
        self.edited = False
        self.schema = schema.generated()
        self.builtin = {name: code for code, name in schema.enum_names("BuiltinOperator").items()}
        self.types = {name.lower(): code for code, name in schema.enum_names("TensorType").items()}

    def constant(self, values: np.ndarray) -> int:
        """Add a constant and return its tensor index."""
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.tree.buffers.append(buffer)
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape = b"", np.array(values.shape, np.int32)
        tensor.type, tensor.buffer = self.types[str(values.dtype)], len(self.tree.buffers) - 1
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def opcode(self, name: str, version: int = 1) -> int:
        """Return the index of an operator code, added where it is missing."""
        for i, code in enumerate(self.tree.operatorCodes):
            found = max(code.builtinCode, code.deprecatedBuiltinCode)
            if found == self.builtin[name] and code.version == version:
                return i
        code = self.schema.OperatorCodeT()
        code.builtinCode, code.version = self.builtin[name], version
        code.deprecatedBuiltinCode = min(self.builtin[name], 127)
        self.tree.operatorCodes.append(code)
        return len(self.tree.operatorCodes) - 1

    def replace(self, index: int, name: str, inputs: list[int], options: str) -> Any:
        """Turn operator ``index`` into another one with the same outputs; return its options."""
        self.edited = True
        op = self.subgraph.operators[index]
        op.opcodeIndex = self.opcode(name)
        op.inputs = np.array(inputs, np.int32)
        op.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
        op.builtinOptions = getattr(self.schema, f"{options}T")()
        return op.builtinOptions
