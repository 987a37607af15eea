"""The firmware of the voice app for boards: built, looked into, and run on doubles of the boards and in QEMU."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qedge.emulate import Elf
from qedge.processing.wav import read_wav, to_int16

ROOT = Path(__file__).parents[2]
MCU = ROOT / "sample_apps" / "voice" / "mcu"
SIX = sorted((ROOT / "examples" / "digits" / "clips" / "six").glob("*.wav"))[0]

sys.path.insert(0, str(MCU))
sys.path.insert(0, str(ROOT / "tests" / "hardware_doubles"))


@pytest.fixture(scope="module")
def firmware(digits_build: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with what ``build.py`` writes for each board, the emulated one with a recording in its flash."""
    pytest.importorskip("ziglang")
    out = tmp_path_factory.mktemp("firmware")
    for board in ("pico2", "nucleo_l4r5zi", "emulated"):
        sound = ("--sound", str(SIX)) if board == "emulated" else ()
        command = [sys.executable, str(MCU / "build.py"), str(digits_build / "digits" / "mcu")]
        done = subprocess.run(
            [*command, "--board", board, "--out", str(out), *sound],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "bytes of flash" in done.stdout
    return {path.name: path for path in out.iterdir()}


@pytest.mark.parametrize(
    ("board", "flash", "flash_bytes", "ram_bytes"),
    [("pico2", 0x1000_0000, 4 << 20, 520 << 10), ("nucleo_l4r5zi", 0x0800_0000, 2 << 20, 640 << 10)],
)
def test_an_image_starts_at_its_vectors_and_fits(
    firmware: dict[str, Path], board: str, flash: int, flash_bytes: int, ram_bytes: int
) -> None:
    image = (firmware[board] / "voice.bin").read_bytes()
    elf = Elf((firmware[board] / "voice.elf").read_bytes())
    vectors = struct.unpack_from("<16I", image)
    assert vectors[0] == 0x2000_0000 + ram_bytes
    assert vectors[1] == elf.symbol("reset").address | 1
    assert {v for v in vectors[2:] if v} == {elf.symbol("stop").address | 1}
    assert flash <= vectors[1] < flash + len(image)
    assert 30_000 < len(image) <= min(flash_bytes, 128 << 10)
    assert sum(s.size for s in elf.sections if s.is_writable) <= 48 << 10
    libraries = {"malloc", "calloc", "realloc", "free", "_sbrk", "printf", "expf", "exp", "roundf", "sqrtf"}
    assert not libraries & set(elf.symbols)
    assert not [name for name in elf.symbols if name.startswith(("__aeabi_f", "__aeabi_d"))]


def test_the_boot_rom_of_the_pico_2_finds_its_block(firmware: dict[str, Path]) -> None:
    image = (firmware["pico2"] / "voice.bin").read_bytes()
    at = image.index(struct.pack("<I", 0xFFFFDED3))
    assert at % 4 == 0
    assert at + 20 <= 4096
    item, last, link, end = struct.unpack_from("<4I", image, at + 4)
    # One item: IMAGE_TYPE (0x42) of one word: executable, secure, Arm, RP2350; then LAST; a loop of one block.
    assert (item & 0xFF, item >> 8 & 0xFF, item >> 16) == (0x42, 1, 0x1021)
    assert (last & 0xFF, last >> 8 & 0xFFFF, link, end) == (0xFF, 1, 0, 0xAB123579)


def test_the_uf2_holds_the_image_for_an_rp2350(firmware: dict[str, Path]) -> None:
    image = (firmware["pico2"] / "voice.bin").read_bytes()
    file = (firmware["pico2"] / "voice.uf2").read_bytes()
    assert len(file) % 512 == 0
    blocks = [file[i : i + 512] for i in range(0, len(file), 512)]
    flash = b""
    for number, block in enumerate(blocks):
        head = struct.unpack_from("<8I", block)
        assert head[:3] == (0x0A324655, 0x9E5D5157, 0x2000)
        assert head[3:7] == (0x1000_0000 + 256 * number, 256, number, len(blocks))
        assert head[7] == 0xE48BFF59
        assert block[-4:] == struct.pack("<I", 0x0AB16F30)
        flash += block[32 : 32 + 256]
    assert flash[: len(image)] == image
    assert len(flash) - len(image) < 256


@pytest.mark.parametrize(
    ("board", "double", "hertz"), [("pico2", "Pico2", 150e6), ("nucleo_l4r5zi", "NucleoL4R5", 120e6)]
)
def test_a_board_hears_the_word_that_its_converter_gives(
    firmware: dict[str, Path], board: str, double: str, hertz: float
) -> None:
    pytest.importorskip("unicorn")
    import boards

    # An amplifier around a bias that is not quite half the supply, and a converter of 12 bits.
    pcm = np.concatenate([np.zeros(8000, np.int16), to_int16(read_wav(SIX)[0]), np.zeros(12_000, np.int16)])
    samples = np.clip(2100 + pcm // 16, 0, 4095).tolist()
    chip = getattr(boards, double)((firmware[board] / "voice.bin").read_bytes(), samples)
    chip.run()
    assert chip.text == "listening\nsix\n"
    assert chip.core_hertz() == hertz
    assert chip.sample_rate() == 16_000
    assert chip.baud() == pytest.approx(115_200, rel=0.01)


def test_the_same_application_runs_in_qemu(firmware: dict[str, Path]) -> None:
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("needs QEMU: apt-get install qemu-system-arm")
    command = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "stdio"]
    command += ["-semihosting-config", "enable=on", "-kernel", str(firmware["emulated"] / "voice.elf")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    assert done.stdout.decode().splitlines() == ["listening", "six"]
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--board", "emulated"], 2, "give --sound"),
        (["--board", "pico2", "--sound", "nothing.wav"], 3, "nothing.wav"),
        (["--board", "arduino"], 2, "invalid choice"),
    ],
)
def test_what_cannot_be_built_is_said(digits_build: Path, arguments: list[str], code: int, says: str) -> None:
    bundle = str(digits_build / "digits" / "mcu")
    command = [sys.executable, str(MCU / "build.py"), bundle, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
