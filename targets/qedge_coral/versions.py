"""Operator versions that ``edgetpu_compiler`` 16 can parse, and the oldest that says the same.

Compiler 16 links TensorFlow Lite of mid-2021 (2.6): a model with any operator above these versions is refused
as a whole. Source: ``tensorflow/lite/tools/versioning/runtime_version.cc``, entries up to 2.6.0.
"""

from __future__ import annotations

from qedge.graph import Graph, Operator, Tensor

COMPILER = "16.0.384591198"
RUNTIME = 14
"""Minimum runtime that compiler 16 writes into a model unless ``-m`` says otherwise, whatever is in it (read from
files that it compiled; older compilers wrote 10, 12 and 13)."""

# fmt: off
PARSED = {
    "ABS": 4, "ADD": 4, "ARG_MAX": 2, "ARG_MIN": 2, "AVERAGE_POOL_2D": 3, "BATCH_MATMUL": 4,
    "BATCH_TO_SPACE_ND": 3, "BIDIRECTIONAL_SEQUENCE_LSTM": 3, "BIDIRECTIONAL_SEQUENCE_RNN": 3,
    "BROADCAST_TO": 3, "CONCATENATION": 3, "CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "DEPTH_TO_SPACE": 2,
    "DEQUANTIZE": 4, "DIV": 2, "EMBEDDING_LOOKUP": 3, "EQUAL": 3, "FAKE_QUANT": 2, "FILL": 3, "FLOOR_DIV": 2,
    "FULLY_CONNECTED": 9, "GATHER": 5, "GATHER_ND": 3, "GREATER": 2, "GREATER_EQUAL": 2,
    "L2_NORMALIZATION": 2,
    "LEAKY_RELU": 2, "LESS": 2, "LESS_EQUAL": 2, "LOGISTIC": 3, "LOG_SOFTMAX": 2, "LSTM": 4, "MAXIMUM": 4,
    "MAX_POOL_2D": 3, "MEAN": 3, "MINIMUM": 4, "MIRROR_PAD": 2, "MUL": 5, "NOT_EQUAL": 3, "PACK": 3, "PAD": 4,
    "PADV2": 4, "QUANTIZE": 2, "REDUCE_MAX": 3, "REDUCE_MIN": 3, "REDUCE_PROD": 2, "RELU": 3, "RELU6": 3,
    "RESIZE_BILINEAR": 4, "RESIZE_NEAREST_NEIGHBOR": 4, "REVERSE_V2": 3, "RNN": 3, "RSQRT": 2, "SELECT": 2,
    "SLICE": 5, "SOFTMAX": 3, "SPACE_TO_BATCH_ND": 3, "SPACE_TO_DEPTH": 2, "SPARSE_TO_DENSE": 3, "SPLIT": 4,
    "SPLIT_V": 2, "SQUARED_DIFFERENCE": 2, "SQUEEZE": 2, "STRIDED_SLICE": 6, "SUB": 5, "SUM": 2, "SVDF": 4,
    "TANH": 3, "TILE": 2, "TOPK_V2": 2, "TRANSPOSE": 5, "TRANSPOSE_CONV": 3,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 3,
    "UNIDIRECTIONAL_SEQUENCE_RNN": 3, "UNPACK": 4,
}
"""Highest version of an operator in TensorFlow Lite 2.6; 1 where the operator is not listed."""

NEWER = frozenset({
    "ATAN2", "BITCAST", "BITWISE_XOR", "BUCKETIZE", "DILATE", "DYNAMIC_UPDATE_SLICE", "GELU", "MULTINOMIAL",
    "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "REDUCE_WINDOW", "RELU_0_TO_1", "RIGHT_SHIFT", "SIGN",
    "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_MIN", "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_SUM",
})
"""Operators that TensorFlow Lite 2.6 does not have; any whose name starts ``STABLEHLO_`` as well."""
# fmt: on

