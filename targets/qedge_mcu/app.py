"""``<model>_app.h``: what an application wants around a run, in the units and words of people.

Everything in it is static inline, so that what a program does not use takes no memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import indent
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge import quantmath
from qedge.graph import Graph, Tensor
from qedge.processing.affine import INPUTS_KEY, OUTPUTS_KEY, OutputStep, finishes_in, steps_in
from qedge.processing.image import ImagePreprocess
from qedge.processing.spec import Preprocess
from qedge_mcu.c_text import banner, io_name, short, values_text
from qedge_mcu.input_step import LIMITS, code_of
from qedge_mcu.program import Program
from qedge_mcu.structs import C_TYPES

_QUANTIZE = """\
/* The code of a real value, as in Python: one division in float32, to nearest, ties to even. Not for -ffast-math. */
static inline {ctype} {name}_quantize_{io}(float value)
{{
{codes}}}
"""
_DEQUANTIZE = """\
/* The real value of a code. */
static inline float {name}_dequantize_{io}({ctype} code)
{{
    return (float)((int32_t)code - {lower}_zero_point) * {lower}_scale;
}}
"""
_TOP = """\
/* The place of the largest output, the first of equal ones; *score, unless null, is its real value. */
static inline int32_t {name}_top(const {name}_context *context, float *score)
{{
{codes}    int32_t best = 0;
    for (int32_t i = 1; i < {upper}_OUTPUT_ELEMENTS; ++i) {{
        best = {at_i} > {at_best} ? i : best;
    }}
    if (score != NULL) {{
        *score = {real};
    }}
    return best;
}}
"""
_NAMES = """\
/* {what} */
static inline const char *{function}(int32_t index)
{{
    static const char *const names[] = {{
{names}
    }};
    return index >= 0 && index < {count} ? names[index] : "?";
}}
"""
_IMAGE = """\
/* Write the input, to memory of yours, from a picture of the model's size: {height} rows of {width} pixels of
 * {channels} bytes{order}, levels 0 to 255. The same codes as Python's pre-processing gives; scale and crop the
 * picture before. */
static inline void {name}_image_u8_to({ctype} *codes, const uint8_t *pixels)
{{
{tables}    for (int32_t i = 0; i < {upper}_INPUT_ELEMENTS; i += {channels}) {{
{lines}
    }}
}}

#if !defined({upper}_EXTERNAL_INPUT)
/* The same, to where a run reads it. */
static inline void {name}_set_image_u8({name}_context *context, const uint8_t *pixels)
{{
    {name}_image_u8_to({name}_input(context), pixels);
}}
#endif
"""


def app_header(program: Program, labels: Sequence[str], preprocess: Preprocess | None) -> str:
    """Return the header's text."""
    name, upper, graph = program.name, program.name.upper(), program.graph
    parts = [
        banner(program, f"Around a run of {name}: real numbers, labels, pictures, names of steps.").rstrip(),
        f'#ifndef {upper}_APP_H\n#define {upper}_APP_H\n\n#include <string.h>\n\n#include "{name}.h"\n',
        _run_from(program),
    ]
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for k, t in enumerate(tensors):
            if kind == "input" or k not in _stepped(graph):
                parts += _conversions(program, io_name(kind, k, len(tensors)), graph.tensors[t])
    if len(graph.outputs) == 1 and 2 <= graph.tensors[graph.outputs[0]].elements <= 65536:
        parts += _top(program, graph.tensors[graph.outputs[0]])
        if len(labels) == graph.tensors[graph.outputs[0]].elements:
            parts.append(f"#define {upper}_LABELS {len(labels)}\n")
            parts.append(
                names_function(f"{name}_label", "The name of an output, in the model's order.", labels)
            )
    if isinstance(preprocess, ImagePreprocess) and len(graph.inputs) == 1:
        parts += image_input(program, preprocess)
    steps = [f"{s.op.label} {short(_outputs(program, s.op.outputs), 60)}".strip() for s in program.steps]
    parts.append(
        names_function(f"{name}_step_name", "The name of a step: what QE_OBSERVER is called with.", steps)
    )
    return "\n".join([*parts, "#endif\n"])


def _run_from(program: Program) -> str:
    """Return the run on inputs that lie elsewhere."""
    name, graph = program.name, program.graph
    places = [(io_name("input", k, len(graph.inputs)), graph.tensors[t]) for k, t in enumerate(graph.inputs)]
    arguments = ", ".join(f"const {C_TYPES[t.dtype]} *{io}" for io, t in places)
    copies = "".join(
        f"    memcpy({name}_{io}(context), {io}, {name.upper()}_{io.upper()}_BYTES);\n" for io, _ in places
    )
    given = "".join(f"    {name}_set_{io}(context, {io});\n" for io, _ in places)
    return (
        "/* Run on an input that lies elsewhere, in one of two buffers that DMA fills by turns, for instance: it\n"
        f" * stays as it is. It is copied, unless {name.upper()}_EXTERNAL_INPUT is defined. */\n"
        f"static inline int {name}_run_from({name}_context *context, {arguments})\n{{\n"
        f"#if defined({name.upper()}_EXTERNAL_INPUT)\n{given}#else\n{copies}#endif\n"
        f"    return {name}_run(context);\n}}\n"
    )


def _outputs(program: Program, outputs: Sequence[int]) -> str:
    return ", ".join(program.graph.tensors[t].label for t in outputs)


