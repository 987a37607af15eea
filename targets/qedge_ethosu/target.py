"""Arm Ethos-U: what Vela makes of a model, placed, counted and packed for a driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from qedge.errors import CapacityError, ToolError, UnsupportedError
from qedge.fields import Field
from qedge.findings import Finding, errors
from qedge.graph import Graph
from qedge.target import (
    Arrays,
    CheckReport,
    Column,
    Compiled,
    Option,
    Options,
    Placement,
    Request,
    Requirement,
    Target,
    TargetInfo,
    VerifyReport,
)
from qedge.target.answers import UNSUPPORTED
from qedge_ethosu.configurations import ACCELERATORS, DEFAULT, VELA_INI, configuration, peers
from qedge_ethosu.example import COMPILED, example_files
from qedge_ethosu.placement import NPU, deadly_operators, distinct_names, placements, refuse_before_vela
from qedge_ethosu.vela import (
    DISTRIBUTION,
    INSTALL,
    TIMEOUT_S,
    Compilation,
    VelaFailed,
    compile_with_vela,
    installed_version,
    required_version,
)

FACTOR = 3
"""How many times fewer cycles make another configuration worth a finding."""
_CONFIGURING = ("build", "check")


class EthosUTarget(Target):
    """See :class:`qedge.target.Target`."""

    info: ClassVar[TargetInfo] = TargetInfo(
        name="ethosu",
        title="Arm Ethos-U",
        summary="int8 models on an Ethos-U55, U65 or U85 beside a Cortex-M, compiled by Vela",
        io_types=("int8", "uint8", "float32"),
        options=(
            Option("accelerator", f"NPU configuration; {DEFAULT} when none is named", choices=ACCELERATORS),
            Option("ram", "RAM budget, for instance 64K", kind="bytes", commands=_CONFIGURING),
            Option("flash", "flash budget, for instance 256K", kind="bytes", commands=_CONFIGURING),
            Option("system_config", "section System_Config of the Vela configuration"),
            Option(
                "memory_mode", "section Memory_Mode of the Vela configuration: Sram_Only, Shared_Sram ..."
            ),
            Option("vela_config", "Vela configuration file (.ini); Vela's own without it", kind="path"),
            Option("timeout", "time limit of the compiler in seconds", kind="float", default=TIMEOUT_S),
        ),
        accelerator=NPU,
        has_runtime=False,
        columns=(
            Column("RAM", "ram_bytes", "SRAM that Vela allocates"),
            Column("flash", "flash_bytes", "the compiled model"),
            Column("cycles", "cycles", "of one inference, Vela's estimate"),
        ),
        on_device="c/README.md in the bundle says how to build its example for the device",
    )

    def preflight(self, options: Options) -> None:
        """Refuse a machine without Vela."""
        required_version()

    def check(self, request: Request) -> CheckReport:
        """Compile with Vela, and tell its placement, its estimates and whether they fit the budget."""
        deadly = deadly_operators(request.graph)
        if deadly:
            findings, places = refuse_before_vela(request.graph, deadly)
            return CheckReport(tuple(findings), tuple(places), {"mapped_percent": 0.0})
        try:
            graph, done = _compiled(request)
        except VelaFailed as problem:
            return _refused(request.graph, "unsupported-op", problem)
        except ToolError as problem:
            return _refused(request.graph, "tool", problem)
        places, findings = placements(graph, done)
        if not errors(findings):
            findings += [*over_budget(done, request.options), *self._better(request, graph, done)]
        return CheckReport(tuple(findings), tuple(places), {**mapped(places), **metrics(done)})

    def compile(self, request: Request) -> Compiled:
        """Return Vela's model, as it is and as an aligned array in an example for the driver."""
        graph, done = _compiled(request)
        places, findings = placements(graph, done)
        unfit = errors(findings)
        if unfit:
            raise UnsupportedError(unfit[0].message, hint=unfit[0].hint, findings=unfit[1:])
        over = over_budget(done, request.options)
        if over:
            raise CapacityError("; ".join(f.message for f in over), hint=over[0].hint, findings=over)
        return Compiled(
            files={COMPILED: done.model, **example_files(request, done)},
            extra={
                "accelerator": done.configuration.accelerator,
                "system_config": done.configuration.system_config,
                "memory_mode": done.configuration.memory_mode,
                "own_config": done.configuration.config != VELA_INI,
                "vela": done.version,
                "placement": {"npu": sum(p.placement == NPU for p in places), "operators": len(places)},
                "cpu_operators": [f"#{p.index} {p.op}" for p in places if p.placement != NPU],
                "cycles": done.cycles,
                "inference_ms": round(1000 * done.inference_s, 6),
                "sram_bytes": done.sram_bytes,
                "dram_bytes": done.dram_bytes,
            },
            metrics=metrics(done),
        )

    def verify(self, bundle: Path, samples: Sequence[Arrays] | None, options: Options) -> VerifyReport:
        """Run the CPU twin and hold the compiled model to it; the NPU itself is not run, and the report says so."""
        from qedge_ethosu.verify import verify_bundle

        return verify_bundle(bundle, samples)

    def bench(
        self, bundle: Path, options: Options, *, runs: int = 100, threads: int | None = None
    ) -> dict[str, Any]:
        """Return Vela's estimates, which the bundle has; nothing is measured."""
        from qedge_ethosu.verify import estimates

        return estimates(bundle)

    def validate_target_data(self, data: Field) -> None:
        """Take what `compile` writes."""
        words = ("accelerator", "system_config", "memory_mode", "vela")
        numbers = ("cycles", "sram_bytes", "dram_bytes")
        data.object((*words, *numbers, "placement", "cpu_operators", "inference_ms", "own_config"))
        data["own_config"].boolean()
        data["accelerator"].string(ACCELERATORS)
        for word in words[1:]:
            data[word].string()
        for number in numbers:
            data[number].integer(0)
        data["inference_ms"].number(0)
        placement = data["placement"].object(("npu", "operators"))
        placement["npu"].integer(0, placement["operators"].integer(0))
        data["cpu_operators"].strings()

    def doctor(self) -> list[Requirement]:
        """Say whether Vela is here."""
        found = installed_version()
        return [Requirement(DISTRIBUTION, found is not None, found or "compiles for the NPU", INSTALL)]

    def _better(self, request: Request, graph: Graph, done: Compilation) -> list[Finding]:
        """Return a finding for each like configuration of another family that needs far fewer cycles."""
        if any(request.options.get(k) for k in ("system_config", "memory_mode", "vela_config")):
            return []  # the other families have no section that is the same system
        found = []
        for other in peers(done.configuration):
            try:
                rival = compile_with_vela(graph.data, other, request.workdir, _timeout(request.options))
            except ToolError:
                continue
            if rival.cycles and done.cycles >= FACTOR * rival.cycles:
                found.append(_slower(done, rival))
        return found


