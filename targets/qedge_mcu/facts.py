"""What firmware wants of the header beside inputs and outputs: whose model it is, its steps, macros to choose by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qedge._version import __version__
from qedge_mcu.c_text import USER_CONFIG, io_name
from qedge_mcu.planner import ALIGN
from qedge_mcu.program import CONTEXT_ALIGN, Program
from qedge_mcu.structs import C_TYPES

_WISHES = """\
/* Define any of these for all files of the library and all that include this one: as flags of the compiler, or in a
 * file qe_user_config.h beside this one.
 *   @NAME@_EXTERNAL_ARENA
 *                          the context holds no arena but a pointer to yours, which @name@_set_arena
 *                          takes: several models that do not run at the same time may share one
 *   @NAME@_EXTERNAL_INPUT
 *                          a run reads its input where it lies, in memory of yours that @name@_set_@input@ or
 *                          @name@_run_from names: no copy, and it stays as it is@outside@
 *   QE_WEIGHTS_ATTRIBUTE   of every constant array, for instance __attribute__((section(".ext_flash"))); the memory
 *                          must be one that loads of a byte can read
 *   QE_OBSERVER            name of void f(void *context, int index), called after each step
 *   QE_STOPPER             name of int f(void *context, int index), called after each step (feed a watchdog, yield): a
 *                          value other than 0 ends the run, which returns it; take a positive one
 * @name@_app.h has real numbers, labels, names of steps, and inputs that lie elsewhere. */
"""


def facts(program: Program) -> list[str]:
    """Return the lines of the header with the model's hash, the generator's version and the number of steps."""
    upper = program.name.upper()
    return [
        "/* Which model this is, and what made it. */",
        f'#define {upper}_MODEL_SHA256 "{program.graph.sha256}"',
        f'#define {upper}_QEDGE_VERSION "{__version__}"',
        "/* Steps of a run, one an operator: what QE_OBSERVER is called with lies in [0, STEPS). */",
        f"#define {upper}_STEPS {len(program.steps)}\n",
    ]


def wishes(program: Program) -> list[str]:
    """Return the lines of the header that say what can be chosen by macros, and read the user's own."""
    name, upper = program.name, program.name.upper()
    less = program.arena_bytes - program.outside_arena_bytes
    first = io_name("input", 0, len(program.graph.inputs))
    outside = f";\n *                          the arena is {less:,} bytes smaller" if less else ""
    return [
        _WISHES.replace("@outside@", outside)
        .replace("@input@", first)
        .replace("@name@", name)
        .replace("@NAME@", upper),
        "#if defined(__AVR__)",
        f'#error "{name} needs a core of 32 bits: AVR keeps constants in its RAM"',
        "#endif",
        USER_CONFIG.rstrip("\n"),
        "",
    ]


def _filled(text: str, **values: str) -> str:
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def external_context(program: Program, fields: Sequence[str]) -> list[str]:
    """Return the context of a library whose arena is the caller's, up to the ``#elif`` of the usual one.

    Args:
        fields: of the usual context, the arena first.
    """
    name, upper = program.name, program.name.upper()
    kept = "".join(f"{field}\n" for field in fields[1:])
    return [
        f"#if defined({upper}_EXTERNAL_ARENA)",
        f"typedef struct {{\n    uint8_t *arena;\n{kept}}} {name}_context;\n",
        f"/* Give an instance its arena: {upper}_ARENA_BYTES at an address that {CONTEXT_ALIGN} divides.",
        " * Inputs and outputs lie in it, so that they last until something else uses it. */",
        f"static inline void {name}_set_arena({name}_context *context, void *arena)\n{{",
        "    context->arena = (uint8_t *)arena;\n}",
    ]


def _inputs(program: Program) -> Iterator[tuple[str, str]]:
    """Yield the name of each input, and its type in C."""
    graph = program.graph
    for k, t in enumerate(graph.inputs):
        yield io_name("input", k, len(graph.inputs)), C_TYPES[graph.tensors[t].dtype]


def external_fields(program: Program) -> list[str]:
    """Return the lines of a context that point to inputs in the caller's memory."""
    fields = [f"    const {ctype} *{io};" for io, ctype in _inputs(program)]
    return [f"#if defined({program.name.upper()}_EXTERNAL_INPUT)", *fields, "#endif"]


def set_inputs(program: Program) -> list[str]:
    """Return the functions that say where inputs in the caller's memory lie."""
    name, upper = program.name, program.name.upper()
    lines = [f"#if defined({upper}_EXTERNAL_INPUT)"]
    for io, ctype in _inputs(program):
        lines += [
            f"/* Say where the {io.replace('_', ' ')} of the next runs lies: {upper}_{io.upper()}_BYTES at an address",
            f" * that {ALIGN} divides. A run only reads it. Of two buffers that DMA fills by turns: the full one. */",
            f"static inline void {name}_set_{io}({name}_context *context, const {ctype} *{io})\n{{",
            f"    context->{io} = {io};\n}}",
        ]
    return [*lines, "#endif\n"]
