"""Build the firmware of a board: ``python build.py --board pico2 build/digits/mcu`` writes ``build/pico2/voice.uf2``.

``--sound clip.wav`` puts a recording into the flash, which the image hears in place of a microphone. Needs
qedge[mcu], whose compiler it uses.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import qedge
from qedge.bundle import read_bundle
from qedge.emulate import Elf
from qedge.emulate.compilers import zig_command
from qedge.errors import DataError, ToolError
from qedge.processing.wav import read_wav

HERE = Path(__file__).parent
KIB = 1024


@dataclass(frozen=True)
class Board:
    """A board: the compiler's name of its core, where its memories are, and what is copied onto it."""

    cpu: str
    flash: int
    flash_bytes: int
    ram: int
    ram_bytes: int
    file: str = "voice.bin"
    microphone: bool = True
    defines: tuple[str, ...] = ()


BOARDS = {
    "pico2": Board("cortex_m33+dsp", 0x1000_0000, 4096 * KIB, 0x2000_0000, 520 * KIB, "voice.uf2"),
    "nucleo_l4r5zi": Board("cortex_m4", 0x0800_0000, 2048 * KIB, 0x2000_0000, 640 * KIB),
    "emulated": Board(
        "cortex_m4", 0, 4096 * KIB, 0x2000_0000, 4096 * KIB, microphone=False, defines=("SEMIHOSTING",)
    ),
}
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
UF2_FAMILY_RP2350_ARM = 0xE48BFF59


def compile_firmware(name: str, library: Path, out: Path, sound: Path | None = None) -> Elf:
    """Return the image of the board ``name``, linked from ``library``, the bundle's C, into ``out/voice.elf``."""
    board, folder = BOARDS[name], HERE / "boards"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        script = (folder / "flash.ld.in").read_text()
        for place, value in zip(("FLASH", "FLASH_BYTES", "RAM", "RAM_BYTES"), _memories(board)):
            script = script.replace(f"@{place}@", hex(value))
        (Path(scratch) / "flash.ld").write_text(script)
        sources = [HERE / "main.c", HERE / "keyword.c", folder / "start.c", folder / f"{name}.c"]
        if sound is None:
            sources.append(folder / "microphone.c")
        else:
            (Path(scratch) / "sound.c").write_text(_sound(sound))
            sources += [folder / "recording.c", Path(scratch) / "sound.c"]
        command = [*zig_command(), "cc", "-target", "thumb-freestanding-eabi", f"-mcpu={board.cpu}"]
        command += ["-O2", "-g", "-ffreestanding", "-ffunction-sections", "-fdata-sections", *WARNINGS]
        command += [f"-D{define}" for define in board.defines]
        command += [f"-I{path}" for path in (folder / "include", HERE, library)]
        command += [str(path) for path in (*sources, *sorted(library.glob("*.c")))]
        command += [
            "-static",
            "-Wl,--gc-sections",
            f"-Wl,-T,{scratch}/flash.ld",
            "-o",
            str(out / "voice.elf"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"the firmware does not compile:\n{done.stderr.strip()}")
    return Elf((out / "voice.elf").read_bytes())


def _memories(board: Board) -> tuple[int, int, int, int]:
    return board.flash, board.flash_bytes, board.ram, board.ram_bytes


def _sound(path: Path) -> str:
    """Return C with the samples of a 16 kHz WAV file and a second of silence."""
    samples, rate = read_wav(str(path))
    if rate != 16_000:
        raise DataError(f"{path} has {rate} samples a second", hint="convert it to 16000")
    pcm = np.append(np.clip(np.rint(samples * 32768), -32768, 32767), np.zeros(16_000)).astype(int)
    numbers = ",".join(map(str, pcm))
    return (
        "#include <stddef.h>\n#include <stdint.h>\n"
        f"const int16_t recording[] = {{{numbers}}};\nconst size_t recording_samples = {pcm.size};\n"
    )


def flash_image(elf: Elf, board: Board) -> bytes:
    """Return the bytes of the flash from its first one: what programs write and the boot ROM reads."""
    image = bytearray()
    table, size, count = struct.unpack_from("<I10xHH", elf.data, 28)
    for at in range(table, table + size * count, size):
        kind, offset, _, physical, length = struct.unpack_from("<5I", elf.data, at)
        start = physical - board.flash
        if kind == 1 and length and 0 <= start < board.flash_bytes:
            image += b"\xff" * (start + length - len(image))
            image[start : start + length] = elf.data[offset : offset + length]
    return bytes(image)


def uf2(image: bytes, address: int, family: int) -> bytes:
    """Return ``image`` as UF2: blocks of 512 bytes with 256 of the image each, as its specification has them."""
    image += bytes(-len(image) % 256)
    count, blocks = len(image) // 256, []
    for number in range(count):
        head = struct.pack(
            "<8I", 0x0A324655, 0x9E5D5157, 0x2000, address + 256 * number, 256, number, count, family
        )
        blocks.append(head + image[256 * number :][:256] + bytes(220) + struct.pack("<I", 0x0AB16F30))
    return b"".join(blocks)


def ram_bytes(elf: Elf) -> int:
    """Return the bytes of RAM that variables take; the stack has what is left."""
    return sum(section.size for section in elf.sections if section.is_writable)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="of qedge build --target mcu")
    parser.add_argument("--board", choices=BOARDS, required=True)
    parser.add_argument("--sound", type=Path, help="16 kHz WAV file to hear in place of a microphone")
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    board, out = BOARDS[options.board], options.out / options.board
    if options.sound is None and not board.microphone:
        parser.error(f"{options.board} has no microphone: give --sound")
    try:
        with read_bundle(options.bundle) as bundle:
            elf = compile_firmware(options.board, bundle.folder() / "c" / "src", out, options.sound)
    except qedge.QedgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    image = flash_image(elf, board)
    (out / "voice.bin").write_bytes(image)
    if board.file.endswith(".uf2"):
        (out / board.file).write_bytes(uf2(image, board.flash, UF2_FAMILY_RP2350_ARM))
    print(f"{out / board.file}: {len(image)} bytes of flash, {ram_bytes(elf)} bytes of RAM and the stack")
    return 0


if __name__ == "__main__":
    sys.exit(main())
