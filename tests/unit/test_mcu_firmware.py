"""What firmware wants of the generated library: macros, the application's header, projects that open."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from mcu_models import compile_model, residual_network

from qedge import quantmath
from qedge.emulate import compile_host, run_host
from qedge.emulate.compilers import zig_command
from qedge.emulate.toolchain import SUPPORT, WARNINGS
from qedge.errors import ToolError
from qedge.graph import Graph
from qedge.processing.image import ImagePreprocess
from qedge.testing.opmodels import ModelBuilder, Spec, constant
from qedge_mcu.boards import boards
from qedge_mcu.cores import core
from qedge_mcu.planner import conflicts
from qedge_mcu.program import build
from qedge_mcu.projects import board_commands

LABELS = ("cat", 'dog "x"', "né1", "a?b", "e\\")
SCALE, ZERO = 0.03, -3  # of the model's input


def library(place: Path, model: bytes | None = None, **options: object) -> Path:
    """Write a library with its projects and two golden samples; return its folder."""
    samples = [[x] for x in np.random.default_rng(5).integers(-128, 128, (2, 1, 9, 7, 3), np.int8)]
    stated = {"golden_inputs": samples, "core": "host", "labels": LABELS} | options
    for path, data in compile_model(model or residual_network(), place, **stated).files.items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return place / "c"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    pre = ImagePreprocess(
        width=7, height=9, color="bgr", range=(-1, 1), mean=(0.1, 0.0, -0.2), std=(0.5, 0.6, 0.7)
    )
    return library(tmp_path_factory.mktemp("firmware"), preprocess=pre)


def run(
    written: Path,
    place: Path,
    main: str,
    *,
    defines: Sequence[str] = (),
    data: bytes = b"",
    more: Sequence[Path] = (),
) -> bytes:
    """Return what a program around the library prints."""
    place.mkdir(exist_ok=True)
    (place / "main.c").write_text(main)
    includes = [
        written / part for part in ("src", "examples/golden", "examples/classify", "extras/golden")
    ]  # main.c of an example includes ../qe_board.h
    sources = [place / "main.c", *sorted((written / "src").glob("*.c"))]
    return run_host(
        compile_host(sources, place / "program", includes=[*includes, *more], defines=defines), data
    )


APP = """
#include <stdio.h>
#include "tiny_app.h"
static tiny_context context;
int main(void)
{
    uint8_t pixels[TINY_INPUT_ELEMENTS];
    int8_t other[TINY_INPUT_ELEMENTS];
    float values[512], score;
    if (fread(pixels, 1, sizeof pixels, stdin) != sizeof pixels || fread(values, 4, 512, stdin) != 512
        || tiny_init(&context) != TINY_OK) {
        return 1;
    }
    tiny_set_image_u8(&context, pixels);
    fwrite(tiny_input(&context), 1, TINY_INPUT_BYTES, stdout);
    for (int i = 0; i < 512; ++i) {
        fputc(tiny_quantize_input(values[i]), stdout);
    }
    memcpy(other, tiny_input(&context), sizeof other);
    if (tiny_run_from(&context, other) != TINY_OK) {
        return 1;
    }
    fwrite(other, 1, sizeof other, stdout);
    fwrite(tiny_output(&context), 1, TINY_OUTPUT_BYTES, stdout);
    const int32_t best = tiny_top(&context, &score);
    printf("%d %.9g %s|%s|%s|%s|%s\\n", (int)best, (double)score, tiny_label(1), tiny_label(2), tiny_label(4),
           tiny_label(5), tiny_step_name(3));
    printf("%d %s\\n", TINY_STEPS, TINY_MODEL_SHA256);
    return 0;
}
"""


def test_the_application_s_header_has_python_s_numbers(written, tmp_path) -> None:
    rng = np.random.default_rng(8)
    pixels = rng.integers(0, 256, (9, 7, 3), np.uint8)
    codes = np.arange(-140, 140)
    values = np.concatenate(
        [(codes + 0.5) * np.float32(SCALE), rng.normal(0, 3, 226), [np.inf, -np.inf, 1e30, -1e9]]
    )
    values = np.resize(values, 512).astype(np.float32)
    found = run(written, tmp_path, APP, data=pixels.tobytes() + values.tobytes())
    pre = ImagePreprocess(
        width=7, height=9, color="bgr", range=(-1, 1), mean=(0.1, 0.0, -0.2), std=(0.5, 0.6, 0.7)
    )
    picture = pre.encode(pixels, SCALE, ZERO, "int8").tobytes()
    assert found[:189] == picture
    assert found[189:701] == quantmath.quantize(values, SCALE, ZERO).tobytes()
    assert found[701:890] == picture
    outputs = np.frombuffer(found[890:895], np.int8)
    best, text = found[895:].decode().split(" ", 1)
    assert int(best) == int(outputs.argmax())
    score, names = text.split("\n")[0].split(" ", 1)
    assert float(score) == float(quantmath.dequantize(outputs.max(), 1 / 256, -128))
    assert names == 'dog "x"|né1|e\\|?|#3 ADD total'
    assert re.fullmatch(r"8 [0-9a-f]{64}", text.splitlines()[1])


@pytest.mark.long
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_plain_pictures_need_no_table(color, tmp_path) -> None:
    plain = ImagePreprocess(width=7, height=9, color="rgb", range=(-3.75, 3.9)) if color == "rgb" else None
    header = (library(tmp_path, preprocess=plain) / "src/tiny_app.h").read_text()
    assert ("tiny_set_image_u8" in header) == (color == "rgb")
    assert "levels[" not in header


ARENA = """
#include <stdio.h>
#include "tiny.h"
#include "other.h"
#include "golden.h"
static _Alignas(8) uint8_t arena[TINY_ARENA_BYTES > OTHER_ARENA_BYTES ? TINY_ARENA_BYTES : OTHER_ARENA_BYTES];
static tiny_context tiny;
static other_context other;
int main(void)
{
    int different = 0;
    if (tiny_init(&tiny) != TINY_OK || tiny_run(&tiny) != TINY_ERROR_NULL) {
        return 1;
    }
    tiny_set_arena(&tiny, arena);
    other_set_arena(&other, arena);
    for (int k = 0; k < GOLDEN_SAMPLES; ++k) {
        different |= golden_run(&tiny, k);
        memset(other_input(&other), k, OTHER_INPUT_BYTES);
        different |= other_run(&other);
    }
    printf("%d %d\\n", different, (int)(sizeof(tiny_context) + sizeof(other_context)));
    return 0;
}
"""


@pytest.mark.long
def test_two_models_share_the_caller_s_arena(written, tmp_path) -> None:
    second = library(tmp_path / "second", residual_network(seed=9), name="other")
    both = tmp_path / "both"
    shutil.copytree(written, both)
    for path in (second / "src").glob("other*"):
        shutil.copy(path, both / "src")
    defines = ["TINY_EXTERNAL_ARENA", "OTHER_EXTERNAL_ARENA"]
    kernels = (second / "src/qe_config.h").read_text()
    # Each library has its own kernels; the second's are called by their own names here.
    for name in re.findall(r"#define (qe_\w+) other_\1", kernels):
        defines.append(f"other_{name}=tiny_{name}")
    for path in (both / "src").glob("other*"):
        path.write_text(path.read_text())
    assert run(both, tmp_path / "run", ARENA, defines=defines).split() == [b"0", b"16"]


OUTSIDE = """
#include <stdio.h>
#include <stdlib.h>
#include "tiny_app.h"
#include "golden.h"
static tiny_context context;
int main(void)
{
    static union { float real; int8_t codes[TINY_INPUT_BYTES + 4]; } frame;
    uint8_t pixels[TINY_INPUT_ELEMENTS];
    int8_t *const input = (int8_t *)malloc(TINY_INPUT_BYTES); /* of this size, so that nothing behind it is read */
    const int init = tiny_init(&context), none = tiny_run(&context);
    const int odd = tiny_run_from(&context, frame.codes + 2);
    int different = golden_run(&context, 0) | golden_run(&context, 1);
    memcpy(input, golden_input_0[1], TINY_INPUT_BYTES);
    for (int k = 0; k < 2; ++k) {
        memset(context.arena, k, sizeof context.arena);
        different |= tiny_run_from(&context, input) | memcmp(input, golden_input_0[1], TINY_INPUT_BYTES);
        different |= memcmp(tiny_output(&context), golden_output_0[1], TINY_OUTPUT_BYTES);
    }
    different |= tiny_input(&context) != input;
    memset(pixels, 77, sizeof pixels);
    tiny_image_u8_to(frame.codes, pixels);
    printf("%d %d %d %d %d %d\\n", init, none, odd, different, (int)sizeof context, frame.codes[4] == frame.codes[1]);
    free(input);
    return 0;
}
"""


def wide_image() -> bytes:
    """Return a model whose input is the largest of its tensors."""
    b = ModelBuilder()
    g = b.subgraph()
    image = g.input(Spec((1, 24, 24, 4), "int8", SCALE, ZERO, name="image"))
    small = g.tensor(Spec((1, 6, 6, 4), "int8", SCALE, ZERO, name="small"))
    pool = {"filter_width": 4, "filter_height": 4, "stride_w": 4, "stride_h": 4, "padding": "VALID"}
    g.operator("AVERAGE_POOL_2D", [image], [small], {**pool, "fused_activation_function": "NONE"})
    flat = g.tensor(Spec((1, 144), "int8", SCALE, ZERO, name="flat"))
    g.operator("RESHAPE", [small, g.tensor(constant(np.array([1, 144]), "int32"))], [flat])
    g.output(flat)
    return b.pack()


@pytest.mark.parametrize("larger", [False, True], ids=["residual", "largest-first"])
def test_a_run_reads_its_input_where_it_lies(larger, tmp_path) -> None:
    """The input stays as it is, in a piece of memory of its own size, and the arena holds the rest alone."""
    model = wide_image() if larger else residual_network()
    graph = Graph.from_bytes(model)
    shape = graph.tensors[graph.inputs[0]].shape
    samples = [[x] for x in np.random.default_rng(5).integers(-128, 128, (2, *shape), np.int8)]
    pre = ImagePreprocess(width=shape[2], height=shape[1], color="rgb", range=(-3.75, 3.9))
    given = library(tmp_path, model, golden_inputs=samples, preprocess=pre if shape[3] == 3 else None)
    program = build(graph, core("host"), "tiny")
    main = (
        OUTSIDE if shape[3] == 3 else OUTSIDE.replace("tiny_image_u8_to(frame.codes, pixels)", "(void)pixels")
    )
    words = run(given, tmp_path / "run", main, defines=["TINY_EXTERNAL_INPUT"]).split()
    pointer = (program.outside_arena_bytes + 7) // 8 * 8
    assert [int(w) for w in words] == [0, -2, -2, 0, pointer + 8, 1]
    assert conflicts(program.outside) == []
    assert {b.name for b in program.outside.problem.buffers}.isdisjoint(map(str, graph.inputs))
    assert (program.outside_arena_bytes < program.arena_bytes // 2) == larger


STOP = """
#include <stdio.h>
#include "tiny.h"
#include "golden.h"
static tiny_context context;
static int last = 2;
int watch(void *given, int index);
int watch(void *given, int index)
{
    return given == &context && index == last ? 7 : 0;
}
int main(void)
{
    const int init = tiny_init(&context), stopped = tiny_run(&context);
    last = -1;
    printf("%d %d %d\\n", init, stopped, golden_run(&context, 1));
    return 0;
}
"""


def test_an_observer_ends_a_run(written, tmp_path) -> None:
    assert run(written, tmp_path, STOP, defines=["QE_STOPPER=watch"]) == b"0 7 0\n"


@pytest.mark.long
def test_macros_may_stand_in_a_file_beside_the_sources(written, tmp_path) -> None:
    shutil.copytree(written, tmp_path / "c")
    (tmp_path / "c/src/qe_user_config.h").write_text("#define QE_STOPPER watch\n")
    assert run(tmp_path / "c", tmp_path / "run", STOP) == b"0 7 0\n"


@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs binutils")
def test_the_weights_go_where_they_are_told(written, tmp_path) -> None:
    attribute = 'QE_WEIGHTS_ATTRIBUTE=__attribute__((section(".ext_flash")))'
    command = [
        *zig_command(),
        "cc",
        "-target",
        "x86_64-linux-musl",
        "-std=c11",
        *WARNINGS,
        "-Werror",
        f"-D{attribute}",
    ]
    source = written / "src/tiny_weights.c"
    subprocess.run([*command, "-c", str(source), "-o", str(tmp_path / "w.o")], check=True)
    said = subprocess.run(
        ["objdump", "-t", tmp_path / "w.o"], capture_output=True, text=True, check=True
    ).stdout
    symbols = [line.split() for line in said.splitlines() if " tiny_op" in line]
    assert symbols
    assert {line[-3] for line in symbols} == {".ext_flash"}


def test_the_sketch_says_a_class_and_avr_is_refused(written, tmp_path) -> None:
    main = (written / "extras/classify/main.c").read_text()
    said = run(written, tmp_path, main, defines=["QE_PRINT"]).decode()
    assert said.split(" ")[0] in {label.split(" ")[0] for label in LABELS}
    (tmp_path / "avr.c").write_text('#include "tiny.h"\n')
    with pytest.raises(ToolError, match="needs a core of 32 bits"):
        compile_host([tmp_path / "avr.c"], tmp_path / "avr", includes=[written / "src"], defines=["__AVR__"])


def test_an_example_brings_an_arena_where_the_context_has_none(written, tmp_path) -> None:
    main = (written / "extras/golden/main.c").read_text()
    found = run(written, tmp_path, main, defines=["QE_PRINT", "TINY_EXTERNAL_ARENA"]).decode()
    assert found.splitlines()[-1] == "tiny: 2 of 2 golden samples are bit-exact"


def test_the_golden_samples_are_said_by_name(written, tmp_path) -> None:
    """What a board prints in the first minutes: real samples by the user's labels, and whether every byte is right."""
    *lines, last = (
        run(written, tmp_path, (written / "extras/golden/main.c").read_text(), defines=["QE_PRINT"])
        .decode()
        .splitlines()
    )
    assert last == "tiny: 2 of 2 golden samples are bit-exact"
    assert [line.split(": ")[0] for line in lines] == ["sample 0", "sample 1"]
    assert {line.split(": ")[1] for line in lines} <= set(LABELS)
    sketch = (written / "examples/golden/golden.ino").read_text()
    assert "Serial.println(tiny_label(tiny_top(&context, NULL)));" in sketch
    readme = (written / "README.md").read_text()
    assert 'printf("%s\\r\\n", tiny_label(tiny_top(&context, NULL)));' in readme


