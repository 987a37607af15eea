"""Write operators that compiler 16 cannot parse in others that it can: without this it refuses the whole model.

A GELU becomes a gate, ``x * sigmoid(1.702 x)`` or with a cubic argument, where that gives every one of the 256
values within 1 step: MUL, ADD and LOGISTIC run on the Edge TPU. Any other function of one value that TensorFlow
Lite 2.6 does not have is looked up in a table on the CPU, exactly. What it has in float only stays on the CPU as a
float operator between DEQUANTIZE and QUANTIZE.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from qedge.graph import Graph, Operator, Quantization
from qedge_coral import versions
from qedge_coral.rewrite.draft import Array, Draft
from qedge_coral.rewrite.steps import WITHIN, Steps, alone, holds, values

TITLE = "operators that compiler 16 cannot parse, in those that it can"
SLOPE = 1.702
RISE, BEND = 1.5957691, 0.07135482
"""2 * sqrt(2 / pi), and 0.044715 times that: the argument of the usual approximation by tanh."""
SATURATED, ARGUMENT = 4.0, 8.0
"""Where the gate is 0 or 1 to 8 bits: of x, and of the sigmoid's argument."""
FUNCTIONS = ("GELU", "RELU_0_TO_1")
"""Functions of one value that TensorFlow Lite 2.6 does not have."""
# fmt: off
IN_FLOAT = frozenset({
    "ABS", "ADD", "BATCH_MATMUL", "CEIL", "COS", "CUMSUM", "DIV", "ELU", "EXP", "FLOOR", "HARD_SWISH", "LEAKY_RELU",
    "LOG", "LOG_SOFTMAX", "MAXIMUM", "MEAN", "MINIMUM", "MUL", "NEG", "POW", "REDUCE_PROD", "ROUND", "RSQRT", "SIN",
    "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SUB", "SUM",
})
# fmt: on
"""Operators whose first version computes the same in float."""
EIGHT_BIT = ("int8", "uint8")


def apply(graph: Graph) -> Draft:
    """Rewrite every operator on 8 bits that is above what compiler 16 parses in any version that says the same."""
    draft = Draft(graph)
    for op in graph:
        if op.op == "CUSTOM" or versions.lowered_version(graph, op) <= versions.parsed_version(op.op):
            continue
        if not _is_eight_bit(graph, op):
            continue
        if op.op in FUNCTIONS and _same_shape(graph, op):
            _function(draft, graph, op)
        elif op.op in IN_FLOAT and _takes_eight_bit(graph, op):
            _in_float(draft, graph, op)
    return draft


def _is_eight_bit(graph: Graph, op: Operator) -> bool:
    results = graph.output_tensors(op)
    return bool(results) and all(t.dtype in EIGHT_BIT and t.quantization is not None for t in results)


def _takes_eight_bit(graph: Graph, op: Operator) -> bool:
    """Whether what an operator reads is on 8 bits with a scale, or integers that say how (axes)."""
    values = [t for t in graph.input_tensors(op) if t is not None]
    return all(
        (t.dtype in EIGHT_BIT and t.quantization is not None) or (t.dtype == "int32" and t.is_constant)
        for t in values
    )


def _same_shape(graph: Graph, op: Operator) -> bool:
    source, result = graph.tensors[op.inputs[0]], graph.output_tensors(op)[0]
    return source.shape == result.shape and source.dtype == result.dtype and source.quantization is not None


def _function(draft: Draft, graph: Graph, op: Operator) -> None:
    wanted = values(alone(graph, op))
    for form in FORMS if op.op == "GELU" else ():
        if holds(form, graph, op, WITHIN):
            draft.replace([op], form(draft, graph, op), f"{op.label} in operators that map: {form.__doc__}")
            return
    _replace_by_table(draft, graph, op, wanted)


def sigmoid(draft: Draft, graph: Graph, op: Operator) -> list[Operator]:
    """x * sigmoid(1.702 x)"""
    steps = Steps(draft, graph, op)
    steep = steps.made(
        "MUL", "steep", [steps.x, steps.fixed("slope", SLOPE)], steps.scale * SLOPE, steps.zero
    )
    return steps.gated(steep)


def cubic(draft: Draft, graph: Graph, op: Operator) -> list[Operator]:
    """x * sigmoid(x * (1.596 + 0.0714 x^2))"""
    steps = Steps(draft, graph, op)
    most = min(steps.largest, SATURATED) ** 2
    square = steps.made("MUL", "square", [steps.x, steps.x], most / 255, steps.low)
    bent = steps.made("MUL", "bent", [square, steps.fixed("bend", BEND)], most * BEND / 255, steps.low)
    top = RISE + most * BEND
    factor = steps.made("ADD", "factor", [bent, steps.fixed("rise", RISE)], top / 255, steps.low)
    reach = min(min(steps.largest, SATURATED) * top, ARGUMENT)
    argument = steps.made("MUL", "argument", [steps.x, factor], 2 * reach / 255, steps.low + 128)
    return steps.gated(argument)


FORMS = (sigmoid, cubic)
"""Forms of GELU in operators that map, the shortest first."""


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
