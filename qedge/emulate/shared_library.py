"""Compile C to shared libraries for Linux: one file an architecture, for glibc and musl alike."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from qedge.emulate.compilers import COMPILE_SECONDS, cache_folder, find_compiler, run_tool
from qedge.emulate.toolchain import SUPPORT, WARNINGS, content_key, keep_in_cache
from qedge.errors import unknown


class _Linux(NamedTuple):
    """How Zig's clang is told of an architecture, and what the code needs beside the C library that the process has."""

    target: str
    cpu: str
    libraries: tuple[str, ...] = ()


# 32-bit Arm calls functions for divisions. Building them takes some seconds, once.
_DIVISION = ("-lcompiler_rt",)
# armv6 is every Raspberry Pi OS of 32 bits; x86_64_v2 every PC of the last fifteen years.
_LINUX: Mapping[str, _Linux] = {
    "x86_64": _Linux("x86_64-linux-musl", "x86_64_v2"),
    "aarch64": _Linux("aarch64-linux-musl", "generic"),
    "armhf": _Linux("arm-linux-musleabihf", "cortex_a7", _DIVISION),
    "armv6": _Linux("arm-linux-musleabihf", "arm1176jzf_s", _DIVISION),
    "riscv64": _Linux("riscv64-linux-musl", "generic_rv64+m+a+f+d+c"),
}
_EM_ARM, _EF_ARM_EABI_VER5 = 40, 0x05000000
# No C library is linked, as the process that loads the code has one, of whatever kind, with memcpy and its like.
# Nothing says where the sources lie, so that the same sources give the same bytes.
_FLAGS = (
    "-std=c11",
    "-O3",
    "-fPIC",
    "-shared",
    "-nostdlib",
    "-ffreestanding",
    "-fvisibility=hidden",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-ffunction-sections",
    "-fdata-sections",
    "-g0",
    "-s",
    "-Wl,--gc-sections",
    "-DQE_NO_ASM",
)


def compile_shared(sources: Sequence[Path], architecture: str, *, exports: Mapping[str, str]) -> bytes:
    """Return the shared library of C sources for Linux on ``architecture``; it needs no other library.

    Args:
        architecture: one of `qedge.runtime.machines.ARCHITECTURES`.
        exports: name in the library to the function of the sources that it stands for, ``int f(void *)``; nothing
            else can be seen from outside.

    Raises:
        ToolError: the compiler is missing, or fails.
    """
    if architecture not in _LINUX:
        raise unknown("architecture", architecture, list(_LINUX))
    linux, compiler = _LINUX[architecture], find_compiler()
    entry = "".join(_export(name, function) for name, function in exports.items())
    flags = ["-target", linux.target, f"-mcpu={linux.cpu}", *_FLAGS, *WARNINGS, "-Werror"]
    cached = cache_folder() / "images" / f"{content_key([compiler.name, *flags, entry], sources, ())}.so"
    if cached.is_file():
        return cached.read_bytes()
    with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
        (Path(folder) / "entry.c").write_text(entry)
        library = Path(folder) / "library.so"
        command = [*compiler.command, *flags, f"-I{SUPPORT / 'include'}", *map(str, sources)]
        command += [f"{folder}/entry.c", *linux.libraries, "-o", str(library)]
        run_tool(command, COMPILE_SECONDS)
        data = _any_float_abi(library.read_bytes())
    keep_in_cache(cached, data)
    return data


def _any_float_abi(library: bytes) -> bytes:
    """Return the library without its word on how floating-point numbers are passed, for 32-bit Arm.

    No exported function takes one, so that systems of either kind may load it; with the word, one kind refuses.
    """
    machine = int.from_bytes(library[18:20], "little")
    if machine != _EM_ARM:
        return library
    return library[:36] + _EF_ARM_EABI_VER5.to_bytes(4, "little") + library[40:]


def _export(name: str, function: str) -> str:
    visible = '__attribute__((visibility("default")))'
    return (
        f"int {function}(void *context);\n"
        f"{visible} int {name}(void *context);\n"
        f"int {name}(void *context)\n{{\n    return {function}(context);\n}}\n"
    )
