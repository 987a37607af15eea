"""The library's plan as C: its parameters, its states, and the calls in their order."""

from __future__ import annotations

from qedge_mcu.c_text import banner, io_name
from qedge_mcu.calls import calls_text
from qedge_mcu.constants import Constants
from qedge_mcu.parameters import Parameters
from qedge_mcu.planner import ALIGN
from qedge_mcu.program import CONTEXT_ALIGN, Program

_OBSERVER = """\
/* Functions of the application that are called after each step; see the header. */
#if defined(QE_STOPPER)
#ifdef __cplusplus
extern "C"
#endif
int QE_STOPPER(void *context, int index);
#define QE_AFTER(index) \\
    do { \\
        const int qe_stop = QE_STOPPER(context, (index)); \\
        if (qe_stop != 0) { \\
            return qe_stop; \\
        } \\
    } while (0)
#elif defined(QE_OBSERVER)
#ifdef __cplusplus
extern "C"
#endif
void QE_OBSERVER(void *context, int index);
#define QE_AFTER(index) QE_OBSERVER(context, (index))
#else
#define QE_AFTER(index) ((void)0)
#endif

"""


_EITHER = """\
/* An offset in the arena, and where the inputs lie elsewhere. */
#if defined(@NAME@_EXTERNAL_INPUT)
#define QE_EITHER(inside, outside) (outside)
#else
#define QE_EITHER(inside, outside) (inside)
#endif

"""


def _inputs(program: Program, calls: str) -> str:
    """Return the statements of a run that say where the inputs lie."""
    upper, graph = program.name.upper(), program.graph
    given, own = [], []
    for k, t in enumerate(graph.inputs):
        io = io_name("input", k, len(graph.inputs))
        given += [
            f"    if (context->{io} == NULL || ((uintptr_t)context->{io} & {ALIGN - 1}u) != 0u) {{",
            f"        return {upper}_ERROR_INPUT;\n    }}",
        ]
        if f"({io} +" in calls:
            given.append(f"    const uint8_t *const {io} = (const uint8_t *)context->{io};")
            own.append(f"    const uint8_t *const {io} = context->arena + {program.offset(t)};")
    lines = [f"#if defined({upper}_EXTERNAL_INPUT)", *given, *(["#else", *own] if own else []), "#endif\n"]
    return "\n".join(lines)


def source_text(program: Program, constants: Constants, parameters: Parameters, headers: list[str]) -> str:
    """Return ``<model>.c``."""
    calls = calls_text(program, constants, parameters)
    name, upper = program.name, program.name.upper()
    includes = "\n".join(f'#include "{h}"' for h in headers)
    asserts = ['QE_STATIC_ASSERT(sizeof(int8_t) == 1 && sizeof(float) == 4, "types of a usual machine");']
    inside = []
    for kind, tensors in (("input", program.graph.inputs), ("output", program.graph.outputs)):
        for k, t in enumerate(tensors):
            io = io_name(kind, k, len(tensors))
            end = f"{program.offset(t)} + {upper}_{io.upper()}_BYTES"
            inside.append(f'QE_STATIC_ASSERT({end} <= {upper}_ARENA_BYTES, "{io} lies in the arena");')
    total = f"{upper}_ARENA_BYTES" + "".join(f" + {(s.nbytes + 3) // 4 * 4}" for s in program.states)
    asserts += [
        f"#if !defined({upper}_EXTERNAL_INPUT)",
        *inside,
        "#endif",
        f"#if !defined({upper}_EXTERNAL_ARENA) && !defined({upper}_EXTERNAL_INPUT)\n"
        f"QE_STATIC_ASSERT(sizeof({name}_context) >= {total}\n"
        f'    && sizeof({name}_context) < {total} + {CONTEXT_ALIGN}, "the context holds nothing else");\n#endif',
    ]
    states = "".join(
        f"    memset(context->{s.name}, {s.initial & 255}, sizeof(context->{s.name}));\n"
        + (
            f"    memcpy(context->{s.name} + {s.start}, {constants.names[-2, s.name]}, {len(s.contents)});\n"
            if s.contents
            else ""
        )
        for s in program.states
    )
    reset = f"    return {upper}_OK;\n"
    if states:
        reset = f"    return {name}_reset_state(context);\n"
        states = (
            f"int {name}_reset_state({name}_context *context)\n{{\n    if (context == NULL) {{\n"
            f"        return {upper}_ERROR_NULL;\n    }}\n{states}    return {upper}_OK;\n}}\n\n"
        )
    arena = "    uint8_t *const arena = context->arena;\n" if "(arena +" in calls else ""
    arena += _inputs(program, calls)
    no_arena = (
        f"#if defined({upper}_EXTERNAL_ARENA)\n    if (context->arena == NULL) {{\n"
        f"        return {upper}_ERROR_NULL;\n    }}\n#endif\n"
    )
    return (
        banner(program, f"{name}: the plan, one call an operator.")
        + f'#include "{name}.h"\n\n#include "{name}_weights.h"\n{includes}\n\n'
        + _OBSERVER
        + (_EITHER.replace("@NAME@", upper) if "QE_EITHER(" in calls else "")
        + "\n".join(asserts)
        + "\n\n"
        + parameters.source()
        + f"\n{states}int {name}_init({name}_context *context)\n{{\n    if (context == NULL) {{\n"
        + f"        return {upper}_ERROR_NULL;\n    }}\n{reset}}}\n\n"
        + f"int {name}_run({name}_context *context)\n{{\n    if (context == NULL) {{\n"
        + f"        return {upper}_ERROR_NULL;\n    }}\n{no_arena}{arena}\n"
        + calls
        + f"\n    return {upper}_OK;\n}}\n"
    )
