"""From flatbuffer to :class:`~qedge.graph.view.Graph`; every index is checked once, here."""

from __future__ import annotations

from typing import Any

import numpy as np

from qedge.errors import ModelError
from qedge.graph import schema
from qedge.graph.edit import text
from qedge.graph.options import ENUMS, snake
from qedge.graph.view import Array, Graph, Operator, Quantization, Tensor

_NUMPY = {"float32", "float16", "int32", "uint8", "int64", "bool", "int16", "int8", "float64", "uint64"}
_NUMPY |= {"uint32", "uint16", "complex64"}


def read(data: bytes, origin: str = "model") -> Graph:
    """Return the main graph with all subgraphs behind it.

    Raises:
        ModelError: no TFLite model, a damaged one, or one whose indices point outside it.
    """
    model = schema.unpack(data, origin)
    try:
        return _Reader(model, data, origin).graph()
    except ModelError:
        raise
    except (IndexError, TypeError, ValueError, AttributeError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{origin} is damaged: {error}", hint="copy or convert the model again; the file may be truncated"
        ) from error


def unpack_int4(raw: bytes, count: int) -> Array:
    """Return int4 codes that TFLite stores two a byte, the first one in the low half, as int8.

    >>> unpack_int4(bytes.fromhex("f107"), 3).tolist()
    [1, -1, 7]
    """
    packed = np.frombuffer(raw, np.uint8)
    both = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)[:count].astype(np.int8)
    codes: Array = np.where(both > 7, both - 16, both).astype(np.int8)
    return codes


def _ints(value: Any) -> tuple[int, ...]:
    return () if value is None else tuple(int(v) for v in value)


