"""What runs on which device: the Python packages for an architecture and a version of Python."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from qedge.errors import ToolError
from qedge.runtime.machines import architectures_of

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
C_ENGINE = ("numpy",)
"""For a bundle with a C library for the device: qedge build --engine c."""

PLATFORMS = (
    Platform("Raspberry Pi OS trixie, 64-bit", "aarch64", (3, 13), LITERT),
    Platform("Raspberry Pi OS bookworm, 64-bit", "aarch64", (3, 11), LITERT),
    Platform("Raspberry Pi OS bookworm, 32-bit", "armv7l", (3, 11), TFLITE_RUNTIME),
    Platform("Raspberry Pi OS trixie, 32-bit", "armv7l", (3, 13), ()),
    Platform("Raspberry Pi OS, Raspberry Pi 1 and Zero", "armv6l", (3, 11), ()),
    Platform("Debian trixie, RISC-V", "riscv64", (3, 13), ()),
    Platform("Raspberry Pi OS bullseye, 64-bit", "aarch64", (3, 9), ()),
    Platform("Ubuntu 24.04, 64-bit", "aarch64", (3, 12), LITERT),
    Platform("Debian or Ubuntu on a PC", "x86_64", (3, 11), LITERT),
)


def packages_for(
    probe: Mapping[str, Any], libraries: Collection[str] = (), engine: str | None = None
) -> tuple[str, ...]:
    """Return what pip must install on a device, from what it says about itself.

    Args:
        probe: at least ``python`` ([major, minor, ...]), ``arch`` and ``bits`` (of its Python: a 64-bit
            kernel may carry a 32-bit system).
        libraries: architectures that the bundle has C libraries for.
        engine: ``c`` for the C library even where a binding has wheels.

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
    neon = not str(probe["arch"]).startswith("armv6")
    loadable = architectures_of(str(probe["arch"]), int(probe["bits"]), neon=neon)
    has_library = not set(loadable).isdisjoint(libraries)
    if engine == "c" and not has_library:
        raise ToolError(
            f"the device has {name}: the bundle has no C library for it",
            hint="build the bundle with --engine c, for this architecture",
        )
    if engine == "c":
        return C_ENGINE
    if arch in ("aarch64", "x86_64"):
        return LITERT
    if arch == "armv7l" and version <= (3, 11):
        return TFLITE_RUNTIME
    if has_library:
        return C_ENGINE
    raise ToolError(
        f"the device has {name}: no TFLite binding has wheels for it",
        hint="build the bundle with --engine c, which needs none",
    )


def python_arch(machine: str, bits: int) -> str:
    """Return the architecture that wheels must have: of the interpreter, not of the kernel.

    >>> python_arch("aarch64", 32), python_arch("arm64", 64)
    ('armv7l', 'aarch64')
    """
    name = {"arm64": "aarch64", "AMD64": "x86_64"}.get(machine, machine)
    return {"aarch64": "armv7l", "x86_64": "i686"}.get(name, name) if bits == 32 else name
