"""Compile C for a microcontroller's core or for this machine, and run it with exact instruction counts."""

from __future__ import annotations

from qedge.emulate.compilers import find_compiler
from qedge.emulate.cores import CORES, Core, find_core
from qedge.emulate.elf import Elf, Sizes
from qedge.emulate.host import compile_host, host_compiler, run_host
from qedge.emulate.machine import Call, EmulationFault, Machine, Run
from qedge.emulate.qemu import QemuMachine, qemu_available
from qedge.emulate.shared_library import compile_shared
from qedge.emulate.toolchain import check_c, compile_c, warm_up

__all__ = [
    "CORES",
    "Call",
    "Core",
    "Elf",
    "EmulationFault",
    "Machine",
    "QemuMachine",
    "Run",
    "Sizes",
    "check_c",
    "compile_c",
    "compile_host",
    "compile_shared",
    "find_compiler",
    "find_core",
    "host_compiler",
    "open_machine",
    "qemu_available",
    "run_host",
    "warm_up",
]


def open_machine(elf: Elf, core: str, *, count: bool = True) -> Machine | QemuMachine:
    """Return a machine with ``elf`` loaded: unicorn where it knows the core, else QEMU."""
    if find_core(core).unicorn is None:
        return QemuMachine(elf, core, count=count)
    return Machine(elf, core, count=count)
