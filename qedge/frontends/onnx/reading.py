"""Reads an ``.onnx`` file: bounded, nothing outside its folder, half precision made float32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qedge.frontends.protocol import Refusal, require
from qedge.frontends.trust import inside

OLDEST_OPSET = 7
MAX_FILE_BYTES = (1 << 31) - 1
MAX_VALUE_BYTES = 1 << 30
"""Largest single value, constant or activation, that is ever allocated."""
_DAMAGED = "export or copy it again; it may be truncated"


def read_model(path: Path) -> Any:
    """Return the ``ModelProto`` of a file, weights inside, without local functions, in float32.

    Raises:
        Refusal: it is damaged, too large, too old, quantised, or its external data are not what and where they
            must be.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise Refusal(f"it has {size} bytes, expected at most {MAX_FILE_BYTES}")
    return proto_of(path.read_bytes(), path.parent)


def proto_of(data: bytes, folder: Path | None = None) -> Any:
    """Return the ``ModelProto`` of a file's bytes, as :func:`read_model`; without a folder there are no external data.

    Raises:
        Refusal: as for :func:`read_model`.
    """
    onnx = require("onnx", "ONNX")
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise Refusal(
            f"the file is damaged: {str(error).strip() or type(error).__name__}", _DAMAGED
        ) from None
    _check_shell(model)
    for holder in (model.graph, *model.functions):
        _refuse_sparse(holder)
        for tensor in tensors(holder):
            _check_tensor(tensor, folder)
    if model.functions:
        inliner = require("onnx.inliner", "ONNX")
        try:
            model = inliner.inline_local_functions(model)
        except Exception as error:
            raise Refusal(f"its functions cannot be inlined: {_first(error)}", _DAMAGED) from None
    _refuse_quantised(model.graph)
    _in_order(model.graph)
    widen(model)
    return model


def _in_order(graph: Any) -> None:
    """Move nodes behind those whose results they read: converters to half precision add theirs at the end.

    onnxruntime takes such files. Nodes that are in order stay as they are; so does a graph with a circle.
    """
    made = {o for node in graph.node for o in node.output if o}
    known: set[str] = set()
    left, found = list(graph.node), []
    while left:
        later = []
        for node in left:
            if all(name not in made or name in known for name in _read(node)):
                known.update(node.output)
                found.append(node)
            else:
                later.append(node)
        if len(later) == len(left):
            return
        left = later
    if [id(n) for n in found] != [id(n) for n in graph.node]:
        copies = [type(n).FromString(n.SerializeToString()) for n in found]
        del graph.node[:]
        graph.node.extend(copies)


def _read(node: Any) -> Iterator[str]:
    """Yield the names that a node reads, those within its branches included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _read(inner)


def _first(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def opset_of(model: Any) -> int:
    """Return the version of ONNX's own operators that a model uses, 0 when it says none."""
    found = [int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")]
    return found[0] if found else 0


def _check_shell(model: Any) -> None:
    if not model.graph.node and not model.graph.output:
        raise Refusal("it is no ONNX model: it has no graph", _DAMAGED)
    opset = opset_of(model)
    if opset == 0 and not model.functions:
        raise Refusal("it states no opset", _DAMAGED)
    if opset and opset < OLDEST_OPSET:
        raise Refusal(
            f"it uses opset {opset}, expected at least {OLDEST_OPSET}",
            "export it with a newer opset, such as 17",
        )
    if not model.graph.output:
        raise Refusal("it has no outputs", _DAMAGED)


def graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph, or a local function, and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)
            for inner in attribute.graphs:
                yield from graphs(inner)


def tensors(graph: Any) -> Iterator[Any]:
    """Yield every stored tensor: initialisers and attributes, of inner graphs too."""
    for inner in graphs(graph):
        yield from getattr(inner, "initializer", ())  # a function has none
        for node in inner.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _refuse_sparse(graph: Any) -> None:
    found = [
        sparse.values.name for inner in graphs(graph) for sparse in getattr(inner, "sparse_initializer", ())
    ]
    found += [
        node.output[0]
        for inner in graphs(graph)
        for node in inner.node
        if any(a.HasField("sparse_tensor") or a.sparse_tensors for a in node.attribute)
    ]
    if found:
        raise Refusal(
            f"it stores {found[0]!r} as a sparse tensor, expected dense ones",
            "export its weights as dense tensors",
        )


