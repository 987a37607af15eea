"""The library's public header: one context, its functions, its inputs and outputs."""

from __future__ import annotations

from qedge.graph import Tensor
from qedge.processing.affine import INPUTS_KEY, OUTPUTS_KEY, OutputStep, finishes_in, steps_in
from qedge_mcu.c_text import EXTERN_BEGIN, EXTERN_END, banner, comment_text, io_name, literal, shape_text
from qedge_mcu.facts import external_context, external_fields, facts, set_inputs, wishes
from qedge_mcu.input_step import write_input
from qedge_mcu.output_step import read_output
from qedge_mcu.planner import ALIGN
from qedge_mcu.program import CONTEXT_ALIGN, Program
from qedge_mcu.structs import C_TYPES


def header_text(program: Program) -> str:
    """Return ``<model>.h``."""
    name, upper, graph = program.name, program.name.upper(), program.graph
    guard = f"{upper}_H"
    lines = [
        banner(program, f"{name}: an int8 neural network as plain C; no heap, no dependency."),
        f"#ifndef {guard}\n#define {guard}\n\n#include <stddef.h>\n#include <stdint.h>\n",
        *wishes(program),
        EXTERN_BEGIN,
        "/* Status codes. */",
        f"#define {upper}_OK 0",
        f"#define {upper}_ERROR_NULL (-1) /* the context is a null pointer */",
        f"#define {upper}_ERROR_INPUT (-2) /* an input that lies elsewhere: none is set, or {ALIGN} does not divide"
        " its address */\n",
        "/* Memory of one instance: tensors and working memory, in bytes. */",
        *_arena_bytes(program),
        *facts(program),
    ]
    fields = [f"    uint8_t arena[{upper}_ARENA_BYTES];"]
    fields += [
        f"    uint8_t {s.name}[{(s.nbytes + 3) // 4 * 4}]; /* kept between runs */" for s in program.states
    ]
    fields += external_fields(program)
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for k, t in enumerate(tensors):
            lines += _io_defines(program, kind, k, len(tensors), graph.tensors[t])
    lines += [
        "/* One instance of the model; the caller owns it. Several may run at the same time. */",
        *external_context(program, fields),
        "#elif defined(__cplusplus)",
        f"typedef struct alignas({CONTEXT_ALIGN}) {{",
        *fields,
        f"}} {name}_context;",
        "#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L",
        "typedef struct {",
        f"    _Alignas({CONTEXT_ALIGN}) " + fields[0].strip(),
        *fields[1:],
        f"}} {name}_context;",
        "#else /* C99 */",
        "typedef struct {",
        *fields,
        f"}} __attribute__((aligned({CONTEXT_ALIGN}))) {name}_context;",
        "#endif\n",
        *set_inputs(program),
        "/* Prepare an instance, once before the first run. */",
        f"int {name}_init({name}_context *context);\n",
        *(
            [
                "/* Forget what earlier runs left behind, as after init: a new stream begins. */",
                f"int {name}_reset_state({name}_context *context);\n",
            ]
            if program.states
            else []
        ),
        f"/* Run the model. Inputs lie in the arena, and a run overwrites them, unless {upper}_EXTERNAL_INPUT is"
        " defined. */",
        f"int {name}_run({name}_context *context);\n",
    ]
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for k, t in enumerate(tensors):
            lines.append(_accessor(program, kind, k, len(tensors), graph.tensors[t]))
    for k, step in steps_in(graph.metadata.get(INPUTS_KEY, b"")).items():
        tensor, io = graph.tensors[graph.inputs[k]], io_name("input", k, len(graph.inputs))
        lines.append(write_input(name, io, tensor, C_TYPES[tensor.dtype], step))
    for k, left in finishes_in(graph.metadata.get(OUTPUTS_KEY, b"")).items():
        if isinstance(left, OutputStep):
            io = io_name("output", k, len(graph.outputs))
            lines.append(read_output(name, io, graph.tensors[graph.outputs[k]], left))
    lines += [EXTERN_END, "#endif\n"]
    return "\n".join(lines)


def _arena_bytes(program: Program) -> list[str]:
    upper, inside, outside = program.name.upper(), program.arena_bytes, program.outside_arena_bytes
    if inside == outside:
        return [f"#define {upper}_ARENA_BYTES {inside}\n"]
    return [
        f"#if defined({upper}_EXTERNAL_INPUT)",
        f"#define {upper}_ARENA_BYTES {outside}",
        "#else",
        f"#define {upper}_ARENA_BYTES {inside}",
        "#endif\n",
    ]


def _io_defines(program: Program, kind: str, k: int, count: int, tensor: Tensor) -> list[str]:
    upper = f"{program.name}_{io_name(kind, k, count)}".upper()
    names = program.graph.input_names if kind == "input" else program.graph.output_names
    lines = [
        f"/* {kind.capitalize()} {k}: {comment_text(names[k])}, {tensor.dtype} {shape_text(tensor)}. */",
        f"#define {upper}_ELEMENTS {tensor.elements}",
        f"#define {upper}_BYTES {tensor.nbytes}",
        f"#define {upper}_RANK {len(tensor.shape)}",
        *(f"#define {upper}_DIM_{i} {d}" for i, d in enumerate(tensor.shape)),
    ]
    if tensor.quantization is not None and not tensor.quantization.per_channel:
        scale, zero_point = tensor.quantization.scalar
        lower = upper.lower()
        lines += [
            "/* real value = scale * (quantised value - zero point) */",
            f"static const float {lower}_scale = {literal(scale)};",
            f"static const int32_t {lower}_zero_point = {zero_point};",
        ]
    return [*lines, ""]


def _accessor(program: Program, kind: str, k: int, count: int, tensor: Tensor) -> str:
    ctype, io, name = C_TYPES[tensor.dtype], io_name(kind, k, count), program.name
    inside, part = f"context->arena + {program.offset(tensor.index)}", program.part_of_input(tensor.index)
    if part is None:
        outside = f"context->arena + {program.offset_outside(tensor.index)}"
    else:
        source = io_name("input", part[0], len(program.graph.inputs))
        outside = f"(const uint8_t *)context->{source} + {part[1]}"
    if kind == "input":
        own = _getter(f"{name}_{io}", name, ctype, inside, "Where the caller writes the input before a run.")
        given = _getter(f"{name}_{io}", name, f"const {ctype}", outside, "The input that the next run reads.")
    else:
        what = "Where the output lies after a run, until the next input is written."
        own, given = (_getter(f"{name}_{io}", name, f"const {ctype}", at, what) for at in (inside, outside))
    if own == given:
        return own
    return f"#if defined({name.upper()}_EXTERNAL_INPUT)\n{given}#else\n{own}#endif\n"


def _getter(function: str, name: str, ctype: str, where: str, what: str) -> str:
    const = "const " if ctype.startswith("const ") else ""
    return (
        f"/* {what} */\nstatic inline {ctype} *{function}({const}{name}_context *context)\n{{\n"
        f"    return ({ctype} *)({where});\n}}\n"
    )
