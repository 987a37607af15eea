"""What runs beside the NPU: the operators that TFLite Micro has kernels for, and how its resolver calls them."""

from __future__ import annotations

_SPECIAL = {
    "AVERAGE_POOL_2D": "AveragePool2D",
    "BATCH_MATMUL": "BatchMatMul",
    "BATCH_TO_SPACE_ND": "BatchToSpaceNd",
    "CONV_2D": "Conv2D",
    "CUMSUM": "CumSum",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "L2_NORMALIZATION": "L2Normalization",
    "L2_POOL_2D": "L2Pool2D",
    "MAX_POOL_2D": "MaxPool2D",
    "PADV2": "PadV2",
    "SPACE_TO_BATCH_ND": "SpaceToBatchNd",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
_PLAIN = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL
CONCATENATION COS DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP
EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL
HARD_SWISH IF LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX
MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PRELU QUANTIZE READ_VARIABLE REDUCE_MAX
REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2
SHAPE SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE
STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
KERNELS = frozenset(_SPECIAL) | frozenset(_PLAIN.split())
"""Built-in operators that ``MicroMutableOpResolver`` registers (TFLite Micro, 2026)."""
CUSTOM_KERNELS = {"TFLite_Detection_PostProcess": "DetectionPostprocess", "ethos-u": "EthosU"}


def has_kernel(op: str, custom_name: str | None) -> bool:
    """Whether TFLite Micro runs an operator on the CPU beside the NPU."""
    return custom_name in CUSTOM_KERNELS if custom_name else op in KERNELS


def registration(op: str, custom_name: str | None = None) -> str:
    """Return the resolver's method that registers an operator.

    >>> registration("FULLY_CONNECTED"), registration("CONV_2D"), registration("CUSTOM", "ethos-u")
    ('AddFullyConnected', 'AddConv2D', 'AddEthosU')
    """
    if custom_name:
        return f"Add{CUSTOM_KERNELS[custom_name]}"
    return f"Add{_SPECIAL.get(op) or ''.join(part.capitalize() for part in op.split('_'))}"
