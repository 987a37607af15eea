"""The microcontroller target: check, generate, measure and verify the C library of a model."""

from __future__ import annotations

from pathlib import Path

from qedge.errors import CapacityError, UnsupportedError, UsageError
from qedge.findings import Finding
from qedge.graph import Graph
from qedge.target import CheckReport, Compiled, Option, Target, TargetInfo, VerifyReport
from qedge.target.protocol import Arrays, Options, as_int_bytes
from qedge_mcu.cores import CORES, core
from qedge_mcu.emit import Generated, emit
from qedge_mcu.program import Program, build, check

DEFAULT_CORE = "cortex-m4"


class McuTarget(Target):
    """C11 from an int8 model, bit-exact to TFLite Micro."""

    info = TargetInfo(
        name="mcu",
        title="Microcontroller",
        summary="a C library without heap or dependencies, bit-exact to TFLite Micro",
        io_types=("int8",),
        options=(
            Option(
                "core",
                "core to generate for",
                choices=tuple(CORES),
                commands=("build", "check", "verify", "bench"),
            ),
            Option("ram", "RAM budget, for instance 64K", kind="bytes"),
            Option("flash", "flash budget, for instance 256K", kind="bytes"),
        ),
        accelerator=None,
        has_runtime=False,
    )

    def check(self, graph: Graph, options: Options) -> CheckReport:
        """Place every operator ``mcu`` or ``unsupported``; hold a model that is fine to the budget."""
        wanted = core(str(options.get("core") or DEFAULT_CORE))
        placements, findings = check(graph, wanted)
        metrics: dict[str, object] = {"core": wanted.name}
        if not findings:
            program = build(graph, wanted, str(options.get("name") or graph.name))
            generated = emit(program)
            metrics |= _metrics(program, generated)
            findings += _over_budget(program, generated, options)
        return CheckReport(tuple(findings), tuple(placements), metrics)

    def compile(self, model: bytes, graph: Graph, options: Options, workdir: Path) -> Compiled:
        """Return the C library under ``c/``."""
        program = build(
            graph, core(str(options.get("core") or DEFAULT_CORE)), str(options.get("name") or graph.name)
        )
        generated = emit(program)
        over = _over_budget(program, generated, options)
        if over:
            raise CapacityError("; ".join(f.message for f in over), hint=over[0].hint, findings=over)
        return Compiled(
            files={f"c/{path}": data for path, data in generated.files.items()},
            extra={
                "engine": "qedge",
                "core": program.core.name,
                "family": program.core.family,
                "prefix": program.name,
                "sources": [f"c/{path}" for path in generated.sources],
            },
            metrics=_metrics(program, generated),
        )

    def verify(self, bundle: Path, samples: Arrays | None, options: Options) -> VerifyReport:  # type: ignore[override]
        """Run the bundle on an emulated core and compare."""
        raise UsageError("the emulator is not connected yet")


def _metrics(program: Program, generated: Generated) -> dict[str, object]:
    context = sum((s.nbytes + 3) // 4 * 4 for s in program.states)
    scratch = program.scratch_bytes
    return {
        "core": program.core.name,
        "flash_bytes": {"data": generated.constant_bytes},
        "constants_overhead_bytes": generated.overhead_bytes,
        "ram_bytes": {"arena": program.plan.arena_bytes, "scratch": scratch, "context": context},
        "arena_plan": [
            {
                "tensor": b.name,
                "offset": program.plan.offsets[b.name],
                "bytes": b.nbytes,
                "first_op": b.first,
                "last_op": b.last,
            }
            for b in program.plan.problem.buffers
        ],
    }


def _over_budget(program: Program, generated: Generated, options: Options) -> list[Finding]:
    """Return what exceeds ``ram`` or ``flash``, with what would have to go."""
    found = []
    ram = program.plan.arena_bytes + sum(s.nbytes for s in program.states)
    for name, used in (("ram", ram), ("flash", generated.constant_bytes)):
        limit = options.get(name)
        if limit is None:
            continue
        allowed = as_int_bytes(limit, what=f"--{name}")
        if used > allowed:
            found.append(
                Finding(
                    "error",
                    "capacity",
                    f"the model needs {used} bytes of {name}, {used - allowed} over the budget of {allowed}",
                    "make the input or the widest layers smaller, or choose a larger board",
                )
            )
    return found


TARGET = McuTarget()
__all__ = ["TARGET", "McuTarget", "UnsupportedError"]
