"""A function that a model holds as a table, or works out in float between codes: one lookup.

CAST, ADD and GATHER of qedge's quantiser (``quantize/tables.py``) and of other writers count from -128 in int32, which
takes eight bytes a value of the layer; the scaling of an image in float32 (CAST, SUB, MUL, QUANTIZE) as many. The table
is read by the value itself instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge_mcu.ops.arithmetic_f32 import value

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Found:
    """Operators that are one table.

    Args:
        end: the last one.
        inner: those before it.
        source: the tensor whose codes it is a function of.
        entries: what it gives for the codes -128 to 127, or 0 to 255 of uint8.
    """

    end: Operator
    inner: tuple[Operator, ...]
    source: int
    entries: npt.NDArray[np.int8]


def with_lookups(graph: Graph) -> Graph:
    """Return the graph with a ``TABLE`` in place of each such function's end, the others ``FOLDED`` into it.

    Every operator keeps its place and every tensor its index; the same graph where there is no table.
    """
    instead: dict[int, Operator] = {}
    for found in (*_written(graph), *_computed(graph)):
        for op in found.inner:
            instead[op.index] = replace(op, op="FOLDED", custom_name=op.op, inputs=(), outputs=(), options={})
        instead[found.end.index] = replace(
            found.end,
            op="TABLE",
            custom_name=found.end.op,
            inputs=(found.source,),
            options={"entries": tuple(found.entries.tolist())},
        )
    if not instead:
        return graph
    return replace(graph, operators=tuple(instead.get(op.index, op) for op in graph))


def _written(graph: Graph) -> Iterator[_Found]:
    """Find CAST, ADD and GATHER, or CAST of uint8 and GATHER."""
    for gather in graph:
        if gather.op != "GATHER" or gather.options.get("axis") or gather.options.get("batch_dims"):
            continue
        table, output = graph.tensors[gather.inputs[0]], graph.tensors[gather.outputs[0]]
        if table.data is None or len(table.shape) != 1 or {table.dtype, output.dtype} != {"int8"}:
            continue
        index, inner, offset = gather.inputs[1], [], 0
        add = _only_maker(graph, index, "ADD")
        if add is not None:
            step = _with_a_number(graph, add)
            if step is None or add.options.get("fused_activation_function", "NONE") != "NONE":
                continue
            index, inner, offset = step[0], [add], int(step[1])
        cast = _only_maker(graph, index, "CAST")
        if cast is None or graph.tensors[cast.outputs[0]].dtype != "int32":
            continue
        source = graph.tensors[cast.inputs[0]]
        if source.dtype in ("int8", "uint8") and source.elements == output.elements:
            places = np.clip(_codes(source.dtype) + offset, 0, table.data.size - 1)
            yield _Found(gather, (cast, *inner), source.index, table.data[places])


def _computed(graph: Graph) -> Iterator[_Found]:
    """Find arithmetic with single numbers in float32, from codes of eight bits to a QUANTIZE."""
    for end in graph:
        result = graph.tensors[end.outputs[0]] if end.op == "QUANTIZE" else None
        if result is None or result.dtype != "int8" or result.quantization is None:
            continue
        inner: list[Operator] = []
        at, found = end.inputs[0], None
        while (maker := _only_maker(graph, at)) is not None:
            inner.append(maker)
            at = maker.inputs[0]
            if maker.op in ("CAST", "DEQUANTIZE"):
                found = _real(graph, maker)
                break
            step = _with_a_number(graph, maker)
            if step is None or graph.tensors[maker.outputs[0]].dtype != "float32":
                break
            at = step[0]
        if found is None or graph.tensors[at].elements != result.elements:
            continue
        if inner[0].op == "DEQUANTIZE":  # QUANTIZE of what it gives is a kernel's own
            continue
        for op in reversed(inner[:-1]):
            found = _applied(graph, op, found)
        yield _Found(end, tuple(inner), at, _quantized(found, *result.quantization.scalar))


def _real(graph: Graph, op: Operator) -> Float | None:
    """Return the real number of every code that CAST or DEQUANTIZE reads, or None."""
    source, made = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if made.dtype != "float32" or source.is_constant:
        return None
    if op.op == "CAST":
        return _codes(source.dtype).astype(np.float32) if source.dtype in ("int8", "uint8") else None
    if source.dtype != "int8" or source.quantization is None or source.quantization.per_channel:
        return None
    scale, zero = source.quantization.scalar
    found: Float = (_codes("int8") - zero).astype(np.float32) * np.float32(scale)
    return found


def _applied(graph: Graph, op: Operator, given: Float) -> Float:
    """Return what a step with one number makes of values."""
    number = next(t.data for t in graph.input_tensors(op) if t is not None and t.data is not None)
    single = np.asarray(number, np.float32).reshape(-1)[0]
    first = graph.tensors[op.inputs[0]].data is None
    a, b = (given, single) if first else (single, given)
    return value(op.op, a, b, op.options.get("fused_activation_function", "NONE"))


def _quantized(real: Float, scale: float, zero_point: int) -> npt.NDArray[np.int8]:
    """Return the codes that the kernel of QUANTIZE gives: halves away from zero, 0 for what is no number."""
    with np.errstate(all="ignore"):
        ratio = np.clip(
            np.nan_to_num(real / np.float32(scale), nan=0.0, posinf=1024, neginf=-1024), -1024, 1024
        )
    whole = np.trunc(ratio)
    rest = ratio - whole
    rounded = whole + (rest >= 0.5) - (rest <= -0.5)
    codes: npt.NDArray[np.int8] = np.clip(rounded + zero_point, -128, 127).astype(np.int8)
    return codes


def _codes(dtype: str) -> npt.NDArray[np.int64]:
    return np.arange(256) if dtype == "uint8" else np.arange(-128, 128)


def _with_a_number(graph: Graph, op: Operator) -> tuple[int, Any] | None:
    """Return (the tensor, the number) of arithmetic between values and a single constant."""
    if op.op not in ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM"):
        return None
    tensors = [graph.tensors[t] for t in op.inputs]
    numbers = [t.data for t in tensors if t.data is not None and t.elements == 1]
    values = [t.index for t in tensors if t.data is None]
    return (values[0], np.asarray(numbers[0]).reshape(-1)[0]) if len(values) == len(numbers) == 1 else None


def _only_maker(graph: Graph, tensor: int, op: str | None = None) -> Operator | None:
    """Return the operator, of a kind, that makes a tensor which is read once and nowhere seen."""
    maker = graph.producer.get(tensor)
    seen = tensor in graph.outputs or len(graph.consumers[tensor]) != 1
    return None if maker is None or (op is not None and maker.op != op) or seen else maker
