"""A board behind a serial port: the firmware's own C on a pseudo terminal here, and in QEMU."""

from __future__ import annotations

import os
import pty
import random
import re
import shutil
import subprocess
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcu_models import bundle_of, residual_network

from qedge.bundle import read_bundle
from qedge.emulate import compile_host
from qedge.emulate.toolchain import SUPPORT
from qedge.errors import ToolError, UsageError
from qedge_mcu import on_board
from qedge_mcu.library import Description
from qedge_mcu.serial_link import Frames, Link, frame
from qedge_mcu.target import TARGET

DOUBLES = Path(__file__).parents[1] / "hardware_doubles"
OBSERVED = "QE_OBSERVER=qe_serial_step"
CYCLES = (
    "static uint32_t qe_ticks;\nstatic uint32_t qe_serial_cycles(void)\n{\n    return qe_ticks += 10u;\n}\n"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return bundle_of(residual_network(), tmp_path_factory.mktemp("serial"), core="host")


@pytest.fixture(scope="module")
def program(bundle, tmp_path_factory) -> Path:
    return firmware(bundle, tmp_path_factory.mktemp("firmware"))


def firmware(
    bundle: Path, place: Path, defines: tuple[str, ...] = (OBSERVED,), weights: str | None = None
) -> Path:
    """Return the firmware as a program of this machine, under sanitizers; ``weights`` replace those of the model."""
    shutil.copytree(bundle / "c", place / "c")
    source = place / "c/extras/serial/main.c"
    source.write_text(source.read_text().replace('#include "qe_serial.h"', CYCLES + '#include "qe_serial.h"'))
    if weights is not None:
        (place / "c/src/tiny_weights.c").write_text(weights)
    sources = [source, DOUBLES / "serial_host.c", *sorted((place / "c/src").glob("*.c"))]
    includes = [place / "c/src", place / "c/examples/serial"]
    defined = [*defines, "QE_SERIAL_OWN_CYCLES", "QE_SERIAL_HZ=1000000u", "_DEFAULT_SOURCE"]
    return compile_host(sources, place / "firmware", includes=includes, defines=defined)


@contextmanager
def plugged_in(program: Path) -> Iterator[str]:
    """Run a program on a pseudo terminal; yield the other end's name."""
    board, host = pty.openpty()
    for end in (board, host):
        tty.setraw(end)
    process = subprocess.Popen([str(program)], stdin=board, stdout=board, stderr=subprocess.DEVNULL)
    try:
        yield os.ttyname(host)
    finally:
        process.kill()
        process.wait()
        os.close(board)
        os.close(host)


@contextmanager
def noisy(port: str, seed: int, rate: float) -> Iterator[str]:
    """Put a line between host and board that loses, changes and adds bytes; yield the host's end."""
    near, far = pty.openpty()
    tty.setraw(near), tty.setraw(far)
    board = os.open(port, os.O_RDWR | os.O_NOCTTY)
    stop = threading.Event()

    def pump(source: int, target: int, rng: random.Random) -> None:
        while not stop.is_set():
            try:
                data = os.read(source, 64)
            except OSError:
                return
            out = bytearray()
            for byte in data:
                if rng.random() < rate:
                    out += rng.choice([b"", bytes([byte ^ 1 << rng.randrange(8)]), bytes([byte, 0xA5])])
                else:
                    out.append(byte)
            with suppress(OSError):
                os.write(target, out)

    ends = ((near, board), (board, near))
    threads = [
        threading.Thread(target=pump, args=(*pair, random.Random(seed + k)), daemon=True)
        for k, pair in enumerate(ends)
    ]
    for thread in threads:
        thread.start()
    try:
        yield os.ttyname(far)
    finally:
        stop.set()
        for end in (board, near, far):
            os.close(end)


def opened(bundle: Path) -> tuple[Description, str, list[list[np.ndarray]], list[list[np.ndarray]]]:
    """Return description, hash of the model, golden inputs and outputs."""
    with read_bundle(bundle) as found:
        library = Description.from_json(found.manifest.target_data["library"])
        pairs = found.golden()
    return library, found.manifest.model_sha256, [i for i, _ in pairs], [o for _, o in pairs]


@given(st.binary(max_size=40), st.binary(max_size=300), st.integers(0, 255), st.data())
@settings(max_examples=60, deadline=None)
def test_frames_are_found_in_noise(noise, payload, number, data) -> None:
    sent = frame("R", number, payload)
    frames, found = Frames(), []
    # A sync in the noise may swallow the first frame, whose sender asks again.
    stream = noise + sent * (1 + 70_000 // len(sent) if b"\xa5" in noise else 1)
    cut = data.draw(st.integers(0, len(stream)))
    for part in (stream[:cut], stream[cut:]):
        found += frames.feed(part)
    assert (ord("R"), number, payload) in found


@given(st.binary(max_size=80), st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_frame_is_none(payload, data) -> None:
    sent = bytearray(frame("G", 3, payload))
    sent[data.draw(st.integers(0, len(sent) - 1))] ^= data.draw(st.integers(1, 255))
    assert (ord("G"), 3, payload) not in Frames().feed(bytes(sent))


def test_a_board_is_verified_and_measured(bundle, program) -> None:
    with plugged_in(program) as port:
        report = TARGET.verify(bundle, None, {"port": port})
        assert report.bit_exact
        assert (report.samples, "inner tensors" in report.oracle, port in report.core) == (3, True, True)
        document = TARGET.bench(bundle, {"port": port}, runs=2)
    assert document["cycles"]["median"] > 0
    assert document["latency_ms"]["median"] == document["cycles"]["median"] / 1000
    # An alias has no code, and no figure.
    assert [layer["op"].split()[1] for layer in document["layers"]] == [
        "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD", "AVERAGE_POOL_2D", "FULLY_CONNECTED", "SOFTMAX",
    ]  # fmt: skip
    assert all(layer["cycles"] > 0 for layer in document["layers"])


@pytest.mark.long
def test_the_first_bad_layer_is_named(bundle, tmp_path) -> None:
    text = (bundle / "c/src/tiny_weights.c").read_text()
    place = text.index("#6 FULLY_CONNECTED: bias")
    changed = re.sub(r"\{\n +-?\d+,", "{\n    1000000,", text[place:], count=1)
    program = firmware(bundle, tmp_path / "a", weights=text[:place] + changed)
    with plugged_in(program) as port:
        report = TARGET.verify(bundle, None, {"port": port})
    assert not report.passed
    assert re.search(
        r"the first layer that differs is #6 FULLY_CONNECTED 'logits'", " ".join(report.mismatches)
    )
    plain = firmware(bundle, tmp_path / "b", defines=(), weights=text[:place] + changed)
    with plugged_in(plain) as port:
        report = TARGET.verify(bundle, None, {"port": port})
    assert "-DQE_OBSERVER=qe_serial_step" in report.mismatches[-1]


def test_a_noisy_line_slows_and_a_cut_one_ends(bundle, program) -> None:
    library, _, inputs, outputs = opened(bundle)
    with plugged_in(program) as port:
        with noisy(port, seed=4, rate=0.003) as line, Link(line, wait_s=0.12) as link:
            board = on_board.Board(link, library, link.info().model)
            mismatches, cycles = on_board.compare(board, inputs, outputs, None)
            assert not mismatches
            assert len(cycles) == len(inputs)
        with noisy(port, seed=5, rate=0.0) as line:
            link = Link(line, wait_s=0.1, patience_s=0.5)
            assert link.info().name == "tiny"
        # The line is cut here.
        with pytest.raises(ToolError, match=r"the line was cut|no answer"):
            link.run()


def test_another_model_or_nothing_is_said(bundle, program, tmp_path) -> None:
    other = bundle_of(residual_network(seed=9), tmp_path, core="host")
    with plugged_in(program) as port:
        with pytest.raises(UsageError, match=r"another model: found tiny \([0-9a-f]{16}\)"):
            TARGET.verify(other, None, {"port": port})
        with Link(port) as link:
            with pytest.raises(ToolError, match="refuses question 'W'"):
                link.write(1 << 20, b"outside", 64)
            assert link.run() > 0
    with pytest.raises(ToolError, match="nowhere") as caught:
        TARGET.verify(bundle, None, {"port": "/dev/nowhere"})
    assert "plugged in" in caught.value.hint


TALK = {
    "golden": (
        "printf 'sample 0: seven\\r\\n4 of 4 golden samples are bit-exact\\r\\n'; sleep 0.1",
        "which says '4 of 4 golden",
    ),
    "garbage": ("head -c 40 /dev/urandom | tr '\\0-\\177' '\\200-\\377'; sleep 0.1", "--baud"),
    "nothing": ("sleep 1", "nothing arrives"),
    "echo": ("cat; exit", "only an echo"),
}  # fmt: skip


@pytest.mark.parametrize("talk", TALK)
def test_what_is_no_answer_is_told(talk: str, tmp_path: Path) -> None:
    """Another example, another speed, no firmware, a bridge from TX to RX: each is told from the others."""
    script, words = TALK[talk]
    other = tmp_path / "firmware"
    other.write_text(f"#!/bin/sh\nwhile true; do {script}; done\n")
    other.chmod(0o755)
    with plugged_in(other) as port, Link(port, wait_s=0.2) as link:
        # What has arrived when the patience ends is chance, a half of its lines or none yet: it is asked until all has.
        until, said = time.monotonic() + 60, ""
        while words not in said and time.monotonic() < until:
            with pytest.raises(ToolError) as caught:
                link.ask("I", patience_s=0.6)
            said = f"{caught.value.message} {caught.value.hint}"
            assert "no answer from the board" in said
            assert "examples/serial" in str(caught.value.hint)
    assert words in said


GCC = {
    "cortex-m4": ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"],
    "riscv32": [
        "riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-nostdlib", "-ffreestanding",
        f"-I{SUPPORT / 'include'}",
    ],
}  # fmt: skip
QEMU = {
    "cortex-m4": ("qemu-system-arm", "-M", "mps2-an386"),
    "riscv32": ("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
}
MEMORY = {"cortex-m4": (0, 0x2000_0000), "riscv32": (0x8000_0000, 0x8040_0000)}


@pytest.mark.long
@pytest.mark.parametrize("core", list(GCC))
def test_qemu_s_serial_port(core, tmp_path) -> None:
    for tool in (GCC[core][0], QEMU[core][0]):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    bundle = bundle_of(residual_network(), tmp_path, core=core)
    c, (flash, ram) = bundle / "c", MEMORY[core]
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror"]
    subprocess.run(
        [*GCC[core], "-O2", "-std=c11", *warnings, f"-D{OBSERVED}", f"-I{c / 'src'}", f"-I{c / 'examples/serial'}",
         str(c / "extras/serial/main.c"), str(DOUBLES / "serial_board.c"), *map(str, sorted((c / "src").glob("*.c"))),
         "-nostartfiles", f"-Wl,-T,{DOUBLES / 'serial_board.ld'}", f"-Wl,--defsym=flash={flash:#x}",
         f"-Wl,--defsym=ram={ram:#x}", "-lgcc", "-o", str(tmp_path / "firmware.elf")],
        check=True,
    )  # fmt: skip
    command = [*QEMU[core], "-kernel", str(tmp_path / "firmware.elf"), "-display", "none", "-monitor", "none"]
    process = subprocess.Popen(
        [*command, "-serial", "pty"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        found = re.search(r"/dev/pts/\d+", process.stdout.readline())
        assert found
        assert TARGET.verify(bundle, None, {"port": found.group()}).bit_exact
        if core == "riscv32":  # QEMU's Cortex-M has no cycle counter
            document = TARGET.bench(bundle, {"port": found.group()}, runs=2)
            assert len(document["layers"]) == 7
            assert document["cycles"]["min"] > 10_000
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