PICO_SDK = """
function(pico_sdk_init)
  add_library(pico_stdlib INTERFACE)
  target_compile_definitions(pico_stdlib INTERFACE LIB_PICO_STDIO=1)
  target_include_directories(pico_stdlib INTERFACE $ENV{PICO_SDK_PATH})
endfunction()
function(pico_enable_stdio_usb)
endfunction()
function(pico_add_extra_outputs)
endfunction()
"""
PICO_STDLIB = """
#include <stdio.h>
#include <stdlib.h>
static inline int stdio_init_all(void) { return puts("port"); }
static inline void sleep_ms(unsigned ms) { exit(ms != 1000u); }
static inline int getchar_timeout_us(unsigned us) { return (int)us * 0 - 1; }
static inline void putchar_raw(int byte) { (void)byte; }
"""


@pytest.mark.long
def test_the_pico_sdk_builds_every_example(written, tmp_path) -> None:
    """In place of the SDK: its CMake functions, and its port as this machine's. The first pause ends the program."""
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    for path, text in (("external/pico_sdk_import.cmake", PICO_SDK), ("pico/stdlib.h", PICO_STDLIB)):
        (tmp_path / "sdk" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sdk" / path).write_text(text)
    environment = {**os.environ, "PICO_SDK_PATH": str(tmp_path / "sdk")}
    build = tmp_path / "build"
    said(["cmake", "-S", written / "extras/pico_sdk", "-B", build], env=environment)
    said(["cmake", "--build", build], env=environment)
    assert (build / "tiny_serial").is_file()
    lines = said([build / "tiny_golden"]).splitlines()
    assert lines[0] == "port"
    assert lines[-1] == "tiny: 2 of 2 golden samples are bit-exact"
    assert said([build / "tiny_classify"]).splitlines()[1].split(" ")[0] in {k.split(" ")[0] for k in LABELS}


def test_a_program_of_esp_idf_runs_for_ever(written, tmp_path) -> None:
    """In place of ESP-IDF: its two headers; app_main says the samples and pauses."""
    main = (written / "extras/golden/main.c").read_text()
    (tmp_path / "freertos").mkdir()
    (tmp_path / "freertos/FreeRTOS.h").write_text("#define pdMS_TO_TICKS(ms) (ms)\n")
    (tmp_path / "freertos/task.h").write_text(
        "#include <stdlib.h>\nstatic inline void vTaskDelay(int ticks) { exit(ticks != 1000); }\n"
    )
    main = main.replace(
        '#include "../qe_board.h"', '#include "../qe_board.h"\nint main(void) { app_main(); return 2; }'
    )
    said_there = run(written, tmp_path, main, defines=["ESP_PLATFORM"], more=[tmp_path]).decode().splitlines()
    assert said_there[-1] == "tiny: 2 of 2 golden samples are bit-exact"


def test_no_sketch_has_a_main_and_the_properties_keep_the_rules(written) -> None:
    """The rules of arduino-lint that a library's author can break, by its documentation."""
    sketches = sorted((written / "examples").iterdir())
    assert [folder.name for folder in sketches] == ["classify", "golden", "serial"]
    for folder in sketches:
        assert (folder / f"{folder.name}.ino").is_file()
        assert not list(folder.glob("*.c"))
        assert not re.search(r"\bint main\b", "".join(p.read_text() for p in folder.iterdir()))
    lines = (written / "library.properties").read_text().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    assert len(fields) == len(lines)
    assert {
        "name",
        "version",
        "author",
        "maintainer",
        "sentence",
        "paragraph",
        "category",
        "url",
        "architectures",
    } <= set(fields)
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9 _.\-]{0,62}", fields["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", fields["version"])
    assert all(fields.values())
    assert not fields["paragraph"].startswith(fields["sentence"])
    assert fields["category"] == "Data Processing"
    assert re.fullmatch(r"https://\S+", fields["url"])
    architectures = fields["architectures"].split(",")
    assert "avr" not in architectures
    for board in boards().values():
        if "arduino" in board.systems:
            assert board.systems["arduino"].split(":")[1] in architectures
    assert (written / "src" / fields["includes"]).is_file()


