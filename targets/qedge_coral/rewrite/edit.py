"""Edit the object tree of a model: new constants, tensors and operators in the place of old operators."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator, schema

Array = npt.NDArray[Any]

_OPTIONS = {
    "RESHAPE": "ReshapeOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "CONV_2D": "Conv2DOptions",
    "PAD": "PadOptions",
    "SPLIT": "SplitOptions",
}


class Editor:
    """Collects changes to the main graph; :meth:`finish` makes them.

    Args:
        tree: the object tree, changed in place.
        graph: the read-only view of the same model.
    """

    def __init__(self, tree: Any, graph: Graph) -> None:
        self.tree, self.graph = tree, graph
        self._main = tree.subgraphs[0]
        self._replaced: dict[int, list[Any]] = {}
        self.lines: list[str] = []

    def constant(self, name: str, values: Array, scale: float | None = None) -> int:
        """Add a constant tensor (int32, int8 or uint8) and return its index; the zero point is 0."""
        buffer = schema.generated().BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.tree.buffers.append(buffer)
        tensor = schema.generated().TensorT()
        tensor.name, tensor.shape = name.encode(), np.asarray(values.shape, np.int32)
        tensor.type = getattr(schema.generated().TensorType, values.dtype.name.upper())
        tensor.buffer = len(self.tree.buffers) - 1
        if scale is not None:
            tensor.quantization = schema.generated().QuantizationParametersT()
            tensor.quantization.scale = np.asarray([scale], np.float32)
            tensor.quantization.zeroPoint = np.zeros(1, np.int64)
        self._main.tensors.append(tensor)
        return len(self._main.tensors) - 1

    def tensor_like(self, index: int, name: str, shape: Sequence[int] | None = None) -> int:
        """Add a tensor with the type and quantisation of another one and return its index."""
        tensor = copy.deepcopy(self._main.tensors[index])
        tensor.name, tensor.buffer = name.encode(), 0
        if shape is not None:
            tensor.shape = np.asarray(shape, np.int32)
        tensor.shapeSignature = None
        self._main.tensors.append(tensor)
        return len(self._main.tensors) - 1

    def operator(
        self,
        op: str,
        version: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return a new operator; ``options`` in the schema's spelling."""
        fb = schema.generated()
        node = fb.OperatorT()
        node.opcodeIndex = self._code(op, version)
        node.inputs, node.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
        if op in _OPTIONS:
            node.builtinOptionsType = getattr(fb.BuiltinOptions, _OPTIONS[op])
            node.builtinOptions = getattr(fb, f"{_OPTIONS[op]}T")()
            for key, value in (options or {}).items():
                setattr(node.builtinOptions, key, value)
        return node

    def old(self, op: Operator) -> Any:
        """Return a copy of an operator's node, to change and to pass to :meth:`replace`."""
        return copy.deepcopy(self._main.operators[op.index])

    def code(self, op: Operator, version: int) -> int:
        """Return the index of an operator code of the same operator in another version."""
        return self._code(op.op, version)

    def _code(self, op: str, version: int) -> int:
        fb = schema.generated()
        builtin = getattr(fb.BuiltinOperator, op)
        for i, code in enumerate(self.tree.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin and code.version == version:
                return i
        code = fb.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
        self.tree.operatorCodes.append(code)
        return len(self.tree.operatorCodes) - 1

    def replace(self, ops: Sequence[Operator], nodes: Sequence[Any], line: str) -> None:
        """Put ``nodes`` where the last of ``ops`` is and drop the others; ``line`` tells a person."""
        for op in ops[:-1]:
            self._replaced[op.index] = []
        self._replaced[ops[-1].index] = list(nodes)
        self.lines.append(line)

    def is_free(self, ops: Sequence[Operator]) -> bool:
        """Whether none of the operators has been replaced in this round."""
        return not any(op.index in self._replaced for op in ops)

    def finish(self) -> list[str]:
        """Make the changes and return their lines."""
        old = list(enumerate(self._main.operators))
        self._main.operators = [node for i, op in old for node in self._replaced.get(i, [op])]
        if self.lines:
            drop_unused(self.tree)
        return self.lines


def drop_unused(tree: Any) -> None:
    """Drop operator codes, tensors and buffers that nothing refers to."""
    used = sorted({int(op.opcodeIndex) for graph in tree.subgraphs for op in graph.operators or []})
    place = {old: new for new, old in enumerate(used)}
    tree.operatorCodes = [tree.operatorCodes[old] for old in used]
    for graph in tree.subgraphs:
        for op in graph.operators or []:
            op.opcodeIndex = place[int(op.opcodeIndex)]
    for k, graph in enumerate(tree.subgraphs):
        _drop_tensors(tree, k, graph)
    _drop_buffers(tree)


def _drop_tensors(tree: Any, k: int, graph: Any) -> None:
    kept = {int(t) for t in (*graph.inputs, *graph.outputs)}
    for op in graph.operators or []:
        lists = (op.inputs, op.outputs, op.intermediates)
        kept |= {int(t) for some in lists if some is not None for t in some if t >= 0}
    place = {old: new for new, old in enumerate(sorted(kept))}
    graph.tensors = [graph.tensors[old] for old in sorted(kept)]

    def moved(some: Any) -> Any:
        return None if some is None else np.asarray([place.get(int(t), -1) for t in some], np.int32)

    graph.inputs, graph.outputs = moved(graph.inputs), moved(graph.outputs)
    for op in graph.operators or []:
        op.inputs, op.outputs = moved(op.inputs), moved(op.outputs)
        op.intermediates = moved(op.intermediates)
    for signature in tree.signatureDefs or []:
        if signature.subgraphIndex == k:
            for entry in (*(signature.inputs or []), *(signature.outputs or [])):
                entry.tensorIndex = place[int(entry.tensorIndex)]


def _drop_buffers(tree: Any) -> None:
    kept = {0} | {int(t.buffer) for graph in tree.subgraphs for t in graph.tensors}
    kept |= {int(m.buffer) for m in tree.metadata or []}
    place = {old: new for new, old in enumerate(sorted(kept))}
    tree.buffers = [tree.buffers[old] for old in sorted(kept)]
    for graph in tree.subgraphs:
        for t in graph.tensors:
            t.buffer = place[int(t.buffer)]
    for entry in tree.metadata or []:
        entry.buffer = place[int(entry.buffer)]