def _compiled(request: Request) -> tuple[Graph, Compilation]:
    """Return the graph that Vela was given, and what it made of it."""
    model = distinct_names(request.graph)
    graph = request.graph if model == request.model else Graph.from_bytes(model, request.graph.name)
    wanted = configuration(request.options)
    return graph, compile_with_vela(model, wanted, request.workdir, _timeout(request.options))


def _timeout(options: Options) -> float:
    return float(options.get("timeout") or TIMEOUT_S)


def _refused(graph: Graph, rule: str, problem: ToolError) -> CheckReport:
    finding = Finding("error", rule, problem.message, hint=problem.hint or INSTALL)
    places = tuple(
        Placement(op.index, op.custom_name or op.op, UNSUPPORTED, problem.message, problem.hint)
        for op in graph.operators
    )
    return CheckReport((finding,), places, {"mapped_percent": 0.0})


def _slower(done: Compilation, rival: Compilation) -> Finding:
    other = rival.configuration.accelerator
    times = done.cycles / rival.cycles
    return Finding(
        "warning",
        "other-configuration",
        f"Vela estimates {done.cycles:,} cycles on {_named(done)} and {rival.cycles:,} on {_named(rival)}:"
        f" {times:.1f} times as many",
        hint=f"where the NPU is not chosen yet: qedge check MODEL -t ethosu --accelerator {other}",
    )


def _named(done: Compilation) -> str:
    return f"{done.configuration.accelerator} ({done.configuration.system_config})"


def mapped(places: Sequence[Placement]) -> dict[str, Any]:
    """Return the share of operators on the NPU, in percent."""
    on = sum(p.placement == NPU for p in places)
    return {"mapped_percent": round(100 * on / len(places), 2) if places else 100.0, "mapped_operators": on}


def metrics(done: Compilation) -> dict[str, Any]:
    """Return the figures of a compilation; what Vela estimates is labelled so."""
    return {
        "accelerator": done.configuration.accelerator,
        "ram_bytes": {"sram": done.sram_bytes},
        "dram_bytes": done.dram_bytes,
        "flash_bytes": {"model": len(done.model)},
        "cycles": {"estimate": True, "model": done.estimate, "value": done.cycles},
        "npu_cycles": {"estimate": True, "model": done.estimate, "value": done.npu_cycles},
        "latency_ms": {
            "estimate": True,
            "model": f"{done.estimate}, at {done.clock_hz / 1e6:g} MHz",
            "median": round(1000 * done.inference_s, 6),
        },
    }


def over_budget(done: Compilation, budget: Mapping[str, Any]) -> list[Finding]:
    """Return what does not fit: SRAM as Vela allocates it, flash as the array in the firmware."""
    dram = " or, on a U65 or U85, --memory-mode Dedicated_Sram: the arena in DRAM"
    needs = {"ram": (done.sram_bytes, "SRAM"), "flash": (len(done.model), "flash")}
    found = []
    for name, (needed, memory) in needs.items():
        limit = budget.get(name)
        if limit is not None and needed > int(limit):
            found.append(
                Finding(
                    "error",
                    "capacity",
                    f"{needed:,} bytes of {memory}, {needed - int(limit):,} over the {int(limit):,} given",
                    hint="a smaller model or input" + (dram if name == "ram" else ""),
                )
            )
    return found


TARGET = EthosUTarget()
