"""What each TFLite operator asks of the quantisation of its tensors: one table, one row an operator.

Source: TensorFlow Lite's 8-bit quantisation specification and the ``Prepare`` functions of its kernels;
versions from ``tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["weights", "tied", "fixed", "free", "index"]


@dataclass(frozen=True)
class Rule:
    """How an operator is quantised.

    Args:
        kind: ``weights``: an activation, a constant of weights and an optional int32 bias.
            ``tied``: inputs and outputs share one scale and zero point, because the kernel copies codes.
            ``fixed``: the kernel writes a scale that is known in advance.
            ``free``: every tensor has its own scale. ``index``: quantised input, integer output.
        version: lowest version with int8 kernels; a higher one that the float model needs is kept.
        version_int4: the version with int4 weights, or 0 where no kernel has them.
        version_int16: the same for int16 activations, or None where no kernel has them.
        fixed: (scale, zero point) of an int8 output of kind ``fixed``.
        fixed_int16: scale of its int16 output.
        data: input slots that carry activations; None for all float inputs.
        weight: slot of the weights.
        bias: slot of the bias.
        axis: dimension of the weights that the output channels run along.
    """

    kind: Kind
    version: int
    version_int16: int | None = None
    fixed: tuple[float, int] = (0.0, 0)
    fixed_int16: float = 0.0
    data: tuple[int, ...] | None = None
    weight: int = -1
    bias: int = -1
    axis: int = 0
    version_int4: int = 0


def _weights(version: int, version_int16: int | None, version_int4: int, axis: int = 0) -> Rule:
    return Rule(
        "weights", version, version_int16, data=(0,), weight=1, bias=2, axis=axis, version_int4=version_int4
    )


def _fixed(version: int, version_int16: int | None, scale: float, zero: int, scale_int16: float) -> Rule:
    return Rule("fixed", version, version_int16, (scale, zero), scale_int16)


RULES: Mapping[str, Rule] = {
    "CONV_2D": _weights(3, 4, 7),
    "DEPTHWISE_CONV_2D": _weights(3, 5, 7, axis=3),
    "FULLY_CONNECTED": _weights(4, 7, 10),
    "TRANSPOSE_CONV": Rule("weights", 2, None, data=(2,), weight=1, bias=3, axis=0),
    # The kernel's integer softmax and logistic write probabilities in 1/256 (TFLite 8-bit specification).
    "SOFTMAX": _fixed(2, 3, 1 / 256, -128, 1 / 32768),
    "LOGISTIC": _fixed(2, 3, 1 / 256, -128, 1 / 32768),
    "TANH": _fixed(2, 3, 1 / 128, 0, 1 / 32768),
    "L2_NORMALIZATION": _fixed(2, None, 1 / 128, 0, 0.0),
    "LOG_SOFTMAX": _fixed(2, None, 16 / 256, 127, 0.0),
    "AVERAGE_POOL_2D": Rule("tied", 2, 3),
    "MAX_POOL_2D": Rule("tied", 2, 3),
    "RESHAPE": Rule("tied", 1, 1),
    "SQUEEZE": Rule("tied", 1, 1),
    "EXPAND_DIMS": Rule("tied", 1, 1),
    "TRANSPOSE": Rule("tied", 2, 4),
    "STRIDED_SLICE": Rule("tied", 2, 4),
    "SLICE": Rule("tied", 2, 4),
    "SPLIT": Rule("tied", 2, 4),
    "SPLIT_V": Rule("tied", 2, None),
    "UNPACK": Rule("tied", 2, 4),
    "PACK": Rule("tied", 2, 4),
    "CONCATENATION": Rule("tied", 2, 3),
    "PAD": Rule("tied", 2, 3),
    "PADV2": Rule("tied", 2, None),
    "MIRROR_PAD": Rule("tied", 2, 3),
    "GATHER": Rule("tied", 2, 4),
    "TILE": Rule("tied", 2, None),
    "BROADCAST_TO": Rule("tied", 2, None),
    "REVERSE_V2": Rule("tied", 3, None),
    "RESIZE_BILINEAR": Rule("tied", 2, 4),
    "RESIZE_NEAREST_NEIGHBOR": Rule("tied", 2, 4),
    "DEPTH_TO_SPACE": Rule("tied", 2, None),
    "SPACE_TO_DEPTH": Rule("tied", 2, None),
    "SPACE_TO_BATCH_ND": Rule("tied", 2, None),
    "BATCH_TO_SPACE_ND": Rule("tied", 2, None),
    "REDUCE_MAX": Rule("tied", 2, 3),
    "REDUCE_MIN": Rule("tied", 2, 3),
    "MAXIMUM": Rule("tied", 2, 4),
    "MINIMUM": Rule("tied", 2, 4),
    "ADD": Rule("free", 2, 3),
    "SUB": Rule("free", 2, 5),
    "MUL": Rule("free", 2, 4),
    "MEAN": Rule("free", 2, 3),
    "SUM": Rule("free", 2, None),
    "SQUARED_DIFFERENCE": Rule("free", 2, 4),  # in 16 bits it is written as SUB and MUL
    "RSQRT": Rule("free", 2, 3),
    "ABS": Rule("free", 2, 3),
    "BATCH_MATMUL": Rule("free", 2, 3),
    "RELU": Rule("free", 2, 3),
    "RELU6": Rule("free", 2, 3),
    "LEAKY_RELU": Rule("free", 2, 2),
    "PRELU": Rule("free", 1, None),
    "HARD_SWISH": Rule("free", 1, None),
    "GELU": Rule("free", 1, None),
    "ELU": Rule("free", 1, None),
    "EXP": Rule("free", 2, None),
    "LOG": Rule("free", 2, None),
    "SELECT": Rule("tied", 1, None, data=(1, 2)),
    "SELECT_V2": Rule("tied", 1, None, data=(1, 2)),
    "GREATER": Rule("index", 2),
    "GREATER_EQUAL": Rule("index", 2),
    "LESS": Rule("index", 2),
    "LESS_EQUAL": Rule("index", 2),
    "ARG_MAX": Rule("index", 2),
    "ARG_MIN": Rule("index", 2),
}
