"""What firmware wants to know of a model at compile time: whose it is, and its steps."""

from __future__ import annotations

from qedge._version import __version__
from qedge_mcu.program import Program


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
