"""What the MLPerf Tiny models take: exact counts, held with a margin, and what was promised.

``python benchmarks/mcu.py --write`` rebuilds the golden files.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qedge.emulate import CORES, qemu_available
from qedge.oracle import tflm

needs_wheel = pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")
MODELS = ("ad", "ic", "kws", "vww", "sww")
MARGIN = 0.02
COMPILERS = ("clang", "gcc")
PROMISED = {
    "cortex-m55": {"ad": 0.5, "ic": 0.85, "kws": 0.85, "vww": 0.8, "sww": 0.8},
    "cortex-m4": {"ic": 0.38, "kws": 0.385, "vww": 0.36},
    "cortex-m33": {"ic": 0.38, "kws": 0.385, "vww": 0.36},
    "cortex-m3": {"ic": 0.95, "kws": 0.95, "vww": 0.95},
    "cortex-m0plus": {"ic": 0.85, "kws": 0.85, "vww": 0.85},
    "riscv32": {"ad": 0.45, "ic": 0.45, "kws": 0.45, "vww": 0.45, "sww": 0.45},
}
"""Instructions at most, relative to TFLite Micro; the Cortex-M3's with GCC."""
RAM_RATIO = {"ad": 2048 / 3012, "ic": 0.92, "kws": 0.8, "vww": 0.8, "sww": 0.8}


@cache
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "mcu.py"
    spec = importlib.util.spec_from_file_location("mcu_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def row(model: str, folder: Path) -> Any:
    b = benchmark()
    return b.measure(model, folder / b.FILES[model], "cortex-m4", "-O2", True)


def test_the_page_has_the_figures() -> None:
    golden = json.loads(benchmark().GOLDEN.read_text())
    assert set(golden) == set(MODELS)
    assert benchmark().table(golden) in benchmark().README.read_text()


def counts() -> Any:
    return json.loads(benchmark().COUNTS.read_text())


def compiler(core: str, name: str) -> str | None:
    """Return what ``cc`` takes, or skip the test where the compiler is missing."""
    if name == "clang":
        return None
    gcc = CORES[core].gcc_name
    if shutil.which(gcc) is None:
        pytest.skip(f"{gcc} is not installed")
    return str(gcc)


def test_every_core_is_counted_with_both_compilers() -> None:
    assert set(counts()) == set(benchmark().COUNTED) == {*CORES} - {"cortex-m7"}
    for models in counts().values():
        assert set(models) == {*MODELS, "small"}
        assert all(set(found) == set(COMPILERS) for found in models.values())
    assert benchmark().table_of_cores(counts()) in benchmark().README.read_text()


@pytest.mark.parametrize("core", PROMISED)
def test_the_counts_are_those_promised(core: str) -> None:
    for model, most in PROMISED[core].items():
        for name in ("gcc",) if core == "cortex-m3" else COMPILERS:
            ratio = counts()[core][model][name] / benchmark().reference(model, core)
            assert ratio <= most, f"{model} with {name}: {ratio:.3f}"
    for model in MODELS:
        m33, m4 = counts()["cortex-m33"][model], counts()["cortex-m4"][model]
        assert all(abs(m33[name] - m4[name]) <= MARGIN * m4[name] for name in COMPILERS)


@pytest.mark.long
@pytest.mark.parametrize("name", COMPILERS)
@pytest.mark.parametrize("core", PROMISED)
def test_counts_of_a_small_model_stay(core: str, name: str) -> None:
    if CORES[core].unicorn is None and not qemu_available(core):
        pytest.skip(f"no QEMU for {core} is installed")
    found = benchmark().measure_small(core, compiler(core, name))
    golden = counts()[core]["small"][name]
    assert abs(found - golden) <= MARGIN * golden, f"{found:,}, expected {golden:,}"


@pytest.mark.shared
@pytest.mark.long
@pytest.mark.parametrize("name", COMPILERS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("core", PROMISED)
def test_counts_stay(core: str, model: str, name: str, shared: Path) -> None:
    if CORES[core].unicorn is None and not qemu_available(core):
        pytest.skip(f"no QEMU for {core} is installed")
    b = benchmark()
    path = shared / "models" / "mlperf_tiny" / b.FILES[model]
    found = b.measure(model, path, core, "-O2", False, compiler(core, name)).instructions
    golden = counts()[core][model][name]
    assert abs(found - golden) <= MARGIN * golden, f"{found:,}, expected {golden:,}"


@pytest.mark.shared
@needs_wheel
@pytest.mark.parametrize("model", MODELS)
def test_figures_stay(model: str, shared: Path) -> None:
    found = row(model, shared / "models" / "mlperf_tiny")
    golden = json.loads(benchmark().GOLDEN.read_text())[model]
    for key, value in benchmark().figures(found).items():
        assert abs(value - golden[key]) <= MARGIN * golden[key], f"{key}: {value:,}, expected {golden[key]:,}"


@pytest.mark.shared
@needs_wheel
@pytest.mark.parametrize("model", MODELS)
def test_the_promises_hold(model: str, shared: Path) -> None:
    found = row(model, shared / "models" / "mlperf_tiny")
    assert found.bit_exact
    assert found.instructions_ratio <= 0.75
    assert found.code_bytes <= 14 * 1024
    model_constants = found.constant_bytes - found.overhead_bytes
    assert found.overhead_bytes <= max(0.1 * model_constants, 3 * 1024)
    assert found.ram_ratio <= RAM_RATIO[model]
    assert found.stack_bytes <= 800
    if model == "kws":
        assert found.flash_ratio <= 0.5
