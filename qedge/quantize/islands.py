"""Functions that a full-integer model works out in float, between DEQUANTIZE and QUANTIZE, as tables of their codes.

TFLiteConverter leaves so what it has no integer form of: the NEG and SQUARE of Keras' normalisations, ELU, EXP and the
like. Whatever reads one int8 tensor value by value and ends in int8 is a function of 256 codes. The table holds what
LiteRT's kernels give for each of them, so that the codes stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor
from qedge.quantize.interpreter import Runner
from qedge.quantize.tables import flattened, function_up_from

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
    found = [(op, chain) for op in graph if op.op == "QUANTIZE" and (chain := _function(graph, op))]
    if not found:
        return None
    tables = [_codes(editor, graph, (*chain, op)) for op, chain in found]
    for (op, chain), codes in zip(found, tables):
        _write(editor, graph, op, chain[0].inputs[0], codes)
    _drop_unread(editor, [o for _, chain in found for o in reversed(chain)])
    editor.sweep()
    return Tabled(editor.pack(), tuple(sorted({o.op for _, chain in found for o in chain[1:]})))


def _function(graph: Graph, end: Operator) -> tuple[Operator, ...]:
    """Return the DEQUANTIZE and the float operators before a QUANTIZE, in their order; nothing where they are none."""
    last = graph.producer.get(end.inputs[0])
    if last is None or not _per_tensor(graph, end.outputs[0]):
        return ()
    table = function_up_from(graph, last)
    first = None if table is None else graph.producer.get(table.source)
    if table is None or first is None or first.op != "DEQUANTIZE" or not _per_tensor(graph, first.inputs[0]):
        return ()
    return (first, *(graph.operators[k] for k in table.operators))


def _per_tensor(graph: Graph, index: int) -> bool:
    tensor = graph.tensors[index]
    q = tensor.quantization
    return tensor.dtype == "int8" and not tensor.is_constant and q is not None and not q.per_channel


def _codes(editor: Editor, graph: Graph, chain: Sequence[Operator]) -> npt.NDArray[np.int8]:
    """Return the code of the function for every code of its input, from -128 on: (256,) int8."""
    source, result = chain[0].inputs[0], chain[-1].outputs[0]
    part = editor.part([editor.node(o.index) for o in chain], [source], [result])
    flattened(part, len(CODES))
    scales = [graph.tensors[t].quantization for t in (source, result)]
    (scale_in, zero_in), (scale_out, zero_out) = (q.scalar for q in scales if q is not None)
    real = ((CODES - zero_in) * scale_in).astype(np.float32)
    made = Runner(part.pack(), threads=1, keep_all=True).predict([real])[0]
    found: npt.NDArray[np.int8] = (np.rint(made / scale_out) + zero_out).astype(np.int8)
    return found


def _write(editor: Editor, graph: Graph, end: Operator, source: int, codes: npt.NDArray[np.int8]) -> None:
    result, name = end.outputs[0], graph.tensors[end.outputs[0]].name
    shape = graph.tensors[result].shape
    wide, index = (editor.tensor(f"{name}/{what}", shape, "int32") for what in ("wide", "index"))
    offset, values = editor.constant(np.int32(128)), editor.constant(codes, f"{name}/table")
    editor.tensors[values].quantization = editor.tensors[result].quantization
    nodes = [
        editor.operator("CAST", [source], [wide], {"in_data_type": "INT8", "out_data_type": "INT32"}),
        editor.operator("ADD", [wide, offset], [index]),
        editor.operator("GATHER", [values, index], [result], {"axis": 0}, version=2),
    ]
    editor.replace([editor.node(end.index)], nodes)


def _drop_unread(editor: Editor, chain: Sequence[Operator]) -> None:
    """Remove what made the float values, the last ones first, where nothing reads them any more."""
    for op in sorted(chain, key=lambda o: -o.index):
        node = editor.node(op.index)
        read = {int(t) for n in editor.operators if n is not node for t in n.inputs} | set(editor.outputs)
        if editor.holds([node]) and not read & set(op.outputs):
            editor.remove([node])
