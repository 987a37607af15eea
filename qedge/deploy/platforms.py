"""What runs on which device: the Python packages for an architecture and a version of Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from qedge.errors import ToolError

LEAST_PYTHON = (3, 10)


class Platform(NamedTuple):
    """One line of the table in ``docs/devices.md``.

    Args:
        system: what the image is called.
        arch: of the Python on it: ``aarch64``, ``armv7l`` or ``x86_64``.
        python: the system's own version.
        packages: what pip installs for ``qedge.load``, or empty where no binding has wheels.
    """

    system: str
    arch: str
    python: tuple[int, int]
    packages: tuple[str, ...]


LITERT = ("numpy", "ai-edge-litert>=2.1.2")
TFLITE_RUNTIME = ("numpy<2", "tflite-runtime==2.14.0")

PLATFORMS = (
    Platform("Raspberry Pi OS trixie, 64-bit", "aarch64", (3, 13), LITERT),
    Platform("Raspberry Pi OS bookworm, 64-bit", "aarch64", (3, 11), LITERT),
    Platform("Raspberry Pi OS bookworm, 32-bit", "armv7l", (3, 11), TFLITE_RUNTIME),
    Platform("Raspberry Pi OS trixie, 32-bit", "armv7l", (3, 13), ()),
    Platform("Raspberry Pi OS bullseye, 64-bit", "aarch64", (3, 9), ()),
    Platform("Ubuntu 24.04, 64-bit", "aarch64", (3, 12), LITERT),
    Platform("Debian or Ubuntu on a PC", "x86_64", (3, 11), LITERT),
)


def packages_for(probe: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what pip must install on a device, from what it says about itself.

    Args:
        probe: at least ``python`` ([major, minor, ...]), ``arch`` and ``bits`` (of its Python: a 64-bit
            kernel may carry a 32-bit system).

    Raises:
        ToolError: nothing has wheels for it; the hint says what to do.
    """
    version = (int(probe["python"][0]), int(probe["python"][1]))
    arch = python_arch(str(probe["arch"]), int(probe["bits"]))
    name = f"Python {version[0]}.{version[1]} on {arch}"
    if version < LEAST_PYTHON:
        raise ToolError(
            f"the device has {name}, expected Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or newer",
            hint="use Raspberry Pi OS bookworm or newer, or name another interpreter with --python",
        )
    if arch in ("aarch64", "x86_64"):
        return LITERT
    if arch == "armv7l" and version <= (3, 11):
        return TFLITE_RUNTIME
    raise ToolError(
        f"the device has {name}: no TFLite binding has wheels for it",
        hint="use a 64-bit system, or on 32-bit Raspberry Pi OS bookworm, whose Python is 3.11",
    )


def python_arch(machine: str, bits: int) -> str:
    """Return the architecture that wheels must have: of the interpreter, not of the kernel.

    >>> python_arch("aarch64", 32), python_arch("arm64", 64)
    ('armv7l', 'aarch64')
    """
    name = {"arm64": "aarch64", "AMD64": "x86_64"}.get(machine, machine)
    return {"aarch64": "armv7l", "x86_64": "i686"}.get(name, name) if bits == 32 else name
