"""The kernels for other cores than the Cortex-M4, and the portable twins of those written in assembler."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from qedge.emulate import qemu_available
from qedge.testing.cases import Case, Merged, merge
from qedge.verify import tflm
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
    if executor.core == "cortex-m55" and not executor.on_host and not qemu_available():
        pytest.skip("qemu-system-arm is not installed")
    found = executor.run(model().data, model().samples(), tmp_path)
    assert len(found) == len(expected()) > 0
    differing = {
        case
        for row, answer in zip(found, expected())
        for case, got, want in zip(model().case_of, row, answer.outputs)
        if got.tobytes() != want.tobytes()
    }
    assert not differing
