"""The step that a model leaves to whoever feeds it, as a function of the generated header.

The same arithmetic as :class:`qedge.processing.affine.InputStep` and :func:`qedge.quantmath.quantize`: float32, one
rounding an operation, ties to even. No two operations can be joined to one instruction, so compilers agree.
"""

from __future__ import annotations

from textwrap import indent

from qedge.graph import Tensor
from qedge.processing.affine import InputStep
from qedge_mcu.c_text import listed

_CODE = """\
float q = {real} / {lower}_scale;
q = q > -70000.0f ? q : -70000.0f;
q = q < 70000.0f ? q : 70000.0f;
int32_t code = (int32_t)q;
const float rest = q - (float)code;
if (rest > 0.5f || (rest == 0.5f && (code & 1) != 0)) {{
    ++code;
}} else if (rest < -0.5f || (rest == -0.5f && (code & 1) != 0)) {{
    --code;
}}
code += {lower}_zero_point;
code = code < {low} ? {low} : code;
{result} ({ctype})(code > {high} ? {high} : code);
"""
_C = """\
/* Write {what} to memory of yours, from values in the units that the model was trained with: (value - offset) * factor,
 * quantised. Not for -ffast-math. */
static inline void {name}_write_{io}_to({ctype} *codes, const float *values)
{{
    static const float offset[{count}] = {{{offset}}};
    static const float factor[{count}] = {{{factor}}};
    for (int32_t i = 0; i < {upper}_ELEMENTS; ++i) {{
        const int32_t channel = i % {count};
{codes}    }}
}}

#if !defined({model}_EXTERNAL_INPUT)
/* The same, to where a run reads it. */
static inline void {name}_write_{io}({name}_context *context, const float *values)
{{
    {name}_write_{io}_to({name}_{io}(context), values);
}}
#endif
"""
LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


def write_input(name: str, io: str, tensor: Tensor, ctype: str, step: InputStep) -> str:
    """Return the C function for an input; ``io`` is what its accessor is called (``input``, ``input_1``)."""
    count = max(len(step.offset), len(step.factor))
    code = code_of(
        "(values[i] - offset[channel]) * factor[channel]", "codes[i] =", f"{name}_{io}", tensor.dtype, ctype
    )
    return _C.format(
        name=name,
        io=io,
        what=f"the {io.replace('_', ' ')}",
        lower=f"{name}_{io}",
        upper=f"{name}_{io}".upper(),
        model=name.upper(),
        count=count,
        offset=listed(step.offset, count),
        factor=listed(step.factor, count),
        ctype=ctype,
        codes=indent(code, " " * 8),
    )


def code_of(real: str, result: str, lower: str, dtype: str, ctype: str) -> str:
    """Return the C that quantises ``real``, to nearest with ties to even, into ``result``.

    Args:
        real: an expression.
        result: what takes the code: ``codes[i] =``, ``return``.
        lower: prefix of the tensor's scale and zero point.
    """
    low, high = LIMITS[dtype]
    return _CODE.format(real=real, result=result, lower=lower, ctype=ctype, low=low, high=high)
