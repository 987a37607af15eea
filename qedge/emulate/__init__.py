"""Compile C for a microcontroller's core or for this machine, and run it with exact instruction counts."""

from __future__ import annotations

from qedge.emulate.cores import CORES, Core, find_core
from qedge.emulate.elf import Elf, Sizes
from qedge.emulate.host import compile_host, host_compiler, run_host
from qedge.emulate.machine import Call, EmulationFault, Machine, Run
from qedge.emulate.toolchain import check_c, compile_c

__all__ = [
    "CORES",
    "Call",
    "Core",
    "Elf",
    "EmulationFault",
    "Machine",
    "Run",
    "Sizes",
    "check_c",
    "compile_c",
    "compile_host",
    "find_core",
    "host_compiler",
    "run_host",
]
