"""The Coral Edge TPU: predict what its compiler does, drive it where it is installed, check the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from qedge.errors import ToolError, UnsupportedError
from qedge.fields import Field
from qedge.findings import Finding
from qedge.graph import Graph, Tensor
from qedge.target import (
    CheckReport,
    Compiled,
    Option,
    Placement,
    Request,
    Requirement,
    Target,
    TargetInfo,
    VerifyReport,
)
from qedge.target.reports import Arrays, Options
from qedge_coral import compile as driver
from qedge_coral import compiler_log, figures, fingerprint, latency, memory, package, recipe, rewrite
from qedge_coral.head import head
from qedge_coral.parts import Parts, choose
from qedge_coral.predict import EDGETPU, Prediction, predict
from qedge_coral.risks import risks

COMPILED = "model_edgetpu.tflite"
GUIDE = "COMPILE.md"
WITHIN = 1
"""Largest difference, in steps of the output's scale, that passes as equal to the golden vectors."""


class CoralTarget(Target):
    """See :class:`qedge.target.Target`."""

    info: ClassVar[TargetInfo] = TargetInfo(
        name="coral",
        aliases={"edgetpu": {}, "edge-tpu": {}},
        title="Coral Edge TPU",
        summary="Full-integer models on Google's Edge TPU (USB, PCIe, Dev Board), the rest on the CPU",
        io_types=("int8", "uint8", "float32"),
        options=(
            Option("compiler", "edgetpu_compiler to use", "path", commands=("build",)),
            Option(
                "compiled", "what edgetpu_compiler wrote: completes the bundle", "path", commands=("build",)
            ),
            Option("min_mapped", "least share of operators on the Edge TPU", "percent"),
            Option("segments", "split over this many Edge TPUs", "int", 1, commands=("build",)),
            Option("all_subgraphs", "compile every part, or the first alone; else what is faster", "flag"),
            Option("search", "give up operators until it compiles", "flag", False, commands=("build",)),
            Option("intermediate", "tensors to stop at, comma-separated", "str", commands=("build",)),
            Option("timeout", "time limit of the compiler in seconds", "float", 180, commands=("build",)),
            Option(
                "device",
                "Edge TPU that must be there: usb, pci, usb:0",
                "str",
                commands=("verify",),
            ),
        ),
        accelerator=EDGETPU,
        has_runtime=True,
        next_step="qedge deploy {bundle} pi@raspberrypi",
    )

    def preflight(self, options: Options) -> None:
        """Refuse a compiler that is named and not there."""
        driver.find(options)

    def check(self, request: Request) -> CheckReport:
        """Predict the placement of every operator of the model that a build would ship, after its rewrites."""
        graph, options = request.graph, request.options
        if package.is_compiled(graph):
            return _check_compiled(graph)
        rewritten = rewrite.rewrite(graph)
        parts = choose(rewritten.drafted, options)
        shipped = parts.prediction
        given = predict(graph, all_subgraphs=parts.every) if rewritten.changes else shipped
        metrics = shipped.metrics()
        metrics["given"] = {
            "mapped_percent": round(given.mapped_percent, 2),
            "operators": len(graph.operators),
            "mapped": list(given.mapped),
        }
        metrics["rewrites"] = [{"rewrite": name, "change": line} for name, line in rewritten.changes]
        findings = [
            *shipped.failures,
            *_findings(shipped),
            *risks(shipped.graph, shipped.mapped),
            *(found for found in (head(shipped), parts.finding) if found is not None),
            *_rewrite_findings(rewritten.changes, given, shipped),
            *_gate(shipped, options),
        ]
        return CheckReport(
            tuple(findings),
            shipped.placements,
            metrics,
            predicted=True,
            rewritten=bool(rewritten.changes),
            figures=figures.predicted(metrics),
        )

    def compile(self, request: Request) -> Compiled:
        """Rewrite, predict, and compile where a compiler is at hand or its result is given."""
        options = request.options
        rewritten = rewrite.rewrite(request.model)
        after = Graph.from_bytes(rewritten.model)
        parts = choose(after, options)
        gate = _gate(parts.prediction, options)
        if parts.prediction.failures or gate:
            raise _refused((*parts.prediction.failures, *gate))
        parts, result = _compiled_models(rewritten.model, parts, options, request.workdir)
        options = {**options, "all_subgraphs": parts.every}
        read, compiled = ([], []) if result is None else _read(result)
        expected = parts.as_compiled(read) if options.get("compiled") else parts.prediction
        placed: tuple[Placement, ...] | None = None
        findings = [Finding("info", "rewritten", f"{name}: {line}") for name, line in rewritten.changes]
        metrics: dict[str, Any] = {"predicted": expected.metrics()}
        metrics["mapped_percent"] = metrics["predicted"]["mapped_percent"]
        files = {GUIDE: recipe.compile_md(options).encode()}
        extra: dict[str, Any] = {
            "accelerator": EDGETPU,
            "stages": [],
            "command": driver.command(options),
            "segments": int(options.get("segments") or 1),
            "min_runtime": expected.min_runtime,
            "rewrites": [{"rewrite": name, "change": line} for name, line in rewritten.changes],
            "predicted": metrics["predicted"],
        }
        if result is None:
            findings.append(_not_compiled())
        else:
            names = _names(len(result.models))
            files |= dict(zip(names, result.models))
            if len(compiled) == 1:
                fingerprint.check_boundary(after, compiled[0])
            fingerprint.check_weights(after, compiled, [p for r in read for p in r.packages])
            extra["stages"] = _stages(names, result.models)
            extra["input_tensors"] = [after.tensors[t].name for t in after.inputs]
            extra["output_tensors"] = [after.tensors[t].name for t in after.outputs]
            extra["compiler"] = [r.to_json() for r in read]
            extra["min_runtime"] = max(p.min_runtime for r in read for p in r.packages)
            if result.log is not None:
                extra["compiler_log"] = result.log.to_json()
            if any(p.compiler_version == package.UNKNOWN for r in read for p in r.packages):
                findings.append(_unknown_package())
            if parts.fell_back:
                findings.append(parts.fell_back)
            findings += compare(expected, read, result.log)
            cpu = sum(len(r.cpu_operators) for r in read)
            total = len(after.operators)
            metrics["mapped_percent"] = round(100 * (total - cpu) / total, 2) if total else 100.0
            metrics["compiler"] = extra["compiler"]
            metrics["latency_ms"] = extra["latency_ms"] = _latency(expected, read)
            placed = _placed_by_compiler(compiled)
        changed = rewritten.model if rewritten.changes else None
        return Compiled(files, extra, metrics, tuple(findings), changed, placed)

    def verify(self, bundle: Path, samples: Sequence[Arrays] | None, options: Options) -> VerifyReport:
        """Run the CPU twin, and the Edge TPU where there is one; outputs agree within 1 step."""
        from qedge_coral.verify import verify_bundle

        return verify_bundle(bundle, samples, options, within=WITHIN)

    def validate_target_data(self, data: Field) -> None:
        """Take what `compile` writes: the accelerator, and a stage for each compiled file."""
        data.object(("accelerator", "stages"), optional=None)
        data["accelerator"].string((EDGETPU,))
        for stage in data["stages"].items():
            stage.object(("file",), optional=None)["file"].string()

    def figures(self, data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """Return mapping, bytes, latency and versions: as compiled, else as predicted."""
        return figures.bundle(data)

    def doctor(self) -> list[Requirement]:
        """Return what compiling and running need, and whether it is here."""
        from qedge_coral.doctor import requirements

        return requirements()


@dataclass(frozen=True)
class _Result:
    models: tuple[bytes, ...]
    log: compiler_log.CompilerLog | None


def _read(result: _Result) -> tuple[list[package.CompiledModel], list[Graph]]:
    names = _names(len(result.models))
    graphs = [Graph.from_bytes(m, n) for n, m in zip(names, result.models)]
    return [package.read_compiled(g, n) for n, g in zip(names, graphs)], graphs


def _names(segments: int) -> tuple[str, ...]:
    if segments == 1:
        return (COMPILED,)
    return tuple(f"model_segment_{i}_of_{segments}_edgetpu.tflite" for i in range(segments))


def _stages(names: Sequence[str], models: Sequence[bytes]) -> list[dict[str, Any]]:
    """Describe each compiled file for the runtime: the tensors of a segment, by the names in its file."""
    if len(names) == 1:
        return [{"file": names[0]}]
    found = []
    for name, model in zip(names, models):
        graph = Graph.from_bytes(model, name)
        found.append(
            {
                "file": name,
                "inputs": [_spec(graph.tensors[t]) for t in graph.inputs],
                "outputs": [_spec(graph.tensors[t]) for t in graph.outputs],
            }
        )
    return found


def _spec(tensor: Tensor) -> dict[str, Any]:
    scale, zero_point = tensor.quantization.scalar if tensor.quantization else (None, None)
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": scale,
        "zero_point": zero_point,
    }


