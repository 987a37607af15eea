"""What a candidate of a search takes, added up from steps that were counted in others.

What a kernel runs depends on its parameters, and next to nothing on the numbers that it is given. A search changes a
few layers from one candidate to the next: each form of a layer is counted once, on the emulated core. What lies
between the kernels, some dozen instructions a step, is taken as the last count found it. Code depends on which kernels
there are and, a little, on how many calls unpack weights.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from qedge_mcu.library import Measured
from qedge_mcu.ops.base import Emitted, Ref
from qedge_mcu.program import Program

Memory = MutableMapping[Any, Any]


@dataclass(frozen=True)
class Counted:
    """Bytes of machine code, and what one inference takes; None where that was not counted."""

    code_bytes: int
    run: Measured | None


def added_up(program: Program, memory: Memory) -> Counted | None:
    """Return what a program takes of which every part is known, or None."""
    steps = [memory.get(key) for key in _steps(program)]
    between, code_bytes = memory.get(_between(program)), _code_bytes(program, memory)
    if between is None or code_bytes is None or None in steps:
        return None
    return Counted(code_bytes, Measured(between + sum(steps), (), 0, code_bytes, 0))  # type: ignore[arg-type]


def _code_bytes(program: Program, memory: Memory) -> int | None:
    """Return what these kernels took with the nearest number of calls that unpack, and what one call more takes."""
    known: dict[int, int] = memory.get(_code(program), {})
    calls = _unpacked(program)
    if not known:
        return None
    nearest = min(known, key=lambda n: abs(n - calls))
    slope: float | None = memory.get((program.core.name, "a call"))
    if nearest != calls and slope is None:
        return None
    return int(known[nearest]) + round((slope or 0.0) * (calls - nearest))


def remember(program: Program, found: Counted, memory: Memory) -> None:
    """Keep what was counted, where it was told apart by step."""
    known = memory.setdefault(_code(program), {})
    known[_unpacked(program)] = found.code_bytes
    if len(known) > 1:
        least, most = min(known), max(known)
        memory[program.core.name, "a call"] = (known[most] - known[least]) / (most - least)
    run = found.run
    if run is not None and run.layers:
        counted = [n for step, n in zip(program.steps, run.layers) if step.emitted.function]
        memory.update(zip(_steps(program), counted))
        memory[_between(program)] = run.instructions - sum(run.layers)


def _steps(program: Program) -> list[Any]:
    return [(program.core.name, *_form(s.emitted)) for s in program.steps if s.emitted.function]


def _between(program: Program) -> Any:
    return program.core.name, "between", sum(bool(s.emitted.function) for s in program.steps)


def _code(program: Program) -> Any:
    parts = frozenset(part for s in program.steps for part in (*s.emitted.kernels, *s.emitted.defines))
    return program.core.name, "code", parts


def _unpacked(program: Program) -> int:
    return sum(s.emitted.unpack is not None for s in program.steps)


def _form(emitted: Emitted) -> tuple[Any, ...]:
    """Return all that decides what a call runs, the numbers of its arrays left out."""
    params = emitted.params
    members = (
        () if params is None else tuple((n, "array" if isinstance(v, Ref) else v) for n, v in params.members)
    )
    arrays = tuple((a.name, a.values.size, a.values.dtype.str) for a in emitted.arrays)
    return emitted.function, emitted.args, members, arrays, emitted.unpack
