"""The architectures that a bundle can carry a shared library for, and which of them this process can load."""

from __future__ import annotations

import os
import sys

ARCHITECTURES = ("x86_64", "aarch64", "armhf", "armv6", "riscv64")
"""``armv6``: any 32-bit Arm from the first Raspberry Pi on; ``armhf``: with NEON, from the Raspberry Pi 2 on."""

_AT_HWCAP, _NEON = 16, 1 << 12


def loadable() -> tuple[str, ...]:
    """Return the architectures whose libraries this process can load, the fastest first; empty where there are none.

    What counts is the interpreter: a 64-bit kernel may run a 32-bit one.
    """
    if not sys.platform.startswith("linux"):
        return ()
    return architectures_of(os.uname().machine, 64 if sys.maxsize > 2**32 else 32, neon=None)


def architectures_of(machine: str, bits: int, *, neon: bool | None = False) -> tuple[str, ...]:
    """Return the architectures of a machine's interpreter, the fastest first.

    Args:
        machine: as ``uname -m`` says.
        bits: of the interpreter.
        neon: whether a 32-bit Arm has NEON; None asks the kernel of this machine.

    >>> architectures_of("aarch64", 64), architectures_of("aarch64", 32), architectures_of("mips", 32)
    (('aarch64',), ('armv6',), ())
    """
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(machine, machine)
    if bits == 64:
        return (machine,) if machine in ("x86_64", "aarch64", "riscv64") else ()
    # armv7b is the other byte order.
    if machine == "aarch64" or (machine.startswith(("armv6", "armv7", "armv8")) and machine.endswith("l")):
        return ("armhf", "armv6") if (_has_neon() if neon is None else neon) else ("armv6",)
    return ()


def _has_neon() -> bool:
    import ctypes

    try:
        getauxval = ctypes.CDLL(None).getauxval
    except (OSError, AttributeError):
        return False
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, (ctypes.c_ulong,)
    return bool(getauxval(_AT_HWCAP) & _NEON)