def _compiled_models(
    model: bytes, parts: Parts, options: Options, workdir: Path
) -> tuple[Parts, _Result | None]:
    """Return which parts were compiled, and the files; None where no compiler is at hand."""
    segments = int(options.get("segments") or 1)
    if options.get("compiled"):
        return parts, _Result(tuple(driver.read_given(options["compiled"], segments)), None)
    program = driver.find(options)
    if program is None:
        return parts, None
    try:
        done = driver.run(program, model, {**options, "all_subgraphs": parts.every}, workdir)
    except ToolError as error:
        if parts.other is None or not parts.every:
            raise
        parts = parts.first_alone(error.message)
        done = driver.run(program, model, {**options, "all_subgraphs": False}, workdir)
    return parts, _Result(done.models, done.log)


def _findings(given: Prediction) -> list[Finding]:
    """One finding for each reason that keeps operators on the CPU, with how many it keeps there."""
    groups: dict[tuple[str, str | None], list[Any]] = {}
    for p in given.placements:
        if p.placement != EDGETPU:
            groups.setdefault((p.reason.split(":")[0], p.hint), []).append(p)
    found = []
    for (status, hint), members in groups.items():
        first = members[0]
        more = f" and {len(members) - 1} more" if len(members) > 1 else ""
        message = f"predicted on the CPU: {first.reason}{more}" if not given.failures else status
        if not given.failures:
            found.append(Finding("warning", "cpu-operator", message, hint, f"#{first.index} {first.op}"))
    return found


