"""What keeps an operator off the Edge TPU: one small function a rule.

The docstring of a rule states it, its return value is the offending fact (None: the rule is kept). The
support table of ``docs/coral.md`` is generated from them. Sources: the table of supported operations at
coral.ai/docs/edgetpu/models-intro, published compiler logs, and compiled models beside their sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from qedge.graph import Graph, Operator, Tensor
from qedge_coral import statuses

Check = Callable[[Graph, Operator], "str | Broken | None"]

# fmt: off
MIN_RUNTIME = {
    "ADD": 10, "AVERAGE_POOL_2D": 10, "CONCATENATION": 10, "CONV_2D": 10, "DEPTHWISE_CONV_2D": 10,
    "EXPAND_DIMS": 13, "FULLY_CONNECTED": 10, "L2_NORMALIZATION": 10, "LOGISTIC": 10, "MAXIMUM": 10,
    "MAX_POOL_2D": 10, "MEAN": 10, "MINIMUM": 10, "MUL": 10, "PACK": 13, "PAD": 10, "PRELU": 13,
    "QUANTIZE": 13,
    "REDUCE_MAX": 14, "REDUCE_MIN": 14, "RELU": 10, "RELU6": 10, "RELU_N1_TO_1": 10, "RESHAPE": 10,
    "RESIZE_BILINEAR": 10, "RESIZE_NEAREST_NEIGHBOR": 10, "RSQRT": 14, "SLICE": 10, "SOFTMAX": 10,
    "SPACE_TO_DEPTH": 10, "SPLIT": 10, "SQUARED_DIFFERENCE": 14, "SQUEEZE": 10, "STRIDED_SLICE": 10,
    "SUB": 10,
    "SUM": 13, "TANH": 10, "TILE": 10, "TRANSPOSE": 14, "TRANSPOSE_CONV": 13,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 14,
}
# fmt: on
"""Operators that the Edge TPU knows, and the oldest runtime version that has them (10 is the first)."""

REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
RESIZES = ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
SHAPE_INPUTS = {
    "RESHAPE": (1,),
    "PAD": (1,),
    "MEAN": (1,),
    "SUM": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SLICE": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "SPLIT": (0,),
    "TRANSPOSE": (1,),
    "TILE": (1,),
    "EXPAND_DIMS": (1,),
    "TRANSPOSE_CONV": (0,),
}
"""Inputs of an operator that say how, not what: axes, sizes, paddings (int32)."""
WEIGHT_INPUTS = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
    "PRELU": (1,),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (*range(1, 18), *range(20, 24)),
}
"""Inputs of an operator that are weights or biases."""

SOFTMAX_ELEMENTS = 16_384
"""Largest softmax seen on the Edge TPU; the documents say 16,000."""
RESIZE_FACTOR = 8
"""Largest enlargement, along one axis, that stayed on the Edge TPU."""
RESIZE_ELEMENTS = 2_000_000
"""Between the largest result of a resize that was seen mapped (0.5 million) and the least that was not (3.1)."""
TRANSPOSE_ELEMENTS = 100_000
"""Between the largest transposed tensor that was seen mapped (50,000) and the least that was not (200,000)."""
ADD_VERSION = 3
"""Below the version of ADD that was seen rejected (4, which a 64-bit ADD in the same file brings)."""
TRANSPOSE_CONV_WEIGHTS = 2_000_000
"""Below the weights of the transposed convolution that was seen rejected (2.1 million)."""


@dataclass(frozen=True)
class Broken:
    """The fact that breaks a rule, with a hint of its own where the rule's would not fit."""

    fact: str
    hint: str


@dataclass(frozen=True)
class Rule:
    """One rule.

    Args:
        ops: operators that it is about; empty for all.
        status: what the compiler prints for an operator that breaks it.
        check: returns the offending fact, with a hint of its own or without, or None.
        hint: what to do about it.
    """

    ops: tuple[str, ...]
    status: str
    check: Check
    hint: str

    @property
    def text(self) -> str:
        """The rule in words: the docstring's first paragraph."""
        return " ".join((self.check.__doc__ or "").split("\n\n")[0].split())


@dataclass(frozen=True)
class Violation:
    """A rule that an operator breaks: the compiler's status, the fact, and what to do."""

    status: str
    fact: str
    hint: str


RULES: list[Rule] = []


def rule(status: str, hint: str | None = None, ops: Iterable[str] = ()) -> Callable[[Check], Check]:
    """Register a rule; rules are tried in the order of this module."""

    def register(check: Check) -> Check:
        RULES.append(Rule(tuple(ops), status, check, hint or statuses.HINTS[status]))
        return check

    return register


