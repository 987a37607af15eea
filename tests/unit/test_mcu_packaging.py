"""What surrounds the generated library: boards, projects, golden vectors, the TFLite Micro engine."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from mcu_models import bundle_of, compile_model, residual_network

from qedge.emulate import Machine, compile_c, compile_host, host_compiler, run_host
from qedge.errors import CapacityError, UsageError
from qedge.graph import Graph
from qedge.oracle import tflm
from qedge.target.options import as_int_bytes
from qedge.testing.requests import request
from qedge_mcu.boards import board, boards
from qedge_mcu.cores import CORES
from qedge_mcu.target import TARGET

WANTED_BOARDS = {
    "arduino-nano-33-ble": "cortex-m4",
    "pico": "cortex-m0plus",
    "pico2": "cortex-m33",
    "nucleo-l4r5zi": "cortex-m4",
    "disco-f746ng": "cortex-m7",
    "nucleo-h743zi": "cortex-m7",
    "nrf5340dk": "cortex-m33",
    "corstone-300": "cortex-m55",
    "esp32-s3": "esp32-s3",
    "esp32-c3": "riscv32",
}


@pytest.fixture(scope="module")
def model() -> bytes:
    return residual_network()


@pytest.fixture(scope="module")
def written(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library with its projects and two golden samples."""
    folder = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(5)
    samples = [[rng.integers(-128, 128, (1, 9, 7, 3), np.int8)] for _ in range(2)]
    for path, data in compile_model(model, folder, golden_inputs=samples, core="host").files.items():
        place = folder / Path(path).relative_to("c")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def test_every_board_is_complete() -> None:
    assert {name: b.core for name, b in boards().items()} == WANTED_BOARDS
    for found in boards().values():
        assert found.core in CORES
        assert found.systems
        assert 64 << 10 <= found.ram_bytes < found.flash_bytes or found.name == "corstone-300"


def test_a_board_gives_core_and_budget(model: bytes, tmp_path: Path) -> None:
    graph = Graph.from_bytes(model)
    assert TARGET.check(request(graph, board="pico")).metrics["core"] == "cortex-m0plus"
    assert TARGET.check(request(graph, board="pico", core="cortex-m3")).metrics["core"] == "cortex-m3"
    assert not TARGET.check(request(graph, board="pico")).findings
    with pytest.raises(CapacityError, match="over the 300 given"):
        compile_model(model, tmp_path, board="pico", ram="300")
    with pytest.raises(UsageError, match="pico3") as caught:
        TARGET.check(request(graph, board="pico3"))
    assert "did you mean 'pico2'" in str(caught.value.hint) or "did you mean 'pico'" in str(caught.value.hint)


def test_nothing_is_left_to_fill_in(written: Path) -> None:
    texts = {p: p.read_text() for p in written.rglob("*") if p.is_file()}
    assert not [p for p, text in texts.items() if re.search(r"@[A-Za-z_0-9]+@", text)]
    names = {p.relative_to(written).as_posix() for p in texts}
    assert {
        "CMakeLists.txt",
        "Makefile",
        "README.md",
        "library.properties",
        "library.json",
        "idf_component.yml",
        "zephyr/module.yml",
        "extras/golden/main.c",
        "extras/qe_board.h",
        "extras/pico_sdk/CMakeLists.txt",
        "extras/esp_idf/CMakeLists.txt",
        "extras/esp_idf/main/CMakeLists.txt",
        "extras/zephyr/CMakeLists.txt",
        "extras/serial/main.c",
        "examples/serial/serial.ino",
        "examples/serial/qe_serial.h",
        "examples/golden/golden.ino",
        "examples/golden/golden.h",
    } <= names
    assert json.loads((written / "library.json").read_text())["headers"] == "tiny.h"
    sources = sorted(p.relative_to(written).as_posix() for p in (written / "src").glob("*.c"))
    for file, prefix in (("CMakeLists.txt", ""), ("zephyr/CMakeLists.txt", "../")):
        assert all(f"{prefix}{source}\n" in (written / file).read_text() for source in sources)


