"""The benchmark's document and what the board says; no figure is compared with a clock."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_bundles import make_bundle, tiny_images

from qedge.bundle import pack_bundle, read_bundle
from qedge.errors import UsageError
from qedge.runtime import board
from qedge.runtime.bench import bench_bundle, latency, summary
from qedge_rpi.target import TARGET


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bench") / "rpi")


def test_the_document_has_every_figure(place, tmp_path) -> None:
    pack_bundle(read_bundle(place), tmp_path / "tiny.zip")
    found = bench_bundle(tmp_path / "tiny.zip", runs=40, cold_starts=1, sample=tiny_images(1, side=20)[0])
    assert json.loads(json.dumps(found)) == found
    assert found["samples"] == 40
    for series in (found["latency_ms"], found["bare"]["latency_ms"]):
        assert set(series) == {"median", "mean", "min", "p95", "p99", "spread_percent"}
        assert 0 < series["min"] <= series["median"] <= series["p95"] <= series["p99"]
    for cold in (found["cold_start_ms"], found["bare"]["cold_start_ms"]):
        assert set(cold) == {"import", "load", "first", "total"}
        assert cold["total"] > cold["import"] + cold["load"] + cold["first"]
    assert set(found["stages_ms"]) == {"pre", "invoke", "post"}
    assert found["memory_mb"]["peak"] >= found["memory_mb"]["process"] > 10
    assert found["machine"]["cores"] >= 1
    assert found["runtime"]["threads"] == 1
    assert set(found["before"]) == set(found["after"])
    assert found["throughput_per_s"] == pytest.approx(1000 / found["latency_ms"]["mean"])
    assert "ms median" in summary(found)


def test_parts_can_be_left_out(place) -> None:
    found = bench_bundle(place, runs=3, cold_starts=0, compare=False)
    assert "bare" not in found
    assert "cold_start_ms" not in found
    with pytest.raises(UsageError, match="runs"):
        bench_bundle(place, runs=0)


def test_the_target_benches_through_it(place) -> None:
    assert TARGET.bench(place, {}, runs=5, threads=1)["samples"] == 5


def test_latency_percentiles() -> None:
    found = latency(np.arange(1, 101) * 1_000_000)
    assert found["median"] == pytest.approx(50.5)
    assert found["p95"] == pytest.approx(95.05)
    assert found["spread_percent"] == pytest.approx(100 * (95.05 - 5.95) / 50.5)


def test_a_pi_is_recognised(tmp_path, monkeypatch) -> None:
    def put(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    put("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.5\0")
    put("etc/os-release", 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    put("sys/class/thermal/thermal_zone0/temp", "61823\n")
    put("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000\n")
    put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    put("bin/vcgencmd", "#!/bin/sh\necho throttled=0x50005\n")
    (tmp_path / "bin/vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    found = {**board.machine(str(tmp_path)), **board.state(str(tmp_path))}
    assert found["board"] == "Raspberry Pi 4 Model B Rev 1.5"
    assert found["os"] == "Debian GNU/Linux 12 (bookworm)"
    assert (found["temperature_c"], found["clock_mhz"], found["governor"]) == (61.823, 1500.0, "ondemand")
    assert found["max_clock_mhz"] is None
    assert found["throttled"] == [
        "under-voltage", "throttled", "under-voltage has occurred", "throttling has occurred"
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "throttled", "throttled=x", "temp=0x0", "VCHI initialization failed"])
def test_another_answer_of_vcgencmd_is_unknown(text) -> None:
    assert board.throttled_words(text) is None


def test_a_machine_that_says_nothing(tmp_path) -> None:
    found = {**board.machine(str(tmp_path)), **board.state(str(tmp_path))}
    assert found["board"] is None
    assert found["temperature_c"] is None