@cache
def _rules(op: str) -> tuple[Rule, ...]:
    return tuple(r for r in RULES if not r.ops or op in r.ops)


def violation(graph: Graph, op: Operator) -> Violation | None:
    """Return the first rule that the operator breaks, or None: it may run on the Edge TPU."""
    for r in _rules(op.op):
        fact = r.check(graph, op)
        if isinstance(fact, Broken):
            return Violation(r.status, fact.fact, fact.hint)
        if fact is not None:
            return Violation(r.status, fact, r.hint)
    return None


def custom_hint(graph: Graph, op: Operator) -> str:
    """Return what to do about a custom operator: nothing where the interpreter has its kernel and nothing follows."""
    last = not any(graph.consumers[t] for t in op.outputs)
    where = "nothing on the Edge TPU follows it" if last else "what follows it stays on the CPU too"
    if op.custom_name == "TFLite_Detection_PostProcess":
        return f"leave it: the CPU decodes the boxes, every interpreter has its kernel, and {where}"
    return (
        f"the CPU runs it, and {where}; the interpreter needs its kernel (pycoral's has PosenetDecoderOp,"
        " ai-edge-litert has not): end the model before it and do its work after the model"
    )


def data_inputs(graph: Graph, op: Operator) -> list[Tensor]:
    """Return the inputs that carry values to compute with: no shapes, axes, weights, biases or state."""
    aside = (*SHAPE_INPUTS.get(op.op, ()), *WEIGHT_INPUTS.get(op.op, ()))
    found = [(i, t) for i, t in enumerate(graph.input_tensors(op)) if t is not None and i not in aside]
    return [t for _, t in found if not t.is_variable]


def _name(tensor: Tensor) -> str:
    return f"{tensor.dtype}{list(tensor.shape)} {tensor.name!r}"


def _constant(graph: Graph, op: Operator, position: int) -> list[int] | None:
    """Return the integers of a constant input, or None where it is absent or no constant."""
    if position >= len(op.inputs) or op.inputs[position] < 0:
        return None
    data = graph.tensors[op.inputs[position]].data
    return None if data is None else [int(v) for v in np.asarray(data).reshape(-1)]


def _is_batch(axis: int, rank: int) -> bool:
    """Whether an axis lies outside the three innermost dimensions (y, x, z)."""
    return (axis + rank if axis < 0 else axis) < rank - 3


@rule(statuses.LIMITATION, "give the model an int8 or uint8 input: build without --io float32", ["QUANTIZE"])
def quantize_from_8_bit(graph: Graph, op: Operator) -> str | None:
    """Requantises int8 or uint8; a float input stays on the CPU."""
    source = graph.tensors[op.inputs[0]]
    return None if source.dtype in ("int8", "uint8") else f"input {_name(source)}"


@rule(statuses.DTYPE)
def eight_bit(graph: Graph, op: Operator) -> str | None:
    """Every value in and out is int8 or uint8."""
    values = [t for t in data_inputs(graph, op) if op.op in MIN_RUNTIME or not t.is_constant]
    for t in (*values, *graph.output_tensors(op)):
        if t.dtype not in ("int8", "uint8"):
            return f"tensor {_name(t)}"
    return None


@rule(statuses.UNSUPPORTED)
def known_operator(graph: Graph, op: Operator) -> str | Broken | None:
    """The operator is one of this table."""
    if op.op in MIN_RUNTIME:
        return None
    fact = f"{op.custom_name or op.op} is not an Edge TPU operator"
    return fact if op.custom_name is None else Broken(fact, custom_hint(graph, op))


@rule(statuses.VERSION, ops=["TILE"])
def tile_version(graph: Graph, op: Operator) -> str | None:
    """Version 1 (seen on the Edge TPU although no document lists the operator)."""
    return None if op.version == 1 else f"version {op.version}"


@rule(statuses.VERSION, ops=["ADD"])
def add_version(graph: Graph, op: Operator) -> str | None:
    """At most version 3 (1 and 2 were seen mapped, 4 was not); ``qedge build`` writes 8-bit ones as 2."""
    return None if op.version <= ADD_VERSION else f"version {op.version}"


@rule(statuses.DTYPE)
def quantised(graph: Graph, op: Operator) -> str | None:
    """Every value has a scale and a zero point."""
    for t in (*data_inputs(graph, op), *graph.output_tensors(op)):
        if t.quantization is None:
            return f"tensor {_name(t)} has no scale"
    return None


@rule(statuses.RANK)
def three_innermost(graph: Graph, op: Operator) -> str | None:
    """Only the three innermost dimensions are above 1 (batch 1, no 5-D tensors)."""
    for t in (*data_inputs(graph, op), *graph.output_tensors(op)):
        if any(d > 1 for d in t.shape[:-3]):
            return f"tensor {_name(t)}"
    return None


