"""The Cortex-M cores that code is compiled for, and where their memory lies."""

from __future__ import annotations

from dataclasses import dataclass

from qedge.errors import unknown


@dataclass(frozen=True)
class Core:
    """One core.

    Args:
        name: as GCC spells it: ``cortex-m4``.
        cpu: ``-mcpu`` of clang as Zig spells it, with the floating-point unit it usually has.
        abi: ``eabi`` or ``eabihf``.
        unicorn: name of the model in ``unicorn.arm_const``, or None where unicorn has none.
        dsp: has the DSP extension (``__ARM_FEATURE_DSP``).
        mve: has Helium (``__ARM_FEATURE_MVE``).
        qemu: machine of ``qemu-system-arm``, or None.
        flash, ram: base addresses of code and data, in bytes.
        flash_bytes, ram_bytes: sizes, in bytes.
        big_ram: base address of further memory of QEMU's machine, for what does not fit, or None.
    """

    name: str
    cpu: str
    abi: str
    unicorn: str | None
    dsp: bool = False
    mve: bool = False
    qemu: str | None = None
    flash: int = 0x0000_0000
    flash_bytes: int = 4 << 20
    ram: int = 0x2000_0000
    ram_bytes: int = 4 << 20
    big_ram: int | None = None


_ALL = (
    Core("cortex-m0plus", "cortex_m0plus", "eabi", "UC_CPU_ARM_CORTEX_M0"),
    Core("cortex-m3", "cortex_m3", "eabi", "UC_CPU_ARM_CORTEX_M3", qemu="mps2-an385"),
    Core("cortex-m4", "cortex_m4+vfp4d16sp", "eabihf", "UC_CPU_ARM_CORTEX_M4", dsp=True, qemu="mps2-an386"),
    Core(
        "cortex-m7", "cortex_m7+fp_armv8d16sp", "eabihf", "UC_CPU_ARM_CORTEX_M7", dsp=True, qemu="mps2-an500"
    ),
    Core("cortex-m33", "cortex_m33+fp_armv8d16sp", "eabihf", "UC_CPU_ARM_CORTEX_M33", dsp=True),
    Core(
        "cortex-m55",
        "cortex_m55+mve_fp+fp_armv8d16",
        "eabihf",
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