def _rewrite_findings(
    changes: tuple[tuple[str, str], ...], given: Prediction, shipped: Prediction
) -> list[Finding]:
    found = [Finding("info", "rewritten", f"build rewrites: {name}: {line}") for name, line in changes]
    if shipped.mapped_percent > given.mapped_percent:
        found.append(
            Finding(
                "info",
                "mapped-after-rewrites",
                f"after the rewrites of the build, {shipped.mapped_percent:.1f} % of the operators are"
                f" predicted on the Edge TPU instead of {given.mapped_percent:.1f} %",
            )
        )
    return found


def _gate(expected: Prediction, options: Options) -> list[Finding]:
    wanted = options.get("min_mapped")
    if wanted is None or expected.mapped_percent >= (needed := percent(wanted)):
        return []
    return [
        Finding(
            "error",
            "unsupported-op",
            f"{expected.mapped_percent:.1f} % of the operators are predicted on the Edge TPU,"
            f" expected at least {needed:g} %",
            "see which operators stay on the CPU and why: qedge check MODEL -t coral",
        )
    ]


def percent(value: Any) -> float:
    """Return ``95`` for ``95``, ``"95"``, ``"95%"`` and ``0.95``.

    >>> percent("95%"), percent(0.5)
    (95.0, 50.0)
    """
    number = float(str(value).strip().removesuffix("%"))
    return number * 100 if 0 < number <= 1 and "%" not in str(value) else number


