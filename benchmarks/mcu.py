"""The generated C of the five MLPerf Tiny models against TFLite Micro with CMSIS-NN.

    python benchmarks/mcu.py [--shared ../shared] [--core cortex-m4] [--cc "arm-none-eabi-gcc -O2"] [--model kws]
                             [--layers] [--json] [--write]

Every model is built with the clang that the project carries and, where it is installed, with GCC. Instructions
are exact, counted on an emulated core for one run on the same random input that the baseline was measured with;
bytes come from the linked image. The baseline: GCC 12.2 and TFLite Micro (2026) with CMSIS-NN, one image a model,
only the operators needed; the Cortex-M33's is the Cortex-M4's, and the one of RISC-V, which CMSIS-NN does not know,
TFLite Micro's reference kernels alone. --write measures every core.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "targets"), str(ROOT / "tests" / "unit")]

from mcu_models import residual_network  # noqa: E402

from qedge.emulate import CORES, find_compiler  # noqa: E402
from qedge.graph import Graph  # noqa: E402
from qedge.oracle import tflm  # noqa: E402
from qedge_mcu.cores import core  # noqa: E402
from qedge_mcu.emit import emit  # noqa: E402
from qedge_mcu.library import Library, Measured, describe  # noqa: E402
from qedge_mcu.program import build  # noqa: E402
from qedge_mcu.verify import compare_layers, compare_outputs, layer_table  # noqa: E402

FILES = {
    "ad": "ad01_int8.tflite",
    "ic": "ic01_resnet8_int8.tflite",
    "kws": "kws01_dscnn_int8.tflite",
    "vww": "vww01_mobilenet_int8.tflite",
    "sww": "sww01_int8.tflite",
}


@dataclass(frozen=True)
class Baseline:
    """TFLite Micro with CMSIS-NN: instructions by core; bytes on the Cortex-M4."""

    instructions: dict[str, int]
    code_bytes: int
    image_bytes: int
    arena_bytes: int
    stack_bytes: int


def _baseline(m4: int, m55: int, m3: int, m0: int, code: int, image: int, arena: int, stack: int) -> Baseline:
    cores = {"cortex-m4": m4, "cortex-m33": m4, "cortex-m55": m55, "cortex-m3": m3, "cortex-m0plus": m0}
    return Baseline(cores, code, image, arena, stack)


TFLM = {
    "ad": _baseline(582_254, 149_915, 955_884, 1_762_448, 27_964, 304_940, 3_012, 660),
    "ic": _baseline(29_863_496, 4_810_901, 41_847_272, 97_562_801, 51_104, 149_600, 55_012, 948),
    "kws": _baseline(7_697_254, 1_784_643, 10_531_993, 29_002_803, 53_300, 107_236, 22_836, 948),
    "vww": _baseline(24_101_516, 6_433_147, 31_958_782, 86_902_062, 53_300, 386_588, 100_724, 948),
    "sww": _baseline(2_226_254, 407_787, 4_728_987, 9_547_133, 50_764, 125_284, 16_596, 776),
}

REFERENCE_KERNELS = {
    "riscv32": {"ad": 2_475_572, "ic": 111_779_984, "kws": 30_398_824, "vww": 93_500_612, "sww": 7_534_431}
}
"""Instructions of TFLite Micro's reference kernels alone (2026-08), by the same GCC at -O2, where it has no others."""


def reference(model: str, core_name: str) -> int | None:
    """Return the baseline's instructions on a core, or None where it was not measured."""
    found = TFLM[model].instructions.get(core_name)
    return found or REFERENCE_KERNELS.get(core_name, {}).get(model)


@dataclass(frozen=True)
class Row:
    """One model on one core."""

    model: str
    core: str
    compiler: str
    bit_exact: bool | None
    instructions: int
    instructions_ratio: float | None
    code_bytes: int
    constant_bytes: int
    overhead_bytes: int
    flash_ratio: float
    ram_bytes: int
    ram_ratio: float
    stack_bytes: int
    layers: list[dict[str, Any]]


