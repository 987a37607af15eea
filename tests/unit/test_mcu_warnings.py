"""Every kind of generated source has no warning, by GCC for Arm and RISC-V, clang, as C99, and as C++ by g++."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from importlib.resources import files as package_files
from pathlib import Path

import pytest
from mcu_models import residual_network
from recurrent_models import unrolled
from test_drift import colours, images, sketch_of
from test_frontend_c import DIGITS, SCALE, ZERO_POINT
from test_mcu_detect import BINS, FOMO
from test_mcu_detect import library as detector_library

from qedge.emulate import check_c
from qedge.emulate.toolchain import WARNINGS
from qedge.errors import ToolError
from qedge.graph import Graph
from qedge.testing.cases import merge
from qedge_mcu.cores import core
from qedge_mcu.emit import emit
from qedge_mcu.frontend import emit_frontend
from qedge_mcu.monitor import monitor_files
from qedge_mcu.program import build
from tests.ops.tables import TABLES

NAME = "model"


def _library(data: bytes, core_name: str, place: Path) -> Path:
    emit(build(Graph.from_bytes(data), core(core_name), NAME, tries=0)).write(place)
    return place / "src"


def _loop(core_name: str, place: Path) -> Path:
    return _library(unrolled(units=7, backwards=True, own_scales=True), core_name, place)


def _stream(core_name: str, place: Path) -> Path:
    return _library(merge(TABLES["variable"]).data, core_name, place)


def _int16(core_name: str, place: Path) -> Path:
    return _library(merge(TABLES["int16"]).data, core_name, place)


def _monitor(core_name: str, place: Path) -> Path:
    model = residual_network()
    folder = _library(model, core_name, place)
    usual = images(
        60, seed=1, shape=Graph.from_bytes(model).tensors[Graph.from_bytes(model).inputs[0]].shape[1:]
    )
    sketch = sketch_of(usual, colours(usual))
    for path, text in monitor_files(Graph.from_bytes(model), NAME, sketch, 25).items():
        (folder / path).write_bytes(text)
    return folder


def _frontend(core_name: str, place: Path) -> Path:
    for path, text in emit_frontend(NAME, DIGITS, SCALE, ZERO_POINT).items():
        (place / path).write_bytes(text)
    return place


def _boxes(core_name: str, place: Path) -> Path:
    return detector_library(BINS, place, core=core_name)[0]


def _centres(core_name: str, place: Path) -> Path:
    return detector_library(FOMO, place, core=core_name)[0]


KINDS: dict[str, Callable[[str, Path], Path]] = {
    "steps as a loop": _loop,
    "streaming": _stream,
    "16-bit activations": _int16,
    "drift monitor": _monitor,
    "audio front end": _frontend,
    "detector of bins": _boxes,
    "detector of centres": _centres,
}


CROSS = {
    "arm-none-eabi-gcc": ("cortex-m4", "arm-none-eabi-gcc"),
    "riscv64-unknown-elf-gcc": ("riscv32", "riscv64-unknown-elf-gcc"),
    "clang": ("cortex-m4", None),
}
"""Core and compiler (`qedge.emulate.find_compiler`) by name."""


def own_sources(folder: Path) -> list[Path]:
    """Return the sources that are written for a model: kernels are files of the package, and compiled by every test."""
    kernels = package_files("qedge_mcu") / "kernels"
    found = [path for path in sorted(folder.rglob("*.c")) if not (kernels / path.name).is_file()]
    assert found
    return found


@pytest.mark.long
@pytest.mark.parametrize("compiler", list(CROSS))
@pytest.mark.parametrize("kind", list(KINDS))
def test_no_cross_compiler_has_anything_to_say(kind: str, compiler: str, tmp_path: Path) -> None:
    core_name, cc = CROSS[compiler]
    if cc is not None and shutil.which(cc) is None:
        pytest.skip(f"needs {cc}")
    folder = KINDS[kind](core_name, tmp_path)
    check_c(own_sources(folder), core_name, includes=[folder], cc=cc)


LANGUAGES = {"c++17": ["g++", "-x", "c++"], "c99": ["gcc"]}


def said(sources: list[Path], folder: Path, language: str = "c++17") -> str:
    """Return what GCC has to say of sources in a language, as an error each."""
    command = LANGUAGES[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    flags = [f"-std={language}", "-fsyntax-only", *WARNINGS, "-Werror", f"-I{folder}"]
    return subprocess.run(
        [*command, *flags, *map(str, sources)], capture_output=True, text=True, check=False
    ).stderr


@pytest.mark.long
@pytest.mark.parametrize("kind", list(KINDS))
def test_it_is_cpp_and_c99_without_a_warning(kind: str, tmp_path: Path) -> None:
    folder = KINDS[kind]("host", tmp_path)
    for language in LANGUAGES:
        assert said(own_sources(folder), folder, language) == ""


def test_the_check_sees_a_warning(tmp_path: Path) -> None:
    bad = tmp_path / "bad.c"
    bad.write_text("signed char narrow(int x);\nsigned char narrow(int x) { return x; }\n")
    assert "-Werror=conversion" in said([bad], tmp_path)
    with pytest.raises(ToolError, match="implicit-int-conversion"):
        check_c([bad], "cortex-m4")