def _refused(findings: Sequence[Finding]) -> UnsupportedError:
    first = findings[0]
    return UnsupportedError(first.message, hint=first.hint, findings=findings)


def _not_compiled() -> Finding:
    return Finding(
        "warning",
        "not-compiled",
        f"the Edge TPU compiler is not here: the bundle runs on the CPU until it is compiled ({GUIDE})",
        f"install edgetpu_compiler, name it with --compiler or {driver.VARIABLE}, or follow {GUIDE} and build"
        " again with --compiled",
    )


def _unknown_package() -> Finding:
    return Finding(
        "warning",
        "unknown-package",
        "the compiled model holds no package of a known layout: its bytes on the Edge TPU cannot be read",
        "compile it with edgetpu_compiler 16",
    )


def compare(
    expected: Prediction, read: Sequence[package.CompiledModel], log: compiler_log.CompilerLog | None
) -> list[Finding]:
    """Return where the compiled model differs from the prediction."""
    total = len(expected.graph.operators)
    cpu = sorted(name for r in read for name in r.cpu_operators)
    said = sorted(p.op for p in expected.placements if p.placement != EDGETPU)
    found = []
    if cpu != said:
        found.append(
            Finding(
                "warning",
                "prediction-differs",
                f"the compiler left {len(cpu)} of {total} operators to the CPU ({figures.counted(cpu)}),"
                f" predicted were {len(said)} ({figures.counted(said)})",
                "the compiled model counts; the prediction is a guess about a closed program",
            )
        )
    bytes_read = sum(p.cached_bytes + p.streamed_bytes for r in read for p in r.packages)
    guess = expected.metrics()["parameter_bytes"]["total"]
    found.append(
        Finding(
            "info",
            "parameter-bytes",
            f"parameters on the Edge TPU: {bytes_read} bytes compiled, {guess} predicted",
        )
    )
    if log is not None and log.version:
        found.append(Finding("info", "compiler", f"compiled by edgetpu_compiler {log.version}"))
    return found


def _latency(expected: Prediction, read: Sequence[package.CompiledModel]) -> dict[str, Any]:
    """Return the latency with the bytes as compiled instead of estimated."""
    packages = [p for r in read for p in r.packages]
    cached, streamed = (sum(getattr(p, f"{k}_bytes") for p in packages) for k in ("cached", "streamed"))
    held = memory.Memory(cached + streamed, cached, cached, cached)
    instructions = sum(p.instruction_bytes for p in packages)
    return latency.estimate(expected.graph, expected.mapped, held, instructions)


def _placed_by_compiler(graphs: Sequence[Graph]) -> tuple[Placement, ...]:
    """Return where each operator of compiled files runs, the segments one after another."""
    ops = [op for graph in graphs for op in graph]
    return tuple(
        Placement(i, op.custom_name or op.op, EDGETPU, "compiled for the Edge TPU")
        if op.custom_name == package.CUSTOM_OP
        else Placement(i, op.custom_name or op.op, "cpu", "left to the CPU by the compiler")
        for i, op in enumerate(ops)
    )


def _check_compiled(graph: Graph) -> CheckReport:
    """Report a model that has been compiled already: facts from the file, no prediction."""
    found = package.read_compiled(graph).to_json()
    finding = Finding("info", "already-compiled", "the model has been compiled for the Edge TPU already")
    placed = _placed_by_compiler([graph])
    return CheckReport((finding,), placed, found, predicted=False, figures=figures.read([found]))


TARGET = CoralTarget()
