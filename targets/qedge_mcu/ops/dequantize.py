"""DEQUANTIZE: int8, uint8 or int16 to float32; exact."""

from __future__ import annotations

from qedge_mcu.ops.base import Emitted, OpContext, Params, Reason, expect_quantized, expect_type, scalar

NAMES = ("DEQUANTIZE",)


def check(c: OpContext) -> list[Reason]:
    """Return what stands in the way: types."""
    return [
        *expect_quantized(c.input(0), what="the input", dtypes=("int8", "uint8", "int16")),
        *expect_type(c.output, "float32", what="the output"),
    ]


def emit(c: OpContext) -> Emitted:
    """Return the call."""
    scale, zero_point = scalar(c.input(0))
    suffix, define = {
        "int8": ("s8", ""),
        "uint8": ("u8", "QE_DEQUANTIZE_U8"),
        "int16": ("s16", "QE_DEQUANTIZE_S16"),
    }[c.input(0).dtype]
    return Emitted(
        function=f"qe_dequantize_{suffix}",
        args=("{params}", "{in0}", "{out0}"),
        kernels=("qe_dequantize_s8.c",),
        defines=frozenset({define} - {""}),
        params=Params(
            "qe_dequantize_params",
            (("scale", float(scale)), ("count", c.output.elements), ("zero_point", zero_point)),
        ),
    )
