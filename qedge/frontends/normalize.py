"""Any ``.tflite`` to the one that the rest works on: static, batch 1, plain float32 or full-integer."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from qedge.errors import ModelError
from qedge.findings import Finding
from qedge.frontends.customs import known_customs
from qedge.frontends.dilation import fold_dilations
from qedge.frontends.fused_lstm import expand_lstms
from qedge.frontends.names import shorten
from qedge.frontends.protocol import Names
from qedge.frontends.runnable import require_runnable
from qedge.frontends.static import make_static
from qedge.frontends.tree import Tree
from qedge.frontends.weights import plain_weights
from qedge.graph import Graph

_CONTROL_FLOW = frozenset({"WHILE", "IF", "CALL", "STABLEHLO_WHILE", "STABLEHLO_CASE"})
_INTEGER = frozenset({"int8", "uint8", "int16"})
_LOOP = (
    "a recurrent layer exports as a loop: pass the .keras file (qedge unrolls it), or export with unroll=True"
)
_BRANCH = "a branch is chosen while the model runs: export the one that the device takes, for a batch of 1"
# What reading a flatbuffer that contradicts itself raises.
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, OverflowError, struct.error)


@dataclass
class Normalized:
    """Result of :func:`normalize`: the bytes, their kind, and what was changed."""

    data: bytes
    kind: Literal["float", "quantized"]
    findings: list[Finding] = field(default_factory=list)


def normalize(
    data: bytes,
    origin: str,
    names: Names | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Normalized:
    """Return a model as static ``.tflite`` of batch 1; full-integer ones stay as they are but for the batch.

    Weights stored as float16, sparse or as 8-bit codes become dense float32; shapes computed from a dynamic batch
    become constants; dilated convolutions that were split into a batch become one operator again; fused float LSTM
    layers are written out; metadata goes.

    Args:
        data: the ``.tflite``.
        origin: path, for messages.
        names: of inputs and outputs in their order, when a front end knows them better than the file.
        input_shapes: shape by input name, see :func:`qedge.frontends.load.load_model`.

    Raises:
        ModelError: damaged, dynamic in more than the batch, with control flow or TensorFlow operators inside,
            or streaming and float.
    """
    graph = Graph.from_bytes(data, origin)
    _refuse_control_flow(graph, origin)
    try:
        return _normalize(graph, origin, names, dict(input_shapes or {}))
    except _DAMAGE as error:
        raise ModelError(
            f"{origin} is damaged: {type(error).__name__}: {error}",
            hint="copy or convert the model again; the file may be truncated",
        ) from error


def _normalize(
    graph: Graph, origin: str, names: Names | None, input_shapes: dict[str, Sequence[int]]
) -> Normalized:
    kind: Literal["float", "quantized"] = "quantized" if _is_quantized(graph) else "float"
    if kind == "float":
        _refuse_state(graph, origin)
    findings: list[Finding] = []
    tree = Tree(graph.data, origin)
    if kind == "float":
        if known_customs(tree):
            graph = Graph.from_bytes(tree.pack(), origin)
        require_runnable(graph, origin)
        findings += plain_weights(tree)
    changed = make_static(tree, origin, input_shapes)
    folded = fold_dilations(tree)
    if folded:
        message = f"{folded} convolutions over a batch of interleaved images were made dilated convolutions"
        findings.append(Finding("info", "dilated-convolutions", message))
    if kind == "float":
        findings += expand_lstms(tree)
    settled = _settle_axes(tree)
    if kind == "quantized" and not changed and not folded and not settled:
        return Normalized(graph.data, kind, findings)
    if kind == "float":
        tree.drop_metadata()
        tree.name_ends(names)
        if names is not None:
            shorten(tree, names)
    tree.sweep(share=True)
    return Normalized(tree.pack(), kind, findings)


def _settle_axes(tree: Tree) -> bool:
    """Give the scales of vectors the only axis that there is; return whether some had another.

    Older converters gave a bias the axis of its weights' channels, and newer interpreters refuse that.
    """
    vectors = [t for index, t in enumerate(tree.graph.tensors) if len(tree.shape(index)) == 1]
    found = [t.quantization for t in vectors if t.quantization and t.quantization.quantizedDimension > 0]
    for quantization in found:
        quantization.quantizedDimension = 0
    return bool(found)


def _labels(ops: Iterable[Any]) -> str:
    labels = [op.label for op in ops]
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")


def _refuse_control_flow(graph: Graph, origin: str) -> None:
    found = [op for op in graph if op.op in _CONTROL_FLOW]
    if found:
        loops = any("WHILE" in op.op for op in found)
        raise ModelError(
            f"{origin} holds control flow, expected a plain graph: {_labels(found)}",
            hint=_LOOP if loops else _BRANCH,
        )


def _refuse_state(graph: Graph, origin: str) -> None:
    """Refuse a float model whose variables outlive a run: samples one by one cannot calibrate it."""
    found = [op for op in graph if op.op in ("CALL_ONCE", "VAR_HANDLE")]
    if found:
        raise ModelError(
            f"{origin} keeps state between runs and is float, expected a plain graph or one that is quantised:"
            f" {_labels(found)}",
            hint="quantise the streaming model with the tool that made it, and pass the full-integer .tflite",
        )


def _is_quantized(graph: Graph) -> bool:
    """Whether some activation, not only a weight, is an integer with a scale.

    The ends of QUANTIZE and DEQUANTIZE alone say nothing, unless nothing in the model is float; inputs that are such
    integers do.
    """
    ends = [graph.tensors[t] for t in graph.inputs]
    if any(t.dtype in _INTEGER and t.quantization is not None for t in ends):
        return True
    found = [
        (op.op, t)
        for op in graph
        for t in graph.output_tensors(op)
        if t.dtype in _INTEGER and t.quantization is not None and not t.is_constant and not t.is_variable
    ]
    if any(op not in ("DEQUANTIZE", "QUANTIZE") for op, _ in found):
        return True
    return bool(found) and not any(t.dtype.startswith("float") for t in graph.tensors)
