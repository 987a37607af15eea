"""What firmware wants of the header beside inputs and outputs: whose model it is, its steps, macros to choose by."""

from __future__ import annotations

from collections.abc import Sequence

from qedge._version import __version__
from qedge_mcu.c_text import USER_CONFIG
from qedge_mcu.program import CONTEXT_ALIGN, Program

_WISHES = """\
/* Define any of these for all files of the library and all that include this one: as flags of the compiler, or in a
 * file qe_user_config.h beside this one.
 *   @NAME@_EXTERNAL_ARENA
 *                          the context holds no arena but a pointer to yours, which @name@_set_arena
 *                          takes: several models that do not run at the same time may share one
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
    return [
        _WISHES.replace("@name@", name).replace("@NAME@", upper),
        "#if defined(__AVR__)",
        f'#error "{name} needs a core of 32 bits: AVR keeps constants in its RAM"',
        "#endif",
        USER_CONFIG.rstrip("\n"),
        "",
    ]


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
