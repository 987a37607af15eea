"""The microcontroller target: check, generate, measure and verify the C library of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.bundle import Bundle, read_bundle
from qedge.emulate import CORES as EMULATED
from qedge.emulate import find_compiler, warm_up
from qedge.emulate.qemu import qemu_version
from qedge.errors import CapacityError, IntegrityError, QedgeError, UsageError
from qedge.fields import Field
from qedge.graph import Graph
from qedge.oracle import tflm
from qedge.price import Price
from qedge.target import (
    CheckReport,
    Column,
    Compiled,
    Option,
    Request,
    Requirement,
    Target,
    TargetInfo,
    VerifyReport,
)
from qedge.target.reports import Arrays, Options
from qedge_mcu import calibration, on_board, oracle, report
from qedge_mcu.app import app_header
from qedge_mcu.boards import FAMILIES, board, boards
from qedge_mcu.cores import CORES, core
from qedge_mcu.detector import detector_files
from qedge_mcu.emit import emit
from qedge_mcu.engine_tflm import emit_tflm, verify_tflm
from qedge_mcu.frontend import frontend_files
from qedge_mcu.library import Description, Library, describe
from qedge_mcu.measure import DEFAULT_CORE, compiled_library, destination, price, run_of
from qedge_mcu.monitor import monitor_files
from qedge_mcu.packaging import project_files
from qedge_mcu.program import Program, build, check
from qedge_mcu.serial_link import BAUD
from qedge_mcu.verify import compare_layers, compare_outputs

Array = npt.NDArray[Any]
ENGINES = ("qedge", "tflm")


class McuTarget(Target):
    """C11 from an int8 model, bit-exact to TFLite Micro."""

    info = TargetInfo(
        name="mcu",
        aliases={**{name: {"board": name} for name in boards()}, **FAMILIES},
        title="Microcontroller",
        summary="a C library without heap or dependencies, bit-exact to TFLite Micro",
        io_types=("int8", "uint8", "int16", "float32"),
        options=(
            Option(
                "core",
                f"core to generate for, or to run on; {DEFAULT_CORE} unless a board says otherwise",
                choices=tuple(CORES),
                commands=("build", "check", "verify", "bench", "run"),
            ),
            Option(
                "board",
                "board to build for: its core, RAM and flash; see boards/",
                choices=tuple(boards()),
                commands=("build", "check"),
            ),
            Option(
                "cc",
                "your own GCC and its flags, for instance 'arm-none-eabi-gcc -Os'; clang is built in",
                commands=("verify", "bench", "run"),
            ),
            Option(
                "engine",
                "qedge: generated C without an interpreter; tflm: a project for TFLite Micro",
                default="qedge",
                choices=ENGINES,
                commands=("build",),
            ),
            Option(
                "monitor",
                "also write the drift monitor, for windows of this many samples, for instance 50",
                kind="int",
                commands=("build",),
            ),
            Option(
                "port",
                "serial port of your own board that runs c/examples/serial, for instance /dev/ttyACM0",
                commands=("verify", "bench"),
            ),
            Option("baud", "its speed", kind="int", default=BAUD, commands=("verify", "bench")),
            Option(
                "calibration",
                "what `qedge calibrate-board` wrote: your own measurements, which narrow estimates of time and energy",
                kind="path",
                commands=("build", "bench"),
            ),
            Option("ram", "RAM budget, for instance 64K", kind="bytes"),
            Option("flash", "flash budget, for instance 256K", kind="bytes"),
            Option(
                "latency",
                "longest estimated time of an inference, for instance 50ms",
                kind="duration",
            ),
        ),
        float_operators=("DIV", "FLOOR_DIV"),
        loops=True,
        has_runtime=False,
        emulated=True,
        columns=(
            Column("RAM", "ram_bytes", "arena, scratch, context"),
            Column("flash", "flash_bytes", "code and constants"),
            Column("stack", "stack_bytes", "deepest of one inference"),
        ),
        next_step="qedge verify {bundle}, and {bundle}/c/README.md leads to a class name on your board's serial port",
        on_device="its bundle is a C library: c/README.md in it says how to use it",
    )

    def warm_up(self, options: Options) -> None:
        """Let the cross compiler build its own library for the core: seconds, once a core and a version of it."""
        wanted, _ = destination(options)
        if options.get("engine") != "tflm" and wanted.name in EMULATED:
            warm_up(wanted.runs_on)

    def check(self, request: Request) -> CheckReport:
        """Place every operator ``mcu`` or ``unsupported``; hold a model that is fine to the budget."""
        wanted, budget = destination(request.options)
        placements, findings = check(request.graph, wanted)
        metrics: dict[str, Any] = {"core": wanted.name}
        if not findings:
            program = build(request.graph, wanted, request.name)
            generated = emit(program)
            metrics |= report.metrics(program, generated)
            findings += report.over_budget(program, generated, budget)
        return CheckReport(tuple(findings), tuple(placements), metrics)

    def compile(self, request: Request) -> Compiled:
        """Return the library and its projects under ``c/``."""
        if request.options.get("engine") == "tflm":
            return _compile_tflm(request)
        wanted, budget = destination(request.options)
        program = build(request.graph, wanted, request.name)
        generated = emit(program)
        library = compiled_library(program, generated, request.workdir)
        code_bytes = None if library is None else library.image.sizes().code
        over = report.over_budget(program, generated, budget, code_bytes)
        if over:
            raise CapacityError("; ".join(f.message for f in over), hint=over[0].hint, findings=over)
        inputs = [list(s) for s in request.golden_inputs]
        outputs = self.golden_outputs(request.model, inputs) if inputs else None
        frontend = frontend_files(request.graph, program.name, request.preprocess)
        beside = dict(frontend)
        if request.options.get("monitor") is not None:
            window = int(request.options["monitor"])
            beside |= monitor_files(request.graph, program.name, request.sketch, window)
        beside |= detector_files(request.graph, program.name, request.postprocess, request.labels)
        beside[f"{program.name}_app.h"] = app_header(program, request.labels, request.preprocess).encode()
        complete = replace(
            generated, files={**generated.files, **{f"src/{path}": data for path, data in beside.items()}}
        )
        run = run_of(library, request, inputs)
        if late := report.over_latency(run, budget):
            raise CapacityError(late.message, hint=late.hint, findings=[late])
        chosen = request.options.get("board")
        files = complete.files | project_files(program, complete, inputs, outputs or [], chosen)
        sources = [f"c/{path}" for path in generated.sources]
        return Compiled(
            files={f"c/{path}": data for path, data in sorted(files.items())},
            extra={
                "engine": "qedge",
                "board": request.options.get("board"),
                "verified_on": wanted.runs_on,
                "library": describe(program, sources).to_json(),
                "frontend": sorted(f"c/src/{path}" for path in frontend),
                **({"run": run} if run else {}),
            },
            metrics={**report.metrics(program, generated, code_bytes), **run},
        )

    def verify(self, bundle: Path, samples: Sequence[Arrays] | None, options: Options) -> VerifyReport:
        """Run the bundle's C on an emulated core, or on the board behind a serial port, and compare.

        Outputs and every inner tensor must be TFLite Micro's.

        Where its wheel does not exist, the golden vectors are replayed.
        """
        with read_bundle(bundle) as tflm_bundle:
            if tflm_bundle.manifest.target_data.get("engine") == "tflm":
                return _verify_tflm(tflm_bundle, samples)
        with _opened(bundle, options) as (opened, library):
            inputs, golden = _samples(opened, samples)
            if options.get("port"):
                return on_board.verify(library, opened.read("model.tflite"), inputs, golden, options)
            if tflm.available():
                runs = oracle.run(opened.read("model.tflite"), inputs, inner=True)
                named = f"{oracle.describe(opened.read('model.tflite'))}, inner tensors included"
                mismatches = compare_layers(library, inputs, [r.tensors for r in runs])
                expected: Sequence[Sequence[Array]] = [r.outputs for r in runs]
            elif golden is not None:
                named, mismatches, expected = "golden vectors of the bundle", [], golden
            else:
                raise UsageError(
                    f"{tflm.DISTRIBUTION} is not installed, so only golden vectors can be compared",
                    hint="leave out --data",
                )
            mismatches += compare_outputs(library, library.run(inputs), expected)
            if golden is not None and tflm.available():
                mismatches += [f"golden vectors: {m}" for m in compare_outputs(library, golden, expected)]
            measured = library.measure(inputs[0])
        return VerifyReport(
            bit_exact=not mismatches,
            passed=not mismatches,
            oracle=named,
            core=_emulated(library),
            samples=len(inputs),
            mismatches=tuple(mismatches),
            metrics=report.measured(library, measured),
        )

    def execute(self, bundle: Path, samples: Sequence[Arrays], options: Options) -> list[list[Array]]:
        """Return the outputs that the emulated core gives."""
        with _opened(bundle, options) as (opened, library):
            shapes = [t.shape for t in opened.manifest.outputs]
            return [
                [values.reshape(shape) for values, shape in zip(outputs, shapes)]
                for outputs in library.run([list(s) for s in samples])
            ]

    def golden_outputs(self, model: bytes, samples: Sequence[Arrays]) -> list[list[Array]] | None:
        """Return TFLite Micro's outputs, or those of the generated C where its wheel does not exist."""
        if tflm.available():
            return [list(r.outputs) for r in oracle.run(model, [list(s) for s in samples])]
        program = build(Graph.from_bytes(model), core(DEFAULT_CORE), "golden")
        with _written(program) as library:
            outputs = library.run([list(s) for s in samples])
        shapes = [program.graph.tensors[t].shape for t in program.graph.outputs]
        return [[a.reshape(s) for a, s in zip(row, shapes)] for row in outputs]

    def bench(
        self, bundle: Path, options: Options, *, runs: int = 100, threads: int | None = None
    ) -> dict[str, Any]:
        """Return exact instructions, a layer each, and what is estimated from them."""
        with _opened(bundle, options) as (opened, library):
            inputs, _ = _samples(opened, None)
            if options.get("port"):
                return on_board.bench(library, opened.read("model.tflite"), inputs[0], options, runs)
            measured = library.measure(inputs[0])
            graph = Graph.from_bytes(opened.read("model.tflite"), str(bundle))
            name = opened.manifest.target_data.get("board")
            chosen = board(str(name)) if name else None
            own = calibration.read(options, chosen)
            return report.benchmark(graph, library, measured, _emulated(library), chosen, own)

    def validate_target_data(self, data: Field) -> None:
        """Take an engine with what verifying it needs: the library's description, or the arena's size."""
        data.object(("engine",), optional=None)
        if data["engine"].string(ENGINES) == "tflm":
            data["arena_bytes"].integer(1)
        else:
            _description(data["library"])

    def figures(self, data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """Return what one inference took on the emulated core, and what that means in time."""
        return report.run_words(data["run"]) if "run" in data else ()

    def price(self, request: Request) -> Price | None:
        """Return what the library of a model takes, beside the limits that the options and the board state."""
        return price(request)

    def calibration(self, bundle: Path, milliseconds: float, millijoules: float | None, known: str) -> str:
        """Return the file of a board's measurements with one more in it, beside the instructions counted here."""
        with _opened(bundle, {}) as (opened, library):
            name = opened.manifest.target_data.get("board")
            if not name:
                raise UsageError(
                    "the bundle was built for no board, which a measurement would be of",
                    hint="build it with --board NAME, for instance --board nucleo-l4r5zi",
                )
            chosen, (inputs, _) = board(str(name)), _samples(opened, None)
            counted = library.measure(inputs[0]).instructions
        return calibration.with_measurement(known, chosen, counted, milliseconds, millijoules)

    def doctor(self) -> list[Requirement]:
        """Return whether the cross compiler, the emulator and the oracle are here."""
        return report.requirements()


def _compile_tflm(request: Request) -> Compiled:
    project = emit_tflm(request.model, request.graph, request.name)
    return Compiled(
        files={f"c/{path}": data for path, data in sorted(project.files.items())},
        extra={"engine": "tflm", "arena_bytes": project.arena_bytes},
        metrics={
            "engine": "tflm",
            "flash_bytes": {"data": len(request.model)},
            "ram_bytes": {"arena": project.arena_bytes},
        },
    )


def _verify_tflm(opened: Bundle, samples: Sequence[Arrays] | None) -> VerifyReport:
    inputs, golden = _samples(opened, samples)
    mismatches = verify_tflm(opened.read("model.tflite"), opened.manifest.target_data, inputs, golden)
    return VerifyReport(
        bit_exact=not mismatches,
        passed=not mismatches,
        oracle="golden vectors of the bundle",
        core=f"this machine ({tflm.DISTRIBUTION} {tflm.version()})",
        samples=len(inputs),
        mismatches=tuple(mismatches),
        metrics={"ram_bytes": {"arena": int(opened.manifest.target_data["arena_bytes"])}},
    )


@contextmanager
def _opened(path: Path, options: Mapping[str, Any]) -> Iterator[tuple[Bundle, Library]]:
    with read_bundle(path) as opened:
        data = Field(dict(opened.manifest.target_data), f"{path}: $.target_data", IntegrityError)
        if opened.manifest.target != "mcu" or data["library"].value is None:
            raise UsageError(
                f"{path} is a bundle for {opened.manifest.target} without a C library",
                hint="build one with: qedge build MODEL -t mcu",
            )
        description = _description(data["library"])
        wanted = options.get("core")
        name = core(str(wanted)).name if wanted else None
        cc = options.get("cc")
        yield opened, Library(opened.folder(), description, name, cc=None if cc is None else str(cc))


def _description(library: Field) -> Description:
    try:
        return Description.from_json(library.object(optional=None).value)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise library.error(f"{library.path}: {problem}", hint="build the bundle again") from None


@contextmanager
def _written(program: Program) -> Iterator[Library]:
    import tempfile

    generated = emit(program)
    with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
        generated.write(Path(folder))
        yield Library(Path(folder), describe(program, generated.sources))


def _samples(
    opened: Bundle, samples: Sequence[Arrays] | None
) -> tuple[list[list[Array]], list[list[Array]] | None]:
    """Return (inputs, golden outputs); outputs are None when the caller gave the inputs."""
    if samples is not None:
        return [list(s) for s in samples], None
    golden = opened.golden()
    if golden:
        return [list(i) for i, _ in golden], [list(o) for _, o in golden]
    generator = np.random.default_rng(0)
    specs = opened.manifest.inputs
    try:
        return [[_random(generator, t.shape, t.dtype) for t in specs] for _ in range(2)], None
    except ValueError as problem:
        raise QedgeError(str(problem)) from problem


def _random(generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    if dtype == "float32":
        return generator.standard_normal(shape).astype(np.float32)
    info = np.iinfo(dtype)
    return generator.integers(info.min, info.max, shape, np.dtype(dtype), endpoint=True)


def _emulated(library: Library) -> str:
    """Return where a library ran, with the compiler if it is the user's, and that it stood in for another core."""
    emulator = EMULATED[library.core]
    program = qemu_version() if emulator.unicorn is None else f"unicorn {report.installed('unicorn')}"
    compiler = "" if library.cc is None else f", {find_compiler(library.cc).name}"
    instead = f", in place of {library.wanted}: the same C" if library.core != library.wanted else ""
    return f"{library.core} ({program}{compiler}){instead}"


TARGET = McuTarget()
