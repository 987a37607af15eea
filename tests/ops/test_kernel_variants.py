"""The kernels for other cores than the Cortex-M4, and the portable twins of those written in assembler."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from qedge.emulate import CORES
from qedge.oracle import tflm
from qedge.testing.cases import Case, Merged, merge
from tests.ops.cases import add, conv_2d, depthwise_conv_2d, fully_connected, pool_2d
from tests.ops.executors import Executor

pytestmark = pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")

TABLES = (add, conv_2d, depthwise_conv_2d, fully_connected, pool_2d)
EXECUTORS = (
    Executor("dsp-twins", "cortex-m4", on_host=True),
    Executor("mve-twins", "cortex-m55", on_host=True),
    Executor("cortex-m0plus", "cortex-m0plus"),
    Executor("cortex-m3", "cortex-m3"),
    Executor("cortex-m7", "cortex-m7"),
    Executor("cortex-m33", "cortex-m33"),
    Executor("cortex-m55", "cortex-m55"),
    Executor("riscv32", "riscv32"),
    Executor("cortex-m55-gcc", "cortex-m55", cc="arm-none-eabi-gcc"),
)
WITH_OTHER_FLAGS = tuple(
    Executor(f"{core}-{flags}", core, cc=f"{CORES[core].gcc_name} {flags}")
    for core in CORES
    for flags in ("-O2", "-Os", "-O2 -flto")
)


def cases() -> list[Case]:
    return [replace(case, name=f"{table.__name__}/{case.name}") for table in TABLES for case in table.CASES]


@cache
def model() -> Merged:
    return merge(cases())


@cache
def expected() -> list[tflm.Run]:
    oracle = merge(cases(), for_oracle=True)
    (found,) = tflm.run_many([tflm.Job(oracle.data, oracle.samples())])
    assert not isinstance(found, Exception), str(found)
    return found


@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda e: e.name)
def test_kernels_are_bit_exact(executor: Executor, tmp_path: Path) -> None:
    assert not differing(executor, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("executor", WITH_OTHER_FLAGS, ids=lambda e: e.name)
def test_gcc_builds_them_without_a_warning_and_bit_exact(executor: Executor, tmp_path: Path) -> None:
    assert not differing(executor, tmp_path)


def differing(executor: Executor, folder: Path) -> set[str]:
    """Return the cases with another answer than TFLite Micro's."""
    if executor.missing:
        pytest.skip(executor.missing)
    found = executor.run(model().data, model().samples(), folder)
    assert len(found) == len(expected()) > 0
    return {
        case
        for row, answer in zip(found, expected())
        for case, got, want in zip(model().case_of, row, answer.outputs)
        if got.tobytes() != want.tobytes()
    }