def test_a_board_s_names_are_in_the_readme(tmp_path) -> None:
    for found in boards().values():
        assert all(re.search(rf"[ =]{name}\b", board_commands(found)) for name in found.systems.values())
    text = (library(tmp_path, board="esp32-s3", core="esp32-s3") / "README.md").read_text()
    assert board_commands(boards()["esp32-s3"]) in text
    assert "esp-nn" in text


STRING_H = f"-I{SUPPORT / 'include'}"
COMPILERS = {
    "arm-none-eabi-gcc": ("-mcpu=cortex-m4", "-mthumb", "-std=c11"),
    "riscv64-unknown-elf-gcc": ("-march=rv32imc", "-mabi=ilp32", "-ffreestanding", STRING_H, "-std=c11"),
    "clang": ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4", STRING_H, "-std=c11"),
    "g++": ("-x", "c++", "-std=c++17"),
    "gcc": ("-std=c99",),
}  # fmt: skip
MACROS = (
    "QE_NOTHING",
    "TINY_EXTERNAL_ARENA",
    "TINY_EXTERNAL_INPUT",
    "QE_STOPPER=stopper",
    "QE_OBSERVER=observer",
    'QE_WEIGHTS_ATTRIBUTE=__attribute__((section(".ext_flash")))',
)


