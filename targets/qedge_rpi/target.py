"""Host half: nothing to compile, as the int8 model itself runs on the CPU."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from qedge.errors import ToolError
from qedge.fields import Field
from qedge.findings import Finding
from qedge.runtime.litert import find_binding
from qedge.target import (
    Arrays,
    CheckReport,
    Compiled,
    Options,
    Placement,
    Request,
    Requirement,
    Target,
    TargetInfo,
    VerifyReport,
    verify_twin,
)
from qedge_rpi.constraints import no_kernel

_HINT = (
    "replace it with TFLite operators before converting; Edge TPU models run with the target that made them"
)


class RpiTarget(Target):
    """Raspberry Pi and other Linux boards: the int8 model on the CPU."""

    info: ClassVar[TargetInfo] = TargetInfo(
        name="rpi",
        aliases={"raspberrypi": {}, "raspberry-pi": {}, "raspberry": {}, "pi": {}},
        title="Raspberry Pi",
        summary="int8 on the CPU through LiteRT or tflite-runtime, 64-bit and 32-bit",
        is_default=True,
    )

    def check(self, request: Request) -> CheckReport:
        """Place every operator that a TFLite binding has a kernel for on the CPU."""
        findings, placements = [], []
        for op in request.graph.operators:
            reason = no_kernel(op)
            name = op.custom_name or op.op
            if reason is None:
                placements.append(Placement(op.index, name, "cpu", "LiteRT has a kernel for it"))
            else:
                placements.append(Placement(op.index, name, "unsupported", reason, _HINT))
                findings.append(Finding("error", "unsupported-op", reason, hint=_HINT, op=op.label))
        return CheckReport(tuple(findings), tuple(placements))

    def compile(self, request: Request) -> Compiled:
        """Add nothing: the bundle's ``model.tflite`` is what runs."""
        return Compiled(files={})

    def verify(self, bundle: Path, samples: Sequence[Arrays] | None, options: Options) -> VerifyReport:
        """Run the golden vectors through the binding here.

        See :func:`qedge.runtime.golden.run_golden` for what passes. Other ``samples`` are compared with a
        second interpreter that has one thread.
        """
        return verify_twin(bundle, samples, label="")

    def validate_target_data(self, data: Field) -> None:
        """Take an empty object: the target adds nothing."""
        data.object()

    def bench(
        self, bundle: Path, options: Options, *, runs: int = 100, threads: int | None = None
    ) -> dict[str, Any]:
        """Measure latency, cold start, memory and stages here, next to the bare binding."""
        from qedge.runtime.bench import bench_bundle

        return bench_bundle(bundle, runs=runs, threads=threads)

    def doctor(self) -> list[Requirement]:
        """Say which binding runs models here, and what deploying needs."""
        try:
            binding = Requirement("TFLite binding", True, str(find_binding()))
        except ToolError as problem:
            binding = Requirement("TFLite binding", False, problem.message, _binding_command())
        pillow = importlib.util.find_spec("PIL") is not None
        ssh = shutil.which("ssh")
        return [
            binding,
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