class _Reader:
    def __init__(self, model: Any, data: bytes, origin: str) -> None:
        self.model, self.data, self.origin = model, data, origin
        self.ops = schema.enum_names("BuiltinOperator")
        self.types = {k: v.lower() for k, v in schema.enum_names("TensorType").items()}

    def graph(self) -> Graph:
        if not self.model.subgraphs:
            raise ModelError(f"{self.origin} has no graph", hint="convert the model again")
        metadata = {}
        for entry in self.model.metadata or []:
            metadata[text(entry.name)] = self._buffer(entry.buffer)
        graphs: list[Graph] = []
        for i, subgraph in enumerate(self.model.subgraphs):
            graphs.append(self._subgraph(i, subgraph, metadata))
        everything = tuple(graphs)
        for g in graphs:
            object.__setattr__(g, "subgraphs", everything)
        return graphs[0]

    def _buffer(self, index: int) -> bytes:
        buffer = self.model.buffers[index]
        if buffer.data is not None:
            return bytes(np.asarray(buffer.data, np.uint8))
        if buffer.offset and buffer.offset > 1:
            return self.data[buffer.offset : buffer.offset + buffer.size]
        return b""

    def _subgraph(self, index: int, subgraph: Any, metadata: dict[str, bytes]) -> Graph:
        tensors = tuple(self._tensor(i, t) for i, t in enumerate(subgraph.tensors or []))
        inputs, outputs = _ints(subgraph.inputs), _ints(subgraph.outputs)
        operators = tuple(self._operator(i, o) for i, o in enumerate(subgraph.operators or []))
        for op in operators:
            for t in (*op.inputs, *op.outputs):
                if not -1 <= t < len(tensors):
                    raise ModelError(f"{self.origin}: {op.label} refers to tensor {t} of {len(tensors)}")
        for t in (*inputs, *outputs):
            if not 0 <= t < len(tensors):
                raise ModelError(f"{self.origin}: input or output refers to tensor {t} of {len(tensors)}")
        names_in = {t: tensors[t].name for t in inputs}
        names_out = {t: tensors[t].name for t in outputs}
        for signature in self.model.signatureDefs or []:
            if signature.subgraphIndex == index:
                names_in |= {m.tensorIndex: text(m.name) for m in signature.inputs or []}
                names_out |= {m.tensorIndex: text(m.name) for m in signature.outputs or []}
                break
        return Graph(
            name=text(subgraph.name) or "main",
            data=self.data,
            tensors=tensors,
            operators=operators,
            inputs=inputs,
            outputs=outputs,
            input_names=tuple(names_in[t] for t in inputs),
            output_names=tuple(names_out[t] for t in outputs),
            metadata=metadata,
            description=text(self.model.description),
        )

    def _tensor(self, index: int, t: Any) -> Tensor:
        dtype = self.types.get(t.type, f"type{t.type}")
        shape = _ints(t.shape)
        if any(d < 0 for d in shape):
            raise ModelError(f"{self.origin}: tensor {index} has the shape {list(shape)}")
        signature = _ints(t.shapeSignature) if t.shapeSignature is not None else ()
        sparse = t.sparsity is not None
        return Tensor(
            index=index,
            name=text(t.name),
            dtype=dtype,
            shape=shape,
            shape_signature=signature if len(signature) == len(shape) else shape,
            quantization=self._quantization(index, t, shape),
            data=None if sparse else self._constant(index, t, dtype, shape),
            is_variable=bool(t.isVariable),
            sparse=sparse,
        )

    def _constant(self, index: int, t: Any, dtype: str, shape: tuple[int, ...]) -> Array | None:
        raw = self._buffer(t.buffer)
        if not raw:
            return None
        count = int(np.prod(shape, dtype=np.int64))
        if dtype == "int4":
            values = unpack_int4(raw, count)
        elif dtype in _NUMPY:
            values = np.frombuffer(raw, np.dtype(dtype).newbyteorder("<"))
        else:
            values = np.frombuffer(raw, np.uint8)
            values.flags.writeable = False
            return values
        if values.size != count:
            raise ModelError(
                f"{self.origin}: tensor {index} {text(t.name)!r} holds {values.size} values,"
                f" expected {count} for the shape {list(shape)}",
                hint="convert the model again; the file may be damaged",
            )
        values = values.reshape(shape)
        values.flags.writeable = False
        return values

    def _quantization(self, index: int, t: Any, shape: tuple[int, ...]) -> Quantization | None:
        q = t.quantization
        if q is None or q.scale is None or len(q.scale) == 0:
            return None
        scale = np.asarray(q.scale, np.float32)
        zero = np.zeros(scale.shape, np.int64) if q.zeroPoint is None else np.asarray(q.zeroPoint, np.int64)
        axis = int(q.quantizedDimension)
        if len(shape) == 1 and axis > 0 and shape[0] == scale.size:
            # Older converters gave a bias the axis of its weights' channels.
            axis = 0
        if zero.size == 1 and scale.size > 1:
            zero = np.repeat(zero, scale.size)
        if scale.size != zero.size or (scale.size > 1 and (axis >= len(shape) or shape[axis] != scale.size)):
            raise ModelError(
                f"{self.origin}: tensor {index} has {scale.size} scales on axis {axis} of {shape}"
            )
        scale.flags.writeable = False
        zero.flags.writeable = False
        return Quantization(scale, zero, axis)

    def _operator(self, index: int, o: Any) -> Operator:
        code = self.model.operatorCodes[o.opcodeIndex]
        builtin = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
        name = self.ops.get(builtin, f"BUILTIN_{builtin}")
        options: dict[str, Any] = {}
        for source in (o.builtinOptions, o.builtinOptions2):
            for key, value in vars(source).items() if source is not None else ():
                options[snake(key)] = self._option(snake(key), value)
        custom = o.customOptions
        return Operator(
            index=index,
            op=name,
            custom_name=text(code.customCode) if name == "CUSTOM" else None,
            version=int(code.version),
            inputs=_ints(o.inputs),
            outputs=_ints(o.outputs),
            options=options,
            intermediates=_ints(o.intermediates),
            custom_options=b"" if custom is None else bytes(np.asarray(custom, np.uint8)),
        )

    def _option(self, key: str, value: Any) -> Any:
        if key in ENUMS and isinstance(value, int):
            return schema.enum_names(ENUMS[key]).get(value, value)
        if isinstance(value, np.ndarray):
            return tuple(value.tolist())
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value