@rule(statuses.NOT_CONSTANT)
def constant_parameters(graph: Graph, op: Operator) -> str | None:
    """Weights, biases, axes, sizes and paddings are constants of the model."""
    for position in (*WEIGHT_INPUTS.get(op.op, ()), *SHAPE_INPUTS.get(op.op, ())):
        if position < len(op.inputs) and op.inputs[position] >= 0:
            t = graph.tensors[op.inputs[position]]
            if not t.is_constant and not t.is_variable:
                return f"input {position} {_name(t)} is computed"
    return None


@rule(statuses.DTYPE, ops=["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"])
def eight_bit_weights(graph: Graph, op: Operator) -> str | None:
    """Weights are int8 or uint8, dense and stored one a byte."""
    t = graph.tensors[op.inputs[1]]
    if t.dtype not in ("int8", "uint8"):
        return f"weights {_name(t)}"
    return f"sparse weights {t.name!r}" if t.sparse else None


@rule(
    statuses.LIMITATION,
    "put the activation into an operator of its own or into the layer before",
    ["AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION"],
)
def no_fused_activation(graph: Graph, op: Operator) -> str | None:
    """No fused activation function."""
    fused = op.options.get("fused_activation_function", "NONE")
    return None if fused in ("NONE", None) else f"fused {fused}"


@rule(
    statuses.LIMITATION, "add constants in another way: only padding with zeros is mapped", ["CONCATENATION"]
)
def concatenated_constant_is_zero_padding(graph: Graph, op: Operator) -> str | None:
    """With a constant input there are exactly two inputs, and the constant is all zeros."""
    constants = [t for t in graph.input_tensors(op) if t is not None and t.is_constant]
    if not constants:
        return None
    if len(op.inputs) != 2:
        return f"constant {constants[0].name!r} among {len(op.inputs)} inputs"
    zero = constants[0].quantization.scalar[1] if constants[0].quantization else 0
    values = np.asarray(constants[0].data)
    return None if bool(np.all(values == zero)) else f"constant {constants[0].name!r} is not all zeros"


