"""Write operators that compiler 16 cannot parse in others that it can: without this it refuses the whole model.

A GELU becomes ``x * sigmoid(c * x)`` where a constant ``c`` gives every one of the 256 values within 1 step: LOGISTIC
and MUL run on the Edge TPU. Any other function of one value that TensorFlow Lite 2.6 does not have is looked up in a
table on the CPU, exactly. What it has in float only stays on the CPU as a float operator between DEQUANTIZE and
QUANTIZE.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from qedge.graph import Graph, Operator, Quantization
from qedge.graph.edit import Editor, affine
from qedge_coral import versions
from qedge_coral.rewrite.draft import Array, Draft

TITLE = "operators that compiler 16 cannot parse, in those that it can"
SLOPES = np.arange(1.5, 1.9, 0.01)
"""Candidates for ``c``; 1.702 is the best for GELU in real numbers."""
WITHIN = 1
EIGHT_BIT = ("int8", "uint8")


def apply(graph: Graph) -> Draft:
    """Rewrite every operator on 8 bits that is above what compiler 16 parses in any version that says the same."""
    draft = Draft(graph)
    for op in graph:
        if op.op == "CUSTOM" or versions.lowered_version(graph, op) <= versions.parsed_version(op.op):
            continue
        if not _is_eight_bit(graph, op):
            continue
        if versions.parsed_version(op.op) == 0:
            if len(op.inputs) == 1 and _same_shape(graph, op):
                _function(draft, graph, op)
        else:
            _in_float(draft, graph, op)
    return draft


def _is_eight_bit(graph: Graph, op: Operator) -> bool:
    results = graph.output_tensors(op)
    return bool(results) and all(t.dtype in EIGHT_BIT and t.quantization is not None for t in results)


def _same_shape(graph: Graph, op: Operator) -> bool:
    source, result = graph.tensors[op.inputs[0]], graph.output_tensors(op)[0]
    return source.shape == result.shape and source.dtype == result.dtype and source.quantization is not None


def _function(draft: Draft, graph: Graph, op: Operator) -> None:
    wanted = values(graph, op)
    found = _sigmoid_form(graph, op, wanted) if op.op == "GELU" else None
    if found is not None:
        _replace_by_sigmoid(draft, graph, op, found)
    else:
        _replace_by_table(draft, graph, op, wanted)


def values(graph: Graph, op: Operator) -> Array:
    """Return what a function of one value gives for each of the 256 it can get, from the lowest to the highest."""
    source, result = graph.tensors[op.inputs[0]], graph.output_tensors(op)[0]
    editor = Editor.empty(op.op)
    x, y = (
        editor.tensor(name, (1, 256), t.dtype, quantization=_affine(t.quantization))
        for name, t in (("x", source), ("y", result))
    )
    editor.append(editor.operator(op.op, [x], [y], op.options, version=op.version))
    return _run(editor, x, y)


def _affine(quantization: Quantization | None) -> object:
    assert quantization is not None
    return affine(quantization.scale, quantization.zero_point, quantization.axis)


def _run(editor: Editor, x: int, y: int) -> Array:
    from qedge.runtime.litert import BUILTIN, open_engine, tensor_specs

    editor.inputs, editor.outputs = [x], [y]
    model = editor.pack()
    engine = open_engine(model, *tensor_specs(model), threads=1, kernels=BUILTIN)
    try:
        low = np.iinfo(engine.inputs[0].dtype).min
        given = (np.arange(256) + low).astype(engine.inputs[0].dtype).reshape(1, 256)
        return np.asarray(engine.run([given])[0]).reshape(-1)
    finally:
        engine.close()


def _sigmoid_form(graph: Graph, op: Operator, wanted: Array) -> float | None:
    """Return the slope whose ``x * sigmoid(slope * x)`` is nearest to a GELU's 256 values; None beyond 1 step."""
    source, result = graph.tensors[op.inputs[0]], graph.output_tensors(op)[0]
    assert source.quantization is not None
    assert result.quantization is not None
    scale, zero = source.quantization.scalar
    out_scale, out_zero = result.quantization.scalar
    kind = np.iinfo(source.dtype)
    real = (np.arange(256) + kind.min - zero) * scale
    best: tuple[float, float] | None = None
    for slope in SLOPES:
        gate = np.clip(np.round(256 / (1 + np.exp(-slope * real))), 0, 255) / 256
        given = np.clip(np.round(real * gate / out_scale) + out_zero, kind.min, kind.max)
        error = float(np.abs(given - wanted.astype(np.int64)).max())
        total = error + float(np.abs(given - wanted.astype(np.int64)).mean())
        if error <= WITHIN and (best is None or total < best[0]):
            best = (total, float(slope))
    return None if best is None else best[1]


