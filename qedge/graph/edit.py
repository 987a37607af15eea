"""The graph editor: the one place that adds, replaces, sweeps and re-indexes what a ``.tflite`` is made of.

:class:`~qedge.graph.Graph` is how a model is read, :class:`Editor` how it is changed or written anew. Both number
tensors and operators alike, so that a rewrite looks at the one and changes the other:

    editor, graph = Editor.from_bytes(data), Graph.from_bytes(data)
    for op in graph:
        if op.op == "NEG":
            minus = editor.constant(np.float32(-1))
            node = editor.operator("MUL", [op.inputs[0], minus], op.outputs)
            editor.replace([editor.node(op.index)], [node])
    editor.sweep()
    data = editor.pack()
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import options as option_tables
from qedge.graph import schema

Array = npt.NDArray[Any]
Node = Any
"""An operator of the object tree (the schema's ``OperatorT``)."""

_SIDES = ("inputs", "outputs", "intermediates")


class Editor:
    """One subgraph of a model's object tree, changed in place.

    A tensor keeps its index until :meth:`sweep`; operators are objects, told apart by identity.

    Args:
        model: the object tree (``ModelT``).
        subgraph: index of the subgraph to edit.
    """

    def __init__(self, model: Any, subgraph: int = 0) -> None:
        self.model = model
        self.graph = model.subgraphs[subgraph]
        self.graph.tensors = list(self.graph.tensors or [])
        self.graph.operators = list(self.graph.operators or [])
        self._nodes = tuple(self.graph.operators)

    @classmethod
    def from_bytes(cls, data: bytes, origin: str = "model") -> Editor:
        """Return an editor of a ``.tflite``'s main subgraph; the others stay as they are.

        Raises:
            ModelError: the bytes are no TFLite model, or a damaged one.
        """
        model = schema.unpack(data, origin)
        for buffer in model.buffers or []:  # large models keep their buffers behind the flatbuffer
            if buffer.data is None and buffer.offset and buffer.offset > 1:
                raw = data[buffer.offset : buffer.offset + buffer.size]
                buffer.data, buffer.offset, buffer.size = np.frombuffer(raw, np.uint8), 0, 0
        return cls(model)

    @classmethod
    def empty(cls, description: str) -> Editor:
        """Return an editor of a new model with one empty subgraph, ``main``."""
        generated = schema.generated()
        model, graph = generated.ModelT(), generated.SubGraphT()
        model.version, model.description = 3, description
        model.operatorCodes, model.buffers, model.subgraphs = [], [generated.BufferT()], [graph]
        graph.name, graph.tensors, graph.operators = "main", [], []
        graph.inputs = graph.outputs = np.zeros(0, np.int32)
        return cls(model)

    # Reading

    @property
    def operators(self) -> list[Node]:
        """The operators, in execution order."""
        return list(self.graph.operators)

    @property
    def tensors(self) -> list[Any]:
        """The tensors (``TensorT``) by index."""
        return list(self.graph.tensors)

    @property
    def inputs(self) -> tuple[int, ...]:
        """Tensor indices of the inputs; may be set."""
        return _indices(self.graph.inputs)

    @inputs.setter
    def inputs(self, indices: Sequence[int]) -> None:
        self.graph.inputs = np.asarray(indices, np.int32)

    @property
    def outputs(self) -> tuple[int, ...]:
        """Tensor indices of the outputs; may be set."""
        return _indices(self.graph.outputs)

    @outputs.setter
    def outputs(self, indices: Sequence[int]) -> None:
        self.graph.outputs = np.asarray(indices, np.int32)

    def node(self, index: int) -> Node:
        """Return the operator that had this index when the editor was made."""
        return self._nodes[index]

    def holds(self, nodes: Iterable[Node]) -> bool:
        """Return whether all of these operators are still part of the graph."""
        present = {id(o) for o in self.graph.operators}
        return all(id(node) in present for node in nodes)

    def op(self, node: Node) -> str:
        """Return TFLite's name of an operator; ``CUSTOM`` for custom ones."""
        code = self.model.operatorCodes[node.opcodeIndex]
        builtin = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
        return schema.enum_names("BuiltinOperator").get(builtin, "CUSTOM")

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return _indices(self.graph.tensors[tensor].shape)

    def dtype(self, tensor: int) -> str:
        """Return a tensor's type as :class:`~qedge.graph.Tensor` spells it: ``float32``."""
        code = self.graph.tensors[tensor].type
        return schema.enum_names("TensorType").get(code, f"type{code}").lower()

    def name(self, tensor: int) -> str:
        """Return a tensor's name."""
        return text(self.graph.tensors[tensor].name)

    def is_constant(self, tensor: int) -> bool:
        """Return whether a tensor's values are stored in the model."""
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def raw(self, tensor: int) -> bytes | None:
        """Return the stored bytes of a tensor, None when it is computed."""
        if not self.is_constant(tensor):
            return None
        return bytes(np.asarray(self.model.buffers[self.graph.tensors[tensor].buffer].data, np.uint8))

    # Adding

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        data: bytes | None = None,
        quantization: Any = None,
        variable: bool = False,
    ) -> int:
        """Add a tensor and return its index.

        Args:
            name: may be empty.
            shape: static dimensions.
            dtype: TFLite's type in lower case.
            data: little-endian bytes of a constant's values; None (or no bytes) is a computed tensor.
            quantization: see :func:`affine`; None is unquantised.
            variable: whether it keeps its value between runs.
        """
        tensor = schema.generated().TensorT()
        tensor.name, tensor.type = name, _type_code(dtype)
        tensor.shape = np.asarray(shape, np.int32)
        tensor.buffer = self._buffer(data) if data else 0
        tensor.isVariable, tensor.quantization = variable, quantization
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, values: npt.ArrayLike, name: str = "", *, quantization: Any = None) -> int:
        """Add a constant with the type and shape of these values and return its tensor index.

        Equal constants are stored once after ``sweep(share=True)``.
        """
        array = np.asarray(values)
        return self.tensor(
            name, array.shape, array.dtype.name, data=_little_endian(array), quantization=quantization
        )

    def tensor_like(self, tensor: int, name: str, shape: Sequence[int] | None = None) -> int:
        """Add a computed tensor with the type and quantisation of another one and return its index."""
        made = copy.deepcopy(self.graph.tensors[tensor])
        made.name, made.buffer, made.shapeSignature = name, 0, None
        if shape is not None:
            made.shape = np.asarray(shape, np.int32)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def opcode(self, op: str, version: int = 1, custom: str | None = None) -> int:
        """Return the index of an operator code, added where it is missing.

        Args:
            op: TFLite's name; ``CUSTOM`` with ``custom``.
            version: of the operator.
            custom: name of a custom operator.
        """
        builtin = _builtin_code(op)
        for i, code in enumerate(self.model.operatorCodes):
            found = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
            if found == builtin and code.version == version and text(code.customCode) == (custom or ""):
                return i
        code = schema.generated().OperatorCodeT()
        code.builtinCode, code.version, code.customCode = builtin, version, custom
        code.deprecatedBuiltinCode = min(builtin, 127)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def operator(
        self,
        op: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Mapping[str, Any] | None = None,
        *,
        version: int = 1,
        custom: str | None = None,
        custom_options: bytes | None = None,
    ) -> Node:
        """Return a new operator, not yet part of the graph: see :meth:`append` and :meth:`replace`.

        Args:
            op: TFLite's name.
            inputs: tensor indices, -1 for an optional input that is absent.
            outputs: tensor indices.
            options: in snake case, enums by name (``padding="SAME"``); the rest keeps its default.
            version: of the operator.
            custom: name of a custom operator.
            custom_options: what its kernel parses.

        Raises:
            ValueError: the operator has no such option.
        """
        node = schema.generated().OperatorT()
        node.opcodeIndex = self.opcode(op, version, custom)
        node.inputs, node.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
        node.builtinOptionsType, node.builtinOptions = option_tables.make(op, options or {})
        if custom_options is not None:
            node.customOptions = np.frombuffer(custom_options, np.uint8)
        return node

    def append(self, node: Node) -> Node:
        """Make an operator the last one of the graph and return it."""
        self.graph.operators.append(node)
        return node

    # Changing

    def replace(self, old: Sequence[Node], new: Sequence[Node]) -> None:
        """Put ``new`` where the last of ``old`` stands, and drop the others."""
        gone, last = {id(node) for node in old}, id(old[-1])
        self.graph.operators = [
            made
            for node in self.graph.operators
            for made in (new if id(node) == last else () if id(node) in gone else (node,))
        ]

    def remove(self, nodes: Iterable[Node]) -> None:
        """Drop operators; their outputs must have become constants or lost their readers."""
        gone = {id(node) for node in nodes}
        self.graph.operators = [node for node in self.graph.operators if id(node) not in gone]

    def redirect(self, instead: Mapping[int, int]) -> None:
        """Let operators that read a tensor of ``instead`` read the one it names."""
        for node in self.graph.operators:
            if any(t in instead for t in _indices(node.inputs)):
                node.inputs = np.asarray([instead.get(t, t) for t in _indices(node.inputs)], np.int32)

    def set_constant(self, tensor: int, values: npt.ArrayLike) -> None:
        """Make a tensor a constant of its present type with these values (stored as they are) and their shape."""
        array, held = np.asarray(values), self.graph.tensors[tensor]
        held.buffer = self._buffer(_little_endian(array))
        held.shape, held.shapeSignature = np.asarray(array.shape, np.int32), None

    def set_dtype(self, tensor: int, dtype: str) -> None:
        """Declare a tensor's type; the bytes that it holds stay as they are."""
        self.graph.tensors[tensor].type = _type_code(dtype)

    def rename(self, names: Mapping[int, str]) -> None:
        """Give tensors new names, by index."""
        for index, name in names.items():
            self.graph.tensors[index].name = name

    def forget_dynamic(self) -> None:
        """Declare every shape static as it stands."""
        for tensor in self.graph.tensors:
            tensor.shapeSignature = None

    def sign(self, inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[str, int]]) -> None:
        """Give the model one signature, ``serving_default``: names and tensor indices."""
        generated = schema.generated()
        signature = generated.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        for side, entries in (("inputs", inputs), ("outputs", outputs)):
            maps = []
            for name, index in entries:
                entry = generated.TensorMapT()
                entry.name, entry.tensorIndex = name, index
                maps.append(entry)
            setattr(signature, side, maps)
        self.model.signatureDefs = [signature]

    def add_metadata(self, name: str, data: bytes) -> None:
        """Store bytes beside the graph under a name."""
        entry = schema.generated().MetadataT()
        entry.name, entry.buffer = name, self._buffer(data)
        self.model.metadata = [*(self.model.metadata or []), entry]

    # Writing

    def part(self, nodes: Sequence[Node], inputs: Sequence[int], outputs: Sequence[int]) -> Editor:
        """Return some operators, in this order, as a model of their own, without signature or metadata.

        Args:
            nodes: operators of this editor; they stay as they are.
            inputs, outputs: tensor indices, which become the part's inputs and outputs in this order.
        """
        model, graph = copy.copy(self.model), copy.copy(self.graph)
        model.subgraphs, model.signatureDefs, model.metadata, model.metadataBuffer = [graph], None, None, None
        graph.operators = [copy.copy(node) for node in nodes]
        graph.inputs, graph.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
        kept = _kept(graph)
        place = _places(kept)
        graph.tensors = [copy.copy(self.graph.tensors[t]) for t in kept]
        for holder in (graph, *graph.operators):
            _move(holder, place)
        part = Editor(model)
        part.sweep()
        return part

    def sweep(self, share: bool = False) -> None:
        """Drop tensors, buffers and operator codes of the whole model that nothing refers to, and renumber the rest.

        Args:
            share: store equal constants once, in the order of the tensors that have them.
        """
        graphs = self.model.subgraphs
        for k, graph in enumerate(graphs):
            kept = _kept(graph)
            place = _places(kept)
            graph.tensors = [graph.tensors[t] for t in kept]
            for holder in (graph, *(graph.operators or [])):
                _move(holder, place)
            for signature in self.model.signatureDefs or []:
                if signature.subgraphIndex == k:
                    for entry in (*(signature.inputs or []), *(signature.outputs or [])):
                        entry.tensorIndex = place[int(entry.tensorIndex)]
        nodes = [node for graph in graphs for node in graph.operators or []]
        codes = sorted({int(node.opcodeIndex) for node in nodes})
        for node in nodes:
            node.opcodeIndex = codes.index(int(node.opcodeIndex))
        self.model.operatorCodes = [self.model.operatorCodes[c] for c in codes]
        self._sweep_buffers(share)

    def pack(self) -> bytes:
        """Return the model's bytes, every tensor at its present index; the same edits give the same bytes."""
        return schema.pack(self.model)

    def _buffer(self, data: bytes) -> int:
        buffer = schema.generated().BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def _sweep_buffers(self, share: bool) -> None:
        holders = [
            *(t for graph in self.model.subgraphs for t in graph.tensors),
            *(self.model.metadata or []),
        ]
        if not share:
            kept = sorted({0} | {int(holder.buffer) for holder in holders})
            place = _places(kept)
            for holder in holders:
                holder.buffer = place[int(holder.buffer)]
            self.model.buffers = [self.model.buffers[b] for b in kept]
            return
        buffers, known = [schema.generated().BufferT()], {b"": 0}
        for holder in holders:
            data = self.model.buffers[holder.buffer].data
            raw = b"" if data is None else bytes(np.asarray(data, np.uint8))
            if raw not in known:
                known[raw] = len(buffers)
                buffers.append(self.model.buffers[holder.buffer])
            holder.buffer = known[raw]
        self.model.buffers = buffers


