"""Steps that repeat: found in any order, given common scales, and run as one loop whose every tensor is exact."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qedge.emulate import CORES, qemu_available
from qedge.emulate.toolchain import WARNINGS
from qedge.graph import Graph
from qedge.graph.repeats import alike, find_repeats
from qedge.oracle import tflm
from qedge.quantize.plan import complete, make_plan
from qedge_mcu.cores import core
from qedge_mcu.emit import emit
from qedge_mcu.library import Library, describe
from qedge_mcu.planner import Buffer, Problem, Sharing, conflicts, plan, tie
from qedge_mcu.program import build
from qedge_mcu.verify import compare_layers
from tests.unit.mcu_models import residual_network
from tests.unit.recurrent_models import unrolled

FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "own-scales": {"own_scales": True},
    "sequence": {"sequence": True},
    "backwards": {"backwards": True},
    "shuffled": {"shuffled": True},
    "late": {"late": True, "steps": 12},
    "long": {"steps": 40},
    "odd": {"units": 5},
    "odd-backwards": {"units": 7, "backwards": True, "own_scales": True},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_steps_are_found(form: str) -> None:
    graph = Graph.from_bytes(unrolled(**FORMS[form]))
    repeats = find_repeats(graph)
    (run,) = repeats.runs
    assert sorted(repeats.order) == list(range(len(graph.operators)))
    done: set[int] = set()
    for i in repeats.order:
        assert all(graph.producer[t].index in done for t in graph.operators[i].inputs if t in graph.producer)
        done.add(i)
    for place in range(run.period):
        assert len({op.op for op in repeats.steps(graph, run, place)}) == 1
    assert run.length >= len(graph.operators) - 8


def test_layers_with_other_weights_are_no_steps() -> None:
    assert find_repeats(Graph.from_bytes(residual_network())).runs == ()
    assert alike(Graph.from_bytes(residual_network())) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_loop_in_c_is_exact(form: str, tmp_path: Path) -> None:
    model = unrolled(**FORMS[form])
    program = build(Graph.from_bytes(model), core("cortex-m4"), "model", tries=0)
    generated = emit(program)
    text = generated.files["src/model.c"].decode()
    loops = re.findall(r"for \(int k = 0; k < (\d+); \+\+k\)", text)
    assert len(loops) == 1
    assert int(loops[0]) >= 3
    assert text.count("qe_mul_s8(") < 8
    assert "qe_split" not in text
    assert "qe_concatenation" not in text
    if form == "own-scales":
        assert re.search(r"&op\d+\[k\]", text)
    if "backwards" in form:
        assert re.search(r"- [78] \* k\)", text)
    if not tflm.available():
        pytest.skip("the tflite-micro wheel is not installed")
    generated.write(tmp_path)
    library = Library(tmp_path, describe(program, generated.sources))
    rng = np.random.default_rng(0)
    shape = program.graph.tensors[program.graph.inputs[0]].shape
    samples = [[rng.integers(-128, 128, shape, np.int8)] for _ in range(2)]
    runs = tflm.run(model, samples, inner=True)
    assert compare_layers(library, samples, [r.tensors for r in runs]) == []


COMPILERS = {
    "gcc-arm": ("cortex-m4", "arm-none-eabi-gcc"),
    "gcc-riscv": ("riscv32", "riscv64-unknown-elf-gcc"),
    "clang-arm": ("cortex-m55", None),
    "clang-riscv": ("riscv32", None),
}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_loop_is_exact_and_without_a_warning_by_every_compiler(compiler: str, tmp_path: Path) -> None:
    """A warning is an error where a library is compiled for its verification."""
    name, cc = COMPILERS[compiler]
    if cc is not None and shutil.which(cc) is None:
        pytest.skip(f"{cc} is not installed")
    if CORES[name].unicorn is None and not qemu_available(name):
        pytest.skip(f"no QEMU for {name} is installed")
    if not tflm.available():
        pytest.skip("the tflite-micro wheel is not installed")
    model = unrolled(**FORMS["odd-backwards"])
    program = build(Graph.from_bytes(model), core(name), "model", tries=0)
    generated = emit(program)
    assert b"for (int k = 0;" in generated.files["src/model.c"]
    generated.write(tmp_path)
    library = Library(tmp_path, describe(program, generated.sources), cc=cc)
    shape = program.graph.tensors[program.graph.inputs[0]].shape
    samples = [[np.random.default_rng(0).integers(-128, 128, shape, np.int8)]]
    runs = tflm.run(model, samples, inner=True)
    assert compare_layers(library, samples, [r.tensors for r in runs]) == []


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")
@pytest.mark.parametrize("form", FORMS)
def test_a_loop_is_cpp_too(form: str, tmp_path: Path) -> None:
    generated = emit(build(Graph.from_bytes(unrolled(**FORMS[form])), core("riscv32"), "model", tries=0))
    generated.write(tmp_path)
    command = ["g++", "-x", "c++", "-std=c++17", "-fsyntax-only", *WARNINGS, "-Werror", "src/model.c"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[:3000]


def test_a_loop_takes_no_more_code_for_more_steps() -> None:
    texts = [
        emit(build(Graph.from_bytes(unrolled(steps)), core("cortex-m4"), "model", tries=0)).files[
            "src/model.c"
        ]
        for steps in (10, 40)
    ]
    assert len(texts[1]) < 1.05 * len(texts[0])


@pytest.mark.parametrize("form", ["long", "odd"])
def test_a_loop_takes_fewer_instructions_than_its_steps_written_out(form: str, tmp_path: Path) -> None:
    program = build(Graph.from_bytes(unrolled(**FORMS[form])), core("cortex-m4"), "model", tries=0)
    sample = [np.zeros(program.graph.tensors[t].shape, np.int8) for t in program.graph.inputs]
    found = []
    for name, one in (("loop", program), ("steps", replace(program, runs=()))):
        generated = emit(one)
        generated.write(tmp_path / name)
        found.append(Library(tmp_path / name, describe(one, generated.sources)).measure(sample))
    loop, steps = found
    assert loop.instructions < steps.instructions
    assert loop.code_bytes < steps.code_bytes
    assert loop.data_bytes == steps.data_bytes


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras.*")
@pytest.mark.parametrize(("kind", "steps", "golden"), [("LSTM", 50, 334_897), ("GRU", 12, None)])
def test_a_recurrent_layer_takes_little_more_than_its_weights(
    kind: str, steps: int, golden: int | None, tmp_path: Path
) -> None:
    pytest.importorskip("keras")
    if not tflm.available():
        pytest.skip("the tflite-micro wheel is not installed")
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "mcu_recurrent.py"
    spec = importlib.util.spec_from_file_location("mcu_recurrent", path)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = benchmark
    spec.loader.exec_module(benchmark)
    options = argparse.Namespace(core="cortex-m4", units=16, steps=steps, features=8)
    row = benchmark.measure(kind, options, tmp_path)
    assert row.exact
    assert row.code <= 12 * 1024
    assert row.constants <= 1.1 * row.weights_and_biases
    assert row.instructions <= row.unrolled_instructions
    assert golden is None or abs(row.instructions - golden) <= 0.02 * golden


def test_the_quantiser_gives_all_steps_one_scale() -> None:
    graph = Graph.from_bytes(unrolled(dtype="float32"))
    rng = np.random.default_rng(1)
    ranges = {t.index: (-float(rng.uniform(0.5, 2)), 1.0) for t in graph.tensors if t.data is None}
    made = make_plan(graph, complete(graph, ranges), loops=True)
    apart = make_plan(graph, complete(graph, ranges))
    names = {t.name: t.index for t in graph.tensors}
    assert len({apart.tensors[t] for n, t in names.items() if re.fullmatch(r"sum\d+", n)}) > 1
    for kind in ("product", "sum", "h"):
        found = {made.tensors[t] for n, t in names.items() if re.fullmatch(rf"{kind}\d+", n)}
        assert len(found) == 1, kind
    low = min(r[0] for t, r in ranges.items() if graph.tensors[t].name.startswith("sum"))
    affine = made.tensors[names["sum3"]]
    assert affine.scale[0] * (-128 - affine.zero_point) <= low + affine.scale[0]


def test_tied_buffers_lie_at_one_place_unless_they_would_meet() -> None:
    buffers = tuple(Buffer(str(k), 8, k - 1, k) for k in range(6))
    alone = Problem((*buffers, Buffer("x", 40, -1, 6)))
    apart = tie(alone, [[b.name for b in buffers]])
    assert sorted(map(len, apart.tied)) == [3, 3]
    over = tuple(Sharing(str(k), str(k + 1), 0) for k in range(5))
    together = tie(Problem(alone.buffers, over), [[b.name for b in buffers]])
    assert [len(names) for names in together.tied] == [6]
    for problem in (apart, together):
        found = plan(problem, tries=10)
        assert conflicts(found) == []
        assert all(len({found.offsets[name] for name in names}) == 1 for names in problem.tied)
