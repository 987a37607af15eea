"""What the board says about itself: model, system, memory, temperature, clock, throttling."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from typing import Any

# vcgencmd get_throttled: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
THROTTLED_BITS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
    16: "under-voltage has occurred",
    17: "frequency capping has occurred",
    18: "throttling has occurred",
    19: "soft temperature limit has occurred",
}


def machine(root: str = "/") -> dict[str, Any]:
    """Return what does not change: ``arch``, ``board``, ``os``, ``python``, ``bits``; None where unknown."""
    return {
        "arch": platform.machine(),
        "bits": 64 if sys.maxsize > 1 << 32 else 32,
        "board": board_model(root),
        "os": _os_name(root),
        "python": platform.python_version(),
    }


def board_model(root: str = "/") -> str | None:
    """Return the device tree's name of the board, ``Raspberry Pi 5 Model B Rev 1.0``, or None."""
    text = _read(os.path.join(root, "proc/device-tree/model"))
    return text.rstrip("\0\n ") or None if text else None


def state(root: str = "/") -> dict[str, Any]:
    """Return what changes under load; every value None where the system does not say.

    ``temperature_c``, ``clock_mhz``, ``max_clock_mhz``, ``governor`` of core 0, and ``throttled``: a list of
    words, empty when all is well.
    """
    cpu = os.path.join(root, "sys/devices/system/cpu/cpu0/cpufreq")
    return {
        "temperature_c": _scaled(os.path.join(root, "sys/class/thermal/thermal_zone0/temp"), 1000),
        "clock_mhz": _scaled(os.path.join(cpu, "scaling_cur_freq"), 1000),
        "max_clock_mhz": _scaled(os.path.join(cpu, "scaling_max_freq"), 1000),
        "governor": (_read(os.path.join(cpu, "scaling_governor")) or "").strip() or None,
        "throttled": throttled(),
    }


def throttled() -> list[str] | None:
    """Return what ``vcgencmd get_throttled`` reports, in words; None where there is no such command."""
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        done = subprocess.run([command, "get_throttled"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return throttled_words(done.stdout)


def throttled_words(text: str) -> list[str] | None:
    """Return the flags in ``throttled=0x50005`` as words; None for another text.

    >>> throttled_words("throttled=0x50000")
    ['under-voltage has occurred', 'throttling has occurred']
    """
    name, _, value = text.strip().partition("=")
    try:
        flags = int(value, 16)
    except ValueError:
        return None
    if name != "throttled":
        return None
    return [word for bit, word in THROTTLED_BITS.items() if flags >> bit & 1]


def resident_mb() -> float:
    """Return the memory of this process that is in RAM, MiB; 0 where the system does not say."""
    return _status_mb("VmRSS")


def peak_mb() -> float:
    """Return the most that :func:`resident_mb` has been."""
    return _status_mb("VmHWM")


def _status_mb(key: str) -> float:
    for line in (_read("/proc/self/status") or "").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _os_name(root: str) -> str | None:
    for line in (_read(os.path.join(root, "etc/os-release")) or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return None


def _scaled(path: str, divisor: int) -> float | None:
    try:
        return int(_read(path) or "") / divisor
    except ValueError:
        return None


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None
