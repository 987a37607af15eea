"""Boards that a library can be built for: one TOML file each in ``boards/``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files as package_files
from typing import Any

from qedge.errors import UsageError, unknown
from qedge.target.options import as_int_bytes
from qedge_mcu.cores import CORES

KEYS = ("title", "core", "ram", "flash", "megahertz")
SYSTEMS = ("arduino", "platformio", "zephyr", "esp_idf", "pico_sdk")
FAMILIES = {
    "stm32": {"board": "nucleo-l4r5zi"},
    "esp32": {"board": "esp32-s3"},
    "nrf52": {"board": "arduino-nano-33-ble"},
    "nrf53": {"board": "nrf5340dk"},
    "arduino": {"board": "arduino-nano-33-ble"},
    "rp2040": {"board": "pico"},
    "rp2350": {"board": "pico2"},
    "microcontroller": {},
}
"""What people call their chips: the board of each that stands for the others until they name one."""


@dataclass(frozen=True)
class Board:
    """A board.

    Args:
        name: the file's name: ``pico2``.
        core: a name in ``cores.CORES``.
        ram_bytes, flash_bytes: all that the chip has; firmware beside the model shares it.
        megahertz: clock that estimates assume.
        systems: what build systems call it: ``arduino``, ``platformio``, ``zephyr``, ``esp_idf``, ``pico_sdk``.
    """

    name: str
    title: str
    core: str
    ram_bytes: int
    flash_bytes: int
    megahertz: int
    systems: Mapping[str, str]


@lru_cache(maxsize=1)
def boards() -> Mapping[str, Board]:
    """Return every board by name, sorted."""
    folder = package_files("qedge_mcu") / "boards"
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".toml"):
            name = entry.name.removesuffix(".toml")
            found[name] = _board(name, entry.read_text("utf-8"))
    return found


def board(name: str) -> Board:
    """Return the board called ``name``.

    Raises:
        UsageError: no such board; the hint has the nearest one.
    """
    if name not in boards():
        raise unknown("board", name, list(boards()))
    return boards()[name]


def _board(name: str, text: str) -> Board:
    data = read_toml(text)
    odd = sorted(set(data) - {*KEYS, *SYSTEMS})
    missing = sorted(set(KEYS) - set(data))
    if odd or missing:
        wrong = f"unknown {', '.join(odd)}" if odd else f"no {', '.join(missing)}"
        raise UsageError(f"boards/{name}.toml: {wrong}", hint=f"keys: {', '.join((*KEYS, *SYSTEMS))}")
    if data["core"] not in CORES:
        raise unknown("core", str(data["core"]), list(CORES))
    return Board(
        name,
        str(data["title"]),
        str(data["core"]),
        as_int_bytes(data["ram"], what=f"boards/{name}.toml: ram"),
        as_int_bytes(data["flash"], what=f"boards/{name}.toml: flash"),
        int(data["megahertz"]),
        {k: str(data[k]) for k in SYSTEMS if k in data},
    )


def read_toml(text: str) -> dict[str, Any]:
    """Return what a TOML text holds."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)
