"""What a library takes on the core that it is for: compiled, counted, and where it is to go."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qedge.emulate import CORES as EMULATED
from qedge.errors import ToolError
from qedge.target import Request
from qedge.target.reports import Options
from qedge_mcu import calibration, report
from qedge_mcu.boards import board
from qedge_mcu.cores import Core, core
from qedge_mcu.emit import Generated
from qedge_mcu.library import Library, describe
from qedge_mcu.program import Program

Array = npt.NDArray[Any]
DEFAULT_CORE = "cortex-m4"
MOST_COUNTED = 30_000_000
"""Multiplications of a model whose instructions a build counts, which takes a second in some ten million."""


def destination(options: Options) -> tuple[Core, dict[str, Any]]:
    """Return the core to generate for and the budget (``ram``, ``flash``); a board gives what is not said."""
    budget = {k: options[k] for k in ("ram", "flash") if options.get(k) is not None}
    name = options.get("core")
    if options.get("board"):
        chosen = board(str(options["board"]))
        name = name or chosen.core
        budget = {"ram": chosen.ram_bytes, "flash": chosen.flash_bytes} | budget
    return core(str(name or DEFAULT_CORE)), budget


def compiled_library(program: Program, generated: Generated, workdir: Path) -> Library | None:
    """Return the library, compiled for its core; None where the cross compiler is missing or lacks the core."""
    if program.core.name not in EMULATED:
        return None
    generated.write(workdir)
    library = Library(workdir, describe(program, generated.sources))
    try:
        _ = library.image
    except ToolError:
        if importlib.util.find_spec("ziglang") is not None:
            raise
        return None
    return library


def run_of(library: Library | None, request: Request, inputs: Sequence[list[Array]]) -> dict[str, Any]:
    """Return what one inference takes on the emulated core; {} where nothing emulates it, or it takes too long."""
    if library is None or not inputs or report.operations(request.graph) > MOST_COUNTED:
        return {}
    try:
        measured = library.measure(inputs[0])
    except ToolError:  # no emulator here: `qedge bench` says so
        return {}
    name = request.options.get("board")
    chosen = board(str(name)) if name else None
    return report.run_figures(library.core, measured, chosen, calibration.read(request.options, chosen))