@rule(statuses.LIMITATION, "use the same dilation along x and y", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def same_dilation(graph: Graph, op: Operator) -> str | None:
    """The same dilation along x and y, where the filter is larger than 1 along both."""
    x, y = op.options.get("dilation_w_factor", 1), op.options.get("dilation_h_factor", 1)
    _, height, width, _ = graph.tensors[op.inputs[1]].shape
    return f"dilation {y}x{x} (height x width)" if x != y and height > 1 and width > 1 else None


@rule(statuses.LIMITATION, "convert without shuffled weights", ["FULLY_CONNECTED"])
def default_weights_format(graph: Graph, op: Operator) -> str | None:
    """Weights in the default format."""
    found = op.options.get("weights_format", "DEFAULT")
    return None if found in ("DEFAULT", None) else f"weights format {found}"


_SOFTMAX_ROWS = (
    "only one row is mapped: where it is the last operator, leave it out and apply it after the model; in attention it"
    " stays on the CPU with what follows"
)


@rule(
    statuses.LIMITATION,
    "flatten what goes in, or write the layer as a 1x1 convolution, which has no such limit",
    ["FULLY_CONNECTED", "SOFTMAX"],
)
def one_row(graph: Graph, op: Operator) -> str | Broken | None:
    """Input and output are one row: one-dimensional but for leading 1s."""
    for t in (data_inputs(graph, op)[0], graph.output_tensors(op)[0]):
        if op.op == "FULLY_CONNECTED" and t.index in op.inputs:
            continue
        if any(d > 1 for d in t.shape[:-1]):
            fact = f"{t.elements // max(t.shape[-1], 1)} rows in {_name(t)}"
            return fact if op.op == "FULLY_CONNECTED" else Broken(fact, _SOFTMAX_ROWS)
    return None


@rule(statuses.LIMITATION, "apply the softmax on the CPU after the model", ["SOFTMAX"])
def softmax_size(graph: Graph, op: Operator) -> str | None:
    """At most 16,384 elements (the documents say 16,000; 16,384 was mapped)."""
    t = graph.tensors[op.inputs[0]]
    return None if t.elements <= SOFTMAX_ELEMENTS else f"{t.elements} elements"


@rule(statuses.LIMITATION, "use batch 1", [*REDUCTIONS, "PACK", "PAD", "SPLIT"])
def not_along_batch(graph: Graph, op: Operator) -> str | None:
    """Not along the batch dimension, nor any other outside the three innermost (SPLIT into one may)."""
    if op.op == "SPLIT" and len(op.outputs) == 1:
        return None
    rank = len(graph.output_tensors(op)[0].shape) if op.op == "PACK" else 0
    if op.op == "PACK":
        axes = [int(op.options.get("axis", 0))]
    elif op.op == "PAD":
        pads = np.reshape(_constant(graph, op, 1) or [], (-1, 2))
        rank, axes = len(pads), [i for i, p in enumerate(pads) if p.any()]
    else:
        rank = len(graph.tensors[op.inputs[1 if op.op == "SPLIT" else 0]].shape)
        axes = _constant(graph, op, 0 if op.op == "SPLIT" else 1) or []
    bad = [a for a in axes if _is_batch(a, rank)]
    return f"axis {bad[0]} of {rank} dimensions" if bad else None


@rule(
    statuses.LIMITATION,
    "make the number of channels a multiple of 4, or reduce over height and width only",
    ["MEAN"],
)
def reduced_depth_is_multiple_of_4(graph: Graph, op: Operator) -> str | None:
    """A reduction over the innermost dimension needs it to be a multiple of 4."""
    shape = graph.tensors[op.inputs[0]].shape
    axes = [a % max(len(shape), 1) for a in _constant(graph, op, 1) or []]
    return f"reduces {shape[-1]} channels" if shape and len(shape) - 1 in axes and shape[-1] % 4 else None


@rule(statuses.LIMITATION, "in Keras: PReLU(shared_axes=[1, 2])", ["PRELU"])
def one_slope_a_channel(graph: Graph, op: Operator) -> str | None:
    """The slopes are one-dimensional, along the innermost dimension (Keras: ``shared_axes=[1, 2]``)."""
    t = graph.tensors[op.inputs[1]]
    return f"slopes {_name(t)}" if any(d > 1 for d in t.shape[:-1]) else None


@rule(statuses.LIMITATION, "resize in steps of at most 8, or after the model on the CPU", RESIZES)
def resize_keeps_precision(graph: Graph, op: Operator) -> str | Broken | None:
    """The source is larger than 1x1, no axis grows more than 8 times, the result is below 2 million values."""
    source, result = graph.tensors[op.inputs[0]].shape, graph.output_tensors(op)[0].shape
    if len(source) != 4 or len(result) != 4:
        return f"{len(source)} dimensions where 4 were expected"
    if source[1] == source[2] == 1 and result[1:3] != (1, 1):
        return Broken(
            f"source 1x1 to {result[1]}x{result[2]}",
            "repeat the one position in another way: add or multiply it onto the map, which broadcasts it",
        )
    if np.prod(result, dtype=np.int64) > RESIZE_ELEMENTS:
        size = int(np.prod(result, dtype=np.int64))
        return Broken(
            f"{result[1]}x{result[2]}x{result[3]} is {size} values",
            f"end the model at {source[1]}x{source[2]} and enlarge its output outside it, or give the model a"
            f" smaller input: at most {RESIZE_ELEMENTS} values are resized on the Edge TPU",
        )
    factor = max(result[1] / max(source[1], 1), result[2] / max(source[2], 1))
    return f"enlarges {factor:.3g} times" if factor > RESIZE_FACTOR else None


@rule(statuses.LIMITATION, "slice with stride 1 and without ellipsis or new axes", ["STRIDED_SLICE"])
def plain_slice(graph: Graph, op: Operator) -> str | None:
    """All strides are 1, no ellipsis and no new axis."""
    strides = _constant(graph, op, 3) or []
    if any(s != 1 for s in strides):
        return f"strides {strides}"
    masks = [m for m in ("ellipsis_mask", "new_axis_mask") if op.options.get(m)]
    return f"{masks[0]} {op.options[masks[0]]}" if masks else None


@rule(statuses.LIMITATION, "order the dimensions on the CPU, after the model", ["TRANSPOSE"])
def small_transpose(graph: Graph, op: Operator) -> str | None:
    """At most 100,000 values (50,000 were seen mapped, 200,000 were not)."""
    t = graph.tensors[op.inputs[0]]
    return f"{t.elements} values in {_name(t)}" if t.elements > TRANSPOSE_ELEMENTS else None


@rule(statuses.LIMITATION, "use fewer channels, or nearest up-sampling and a convolution", ["TRANSPOSE_CONV"])
def small_transposed_convolution(graph: Graph, op: Operator) -> str | None:
    """At most 2 million weights (2.1 million were seen rejected)."""
    t = graph.tensors[op.inputs[1]]
    return f"{t.elements} weights in {_name(t)}" if t.elements > TRANSPOSE_CONV_WEIGHTS else None
