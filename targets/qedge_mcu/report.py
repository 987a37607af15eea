"""Figures about a generated library: what it takes, what exceeds a budget, what is estimated."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from qedge.findings import Finding
from qedge.graph import Graph
from qedge.installing import install_command
from qedge.oracle import tflm
from qedge.target import Requirement
from qedge.target.options import as_int_bytes
from qedge_mcu import cost
from qedge_mcu.boards import Board
from qedge_mcu.cores import CORES
from qedge_mcu.emit import Generated
from qedge_mcu.library import Library, Measured
from qedge_mcu.program import Program
from qedge_mcu.verify import layer_table


def metrics(program: Program, generated: Generated, code_bytes: int | None = None) -> dict[str, Any]:
    """Return code (where it was compiled), constants, arena and state, and where each tensor lies.

    ``scratch_bytes`` is the part of the arena that is working memory.
    """
    code = {} if code_bytes is None else {"code": code_bytes}
    return {
        "core": program.core.name,
        "flash_bytes": {**code, "data": generated.constant_bytes},
        "constants_overhead_bytes": generated.overhead_bytes,
        "ram_bytes": {"arena": program.plan.arena_bytes, "state": program.state_bytes},
        "scratch_bytes": program.scratch_bytes,
        "context_bytes": program.context_bytes,
        "arena_plan": arena_plan(program),
    }


def arena_plan(program: Program) -> list[dict[str, Any]]:
    """Return one entry a buffer: where it lies and from which operator to which it lives."""
    entries = []
    steps = len(program.steps)
    for b in program.plan.problem.buffers:
        tensor = program.graph.tensors[int(b.name)].name if b.name.isdigit() else "working memory"
        entries.append(
            {
                "tensor": tensor,
                "offset": program.plan.offsets[b.name],
                "bytes": b.nbytes,
                "first_op": max(b.first, 0),
                "last_op": min(b.last, steps - 1),
            }
        )
    return sorted(entries, key=lambda e: (e["first_op"], e["offset"]))


def over_budget(
    program: Program, generated: Generated, budget: Mapping[str, Any], code_bytes: int | None = None
) -> list[Finding]:
    """Return what exceeds the budget's ``ram`` or ``flash``, with what would have to go."""
    found = []
    largest_step, alive = _peak(program)
    heaviest = sorted(
        ((sum(a.values.nbytes for a in s.emitted.arrays), s.op.label) for s in program.steps), reverse=True
    )
    why = {
        "ram": f"the peak is at {largest_step}, where {alive} live: make them smaller",
        "flash": "the largest constants are those of "
        + ", ".join(f"{label} ({size:,})" for size, label in heaviest[:3]),
    }
    for name, used in (
        ("ram", program.context_bytes),
        ("flash", generated.constant_bytes + (code_bytes or 0)),
    ):
        limit = budget.get(name)
        if limit is None:
            continue
        allowed = as_int_bytes(limit, what=f"--{name}")
        if used > allowed:
            message = (
                f"the model needs {used:,} bytes of {name}, {used - allowed:,} over the {allowed:,} given"
            )
            found.append(Finding("error", "capacity", message, why[name]))
    return found


def over_latency(run: Mapping[str, Any], budget: Mapping[str, Any]) -> Finding | None:
    """Return that the estimated time exceeds the budget's ``latency``, or None."""
    limit, latency = budget.get("latency"), run.get("latency_ms")
    if limit is None or latency is None or latency["value"] <= limit:
        return None
    message = (
        f"an inference takes about {latency['value']:.3g} ms ({latency['low']:.3g} to {latency['high']:.3g}),"
        f" over the {limit:.3g} given"
    )
    return Finding(
        "error",
        "capacity",
        message,
        "choose a faster board or a smaller model; qedge calibrate-board narrows the estimate",
    )


def _peak(program: Program) -> tuple[str, str]:
    """Return the step at which most memory is in use, and the buffers there in words."""
    best, where = -1, 0
    buffers = program.plan.problem.buffers
    for i in range(len(program.steps)):
        top = max(
            (program.plan.offsets[b.name] + b.nbytes for b in buffers if b.first <= i <= b.last), default=0
        )
        if top > best:
            best, where = top, i
    parts = []
    for b in sorted(buffers, key=lambda b: -b.nbytes):
        if b.first <= where <= b.last:
            name = program.graph.tensors[int(b.name)].label if b.name.isdigit() else "working memory"
            parts.append(f"{name!r} ({b.nbytes:,} bytes)")
    return program.steps[where].op.label, " and ".join(parts[:3])


