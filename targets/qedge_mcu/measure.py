"""What a library takes on the core that it is for: compiled, counted, and where it is to go."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qedge.emulate import CORES as EMULATED
from qedge.errors import ToolError
from qedge.price import Price
from qedge.target import Request
from qedge.target.options import as_int_bytes
from qedge.target.reports import Options
from qedge_mcu import calibration, report
from qedge_mcu.boards import board
from qedge_mcu.cores import Core, core
from qedge_mcu.counted import Counted, added_up, remember
from qedge_mcu.emit import Generated, emit
from qedge_mcu.library import Library, Measured, describe
from qedge_mcu.program import Program, build, check

Array = npt.NDArray[Any]
DEFAULT_CORE = "cortex-m4"
MOST_COUNTED = 30_000_000
"""Multiplications of a model whose instructions a build counts, which takes a second in some ten million."""


def destination(options: Options) -> tuple[Core, dict[str, Any]]:
    """Return the core to generate for and the budget (``ram``, ``flash``, ``latency``); a board gives what is left."""
    budget = {k: options[k] for k in ("ram", "flash", "latency") if options.get(k) is not None}
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


def price(request: Request) -> Price | None:
    """Return flash, RAM, instructions and milliseconds beside their limits; None without a kernel.

    With a memory that knows every part, code and instructions are added up; else they are compiled and counted.
    """
    wanted, budget = destination(request.options)
    if check(request.graph, wanted)[1]:
        return None
    limits = {
        name: float(as_int_bytes(v, what=f"--{name}")) for name, v in budget.items() if name != "latency"
    }
    program = build(request.graph, wanted, request.name)
    generated = emit(program)
    known = None if request.memory is None else added_up(program, request.memory)
    counted = known or _counted(request, program, generated)
    flash, ram = generated.constant_bytes + counted.code_bytes, program.context_bytes
    figures = {"flash": float(flash), "ram": float(ram)}
    run = _figures(counted.run, request)
    if run:
        figures |= {"instructions": float(run["instructions"]), "latency": run["latency_ms"]["value"]}
        if "latency" in budget:
            limits["latency"] = budget["latency"]
    return Price(figures, limits, ("ram",), exact=known is None)


def run_of(library: Library | None, request: Request, inputs: Sequence[list[Array]]) -> dict[str, Any]:
    """Return what one inference takes on the emulated core; {} where nothing emulates it, or it takes too long.

    A stated latency is worth any time.
    """
    return _figures(_measured(library, request, inputs), request)


def _counted(request: Request, program: Program, generated: Generated) -> Counted:
    """Return what a program takes, compiled and run."""
    library = compiled_library(program, generated, request.workdir)
    code_bytes = 0 if library is None else library.image.sizes().code
    found = Counted(code_bytes, _measured(library, request, [list(s) for s in request.golden_inputs]))
    if request.memory is not None:
        remember(program, found, request.memory)
    return found


def _measured(library: Library | None, request: Request, inputs: Sequence[list[Array]]) -> Measured | None:
    asked = request.options.get("latency") is not None
    if library is None or not inputs or (report.operations(request.graph) > MOST_COUNTED and not asked):
        return None
    try:
        return library.measure(inputs[0])
    except ToolError:  # no emulator here: `qedge bench` says so
        return None


def _figures(measured: Measured | None, request: Request) -> dict[str, Any]:
    if measured is None:
        return {}
    name, (wanted, _) = request.options.get("board"), destination(request.options)
    chosen = board(str(name)) if name else None
    own = calibration.read(request.options, chosen)
    return report.run_figures(wanted.runs_on, measured, chosen, own)