def affine(scale: npt.ArrayLike, zero_point: npt.ArrayLike = 0, axis: int = 0) -> Any:
    """Return the quantisation ``real = scale * (q - zero_point)`` for :meth:`Editor.tensor`.

    Args:
        scale: one value, or one a channel.
        zero_point: one value, or one a scale.
        axis: dimension of the channels.
    """
    quantization = schema.generated().QuantizationParametersT()
    quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
    shape = quantization.scale.shape
    quantization.zeroPoint = np.broadcast_to(np.asarray(zero_point, np.int64), shape).copy()
    quantization.quantizedDimension = axis
    return quantization


def text(value: Any) -> str:
    """Return a string of the object tree, which may be bytes or None."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _indices(value: Any) -> tuple[int, ...]:
    return () if value is None else tuple(int(v) for v in value)


def pack_int4(codes: npt.ArrayLike) -> bytes:
    """Return int4 codes as TFLite stores them: two a byte, the first one in the low half.

    >>> pack_int4([1, -1, 7]).hex()
    'f107'

    Raises:
        ValueError: a code outside [-8, 7].
    """
    flat = np.asarray(codes, np.int64).reshape(-1)
    if flat.size and not (flat.min() >= -8 and flat.max() <= 7):
        raise ValueError(f"int4 values in [{flat.min()}, {flat.max()}], expected [-8, 7]")
    nibbles = np.zeros(flat.size + flat.size % 2, np.uint8)
    nibbles[: flat.size] = flat & 15
    return (nibbles[0::2] | (nibbles[1::2] << 4)).astype(np.uint8).tobytes()


def _little_endian(array: Array) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _type_code(dtype: str) -> int:
    return int(getattr(schema.generated().TensorType, dtype.upper()))


def _builtin_code(op: str) -> int:
    return int(getattr(schema.generated().BuiltinOperator, op))


def _lists(holder: Any) -> Iterator[tuple[str, Any]]:
    for side in _SIDES:
        found = getattr(holder, side, None)
        if found is not None:
            yield side, found


def _kept(graph: Any) -> list[int]:
    """Return the tensors of a subgraph that something refers to, sorted."""
    holders = (graph, *(graph.operators or []))
    return sorted({int(t) for holder in holders for _, found in _lists(holder) for t in found} - {-1})


def _places(kept: Sequence[int]) -> dict[int, int]:
    return {old: new for new, old in enumerate(kept)} | {-1: -1}


def _move(holder: Any, place: Mapping[int, int]) -> None:
    for side, found in _lists(holder):
        setattr(holder, side, np.asarray([place[int(t)] for t in found], np.int32))
