"""The latency estimate, against the table of published latencies that it is fitted to."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from qedge.graph import Graph
from qedge.testing.opmodels import ModelBuilder, Spec, single_op
from qedge_coral import latency, memory

CLOSE = 0.03
"""A rate that is a tenth off what the table says fails."""


@pytest.fixture(scope="module")
def benchmark(project: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_coral", project / "benchmarks/coral.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(benchmark: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = benchmark.latency_table()
    return found


def test_rates_are_those_that_fit_the_table(table: dict[str, Any]) -> None:
    rates = table["rates"]
    assert pytest.approx(rates["gmac"], rel=CLOSE) == latency.MS_PER_GMAC
    assert pytest.approx(rates["mvalue"], rel=CLOSE) == latency.MS_PER_MVALUE
    for key, value in rates.items():
        name, _, part = key.partition(".")
        if part:
            assert getattr(latency.LINKS[name], part) == pytest.approx(value, rel=CLOSE), key


def test_instruction_bytes_are_those_that_fit_compiled_files(table: dict[str, Any]) -> None:
    used = [
        latency.INSTRUCTION_BYTES, latency.INSTRUCTION_BYTES_OPERATOR, latency.INSTRUCTION_BYTES_MVALUE,
    ]  # fmt: skip
    assert used == pytest.approx(table["instructions"], rel=CLOSE)


CPU = {
    # link: (milliseconds of a network on one thread of that host's CPU, its multiply-accumulates in 10^6)
    "usb3": (53.0, 568.7),  # MobileNet v1, coral.ai/docs/edgetpu/benchmarks, desktop CPU
    "pcie": (164.0, 568.7),  # the same, embedded CPU
    "usb3_pi4": (112.6, 800.0),  # SSD MobileNet v2, aallan/benchmarking-ml-on-the-edge, TensorFlow Lite
    "usb3_pi5": (23.5, 800.0),
    "usb2": (379.6, 800.0),  # Raspberry Pi 3 B+
}


def test_multiplications_of_the_cpu_are_as_published() -> None:
    assert set(CPU) == set(latency.LINKS)
    for name, (ms, mmacs) in CPU.items():
        assert latency.LINKS[name].cpu_mmac == pytest.approx(ms / mmacs, rel=CLOSE)


def test_values_of_the_cpu_where_no_row_tells_them_are_the_ratio_of_the_pc(benchmark: ModuleType) -> None:
    pc = latency.LINKS["usb3"]
    for name in set(latency.LINKS) - set(benchmark.CPU_FITTED):
        link = latency.LINKS[name]
        assert link.cpu_mvalue / link.cpu_mmac == pytest.approx(pc.cpu_mvalue / pc.cpu_mmac, rel=CLOSE)


def test_error_of_the_range_is_that_of_nine_rows_in_ten(table: dict[str, Any]) -> None:
    for name, found in table["links"].items():
        wanted = max(0.25, 0.05 * math.ceil(found["nine_of_ten_percent"] / 5))
        assert latency.LINKS[name].error == pytest.approx(wanted)
        assert latency.LINKS[name].evidence


def test_each_row_left_out_is_estimated_and_held_by_its_range(table: dict[str, Any]) -> None:
    assert table["all"]["median_error_percent"] <= 10
    assert table["all"]["inside_percent"] >= 90
    assert all(found["inside_percent"] >= 90 for found in table["links"].values())
    classifiers = table["kinds"]["usb3/classifier"]
    assert classifiers["rows"] == 13
    assert classifiers["mean_error_percent"] <= 7
    assert classifiers["worst_error_percent"] <= 23


def test_every_crossing_of_the_boundary_counts() -> None:
    """LOGISTIC and TANH on the chip with a CPU operator between: two tensors in, two out."""
    builder = ModelBuilder()
    g = builder.subgraph()
    last = g.input(Spec((1, 8), scale=0.1))
    for op in ("LOGISTIC", "HARD_SWISH", "TANH"):
        made = g.tensor(Spec((1, 8), scale=0.1))
        g.operator(op, [last], [made])
        last = made
    g.output(last)
    graph = Graph.from_bytes(builder.pack())
    found = latency.work(graph, [0, 2])
    assert (found.input_bytes, found.output_bytes, found.operators) == (16, 16, 2)
    assert found.cpu_mvalues == pytest.approx(8e-6)
    whole = latency.work(graph, [0])
    assert (whole.input_bytes, whole.output_bytes) == (8, 8)


@pytest.mark.parametrize(
    "part", ["input_bytes", "output_bytes", "gmacs", "mvalues", "cpu_mmacs", "cpu_mvalues"]
)
@pytest.mark.parametrize("link", list(latency.LINKS))
def test_more_work_takes_longer(part: str, link: str) -> None:
    base = {
        "input_bytes": 1000, "output_bytes": 1000, "gmacs": 0.1, "mvalues": 0.1, "operators": 3,
        "cpu_mmacs": 1.0, "cpu_mvalues": 1.0,
    }  # fmt: skip
    kept = memory.Memory(0, 0, 0, 0)
    least, usual, most = latency.bounds(link, latency.Work(**base), kept)  # type: ignore[arg-type]
    assert 0 < least < usual < most
    more = latency.Work(**{**base, part: base[part] * 3})  # type: ignore[arg-type]
    assert np.all(np.array(latency.bounds(link, more, kept)) > (least, usual, most))
    assert latency.bounds(link, more, memory.Memory(10**6, 0, 0, 10**6))[1] > usual


def test_nothing_on_the_chip_is_no_trip_over_the_bus() -> None:
    graph = Graph.from_bytes(single_op("HARD_SWISH", [Spec((1, 8), scale=0.1)], [Spec((1, 8), scale=0.1)]))
    found = latency.estimate(graph, [], memory.estimate(graph, []))
    assert all(link["ms"] == link["cpu_ms"] for link in found["links"].values())
    assert found["estimate"]