# fmt: off
INT8 = {
    "ADD": 2, "ARG_MAX": 2, "ARG_MIN": 2, "AVERAGE_POOL_2D": 2, "BATCH_MATMUL": 2, "CONCATENATION": 2,
    "DEPTH_TO_SPACE": 2, "EXPAND_DIMS": 1, "GATHER": 2, "L2_NORMALIZATION": 2, "LEAKY_RELU": 2, "LOGISTIC": 2,
    "MAXIMUM": 2, "MAX_POOL_2D": 2, "MEAN": 2, "MINIMUM": 2, "MIRROR_PAD": 2, "MUL": 2, "PACK": 2, "PAD": 2,
    "PADV2": 2, "PRELU": 1, "REDUCE_MAX": 2, "REDUCE_MIN": 2, "RELU": 2, "RELU6": 2, "RESHAPE": 1,
    "RESIZE_BILINEAR": 2, "RESIZE_NEAREST_NEIGHBOR": 2, "RSQRT": 2, "SLICE": 2, "SOFTMAX": 2,
    "SPACE_TO_DEPTH": 2, "SPLIT": 2, "SPLIT_V": 2, "SQUARED_DIFFERENCE": 2, "SQUEEZE": 1, "STRIDED_SLICE": 2,
    "SUB": 2, "SUM": 2, "TANH": 2, "TRANSPOSE": 2, "UNPACK": 2,
}
# fmt: on
"""Version in which an operator took int8, up to four dimensions and no later option; uint8 needs version 1.
Source: ``tensorflow/lite/tools/versioning/op_version.cc``."""


def parsed_version(op: str) -> int:
    """Return the highest version of ``op`` that the compiler parses; 0 when it does not know the operator."""
    if op in NEWER or op.startswith("STABLEHLO_"):
        return 0
    return PARSED.get(op, 1)


def needed_version(graph: Graph, op: Operator) -> int:
    """Return the oldest version that describes an 8-bit operator fully; its own where that is not known.

    Versions count features: int8 and per-channel weights, the shape attributes, wider types. An operator on
    int8 or uint8 that uses none of the newer features says the same in the older version.
    """
    data = [t for t in [*graph.input_tensors(op), *graph.output_tensors(op)] if t is not None]
    kinds = {t.dtype for t in data if not t.is_constant and not t.is_variable}
    if not kinds <= {"int8", "uint8"}:
        return _needed_mixed(op, kinds)
    weights = graph.input_tensors(op)[1] if len(op.inputs) > 1 else None
    if weights is not None and op.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"):
        if weights.dtype not in ("int8", "uint8") or weights.sparse:
            return op.version
        if op.op == "FULLY_CONNECTED":
            return 5 if op.options.get("keep_num_dims") else (4 if "int8" in kinds else 1)
        if op.op == "TRANSPOSE_CONV":
            if op.options.get("fused_activation_function", "NONE") != "NONE":
                return op.version
            return 3 if len(op.inputs) > 3 and op.inputs[3] >= 0 else (2 if "int8" in kinds else 1)
        if op.op == "CONV_2D":
            return 3 if "int8" in kinds else 1
        dilated = any(op.options.get(k, 1) > 1 for k in ("dilation_w_factor", "dilation_h_factor"))
        return 3 if "int8" in kinds else (2 if dilated else 1)
    if op.op == "QUANTIZE":
        return 2 if kinds == {"uint8"} else 1
    if op.op not in INT8 or any(len(t.shape) > 4 for t in data):
        return op.version
    if any(op.options.get(k) for k in _LATER):
        return max(3, INT8[op.op])
    if op.op == "MUL" and _enlarges(data):
        return 3
    return INT8[op.op] if "int8" in kinds else 1


_LATER = ("half_pixel_centers", "align_corners", "ellipsis_mask", "new_axis_mask", "offset")
"""Options that came with version 3 or later of their operator."""


def _enlarges(data: list[Tensor]) -> bool:
    """Whether a product is scaled up: version 3 of MUL came with that."""
    if any(t.quantization is None for t in data):
        return True
    first, second, result = (float(t.quantization.scale[0]) for t in data if t.quantization is not None)
    return first * second >= result


def _needed_mixed(op: Operator, kinds: set[str]) -> int:
    """Return the oldest version of an operator at the edge of the 8-bit part."""
    if op.op == "QUANTIZE" and kinds <= {"float32", "int8", "uint8"}:
        return 1
    if op.op == "DEQUANTIZE" and kinds <= {"float32", "int8", "uint8"}:
        return 2 if "int8" in kinds else 1
    return op.version


def lowered_version(graph: Graph, op: Operator) -> int:
    """Return the version to write: an older one that says the same where its own is above what is taken.

    A converter writes one code for all operators of a kind, at the version of the newest: an ADD of 64-bit
    indices at the end raises every ADD of the model above what the Edge TPU takes.
    """
    if op.version <= min(parsed_version(op.op), INT8.get(op.op, op.version)):
        return op.version
    return min(op.version, needed_version(graph, op))
