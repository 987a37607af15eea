"""Functions that a full-integer model works out in float, behind DEQUANTIZE, as tables of their codes.

TFLiteConverter leaves so what it has no integer form of: the NEG and SQUARE of Keras' normalisations, ELU, EXP and the
like. Whatever reads one tensor of int8 value by value is a function of 256 codes, and so is what begins with a CAST of
the bytes of an image. The table holds what LiteRT's kernels give for each of them, so that all that follows stays the
same: codes where QUANTIZE ends the function, real numbers where it ends the model or something else goes on in float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor
from qedge.quantize.interpreter import Runner
from qedge.quantize.tables import ARITHMETIC, flattened, function_up_from

CODES = np.arange(-128, 128)


@dataclass(frozen=True)
class Tabled:
    """A model whose float functions are tables.

    Args:
        data: the ``.tflite``.
        operators: names of what they were, each once.
    """

    data: bytes
    operators: tuple[str, ...]


def in_tables(data: bytes) -> Tabled | None:
    """Return a full-integer model with such functions as CAST, ADD and GATHER; None where it has none."""
    graph, editor = Graph.from_bytes(data), Editor.from_bytes(data)
    found = [*_ending_in_codes(graph), *_ending_in_floats(graph)]
    if not found:
        return None
    tables = [_entries(editor, graph, chain) for chain in found]
    for chain, entries in zip(found, tables):
        _write(editor, graph, chain, entries)
    _drop_unread(editor, [o for chain in found for o in reversed(chain)])
    editor.sweep()
    inner = {o.op for chain in found for o in chain[1:] if o.op != "QUANTIZE"}
    return Tabled(editor.pack(), tuple(sorted(inner or {"CAST"})))


def _ending_in_codes(graph: Graph) -> list[tuple[Operator, ...]]:
    """Return the functions that a QUANTIZE ends: what begins them, the float operators, and it."""
    found = []
    for end in graph:
        last = graph.producer.get(end.inputs[0]) if end.op == "QUANTIZE" else None
        if last is None or not _int8(graph, end.outputs[0]):
            continue
        chain = (last,) if _begins(graph, last) and last.op == "CAST" else _function(graph, last)
        if chain:
            found.append((*chain, end))
    return found


def _ending_in_floats(graph: Graph) -> list[tuple[Operator, ...]]:
    """Return the functions, longest ones alone, whose real numbers something else than a QUANTIZE reads.

    Arithmetic with constants alone is none: kernels do it as exactly.
    """
    found, taken = [], set[int]()
    for last in reversed(graph.operators):
        if last.index in taken or len(last.outputs) != 1 or graph.tensors[last.outputs[0]].dtype != "float32":
            continue
        chain = _function(graph, last)
        if all(o.op in ARITHMETIC for o in chain[1:]):
            continue
        taken |= {o.index for o in chain}
        readers = graph.consumers[last.outputs[0]]
        if last.outputs[0] in graph.outputs or any(o.op != "QUANTIZE" for o in readers):
            found.append(chain)
    return found


def _function(graph: Graph, last: Operator) -> tuple[Operator, ...]:
    """Return what begins a function that ends in a float operator and the operators, in their order; else nothing."""
    table = function_up_from(graph, last)
    first = None if table is None else graph.producer.get(table.source)
    if table is None or first is None or not _begins(graph, first):
        return ()
    return (first, *(graph.operators[k] for k in table.operators))


def _begins(graph: Graph, op: Operator) -> bool:
    """Whether an operator makes real numbers of codes of eight bits."""
    if op.op == "DEQUANTIZE":
        return _int8(graph, op.inputs[0])
    source = graph.tensors[op.inputs[0]] if op.op == "CAST" else None
    made = graph.tensors[op.outputs[0]].dtype if op.op == "CAST" else ""
    return (
        source is not None
        and source.dtype in ("int8", "uint8")
        and made == "float32"
        and not source.is_constant
    )


def _int8(graph: Graph, index: int) -> bool:
    """Whether a tensor is computed, of int8, with one scale."""
    tensor = graph.tensors[index]
    q = tensor.quantization
    return tensor.dtype == "int8" and not tensor.is_constant and q is not None and not q.per_channel


def _entries(
    editor: Editor, graph: Graph, chain: Sequence[Operator]
) -> npt.NDArray[np.int8] | npt.NDArray[np.float32]:
    """Return what a function gives for every code of its input, the lowest first: (256,), int8 behind a QUANTIZE."""
    source, result = graph.tensors[chain[0].inputs[0]], graph.tensors[chain[-1].outputs[0]]
    part = editor.part([editor.node(o.index) for o in chain], [source.index], [result.index])
    flattened(part, len(CODES))
    codes = (CODES + 128 if source.dtype == "uint8" else CODES).astype(source.dtype)
    given: npt.NDArray[Any] = codes
    if source.quantization is not None:
        scale, zero = source.quantization.scalar
        given = ((codes.astype(np.float64) - zero) * scale).astype(np.float32)
    made = Runner(part.pack(), threads=1, keep_all=True).predict([given])[0]
    if result.quantization is None:
        return made.astype(np.float32)
    scale, zero = result.quantization.scalar
    found: npt.NDArray[np.int8] = (np.rint(made / scale) + zero).astype(np.int8)
    return found


def _write(editor: Editor, graph: Graph, chain: Sequence[Operator], entries: npt.NDArray[Any]) -> None:
    """Put the look-up of a function where its last operator stands."""
    source, result = graph.tensors[chain[0].inputs[0]], graph.tensors[chain[-1].outputs[0]]
    wide, index = (
        editor.tensor(f"{result.name}/{what}", result.shape, "int32") for what in ("wide", "index")
    )
    values = editor.constant(entries, f"{result.name}/table")
    editor.tensors[values].quantization = editor.tensors[result.index].quantization
    types = {"in_data_type": source.dtype.upper(), "out_data_type": "INT32"}
    nodes = [editor.operator("CAST", [source.index], [wide], types)]
    if source.dtype == "int8":
        nodes.append(editor.operator("ADD", [wide, editor.constant(np.int32(128))], [index]))
    else:
        index = wide
    nodes.append(editor.operator("GATHER", [values, index], [result.index], {"axis": 0}, version=2))
    editor.replace([editor.node(chain[-1].index)], nodes)


def _drop_unread(editor: Editor, chain: Sequence[Operator]) -> None:
    """Remove what made the float values, the last ones first, where nothing reads them any more."""
    for op in sorted(chain, key=lambda o: -o.index):
        node = editor.node(op.index)
        read = {int(t) for n in editor.operators if n is not node for t in n.inputs} | set(editor.outputs)
        if editor.holds([node]) and not read & set(op.outputs):
            editor.remove([node])