NEEDED_INSIDE = {
    "serial": ("TINY_EXTERNAL_ARENA", "TINY_EXTERNAL_INPUT"),
    "classify": ("TINY_EXTERNAL_INPUT",),
}


@pytest.mark.long
@pytest.mark.parametrize("compiler", list(COMPILERS))
def test_every_choice_compiles_without_a_warning(compiler, written, tmp_path) -> None:
    command = [*zig_command(), "cc"] if compiler == "clang" else [compiler]
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {compiler}")
    includes = [
        f"-I{written / place}" for place in ("src", "examples/classify", "examples/golden", "examples/serial")
    ]
    sources = [
        written / "src/tiny.c",
        written / "src/tiny_weights.c",
        *sorted((written / "extras").glob("*/main.c")),
    ]
    for macros in itertools.combinations(MACROS, 2):
        for source in sources:
            if set(macros) & {*NEEDED_INSIDE.get(source.parent.name, ())}:
                continue  # says so itself
            arguments = [
                *COMPILERS[compiler],
                *WARNINGS,
                "-Werror",
                "-O1",
                *(f"-D{macro}" for macro in macros),
                *includes,
                "-c",
                str(source),
            ]
            done = subprocess.run(
                [*command, *arguments, "-o", str(tmp_path / "o")], capture_output=True, text=True
            )
            assert done.returncode == 0, f"{macros} {source.name}: {done.stderr}"