def _conversions(program: Program, io: str, tensor: Tensor) -> list[str]:
    if tensor.dtype not in LIMITS or tensor.quantization is None or tensor.quantization.per_channel:
        return []
    lower, ctype = f"{program.name}_{io}", C_TYPES[tensor.dtype]
    words = {"name": program.name, "io": io, "lower": lower, "ctype": ctype}
    if not io.startswith("input"):
        return [_DEQUANTIZE.format(**words)]
    return [
        _QUANTIZE.format(
            **words, codes=indent(code_of("value", "return", lower, tensor.dtype, ctype), " " * 4)
        )
    ]


def _stepped(graph: Graph) -> set[int]:
    """Return the outputs whose columns have a scale and offset of their own: the library's header reads them."""
    left = finishes_in(graph.metadata.get(OUTPUTS_KEY, b""))
    return {k for k, step in left.items() if isinstance(step, OutputStep)}


def _top(program: Program, tensor: Tensor) -> list[str]:
    known = tensor.dtype in LIMITS and tensor.quantization is not None
    if tensor.dtype not in (*LIMITS, "float32") or (known and tensor.quantization.per_channel):  # type: ignore[union-attr]
        return []
    name, ctype = program.name, C_TYPES[tensor.dtype]
    words = {"name": name, "upper": name.upper()}
    if 0 in _stepped(program.graph):
        at = f"{name}_read_output(context, %s)"
        return [_TOP.format(**words, codes="", at_i=at % "i", at_best=at % "best", real=at % "best")]
    real = f"{name}_dequantize_output(codes[best])" if known else "(float)codes[best]"
    codes = f"    const {ctype} *const codes = {name}_output(context);\n"
    return [_TOP.format(**words, codes=codes, at_i="codes[i]", at_best="codes[best]", real=real)]


def names_function(function: str, what: str, names: Sequence[str]) -> str:
    lines = "\n".join(f"        {c_string(n)}," for n in names)
    return _NAMES.format(what=what, function=function, names=lines, count=len(names))


def c_string(text: str) -> str:
    """Return a C string literal of UTF-8 bytes; no byte runs into an escape before it.

    >>> c_string('a "b"'), c_string("né1")
    ('"a \\\\"b\\\\""', '"n\\\\303\\\\2511"')
    """
    escaped = "".join(
        chr(b)
        if 32 <= b < 127 and chr(b) not in '"\\?'
        else (f"\\{chr(b)}" if chr(b) in '"\\?' else f"\\{b:03o}")
        for b in text.encode("utf-8", "replace")
    )
    return f'"{escaped}"'


def image_input(program: Program, preprocess: ImagePreprocess) -> list[str]:
    """Return ``<model>_set_image_u8``; nothing for an input that is no such picture, or no integer."""
    tensor = program.graph.tensors[program.graph.inputs[0]]
    fits = tensor.shape == preprocess.shape and tensor.dtype in LIMITS and tensor.quantization is not None
    if not fits:
        return []
    levels = _levels(program, preprocess, tensor)
    channels, plain = preprocess.channels, np.arange(256)
    offset = int(levels[0][0])
    linear = all(np.array_equal(column, plain + offset) for column in levels)
    same = all(np.array_equal(column, levels[0]) for column in levels)
    ctype = C_TYPES[tensor.dtype]
    tables, lines = "", []
    if not linear:
        rows = levels[:1] if same else levels
        text = "".join(f"        {{\n{values_text(row)}\n        }},\n" for row in rows)
        tables = f"    static const {ctype} levels[{len(rows)}][256] = {{\n{text}    }};\n"
    for c in range(channels):
        place = channels - 1 - c if preprocess.color == "bgr" else c
        pixel = f"pixels[i + {place}]"
        code = f"levels[{0 if same else c}][{pixel}]" if not linear else f"({ctype})({pixel} + {offset})"
        lines.append(f"        codes[i + {c}] = {code};")
    return [
        _IMAGE.format(
            name=program.name,
            upper=program.name.upper(),
            height=preprocess.height,
            width=preprocess.width,
            channels=channels,
            order=" (gray)" if channels == 1 else " (red, green, blue)",
            ctype=ctype,
            tables=tables,
            lines="\n".join(lines),
        )
    ]


def _levels(program: Program, preprocess: ImagePreprocess, tensor: Tensor) -> list[npt.NDArray[np.int64]]:
    """Return for each channel of the model the codes of the levels 0 to 255."""
    changed = {"width": 16, "height": 16, "fit": "stretch", "crop_fraction": 1.0}
    small = ImagePreprocess(**{**_fields(preprocess), **changed})
    square = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    values = small.apply(np.broadcast_to(square, (16, 16, preprocess.channels)))
    step = steps_in(program.graph.metadata.get(INPUTS_KEY, b"")).get(0)
    assert tensor.quantization is not None
    scale, zero_point = tensor.quantization.scalar
    codes = quantmath.quantize(
        values if step is None else step.apply(values), scale, zero_point, tensor.dtype
    )
    return [
        codes.reshape(256, preprocess.channels)[:, c].astype(np.int64) for c in range(preprocess.channels)
    ]


def _fields(preprocess: ImagePreprocess) -> dict[str, Any]:
    return {k: v for k, v in json.loads(json.dumps(preprocess.to_json())).items() if k != "kind"}