def measured(library: Library, m: Measured) -> dict[str, Any]:
    """Return the exact figures of one run, and of the image that was linked."""
    d = library.description
    arena = d.context_bytes
    return {
        "instructions": m.instructions,
        "flash_bytes": {"code": m.code_bytes, "data": m.data_bytes},
        "ram_bytes": {"arena": arena, "stack": m.stack_bytes},
    }


def operations(graph: Graph) -> int:
    """Return about how many multiplications one inference takes: each weight once for each place that it serves."""
    total = 0
    for op in graph.operators:
        for t in op.inputs[1:2] if op.outputs else ():  # what writes a state gives nothing
            out, weights = graph.tensors[op.outputs[0]], graph.tensors[t] if t >= 0 else None
            if weights is not None and weights.is_constant and len(weights.shape) > 1:
                places = out.elements // max(1, out.shape[-1]) if len(out.shape) == 4 else 1
                total += weights.elements * places
    return total


def run_figures(
    core: str, measured: Measured, chosen: Board | None, own: Sequence[cost.Measured] = ()
) -> dict[str, Any]:
    """Return exact instructions and stack of one inference, and the ranges of its time and energy.

    Args:
        core: that ran it.
        chosen: the board; None takes the clock of a usual part with the core.
        own: what the user measured on that board.
    """
    return {
        "instructions": measured.instructions,
        "stack_bytes": measured.stack_bytes,
        **_cost(core, measured.instructions, chosen, own),
    }


def _cost(core: str, instructions: int, chosen: Board | None, own: Sequence[cost.Measured]) -> dict[str, Any]:
    clock = chosen.megahertz if chosen is not None else CORES[core].typical_megahertz
    name = None if chosen is None else chosen.name
    return cost.of_instructions(instructions, clock, name, CORES[core].cycles_per_instruction, own)


def run_words(run: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what :func:`run_figures` gave, for a person."""
    instructions = f"{run['instructions']:,} an inference, counted on the emulated core"
    return (
        ("latency", _range_words(run["latency_ms"], "ms")),
        *([("energy", _range_words(run["energy_mj"], "mJ"))] if "energy_mj" in run else []),
        ("instructions", instructions),
        ("stack", f"{run['stack_bytes']:,} bytes, the deepest of one inference"),
    )


def _range_words(found: Mapping[str, Any], unit: str) -> str:
    """Return an estimate with its range and source; bundles of old have neither."""
    if "low" not in found:
        return f"{found['value']:g} {unit}, estimate: {found['model']}"
    words = (
        f"{found['low']:g} to {found['high']:g} {unit}, about {found['value']:g}; estimate: {found['model']}"
    )
    return f"{words} ({found['source']})"


def benchmark(
    graph: Graph,
    library: Library,
    m: Measured,
    ran_on: str,
    chosen: Board | None,
    own: Sequence[cost.Measured] = (),
) -> dict[str, Any]:
    """Return exact instructions a layer, and cycles, time and energy as estimates with their range and source."""
    estimated = _cost(library.core, m.instructions, chosen, own)
    latency = estimated["latency_ms"]
    value = latency.pop("value")
    usual = CORES[library.core].cycles_per_instruction
    return {
        "core": ran_on,
        **measured(library, m),
        "layers": layer_table(graph, library, m.layers),
        "cycles": {
            "estimate": True,
            "model": f"{usual} cycles an instruction, no waiting for flash",
            "value": round(m.instructions * usual),
        },
        "latency_ms": {**latency, "median": value},
        "energy_mj": estimated["energy_mj"],
    }


def installed(distribution: str) -> str:
    """Return a distribution's version, or ``not installed``."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def requirements() -> list[Requirement]:
    """Return whether the cross compiler, the emulator and the oracle are here."""
    found = []
    for module, what in (("ziglang", "cross compiler"), ("unicorn", "emulator of Cortex-M cores")):
        here = importlib.util.find_spec(module) is not None
        detail = f"{what}, {installed(module)}" if here else f"{what} missing: no module {module}"
        found.append(Requirement(module, here, detail, None if here else install_command("mcu")))
    oracle = tflm.available()
    found.append(
        Requirement(
            tflm.DISTRIBUTION,
            True if oracle else None,
            f"oracle, {tflm.version()}" if oracle else "oracle missing: golden vectors are compared instead",
            None if oracle else f"{install_command('mcu')} on Linux x86-64",
        )
    )
    return found
