"""Weights as float32, however a file of float arithmetic stores them: in half precision, sparse, or as 8-bit codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.findings import Finding
from qedge.frontends.tree import Tree
from qedge.graph.reader import unpack_int4

Array = npt.NDArray[Any]

_HOLDS_WEIGHTS = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL", "CONV_3D"}
    | {"UNIDIRECTIONAL_SEQUENCE_LSTM", "EMBEDDING_LOOKUP"}
)
_CODES = frozenset({"int8", "uint8", "int4"})


def plain_weights(tree: Tree) -> list[Finding]:
    """Make all stored weights of float operators dense float32 constants; return what they were."""
    sparse = _fold(tree, "DENSIFY", ("float32", "float16", "int8"), _dense)
    halves = _fold(tree, "DEQUANTIZE", ("float16",), lambda tree, t: _stored(tree, t).astype(np.float32))
    codes = _fold(tree, "DEQUANTIZE", tuple(_CODES), _decoded) + _decode_in_place(tree)
    findings = []
    if sparse:
        findings.append(Finding("info", "sparse-weights", f"{sparse} weights stored sparse were made dense"))
    if halves:
        message = f"{halves} weights stored as float16 were made float32"
        findings.append(Finding("info", "float16-weights", message))
    if codes:
        message = (
            f"the model is dynamic-range quantised: {codes} weights are of 8 bits already, and what that lost is lost;"
            " all figures are beside this model"
        )
        hint = "give the model that it was made from, or convert that without converter.optimizations"
        findings.append(Finding("warning", "dynamic-range", message, hint))
    return findings


def _fold(tree: Tree, op: str, dtypes: tuple[str, ...], value: Any) -> int:
    """Put the value in place of each such operator on a constant of these types; return how many."""
    folded = []
    for node in tree.operators:
        source = int(node.inputs[0]) if tree.op(node) == op else -1
        if source < 0 or not tree.is_constant(source) or tree.dtype(source) not in dtypes:
            continue
        made, result = value(tree, source), int(node.outputs[0])
        tree.set_constant(result, made)
        tree.set_dtype(result, made.dtype.name)
        folded.append(node)
    tree.remove(folded)
    return len(folded)


def _decode_in_place(tree: Tree) -> int:
    """Make the 8-bit weights that float operators read themselves float32; return how many."""
    read = {
        int(t)
        for node in tree.operators
        if tree.op(node) in _HOLDS_WEIGHTS and tree.dtype(int(node.outputs[0])) == "float32"
        for t in node.inputs
        if t >= 0 and tree.is_constant(int(t)) and tree.dtype(int(t)) in _CODES
    }
    for t in read:
        tree.set_constant(t, _decoded(tree, t))
        tree.set_dtype(t, "float32")
        tree.graph.tensors[t].quantization = None
    return len(read)


def _stored(tree: Tree, tensor: int) -> Array:
    """Return a constant's values as they are stored, in its shape."""
    raw, dtype, shape = tree.raw(tensor) or b"", tree.dtype(tensor), tree.shape(tensor)
    if dtype == "int4":
        return unpack_int4(raw, int(np.prod(shape))).reshape(shape)
    return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def _decoded(tree: Tree, tensor: int) -> Array:
    """Return what codes stand for: ``scale * (code - zero_point)``, a scale for all or one a channel."""
    codes, told = _stored(tree, tensor), tree.graph.tensors[tensor].quantization
    scale = np.asarray(told.scale, np.float32)
    zero = np.zeros(len(scale), np.int64) if told.zeroPoint is None else np.asarray(told.zeroPoint, np.int64)
    if len(scale) > 1:
        wide = [1] * codes.ndim
        wide[int(told.quantizedDimension)] = len(scale)
        scale, zero = scale.reshape(wide), zero.reshape(wide)
    return ((codes.astype(np.int64) - zero) * scale.astype(np.float64)).astype(np.float32)


def _dense(tree: Tree, tensor: int) -> Array:
    """Return the values of a sparse constant with its zeros.

    Its levels, outermost first, are those of ``traversal_order``: the dimensions of the tensor and, behind them, those
    within blocks. A level has all its indices, or for each place of the level above those from one of
    ``array_segments`` to the next (``SparsityParameters`` in TFLite's schema).

    Raises:
        ValueError: its levels hold more places than the tensor.
    """
    shape, told = tree.shape(tensor), tree.graph.tensors[tensor].sparsity
    most = int(np.prod(shape))
    places, indices = np.zeros(1, np.int64), np.zeros((0, 1), np.int64)
    for level in told.dimMetadata:
        if int(level.format) == 0:
            size = int(level.denseSize)
            if not 0 <= len(places) * size <= most:
                raise ValueError(f"a level of {len(places)} x {size} places in a tensor of {most} values")
            own = np.tile(np.arange(size), len(places))
            above = np.repeat(np.arange(len(places)), size)
        else:
            first = np.asarray(level.arraySegments.values, np.int64)
            above = np.repeat(np.arange(len(places)), np.diff(first))
            own = np.asarray(level.arrayIndices.values, np.int64)
        indices = np.concatenate([indices[:, above], own[None]])
        places = np.arange(len(own))
    blocks = [] if told.blockMap is None else [int(d) for d in told.blockMap]
    sizes = {
        int(told.traversalOrder[k]): int(level.denseSize)
        for k, level in enumerate(told.dimMetadata)
        if int(told.traversalOrder[k]) >= len(shape)
    }
    at = np.zeros((len(shape), len(places)), np.int64)
    for k, order in enumerate(int(d) for d in told.traversalOrder):
        if order >= len(shape):
            at[blocks[order - len(shape)]] += indices[k]
        else:
            inner = [sizes[len(shape) + b] for b, d in enumerate(blocks) if d == order]
            at[order] += indices[k] * (inner[0] if inner else 1)
    raw = tree.raw(tensor) or b""
    values = np.frombuffer(raw, np.dtype(tree.dtype(tensor)).newbyteorder("<"))
    dense = np.zeros(shape, values.dtype)
    dense[tuple(at)] = values
    return dense
