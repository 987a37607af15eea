"""The object tree of a ``.tflite`` that a front end edits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.errors import ModelError
from qedge.frontends.child import Names
from qedge.graph import schema

Array = npt.NDArray[Any]


class Tree:
    """The main subgraph of a model, to be changed in place and packed once.

    Args:
        data: a ``.tflite`` that the graph reader has accepted.
        origin: for messages.
    """

    def __init__(self, data: bytes, origin: str) -> None:
        self.model = schema.unpack(data, origin)
        self.origin = origin
        self._ops = schema.enum_names("BuiltinOperator")
        self._types = {name: value for value, name in schema.enum_names("TensorType").items()}
        for buffer in self.model.buffers:  # large models keep their buffers behind the flatbuffer
            if buffer.data is None and buffer.offset and buffer.offset > 1:
                raw = data[buffer.offset : buffer.offset + buffer.size]
                buffer.data, buffer.offset, buffer.size = np.frombuffer(raw, np.uint8), 0, 0
        self.graph = self.model.subgraphs[0]
        self.model.subgraphs = [self.graph]

    @property
    def operators(self) -> list[Any]:
        """The operators, in execution order."""
        return list(self.graph.operators or [])

    @property
    def tensors(self) -> list[Any]:
        """The tensors by index."""
        return list(self.graph.tensors or [])

    def op(self, operator: Any) -> str:
        """Return TFLite's name of an operator."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return self._ops.get(max(int(code.builtinCode), int(code.deprecatedBuiltinCode)), "CUSTOM")

    def constant(self, index: int) -> bytes | None:
        """Return the stored bytes of a tensor, None when it is computed."""
        data = self.model.buffers[self.graph.tensors[index].buffer].data
        return None if data is None or len(data) == 0 else bytes(np.asarray(data, np.uint8))

    def set_constant(self, index: int, values: Array) -> None:
        """Make a tensor a constant of its present type with these values and their shape."""
        tensor, buffer = self.graph.tensors[index], schema.generated().BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor.buffer = len(self.model.buffers) - 1
        tensor.shape = np.asarray(values.shape, np.int32)
        tensor.shapeSignature = None

    def remove(self, operators: Iterable[Any]) -> None:
        """Remove operators; their outputs must have become constants or lost their readers."""
        gone = {id(o) for o in operators}
        self.graph.operators = [o for o in self.graph.operators if id(o) not in gone]

    def fold_half_precision(self) -> int:
        """Make float16 constants float32 and remove the DEQUANTIZE behind them; return how many."""
        folded = []
        for operator in self.operators:
            source = int(operator.inputs[0]) if self.op(operator) == "DEQUANTIZE" else -1
            raw = self.constant(source) if source >= 0 else None
            if raw is None or self.graph.tensors[source].type != self._types["FLOAT16"]:
                continue
            half = np.frombuffer(raw, np.float16).reshape(self._shape(source))
            self.set_constant(int(operator.outputs[0]), half.astype(np.float32))
            folded.append(operator)
        self.remove(folded)
        return len(folded)

    def _shape(self, index: int) -> tuple[int, ...]:
        shape = self.graph.tensors[index].shape
        return () if shape is None else tuple(int(d) for d in shape)

    def drop_metadata(self) -> None:
        """Remove what differs between converter runs and says nothing about the arithmetic."""
        self.model.metadata = None
        self.model.metadataBuffer = None
        self.model.description = "qedge"

    def name_ends(self, names: Names | None) -> None:
        """Give the model one signature, and inputs and outputs in their author's order and with their names.

        Without names the file's own signature, else its tensors' names, stay.
        """
        ends = schema.generated()
        old = next((s for s in self.model.signatureDefs or [] if s.subgraphIndex == 0), None)
        named = []
        authors = {"inputs": names.inputs, "outputs": names.outputs} if names else {}
        for side in ("inputs", "outputs"):
            indices = [int(t) for t in getattr(self.graph, side)]
            known = {int(m.tensorIndex): _text(m.name) for m in getattr(old, side, None) or []}
            order = authors.get(side)
            if order is not None:
                if len(order) != len(indices):
                    raise ModelError(
                        f"{self.origin}: the converted model has {len(indices)} {side}, expected {len(order)}"
                        f" ({', '.join(order)})",
                        hint="remove inputs and outputs that the model does not use",
                    )
                if side == "inputs":  # the converter may reorder them; the front end numbered their names
                    indices.sort(key=lambda t: known.get(t) or self.tensor_name(t))
                known = dict(zip(indices, order))
                setattr(self.graph, side, np.asarray(indices, np.int32))
            maps = []
            for t in dict.fromkeys(indices):
                entry = ends.TensorMapT()
                entry.name = known.get(t) or _text(self.graph.tensors[t].name)
                entry.tensorIndex = t
                maps.append(entry)
            named.append(maps)
        signature = ends.SignatureDefT()
        signature.inputs, signature.outputs = named
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        self.model.signatureDefs = [signature]

    def tensor_name(self, index: int) -> str:
        """Return a tensor's own name."""
        return _text(self.graph.tensors[index].name)

    def rename(self, names: Mapping[int, str]) -> None:
        """Give tensors new names, by index."""
        for index, name in names.items():
            self.graph.tensors[index].name = name

    def input_name(self, index: int) -> str:
        """Return the name of an input by its tensor index: the signature's, else the tensor's."""
        for signature in self.model.signatureDefs or []:
            for entry in (signature.inputs or []) if signature.subgraphIndex == 0 else []:
                if int(entry.tensorIndex) == index:
                    return _text(entry.name)
        return _text(self.graph.tensors[index].name)

    def pack_unswept(self) -> bytes:
        """Return the model's bytes with every tensor at its present index."""
        return schema.pack(self.model)

    def pack(self) -> bytes:
        """Return the model's bytes, without operators' leftovers: unused tensors, buffers and codes."""
        self._sweep()
        return schema.pack(self.model)

    def _sweep(self) -> None:
        graph = self.graph
        used = {int(t) for t in (*graph.inputs, *graph.outputs)}
        for o in self.operators:
            for side in (o.inputs, o.outputs, o.intermediates):
                used |= {int(t) for t in side} - {-1} if side is not None else set()
        place = {old: new for new, old in enumerate(sorted(used))}
        graph.tensors = [graph.tensors[t] for t in sorted(used)]
        place[-1] = -1
        for holder, sides in [(graph, ("inputs", "outputs"))] + [
            (o, ("inputs", "outputs", "intermediates")) for o in self.operators
        ]:
            for side in sides:
                indices = getattr(holder, side)
                if indices is not None:
                    setattr(holder, side, np.asarray([place[int(t)] for t in indices], np.int32))
        for signature in self.model.signatureDefs or []:
            for entry in (*(signature.inputs or []), *(signature.outputs or [])):
                entry.tensorIndex = place[int(entry.tensorIndex)]
        self._sweep_buffers()
        codes = sorted({int(o.opcodeIndex) for o in self.operators})
        for o in self.operators:
            o.opcodeIndex = codes.index(int(o.opcodeIndex))
        self.model.operatorCodes = [self.model.operatorCodes[c] for c in codes]

    def _sweep_buffers(self) -> None:
        """Keep one buffer a distinct constant, the empty one first."""
        empty = schema.generated().BufferT()
        buffers, place = [empty], {b"": 0}
        holders = [*self.graph.tensors, *(self.model.metadata or [])]
        for holder in holders:
            data = self.model.buffers[holder.buffer].data
            raw = b"" if data is None else bytes(np.asarray(data, np.uint8))
            if raw not in place:
                place[raw] = len(buffers)
                buffers.append(self.model.buffers[holder.buffer])
            holder.buffer = place[raw]
        self.model.buffers = buffers


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
