"""Every case of every operator, on every executor, against TFLite Micro: byte for byte.

Several tables share one model, so that an executor compiles a few times and not once an operator.
"""

from __future__ import annotations

import doctest
import importlib.util
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from qedge import fixedpoint
from qedge.emulate.toolchain import WARNINGS
from qedge.errors import ModelError, QedgeError
from qedge.graph import Graph
from qedge.oracle import tflm
from qedge.testing.cases import Merged, merge
from qedge_mcu.cores import core
from qedge_mcu.ops import Emitted, OpContext, find, operators, operators_int16
from qedge_mcu.ops.unpack import unpacked
from qedge_mcu.oracle import rewrite
from tests.ops.executors import EXECUTORS, LONG, VECTORS, Array, Executor, generate
from tests.ops.tables import TABLES

TABLES_AT_ONCE = 14
NAMES = sorted(TABLES)

needs_wheel = pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")


@cache
def batch(first: int, for_oracle: bool = False) -> Merged:
    """Return the model of the tables from position ``first`` on, each case under ``table/case``."""
    names = NAMES[first : first + TABLES_AT_ONCE]
    cases = [replace(case, name=f"{name}/{case.name}") for name in names for case in TABLES[name]]
    return merge(cases, for_oracle=for_oracle)


@cache
def expected(first: int) -> list[tflm.Run] | ModelError:
    """Return what TFLite Micro says."""
    model = batch(first, for_oracle=True)
    (found,) = tflm.run_many([tflm.Job(rewrite(model.data)[0], model.samples())])
    return found


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A function that runs a batch on an executor, once."""

    @cache
    def run(first: int, executor: str) -> list[list[Array]] | QedgeError:
        (found,) = (e for e in (*EXECUTORS, *LONG) if e.name == executor)
        try:
            return found.run(batch(first).data, batch(first).samples(), tmp_path_factory.mktemp("ops"))
        except QedgeError as error:
            return error

    return run


PLACES = [*EXECUTORS, *(pytest.param(e, marks=pytest.mark.long) for e in LONG)]


@needs_wheel
@pytest.mark.parametrize("executor", PLACES, ids=lambda e: e.name)
@pytest.mark.parametrize("table", NAMES)
def test_operator_is_bit_exact(table: str, executor: Executor, results) -> None:  # type: ignore[no-untyped-def]
    if table in executor.skips:
        pytest.skip(executor.skips[table])
    first = NAMES.index(table) // TABLES_AT_ONCE * TABLES_AT_ONCE
    model = batch(first)
    wanted, found = expected(first), results(first, executor.name)
    assert not isinstance(wanted, QedgeError), str(wanted)
    assert not isinstance(found, QedgeError), str(found)
    compared, differing = 0, []
    for run, (row, answer) in enumerate(zip(found, wanted)):
        for case, got, want in zip(model.case_of, row, answer.outputs):
            if case.partition("/")[0] != table:
                continue
            compared += got.size
            if got.tobytes() != want.tobytes():
                wrong = np.flatnonzero(got.reshape(-1) != want.reshape(-1))
                at = wrong[0] if wrong.size else 0
                differing.append(
                    f"{case} run {run}: {wrong.size} of {got.size} differ,"
                    f" the first at {at}: {got.flat[at]}, expected {want.flat[at]}"
                )
    assert compared > 0
    assert not differing, "\n".join(differing)


LANGUAGES = {"c++17": ["g++", "-x", "c++"], "c99": ["gcc"]}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("first", range(0, len(NAMES), TABLES_AT_ONCE))
def test_the_library_is_cpp_and_c99_too(first: int, language: str, tmp_path: Path) -> None:
    compiler = LANGUAGES[language]
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no {compiler[0]} on this machine")
    _, generated = generate(Graph.from_bytes(batch(first).data), "host", tmp_path)
    command = [*compiler, f"-std={language}", "-fsyntax-only", *VECTORS, *WARNINGS]
    command += ["-Werror", f"-I{tmp_path}/src"]
    command += [str(tmp_path / s) for s in generated.sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    assert generated.sources


COMPILERS = {
    "cortex-m4": ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"],
    "cortex-m55": ["arm-none-eabi-gcc", "-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"],
    "riscv32": ["riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs"],
}


@pytest.mark.long
@pytest.mark.parametrize("core_name", sorted(COMPILERS))
def test_gcc_has_nothing_to_say(core_name: str, tmp_path: Path) -> None:
    command = COMPILERS[core_name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")
    cases = [replace(case, name=f"{name}/{case.name}") for name in NAMES for case in TABLES[name]]
    _, generated = generate(Graph.from_bytes(merge(cases).data), core_name, tmp_path)
    flags = ["-std=c99", "-O2", "-fsyntax-only", *WARNINGS, "-Werror", f"-I{tmp_path}/src"]
    done = subprocess.run(
        [*command, *flags, *(str(tmp_path / s) for s in generated.sources)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:3000]


def test_every_operator_has_cases() -> None:
    tested = set()
    for first in range(0, len(NAMES), TABLES_AT_ONCE):
        tested |= {op.op for g in Graph.from_bytes(batch(first).data).subgraphs for op in g}
    assert set(operators()) <= tested, f"no cases for {sorted(set(operators()) - tested)}"


def test_every_operator_runs_on_the_host_an_arm_core_and_a_riscv_core() -> None:
    """Its cases count only where no executor leaves a table out."""
    places = {e.name: e for e in (*EXECUTORS, *LONG)}
    assert places["host"].on_host
    assert {"cortex-m4", "riscv32"} <= {e.core for e in places.values() if not e.on_host}
    assert all(not e.skips for e in places.values())


def test_every_int16_operator_has_cases() -> None:
    graph = Graph.from_bytes(merge(TABLES["int16"]).data)
    assert set(operators_int16()) <= {op.op for op in graph}


@pytest.mark.parametrize("table", [name for name in NAMES if name != "int16"])
def test_zero_points_reach_both_ends(table: str) -> None:
    found = {
        zero_point
        for tensor in Graph.from_bytes(merge(TABLES[table]).data).tensors
        if tensor.dtype == "int8" and tensor.quantization is not None
        for zero_point in tensor.quantization.zero_point.tolist()
    }
    assert {-128, 127} <= found


def _module(c: OpContext) -> Emitted:
    module = find(c)
    assert module is not None
    return module.emit(c)


def test_every_kernel_belongs_to_an_operator(project: Path) -> None:
    """A kernel that no case of any operator calls on any core would be dead code, or untested."""
    called = set()
    for first in range(0, len(NAMES), TABLES_AT_ONCE):
        graph = Graph.from_bytes(batch(first).data)
        for name in ("host", "cortex-m4", "cortex-m55"):
            for op in graph:
                c = OpContext(graph, op, core(name))
                called |= set(unpacked(c, _module(c)).kernels)
    assert {k.name for k in (project / "targets/qedge_mcu/kernels").glob("*.c")} == called


def test_the_support_table_is_current(project: Path) -> None:
    spec = importlib.util.spec_from_file_location("make", project / "docs/make_mcu_operators.py")
    assert spec is not None
    assert spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    written = (project / "docs/mcu_operators.md").read_text("utf-8")
    assert make.page() == written, "run: python docs/make_mcu_operators.py"


@pytest.mark.parametrize("module", [fixedpoint, *{m.__name__: m for m in operators().values()}.values()])
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
