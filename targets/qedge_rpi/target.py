"""Host half: the int8 model itself runs on the CPU; with the C engine, its own C beside it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from qedge.emulate import find_compiler
from qedge.errors import ToolError, UsageError
from qedge.fields import Field
from qedge.findings import Finding
from qedge.graph.custom_names import way_out
from qedge.runtime.c_library import KEY, read_layout
from qedge.runtime.litert import find_binding
from qedge.runtime.machines import ARCHITECTURES
from qedge.target import (
    Arrays,
    CheckReport,
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
from qedge_rpi import c_engine
from qedge_rpi.constraints import no_kernel
from qedge_rpi.runtime import ENGINES


class RpiTarget(Target):
    """Raspberry Pi and other Linux boards: the int8 model on the CPU."""

    info: ClassVar[TargetInfo] = TargetInfo(
        name="rpi",
        aliases={"raspberrypi": {}, "raspberry-pi": {}, "raspberry": {}, "pi": {}},
        title="Raspberry Pi",
        io_types=("int8", "uint8", "int16", "float32"),
        floats=True,
        summary="int8 on the CPU through LiteRT or tflite-runtime, 64-bit and 32-bit",
        options=(
            Option(
                "engine",
                "rpi: litert, or c to add C libraries for systems without a TFLite binding",
                choices=ENGINES,
                commands=("build", "check", "verify", "bench", "run"),
            ),
            Option(
                "arch",
                f"architectures of the C libraries, with commas; all without it: {','.join(ARCHITECTURES)}",
                commands=("build",),
            ),
        ),
        next_step="qedge deploy {bundle} pi@raspberrypi",
        is_default=True,
    )

    def check(self, request: Request) -> CheckReport:
        """Place every operator that a TFLite binding has a kernel for on the CPU; with the C engine, every one that
        there is C for as well."""
        if request.options.get("engine") == "c":
            report = c_engine.check_c(request)
            if report.findings:
                return report
        findings, placements = [], []
        for op in request.graph.operators:
            reason = no_kernel(op)
            name = op.custom_name or op.op
            if reason is None:
                placements.append(Placement(op.index, name, "cpu", "LiteRT has a kernel for it"))
            else:
                way = way_out(name)
                placements.append(Placement(op.index, name, "unsupported", reason, way))
                findings.append(Finding("error", "unsupported-op", reason, hint=way, op=op.label))
        return CheckReport(tuple(findings), tuple(placements))

    def compile(self, request: Request) -> Compiled:
        """Add nothing, as the bundle's ``model.tflite`` is what runs; with the C engine its libraries."""
        if request.options.get("engine") == "c":
            return c_engine.compile_libraries(request)
        return Compiled(files={})

    def verify(self, bundle: Path, samples: Sequence[Arrays] | None, options: Options) -> VerifyReport:
        """Run the golden vectors through the binding here.

        See :func:`qedge.runtime.golden.run_golden` for what passes. Other ``samples`` are compared with a
        second interpreter that has one thread. A C library for this machine runs as well, and must give
        TFLite Micro's outputs to the last bit.
        """
        return c_engine.verify(bundle, samples, options.get("engine"))

    def preflight(self, options: Options) -> None:
        """Raise where the C engine is wanted and an architecture is unknown, or the cross compiler is missing."""
        if options.get("engine") == "c":
            c_engine.architectures(options)
            find_compiler()
        elif options.get("arch") is not None:
            raise UsageError("--arch names C libraries", hint="add --engine c")

    def validate_target_data(self, data: Field) -> None:
        """Take what calling the C libraries needs, or an empty object where there are none."""
        data.object(optional=(KEY,))
        if data[KEY].value is not None:
            read_layout(data[KEY])

    def bench(
        self, bundle: Path, options: Options, *, runs: int = 100, threads: int | None = None
    ) -> dict[str, Any]:
        """Measure latency, cold start, memory and stages here, next to the bare binding."""
        from qedge.runtime.bench import bench_bundle

        chosen = {"engine": options["engine"]} if options.get("engine") else {}
        return bench_bundle(bundle, runs=runs, threads=threads, **chosen)

    def doctor(self) -> list[Requirement]:
        """Say which binding runs models here, and what deploying needs."""
        try:
            binding = Requirement("TFLite binding", True, str(find_binding()))
        except ToolError as problem:
            binding = Requirement("TFLite binding", False, problem.message, _binding_command())
        zig = importlib.util.find_spec("ziglang") is not None
        pillow = importlib.util.find_spec("PIL") is not None
        ssh = shutil.which("ssh")
        return [
            binding,
            Requirement(
                "ziglang",
                zig or None,
                "cross-compiles the libraries of --engine c",
                None if zig else 'pip install "qedge[mcu]"',
            ),
            Requirement(
                "pillow", pillow or None, "reads image files", None if pillow else "pip install pillow"
            ),
            Requirement(
                "ssh",
                True if ssh else None,
                ssh or "qedge deploy copies bundles over it",
                None if ssh else "sudo apt install openssh-client",
            ),
        ]


def _binding_command() -> str:
    """Return the command that installs the binding that has wheels for this machine."""
    if platform.machine() in ("armv7l", "armv6l"):
        return 'pip install tflite-runtime "numpy<2"'
    return "pip install ai-edge-litert"


TARGET = RpiTarget()
