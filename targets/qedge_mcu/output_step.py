"""The step that a model leaves to whoever reads its output, as a function of the generated header."""

from __future__ import annotations

from qedge.graph import Tensor
from qedge.processing.affine import OutputStep
from qedge_mcu.c_text import listed

_C = """\
/* The {what} at a place in the units that the model was trained with: its real value * factor + offset. */
static inline float {name}_read_{io}(const {name}_context *context, int32_t index)
{{
    static const float factor[{count}] = {{{factor}}};
    static const float offset[{count}] = {{{offset}}};
    return {real} * factor[index % {count}] + offset[index % {count}];
}}
"""


def read_output(name: str, io: str, tensor: Tensor, step: OutputStep) -> str:
    """Return the C function for an output; ``io`` is what its accessor is called (``output``, ``output_1``)."""
    count = max(len(step.factor), len(step.offset))
    lower = f"{name}_{io}"
    code = f"{lower}(context)[index]"
    real = f"(float)((int32_t){code} - {lower}_zero_point) * {lower}_scale"
    return _C.format(
        name=name,
        io=io,
        what=io.replace("_", " "),
        count=count,
        factor=listed(step.factor, count),
        offset=listed(step.offset, count),
        real=real if tensor.quantization is not None else f"(float){code}",
    )