def _check_tensor(tensor: Any, folder: Path | None) -> None:
    """Refuse a tensor whose data are not of its size; read external data, from the model's folder only."""
    onnx = require("onnx", "ONNX")
    name = tensor.name or "a constant"
    if tensor.data_type == onnx.TensorProto.STRING:
        return
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError):
        raise Refusal(f"{name} has the unknown type {tensor.data_type}", _DAMAGED) from None
    if any(d < 0 for d in tensor.dims):
        raise Refusal(f"{name} has the shape {list(tensor.dims)}", _DAMAGED)
    count = math.prod(tensor.dims)
    size = count * dtype.itemsize
    if size > MAX_VALUE_BYTES:
        raise Refusal(f"{name} has {size} bytes, expected at most {MAX_VALUE_BYTES}")
    packed = dtype.name in ("int4", "uint4", "float4_e2m1fn", "int2", "uint2")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        tensor.raw_data = _external(tensor, folder, size)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    elif tensor.HasField("raw_data"):
        if len(tensor.raw_data) != size and not packed:
            raise Refusal(f"{name} has {len(tensor.raw_data)} bytes, expected {size}", _DAMAGED)
    else:
        stored = sum(
            len(getattr(tensor, f"{kind}_data")) for kind in ("float", "int32", "int64", "double", "uint64")
        )
        if stored != count and not packed and dtype.kind != "c":
            raise Refusal(f"{name} has {stored} values, expected {count}", _DAMAGED)


def _external(tensor: Any, folder: Path | None, size: int) -> bytes:
    """Return the bytes of external data.

    Raises:
        Refusal: they are not in the model's folder, or too few.
    """
    fields = {entry.key: entry.value for entry in tensor.external_data}
    location = fields.get("location", "")
    hint = "keep the data file beside the .onnx, where the exporter wrote it"
    if folder is None:
        raise Refusal(f"{tensor.name} lies in {location!r}, expected all weights in one file", hint)
    place = inside(folder, location)
    if not place.is_file():
        raise Refusal(f"{tensor.name} lies in {location!r}, which is not there", hint)
    try:
        offset, length = int(fields.get("offset", 0) or 0), int(fields.get("length", size) or size)
    except ValueError:
        raise Refusal(f"{tensor.name} has no numbers for its place in {location!r}", _DAMAGED) from None
    total = place.stat().st_size
    if length != size or offset < 0 or offset + length > total:
        raise Refusal(
            f"{tensor.name} is said to be {length} bytes at {offset} of {location!r}, which has {total};"
            f" expected {size}",
            hint,
        )
    with place.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)


_QUANTISED = {
    "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear",
    "com.microsoft.QGemm", "com.microsoft.QLinearAdd", "com.microsoft.MatMulNBits",
    "com.microsoft.DynamicQuantizeMatMul", "com.microsoft.QAttention", "com.microsoft.DynamicQuantizeLSTM",
    "com.microsoft.MatMulIntegerToFloat", "com.microsoft.QLinearSigmoid",
}  # fmt: skip


def _refuse_quantised(graph: Any) -> None:
    found = [n for g in graphs(graph) for n in g.node if op_name(n) in _QUANTISED]
    if found:
        kinds = ", ".join(sorted({op_name(n) for n in found}))
        raise Refusal(
            f"it is quantised already: {len(found)} nodes {kinds}, the first"
            f" {found[0].name or found[0].output[0]!r}; expected a float model",
            "give the float .onnx that it was made from: qedge quantises it with your data",
        )


def op_name(node: Any) -> str:
    """Return a node's type, with its domain in front unless it is ONNX's own."""
    return str(node.op_type) if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def widen(model: Any) -> int:
    """Make half precision float32 throughout: weights, types of values, casts; return how many tensors."""
    onnx = require("onnx", "ONNX")
    kinds = onnx.TensorProto
    narrow = {kinds.FLOAT16, kinds.BFLOAT16}
    changed = 0
    for tensor in tensors(model.graph):
        if tensor.data_type in narrow:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
            changed += 1
    for graph in graphs(model.graph):
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type in narrow:
                value.type.tensor_type.elem_type = kinds.FLOAT
        del graph.value_info[:]
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in ("to", "dtype") and attribute.i in narrow:
                    attribute.i = kinds.FLOAT
    return changed
