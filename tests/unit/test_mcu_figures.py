"""What the MLPerf Tiny models take on a Cortex-M4: exact counts, held with a margin, and what was promised.

``python benchmarks/mcu.py --write`` rebuilds the golden file.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qedge.oracle import tflm

needs_wheel = pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")
MODELS = ("ad", "ic", "kws", "vww", "sww")
MARGIN = 0.02
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