README = ROOT / "targets" / "qedge_mcu" / "README.md"
TITLES = {
    "ad": "anomaly detection (ad01)",
    "ic": "image classification (ic01)",
    "kws": "keyword spotting (kws01)",
    "vww": "visual wake words (vww01)",
    "sww": "streaming wake word (sww01)",
}
GOLDEN = ROOT / "tests" / "golden" / "mcu_figures.json"
COUNTS = ROOT / "tests" / "golden" / "mcu_instructions.json"
COUNTED = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m33", "cortex-m55", "riscv32")
Counts = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Instructions by core, model and compiler (``clang``, ``gcc``)."""


def table(golden: Mapping[str, Mapping[str, int]]) -> str:
    """Return the table of the target's page."""
    lines = [
        "| model | instructions | of TFLM | code | flash | of TFLM | RAM | of TFLM |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model, f in golden.items():
        base, flash = TFLM[model], f["code_bytes"] + f["constant_bytes"]
        cells = (
            f"{TITLES[model]}",
            f"{f['instructions']:,}",
            f"{f['instructions'] / base.instructions['cortex-m4']:.2f}",
            f"{f['code_bytes']:,}",
            f"{flash:,}",
            f"{flash / base.image_bytes:.2f}",
            f"{f['ram_bytes']:,}",
            f"{f['ram_bytes'] / base.arena_bytes:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of_cores(counts: Counts) -> str:
    """Return the table of all cores: with GCC and with clang, relative to the baseline."""
    lines = [
        "| core | " + " | ".join(FILES) + " |",
        "|---|" + "---|" * len(FILES),
    ]
    for name, models in counts.items():
        cells = []
        for model in FILES:
            baseline = reference(model, name)
            assert baseline is not None
            both = (f"{models[model][compiler] / baseline:.2f}" for compiler in ("gcc", "clang"))
            cells.append(" / ".join(both))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def count(shared: Path) -> Counts:
    """Measure every core with both compilers; needs both GCCs."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name in COUNTED:
        for model, file in FILES.items():
            path = shared / "models" / "mlperf_tiny" / file
            both = {"clang": None, "gcc": CORES[name].gcc_name}
            counts = {k: measure(model, path, name, "-O2", False, cc).instructions for k, cc in both.items()}
            found.setdefault(name, {})[model] = counts
        found[name]["small"] = {k: measure_small(name, cc) for k, cc in both.items()}
    return found


def measure_small(core_name: str, cc: str | None) -> int:
    """Return the instructions of one run of a small residual network on zeros, on one core."""
    graph = Graph.from_bytes(residual_network())
    program = build(graph, core(core_name), "small")
    generated = emit(program)
    with tempfile.TemporaryDirectory() as folder:
        generated.write(Path(folder))
        library = Library(Path(folder), describe(program, generated.sources), cc=cc)
        return library.measure([np.zeros(graph.tensors[t].shape, np.int8) for t in graph.inputs]).instructions


def figures(row: Row) -> dict[str, int]:
    """Return the figures of a row that do not change unless the generator does."""
    keys = ("instructions", "code_bytes", "constant_bytes", "overhead_bytes", "ram_bytes", "stack_bytes")
    return {key: getattr(row, key) for key in keys}


def reference_input(elements: int) -> np.ndarray:
    """Return the baseline's input: xorshift32 seeded 0x12345678, the top byte of each state as int8."""
    state, values = 0x12345678, bytearray()
    for _ in range(elements):
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        values.append(state >> 24)
    return np.frombuffer(bytes(values), np.int8)


def compilers(core_name: str) -> list[str | None]:
    """Return the compilers to measure with: the built-in clang, and GCC where it is installed."""
    name = CORES[core_name].gcc_name
    return [None, name] if shutil.which(name) else [None]


def measure(model: str, path: Path, core_name: str, optimise: str, check: bool, cc: str | None = None) -> Row:
    """Generate, compile, run and compare one model on one core; ``cc`` is a GCC instead of the built-in clang."""
    graph = Graph.from_file(path)
    program = build(graph, core(core_name), model)
    generated = emit(program)
    sample = [
        reference_input(graph.tensors[t].elements).reshape(graph.tensors[t].shape) for t in graph.inputs
    ]
    with tempfile.TemporaryDirectory() as folder:
        generated.write(Path(folder))
        library = Library(Path(folder), describe(program, generated.sources), optimise=optimise, cc=cc)
        found: Measured = library.measure(sample)
        exact = None
        if check and tflm.available():
            (run,) = tflm.run(graph.data, [sample], inner=True)
            differing = compare_layers(library, [sample], [run.tensors])
            differing += compare_outputs(library, library.run([sample]), [run.outputs])
            exact = not differing
            for text in differing:
                print(f"{model} {cc or ''}: {text}", file=sys.stderr)
    base, baseline = TFLM[model], reference(model, core_name)
    return Row(
        model,
        core_name,
        find_compiler(cc).name,
        exact,
        found.instructions,
        round(found.instructions / baseline, 3) if baseline else None,
        found.code_bytes,
        found.data_bytes,
        generated.overhead_bytes,
        round((found.code_bytes + found.data_bytes) / base.image_bytes, 3),
        program.context_bytes,
        round(program.context_bytes / base.arena_bytes, 3),
        found.stack_bytes,
        layer_table(graph, library, found.layers),
    )


def show(row: Row, *, first: bool, layers: bool) -> None:
    """Print a row, under the table's head where it is the first."""
    if first:
        print(f"{row.core}; ratios are to TFLite Micro with CMSIS-NN")
        print(
            f"{'model':6}{'compiler':26}{'exact':>7}{'instructions':>14}{'ratio':>7}{'code':>8}{'constants':>11}"
            f"{'beyond':>8}{'flash':>7}{'RAM':>8}{'ratio':>7}{'stack':>7}"
        )
    print(
        f"{row.model:6}{row.compiler:26}{row.bit_exact!s:>7}{row.instructions:>14,}"
        f"{row.instructions_ratio or 0:>7.3f}{row.code_bytes:>8,}{row.constant_bytes:>11,}"
        f"{row.overhead_bytes:>8,}{row.flash_ratio:>7.3f}{row.ram_bytes:>8,}{row.ram_ratio:>7.3f}"
        f"{row.stack_bytes:>7,}",
        flush=True,
    )
    if layers:
        for layer in row.layers:
            ratio = layer["instructions_per_mac"] or ""
            print(f"    {layer['op']:26}{layer['instructions']:>12,}{ratio:>8}")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=None, help="folder with the third-party models")
    parser.add_argument("--core", default="cortex-m4")
    parser.add_argument("--cc", action="append", help="a GCC and its flags; the clang that is built in: zig")
    parser.add_argument("--model", choices=sorted(FILES), action="append")
    parser.add_argument("--optimise", default="-O2", help="optimisation of the C compiler")
    parser.add_argument("--layers", action="store_true", help="also instructions a layer")
    parser.add_argument("--no-check", action="store_true", help="do not compare with TFLite Micro")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the figures that the tests hold on to")
    args = parser.parse_args()
    shared = args.shared or next(
        (p / "shared" for p in (ROOT.parent, ROOT.parent.parent) if (p / "shared" / "models").is_dir()), None
    )
    if shared is None:
        print("the third-party models are not beside the project", file=sys.stderr)
        return 8
    rows = []
    for model in args.model or FILES:
        path = shared / "models" / "mlperf_tiny" / FILES[model]
        for cc in args.cc or compilers(args.core):
            row = measure(model, path, args.core, args.optimise, not args.no_check, cc)
            rows.append(row)
            if not args.json:
                show(row, first=len(rows) == 1, layers=args.layers)
    if args.write:
        golden = {r.model: figures(r) for r in rows if r.compiler.startswith("clang")}
        GOLDEN.write_text(json.dumps(golden, indent=2) + "\n")
        counts = count(shared)
        COUNTS.write_text(json.dumps(counts, indent=2) + "\n")
        text = README.read_text()
        begin, end = text.index("| model |"), text.index("\n\nRAM is")
        text = text[:begin] + table(golden) + text[end:]
        begin, end = text.index("| core |"), text.index("\n\nThe loops")
        README.write_text(text[:begin] + table_of_cores(counts) + text[end:])
    if args.json:
        print(json.dumps({"schema_version": 1, "rows": [asdict(r) for r in rows]}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
