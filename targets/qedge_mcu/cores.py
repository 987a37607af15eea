"""The cores that C can be generated for, and what each one's kernels may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qedge.emulate import CORES as EMULATED
from qedge.errors import unknown

Family = Literal["portable", "dsp", "mve", "vector"]


@dataclass(frozen=True)
class Core:
    """One processor core.

    Args:
        name: as in ``--core``: ``cortex-m4``.
        family: which kernels it runs: ``portable`` C, ``dsp`` (Armv7E-M and Armv8-M DSP extension: two
            16-bit multiply-accumulates an instruction), ``mve`` (Helium vectors) or ``vector`` (SSE4.1 or NEON where
            the compiler may use them, else portable C).
        unaligned: whether 32-bit loads from odd addresses work.
        cycles_per_instruction: of our kernels, for estimates only; never part of an exact figure.
        typical_megahertz: clock of a usual part, for estimates only.
        stand_in: emulated core that runs the same C, where this one has no emulator; it knows all instructions
            that the kernels use, and aligns as strictly.
        divides: whether it has instructions to divide and for the upper word of a product.
    """

    name: str
    family: Family
    unaligned: bool
    cycles_per_instruction: float
    typical_megahertz: int
    stand_in: str | None = None
    divides: bool = True

    @property
    def runs_on(self) -> str:
        """The emulated core that verifies what is generated for this one."""
        if self.name in EMULATED or self.stand_in is None:
            return self.name
        return self.stand_in


CORES: dict[str, Core] = {
    c.name: c
    for c in (
        Core("cortex-m0", "portable", False, 1.5, 48, "cortex-m0plus", False),
        Core("cortex-m0plus", "portable", False, 1.4, 64, None, False),
        Core("cortex-m3", "portable", True, 1.4, 72),
        Core("cortex-m4", "dsp", True, 1.3, 120),
        Core("cortex-m7", "dsp", True, 0.75, 280),
        Core("cortex-m33", "dsp", True, 1.2, 160),
        Core("cortex-m55", "mve", True, 1.3, 400),
        Core("cortex-m85", "mve", True, 0.9, 480, "cortex-m55"),
        Core("esp32-s3", "portable", False, 1.2, 240, "cortex-m0plus", False),
        Core("riscv32", "portable", False, 1.3, 160),
        Core("host", "vector", True, 0.4, 3000, "cortex-m3"),
    )
}


def core(name: str) -> Core:
    """Return the core called ``name``.

    Raises:
        UsageError: no such core; the hint has the nearest one.
    """
    if name not in CORES:
        raise unknown("core", name, list(CORES))
    return CORES[name]