def tool(name: str, project: Path) -> str:
    """Return a program of the tools' own environment, or skip."""
    found = shutil.which(name, path=f"{project / '.venv/tools/bin'}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"needs {name}: make tools")
    return found


def said(command: Sequence[object], **options: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return str(done.stdout + done.stderr)


@pytest.mark.long
def test_platformio_takes_the_library(written, project, tmp_path) -> None:
    environment = {
        **os.environ,
        "PLATFORMIO_CORE_DIR": str(tmp_path / "pio"),
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
    }
    pio = tool("pio", project)
    said([pio, "pkg", "pack", written, "-o", tmp_path / "tiny.tar.gz"], env=environment)
    assert (tmp_path / "tiny.tar.gz").stat().st_size > 1000


@pytest.mark.long
def test_the_component_manager_takes_the_component(written, project, tmp_path) -> None:
    shutil.copytree(written, tmp_path / "tiny")
    environment = {**os.environ, "IDF_TOOLS_PATH": str(tmp_path / "tools")}
    compote = tool("compote", project)
    said([compote, "--warnings-as-errors", "component", "pack", "--name", "tiny", "--project-dir", tmp_path / "tiny"],
         env=environment)  # fmt: skip
    assert list((tmp_path / "tiny/dist").glob("tiny_1.0.0.tgz"))


@pytest.mark.long
def test_west_takes_the_library_as_a_project(written, project, tmp_path) -> None:
    west = tool("west", project)
    shutil.copytree(written, tmp_path / "origin")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", tmp_path / "origin"]
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "library")):
        said([*git, *words])
    manifest = tmp_path / "work/manifest"
    manifest.mkdir(parents=True)
    (manifest / "west.yml").write_text(
        "manifest:\n  projects:\n"
        f"    - name: tiny\n      url: file://{tmp_path / 'origin'}\n      revision: main\n      path: modules/tiny\n"
    )
    said([west, "init", "-l", manifest], cwd=tmp_path / "work")
    said([west, "manifest", "--validate"], cwd=tmp_path / "work")
    said([west, "update"], cwd=tmp_path / "work")
    module = tmp_path / "work/modules/tiny/zephyr/module.yml"
    assert module.is_file()
    assert (module.parent / "Kconfig").is_file()


@pytest.mark.long
def test_cmake_builds_it_and_runs_the_golden_vectors(written, tmp_path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    said(["cmake", "-S", written, "-B", tmp_path, "-DTINY_EXAMPLE=ON"])
    said(["cmake", "--build", tmp_path])
    assert "2 of 2 golden samples are bit-exact" in said([tmp_path / "tiny_golden"])