@pytest.mark.parametrize("core", ["host", "cortex-m4"])
def test_the_example_runs_under_sanitizers(model: bytes, tmp_path: Path, core: str) -> None:
    """Kernels for the DSP extension have twins in C, which run here too."""
    rng = np.random.default_rng(6)
    samples = [[rng.integers(-128, 128, (1, 9, 7, 3), np.int8)] for _ in range(2)]
    for path, data in compile_model(model, tmp_path, golden_inputs=samples, core=core).files.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    sources = [*sorted((tmp_path / "c/src").glob("*.c")), tmp_path / "c/extras/golden/main.c"]
    program = compile_host(
        sources,
        tmp_path / "golden",
        includes=[tmp_path / "c/src", tmp_path / "c/examples/golden"],
        defines=["QE_PRINT"],
    )
    assert run_host(program).endswith(b"\ntiny: 2 of 2 golden samples are bit-exact\n")


def test_the_example_runs_on_this_machine(written: Path, tmp_path: Path) -> None:
    program = tmp_path / "golden"
    sources = [*sorted((written / "src").glob("*.c")), written / "extras/golden/main.c"]
    command = [*host_compiler().command, "-std=c11", "-DQE_PRINT", *map(str, sources)]
    subprocess.run(
        [*command, f"-I{written / 'src'}", f"-I{written / 'examples/golden'}", "-o", str(program)], check=True
    )
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert re.fullmatch(
        r"sample 0: class \d\nsample 1: class \d\ntiny: 2 of 2 golden samples are bit-exact\n", done.stdout
    )
    assert done.returncode == 0


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33"])
def test_the_example_runs_on_every_core(model: bytes, tmp_path: Path, core: str) -> None:
    rng = np.random.default_rng(6)
    samples = [[rng.integers(-128, 128, (1, 9, 7, 3), np.int8)] for _ in range(2)]
    for path, data in compile_model(model, tmp_path, golden_inputs=samples, core=core).files.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    sources = [*sorted((tmp_path / "c/src").glob("*.c")), tmp_path / "c/extras/golden/main.c"]
    image = compile_c(
        sources, core, includes=[tmp_path / "c/src", tmp_path / "c/examples/golden"], keep=["main"]
    )
    assert Machine(image, core, count=False).call("main").value == 0


def test_the_makefile_checks_the_golden_vectors(written: Path) -> None:
    done = subprocess.run(
        ["make", "-s", "-C", str(written), "check"], capture_output=True, text=True, check=False
    )
    assert "2 of 2 golden samples are bit-exact" in done.stdout, done.stderr


@pytest.mark.skipif(not tflm.available(), reason="the arena is found with the tflite-micro wheel")
def test_the_tflm_engine_finds_the_smallest_arena(model: bytes, tmp_path: Path) -> None:
    bundle = bundle_of(model, tmp_path, engine="tflm")
    report = TARGET.verify(bundle, None, {})
    assert report.bit_exact
    arena = report.metrics["ram_bytes"]["arena"]
    sample = [np.zeros((1, 9, 7, 3), np.int8)]
    smaller = tflm.run_many([tflm.Job(model, [sample], arena_bytes=arena - 16)])[0]
    assert not isinstance(smaller, list)
    source = (bundle / "c/src/tiny.cc").read_text()
    for method in (
        "AddConv2D",
        "AddDepthwiseConv2D",
        "AddAveragePool2D",
        "AddFullyConnected",
        "AddSoftmax",
        "AddAdd",
    ):
        assert f"resolver_.{method}();" in source
    assert f"kArenaBytes = {arena};" in (bundle / "c/src/tiny.h").read_text()
    assert f"kModelBytes = {len(model)};" in (bundle / "c/src/tiny_model.cc").read_text()


def test_sizes_of_boards_read_like_budgets() -> None:
    assert board("pico").ram_bytes == as_int_bytes("264K", what="ram")
