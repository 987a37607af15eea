"""The NPU configurations that Vela knows: their multipliers, their memory, and which are alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

PREFIX = "ethos-u"
DEFAULT = "ethos-u55-128"
VELA_INI = "Arm/vela.ini"


class Family(NamedTuple):
    """One generation of the NPU, with what Vela assumes of the system around it when nobody says more.

    Args:
        macs: multiply-accumulates a cycle of its configurations.
        system_config, memory_mode: sections of Vela's own ``vela.ini``; Vela's defaults.
        platform: the reference system that the example is for.
        base, interrupt: of the NPU in that system (non-secure alias).
    """

    macs: tuple[int, ...]
    system_config: str
    memory_mode: str
    platform: str
    base: int
    interrupt: int


FAMILIES: Mapping[str, Family] = {
    "55": Family(
        (32, 64, 128, 256), "Ethos_U55_High_End_Embedded", "Shared_Sram", "Corstone-300", 0x48102000, 56
    ),
    "65": Family(
        (256, 512), "Ethos_U65_Client_Server", "Dedicated_Sram_384KB", "Corstone-300", 0x48102000, 56
    ),
    "85": Family(
        (128, 256, 512, 1024, 2048),
        "Ethos_U85_SYS_DRAM_Mid",
        "Dedicated_Sram_384KB",
        "Corstone-320",
        0x40004000,
        16,
    ),
}

ACCELERATORS = tuple(f"{PREFIX}{name}-{macs}" for name, family in FAMILIES.items() for macs in family.macs)


class Configuration(NamedTuple):
    """What Vela compiles for.

    Args:
        accelerator: ``ethos-u55-128``.
        config: Vela configuration file; the sections are in it.
    """

    accelerator: str
    system_config: str
    memory_mode: str
    config: str = VELA_INI

    @property
    def family(self) -> Family:
        """The generation of the NPU."""
        return FAMILIES[_split(self.accelerator)[0]]

    @property
    def has_fast_memory(self) -> bool:
        """Whether SRAM is a cache of the NPU and the arena lies behind it, in DRAM."""
        return self.memory_mode.startswith("Dedicated_Sram")


def configuration(options: Mapping[str, Any]) -> Configuration:
    """Return what the options ask for; Vela's own defaults for what they leave out."""
    accelerator = str(options.get("accelerator") or DEFAULT)
    family = FAMILIES[_split(accelerator)[0]]
    return Configuration(
        accelerator,
        str(options.get("system_config") or family.system_config),
        str(options.get("memory_mode") or family.memory_mode),
        str(options["vela_config"]) if options.get("vela_config") else VELA_INI,
    )


def peers(wanted: Configuration) -> list[Configuration]:
    """Return the best configuration of every other family that has no more multipliers.

    >>> [c.accelerator for c in peers(configuration({"accelerator": "ethos-u65-512"}))]
    ['ethos-u55-256', 'ethos-u85-512']
    """
    own, macs = _split(wanted.accelerator)
    found = []
    for name, family in FAMILIES.items():
        fitting = [m for m in family.macs if m <= macs]
        if name != own and fitting:
            found.append(configuration({"accelerator": f"{PREFIX}{name}-{fitting[-1]}"}))
    return found


def _split(accelerator: str) -> tuple[str, int]:
    name, _, macs = accelerator.removeprefix(PREFIX).partition("-")
    return name, int(macs)
