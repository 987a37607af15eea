"""The option tables of the schema: which operator has which, and their enums by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from qedge.graph import schema

# Operators whose table is not called after them.
_TABLES = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_ALL": "ReducerOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "CONV_3D_TRANSPOSE": "Conv3DOptions",
}

ENUMS: Mapping[str, str] = {
    "padding": "Padding",
    "fused_activation_function": "ActivationFunctionType",
    "in_data_type": "TensorType",
    "out_data_type": "TensorType",
    "output_type": "TensorType",
    "quantized_bias_type": "TensorType",
    "idx_out_type": "TensorType",
    "mode": "MirrorPadMode",
    "kernel_type": "LSTMKernelType",
    "weights_format": "FullyConnectedOptionsWeightsFormat",
}
"""The enum of an option, by the option's name in snake case."""


@cache
def table_of(op: str) -> str | None:
    """Return the schema's options table of an operator, or None.

    >>> table_of("CONV_2D"), table_of("MEAN"), table_of("TANH")
    ('Conv2DOptions', 'ReducerOptions', None)
    """
    if op in _TABLES:
        return _TABLES[op]
    known = {name.lower(): name for name in schema.enum_names("BuiltinOptions").values()}
    return known.get(op.replace("_", "").lower() + "options")


def make(op: str, options: Mapping[str, Any]) -> tuple[int, Any]:
    """Return the type and the object of an operator's options: (0, None) where it has no table.

    Args:
        op: TFLite's name.
        options: in snake case, enums by name or number (``padding="SAME"``); the rest keeps its default.

    Raises:
        ValueError: the operator has no such option.
    """
    table = table_of(op)
    if table is None:
        if options:
            raise ValueError(f"{op} has no options, got {sorted(options)}")
        return 0, None
    generated = schema.generated()
    made = getattr(generated, f"{table}T")()
    for key, value in options.items():
        field = camel(key)
        if not hasattr(made, field):
            raise ValueError(f"{table} has no {key}; it has {sorted(vars(made))}")
        if isinstance(value, str) and key in ENUMS:
            value = getattr(getattr(generated, ENUMS[key]), value)
        setattr(made, field, value)
    return int(getattr(generated.BuiltinOptions, table)), made


def snake(name: str) -> str:
    """Return the schema's spelling in snake case.

    >>> snake("fusedActivationFunction")
    'fused_activation_function'
    """
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def camel(name: str) -> str:
    """Return a name in snake case in the schema's spelling.

    >>> camel("stride_w"), camel("fused_activation_function")
    ('strideW', 'fusedActivationFunction')
    """
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)