def _replace_by_sigmoid(draft: Draft, graph: Graph, op: Operator, slope: float) -> None:
    source, result = graph.tensors[op.inputs[0]], graph.output_tensors(op)[0]
    assert source.quantization is not None
    scale, zero = source.quantization.scalar
    name, kind = result.name, np.dtype(source.dtype).type
    version = 2 if source.dtype == "int8" else 1
    slopes = draft.constant(f"{name}/slope", np.full(1, 127, kind), scale=slope / 127)
    steep = draft.tensor_like(source.index, f"{name}/steep", quantization=(scale * slope, zero))
    low = int(np.iinfo(source.dtype).min)
    gate = draft.tensor_like(source.index, f"{name}/gate", quantization=(1 / 256, low))
    nodes = [
        draft.operator(
            "MUL", version, [source.index, slopes], [steep], {"fused_activation_function": "NONE"}
        ),
        draft.operator("LOGISTIC", version, [steep], [gate]),
        draft.operator(
            "MUL", version, [source.index, gate], [result.index], {"fused_activation_function": "NONE"}
        ),
    ]
    draft.replace([op], nodes, f"{op.label} as x * sigmoid({slope:.2f} x)")


def _replace_by_table(draft: Draft, graph: Graph, op: Operator, table: Array) -> None:
    """Look the value up: its real value over the scale is its place, brought to 0 and cut to a whole number."""
    source, result = graph.tensors[op.inputs[0]], graph.output_tensors(op)[0]
    assert source.quantization is not None
    scale, zero = source.quantization.scalar
    low = int(np.iinfo(source.dtype).min)
    name = result.name
    real, scaled, moved = (
        draft.computed(f"{name}/{part}", "float32", source.shape) for part in ("real", "scaled", "moved")
    )
    place = draft.computed(f"{name}/place", "int32", source.shape)
    held = draft.table(f"{name}/table", table, result.index)
    plain = {"fused_activation_function": "NONE"}
    inverse = draft.constant(f"{name}/inverse", np.asarray(1 / scale, np.float32))
    offset = draft.constant(f"{name}/offset", np.asarray(zero - low + 0.5, np.float32))
    eight = 2 if source.dtype == "int8" else 1
    nodes = [
        draft.operator("DEQUANTIZE", eight, [source.index], [real]),
        draft.operator("MUL", 1, [real, inverse], [scaled], plain),
        draft.operator("ADD", 1, [scaled, offset], [moved], plain),
        draft.operator("CAST", 1, [moved], [place], {"in_data_type": "FLOAT32", "out_data_type": "INT32"}),
        draft.operator("GATHER", eight, [held, place], [result.index], {"axis": 0}),
    ]
    draft.replace([op], nodes, f"{op.label} as a table of 256 values on the CPU")


def _in_float(draft: Draft, graph: Graph, op: Operator) -> None:
    """Put the operator in float between DEQUANTIZE and QUANTIZE."""
    nodes: list[Operator] = []
    inputs = []
    for t in op.inputs:
        tensor = graph.tensors[t] if t >= 0 else None
        if tensor is None or tensor.dtype not in EIGHT_BIT:
            inputs.append(t)
        elif tensor.data is not None and tensor.quantization is not None:
            inputs.append(draft.constant(f"{tensor.name}/float", _real(tensor.data, tensor.quantization)))
        else:
            inputs.append(draft.computed(f"{tensor.name}/float", "float32", tensor.shape))
            nodes.append(draft.operator("DEQUANTIZE", 2 if tensor.dtype == "int8" else 1, [t], [inputs[-1]]))
    outputs = [draft.computed(f"{t.name}/float", "float32", t.shape) for t in graph.output_tensors(op)]
    nodes.append(dataclasses.replace(op, version=1, inputs=tuple(inputs), outputs=tuple(outputs)))
    for made, result in zip(outputs, op.outputs):
        nodes.append(draft.operator("QUANTIZE", 1, [made], [result]))
    draft.replace([op], nodes, f"{op.label} version {op.version} in float on the CPU")


def _real(values_: Array, quantization: Quantization) -> Array:
    shape = [1] * values_.ndim
    if quantization.per_channel:
        shape[quantization.axis] = -1
    zero, scale = quantization.zero_point.reshape(shape or [1]), quantization.scale.reshape(shape or [1])
    if not shape:
        zero, scale = zero[0], scale[0]
    return np.asarray((values_.astype(np.int64) - zero) * scale, np.float32)
