"""What can be verified without an NPU: the twin's outputs, and that the compiled model is of this model."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qedge.bundle import Bundle, read_bundle
from qedge.bundle.manifest import MODEL
from qedge.errors import IntegrityError, ModelError, ToolError
from qedge.findings import Finding
from qedge.graph import Graph, Tensor
from qedge.target import Arrays, VerifyReport, verify_twin
from qedge.target.twin import TWIN
from qedge_ethosu.configurations import VELA_INI, Configuration
from qedge_ethosu.example import COMPILED, array_bytes, array_path
from qedge_ethosu.placement import NPU_OPERATOR, distinct_names
from qedge_ethosu.vela import compile_with_vela, installed_version


def verify_bundle(bundle: Path, samples: Sequence[Arrays] | None) -> VerifyReport:
    """Run the CPU twin on golden vectors or samples, and hold the compiled model to the one that the twin ran.

    The compiled model has the same inputs and outputs, as many operators on the NPU as the build said, and is what
    the array in ``c/`` holds. Where the Vela that compiled it is here, with a configuration file of its own, compiling
    ``model.tflite`` again gives the same bytes.
    There is no emulator of the NPU: that its outputs are the twin's is Vela's promise, and a finding says so.
    """
    with read_bundle(bundle) as opened:
        faults, again = compiled_faults(opened)
        placement = dict(opened.manifest.target_data["placement"])
    said = "compiling again gives the same bytes" if again else "it was not compiled again here"
    finding = Finding(
        "info",
        "not-on-npu",
        f"the NPU was not run: the CPU twin was, and the compiled model was compared with its model ({said})",
        "run the example in c/ on the device: it replays a golden vector and says PASS or FAIL",
    )
    report = verify_twin(
        bundle,
        samples,
        label=f"{TWIN}; the NPU was not run",
        findings=[finding],
        metrics={"placement": placement, "compiled_again": again},
    )
    if not faults:
        return report
    return VerifyReport(
        bit_exact=False,
        passed=False,
        oracle=report.oracle,
        core=report.core,
        samples=report.samples,
        mismatches=(*faults, *report.mismatches),
        metrics=report.metrics,
        findings=report.findings,
    )


def compiled_faults(opened: Bundle) -> tuple[list[str], bool]:
    """Return where the compiled model is not of the bundle's model, and whether it was compiled again to compare.

    Raises:
        IntegrityError: the bundle has no compiled model, or one that cannot be read.
    """
    data = opened.manifest.target_data
    compiled, model = opened.read(COMPILED), opened.read(MODEL)
    try:
        after, before = Graph.from_bytes(compiled, COMPILED), Graph.from_bytes(model, MODEL)
    except ModelError as problem:
        raise IntegrityError(f"{opened.root}: {problem.message}", hint="build the bundle again") from None
    faults = []
    for side in ("inputs", "outputs"):
        wanted = [_boundary(before.tensors[t]) for t in getattr(before, side)]
        found = [_boundary(after.tensors[t]) for t in getattr(after, side)]
        if found != wanted:
            faults.append(f"{COMPILED}: its {side} are {found}, those of {MODEL} are {wanted}")
    left = sum(op.custom_name != NPU_OPERATOR for op in after.operators)
    if left != len(data["cpu_operators"]):
        faults.append(f"{COMPILED}: {left} operators on the CPU, the build said {len(data['cpu_operators'])}")
    array = array_bytes(opened.read(array_path(opened.manifest.name)).decode(errors="replace"))
    if array != compiled:
        faults.append(f"{array_path(opened.manifest.name)}: the array is not {COMPILED}")
    again = data["vela"] == installed_version() and not data["own_config"]
    if again:
        faults += _not_reproduced(before, compiled, Configuration(*_configuration(data)))
    return faults, again


def _not_reproduced(graph: Graph, compiled: bytes, wanted: Configuration) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        try:
            made = compile_with_vela(distinct_names(graph), wanted, Path(scratch))
        except ToolError as problem:
            return [f"Vela does not compile {MODEL} as the build did: {problem.message}"]
    return [] if made.model == compiled else [f"{COMPILED}: Vela makes another file of {MODEL}"]


def _configuration(data: Any) -> tuple[str, str, str, str]:
    return data["accelerator"], data["system_config"], data["memory_mode"], VELA_INI


def _boundary(tensor: Tensor) -> tuple[tuple[int, ...], str, float | None, int | None]:
    scale, zero_point = tensor.quantization.scalar if tensor.quantization else (None, None)
    return tensor.shape, tensor.dtype, scale, zero_point


def estimates(bundle: Path) -> dict[str, Any]:
    """Return what Vela estimated when the bundle was built, as JSON."""
    with read_bundle(bundle) as opened:
        data = opened.manifest.target_data
    label = f"Vela {data['vela']}, {data['accelerator']}, {data['system_config']}, {data['memory_mode']}"
    return {
        "accelerator": data["accelerator"],
        "cycles": {"estimate": True, "model": label, "value": data["cycles"]},
        "latency_ms": {"estimate": True, "model": label, "median": data["inference_ms"]},
        "ram_bytes": {"sram": data["sram_bytes"], "dram": data["dram_bytes"]},
        "placement": dict(data["placement"]),
    }
