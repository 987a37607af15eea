"""Every case of every operator, on every executor, against TFLite Micro: byte for byte.

Several tables share one model, so that an executor compiles a few times and not once an operator.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import tests.ops.cases
from qedge.errors import ModelError, QedgeError
from qedge.graph import Graph
from qedge.testing.cases import Case, Merged, merge
from qedge.verify import tflm
from qedge_mcu.ops import operators
from tests.ops.executors import EXECUTORS, Array, Executor

TABLES: dict[str, list[Case]] = {
    entry.name: importlib.import_module(f"tests.ops.cases.{entry.name}").CASES
    for entry in pkgutil.iter_modules(tests.ops.cases.__path__)
}
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
    (found,) = tflm.run_many([tflm.Job(model.data, model.samples())])
    return found


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A function that runs a batch on an executor, once."""

    @cache
    def run(first: int, executor: str) -> list[list[Array]] | QedgeError:
        (found,) = (e for e in EXECUTORS if e.name == executor)
        try:
            return found.run(batch(first).data, batch(first).samples(), tmp_path_factory.mktemp("ops"))
        except QedgeError as error:
            return error

    return run


@needs_wheel
@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda e: e.name)
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


def test_every_operator_has_cases() -> None:
    tested = set()
    for first in range(0, len(NAMES), TABLES_AT_ONCE):
        tested |= {op.op for g in Graph.from_bytes(batch(first).data).subgraphs for op in g}
    assert set(operators()) <= tested, f"no cases for {sorted(set(operators()) - tested)}"


@pytest.mark.parametrize("table", NAMES)
def test_zero_points_reach_both_ends(table: str) -> None:
    found = {
        zero_point
        for tensor in Graph.from_bytes(merge(TABLES[table]).data).tensors
        if tensor.dtype == "int8" and tensor.quantization is not None
        for zero_point in tensor.quantization.zero_point.tolist()
    }
    assert {-128, 127} <= found
