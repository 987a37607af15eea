"""The cores that code is compiled for and emulated on, and where their memory lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qedge.errors import unknown


@dataclass(frozen=True)
class Core:
    """One core.

    Args:
        name: as GCC spells it: ``cortex-m4``.
        cpu: ``-mcpu`` of clang as Zig spells it, with the floating-point unit it usually has.
        abi: ``eabi`` or ``eabihf``.
        gcc: GCC's flags for the same core.
        unicorn: name of the model in ``unicorn.arm_const`` or ``riscv_const``, or None where unicorn has none.
        arch: ``arm`` (M profile, Thumb) or ``riscv`` (RV32).
        dsp: has the DSP extension (``__ARM_FEATURE_DSP``).
        mve: has Helium (``__ARM_FEATURE_MVE``).
        qemu: machine of ``qemu-system-arm`` or ``qemu-system-riscv32``, or None.
        flash, ram: base addresses of code and data, in bytes.
        flash_bytes, ram_bytes: sizes, in bytes.
        big_ram: base address of further memory of QEMU's machine, for what does not fit, or None.
    """

    name: str
    cpu: str
    abi: str
    gcc: str
    unicorn: str | None
    arch: Literal["arm", "riscv"] = "arm"
    dsp: bool = False
    mve: bool = False
    qemu: str | None = None
    flash: int = 0x0000_0000
    flash_bytes: int = 64 << 20
    ram: int = 0x2000_0000
    ram_bytes: int = 4 << 20
    big_ram: int | None = None

    @property
    def zig_target(self) -> str:
        """Zig's name of the architecture without an operating system."""
        return f"{'thumb' if self.arch == 'arm' else 'riscv32'}-freestanding-{self.abi}"

    @property
    def gcc_flags(self) -> tuple[str, ...]:
        """What selects the core for GCC."""
        return tuple(self.gcc.split())

    @property
    def gcc_name(self) -> str:
        """GCC's usual name for the architecture."""
        return "arm-none-eabi-gcc" if self.arch == "arm" else "riscv64-unknown-elf-gcc"


_HARD = "-mthumb -mfloat-abi=hard"
_ALL = (
    Core("cortex-m0plus", "cortex_m0plus", "eabi", "-mcpu=cortex-m0plus -mthumb", "UC_CPU_ARM_CORTEX_M0"),
    Core(
        "cortex-m3",
        "cortex_m3",
        "eabi",
        "-mcpu=cortex-m3 -mthumb",
        "UC_CPU_ARM_CORTEX_M3",
        qemu="mps2-an385",
    ),
    Core(
        "cortex-m4",
        "cortex_m4+vfp4d16sp",
        "eabihf",
        f"-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 {_HARD}",
        "UC_CPU_ARM_CORTEX_M4",
        dsp=True,
        qemu="mps2-an386",
    ),
    Core(
        "cortex-m7",
        "cortex_m7+fp_armv8d16sp",
        "eabihf",
        f"-mcpu=cortex-m7 -mfpu=fpv5-sp-d16 {_HARD}",
        "UC_CPU_ARM_CORTEX_M7",
        dsp=True,
        qemu="mps2-an500",
    ),
    Core(
        "cortex-m33",
        "cortex_m33+dsp+fp_armv8d16sp",
        "eabihf",
        f"-mcpu=cortex-m33 -mfpu=fpv5-sp-d16 {_HARD}",
        "UC_CPU_ARM_CORTEX_M33",
        dsp=True,
    ),
    Core(
        "cortex-m55",
        "cortex_m55+mve_fp+fp_armv8d16",
        "eabihf",
        f"-mcpu=cortex-m55 {_HARD}",
        None,
        dsp=True,
        mve=True,
        qemu="mps3-an547",
        flash=0x1000_0000,
        flash_bytes=512 << 10,
        ram=0x3000_0000,
        ram_bytes=512 << 10,
        big_ram=0x7000_0000,
    ),
    Core(
        "riscv32",
        "generic_rv32+m+c",
        "eabi",
        "-march=rv32imc -mabi=ilp32",
        "UC_CPU_RISCV32_ANY",
        arch="riscv",
        qemu="virt",
        flash=0x8000_0000,
        flash_bytes=4 << 20,
        ram=0x8040_0000,
    ),
)

CORES: dict[str, Core] = {core.name: core for core in _ALL}


def find_core(name: str) -> Core:
    """Return the core called ``name``, or raise `UsageError` with the nearest name.

    >>> find_core("cortex-m4").dsp
    True
    """
    try:
        return CORES[name]
    except KeyError:
        raise unknown("core", name, list(CORES)) from None
