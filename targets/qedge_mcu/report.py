"""Figures about a generated library: what it takes, what exceeds a budget, what is estimated."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from typing import Any

from qedge.findings import Finding
from qedge.graph import Graph
from qedge.installing import install_command
from qedge.oracle import tflm
from qedge.target import Requirement
from qedge.target.options import as_int_bytes
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
        out = graph.tensors[op.outputs[0]]
        for t in op.inputs[1:2]:
            weights = graph.tensors[t] if t >= 0 else None
            if weights is not None and weights.is_constant and len(weights.shape) > 1:
                places = out.elements // max(1, out.shape[-1]) if len(out.shape) == 4 else 1
                total += weights.elements * places
    return total


def run_figures(core: str, measured: Measured, megahertz: int | None) -> dict[str, Any]:
    """Return exact instructions and stack of one inference, and an estimate of its time.

    Args:
        core: that ran it.
        megahertz: the board's clock; None takes that of a usual part with the core.
    """
    chip = CORES[core]
    clock = megahertz or chip.typical_megahertz
    return {
        "instructions": measured.instructions,
        "stack_bytes": measured.stack_bytes,
        "latency_ms": {
            "estimate": True,
            "model": f"{chip.cycles_per_instruction} cycles an instruction at {clock} MHz, no waiting for flash",
            "value": round(measured.instructions * chip.cycles_per_instruction / (clock * 1000), 3),
        },
    }


def run_words(run: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what :func:`run_figures` gave, for a person."""
    latency = run["latency_ms"]
    return (
        ("latency", f"{latency['value']:g} ms, estimate: {latency['model']}"),
        ("instructions", f"{run['instructions']:,} an inference, counted on the emulated core"),
        ("stack", f"{run['stack_bytes']:,} bytes, the deepest of one inference"),
    )


def benchmark(graph: Graph, library: Library, m: Measured, ran_on: str) -> dict[str, Any]:
    """Return exact instructions a layer, and cycles and milliseconds as estimates with their model."""
    core = CORES[library.core]
    cycles = m.instructions * core.cycles_per_instruction
    megahertz = core.typical_megahertz
    return {
        "core": ran_on,
        **measured(library, m),
        "layers": layer_table(graph, library, m.layers),
        "cycles": {
            "estimate": True,
            "model": f"{core.cycles_per_instruction} cycles an instruction, no waiting for flash",
            "value": round(cycles),
        },
        "latency_ms": {
            "estimate": True,
            "model": f"the estimated cycles at {megahertz} MHz",
            "median": round(cycles / (megahertz * 1000), 3),
        },
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
