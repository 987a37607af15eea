"""QUANTIZE: between int8 and uint8 as a table, between int8, int16 and int32, from float32; bit-exact."""

from __future__ import annotations

import numpy as np

from qedge.quantmath import multiply_double, quantize_multiplier
from qedge_mcu.ops import conversion, overlap
from qedge_mcu.ops.base import (
    ConstArray,
    Emitted,
    OpContext,
    Params,
    Reason,
    Ref,
    expect_quantized,
    scalar,
)

NAMES = ("QUANTIZE",)

_PAIRS = (
    *(("int8", b) for b in ("int8", "uint8", "int16", "int32")),
    *(("int16", b) for b in ("int8", "int16", "int32")),
    *(("int32", b) for b in ("int8", "int16")),
    *(("uint8", b) for b in ("int8", "uint8")),
)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types."""
    data, output = c.input(0), c.output
    pairs = {a: tuple(b for x, b in _PAIRS if x == a) for a, _ in _PAIRS}
    if data.dtype == "float32":
        return expect_quantized(output, what="the output", dtypes=("int8", "int16"))
    reasons = expect_quantized(data, what="the input", dtypes=tuple(sorted(pairs)))
    return reasons or expect_quantized(output, what="the output", dtypes=pairs[data.dtype])


def emit(c: OpContext) -> Emitted:
    """Return the call of the table, or of the conversion from float32."""
    data, output = c.input(0), c.output
    scale_out, zero_out = scalar(output)
    if data.dtype == "float32":
        return Emitted(
            function="qe_quantize_s8" if output.dtype == "int8" else "qe_quantize_s16",
            args=("{params}", "{in0}", "{out0}"),
            kernels=("qe_quantize_s8.c",),
            defines=frozenset() if output.dtype == "int8" else frozenset({"QE_QUANTIZE_S16"}),
            params=Params(
                "qe_quantize_params",
                (("scale", float(scale_out)), ("count", output.elements), ("zero_point", zero_out)),
            ),
        )
    scale_in, zero_in = scalar(data)
    multiplier, shift = quantize_multiplier(scale_in / scale_out)
    if {data.dtype, output.dtype} & {"int16", "int32"}:
        return conversion.emit(c, (multiplier, shift))
    low, high = (0, 255) if output.dtype == "uint8" else (-128, 127)
    # entry k answers the byte pattern of the input value k - 128, as the kernel reads it
    inputs = [q & 255 if data.dtype == "uint8" else q for q in range(-128, 128)]
    values = np.clip(
        multiply_double(np.array(inputs) - zero_in, multiplier, shift).astype(np.int64) + zero_out, low, high
    )
    return Emitted(
        function="qe_lookup_s8",
        args=("{params}", "(const int8_t *)(const void *){in0}", "(int8_t *)(void *){out0}"),
        kernels=("qe_lookup_s8.c",),
        params=Params("qe_lookup_params", (("table", Ref("table")), ("count", output.elements))),
        arrays=(ConstArray("table", values.astype(np.uint8).view(np.int8)),),
        overlap={0: overlap.elementwise()},
        note="requantise by table",
    )
