"""The C compilers that can build for a core: the clang that the ``ziglang`` package carries, or a GCC of the user's."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from qedge.emulate.cores import Core
from qedge.errors import ToolError, UsageError

COMPILE_SECONDS = 300


@dataclass(frozen=True)
class Compiler:
    """One C compiler.

    Args:
        name: for reports: ``clang (zig 0.17.0)``, ``arm-none-eabi-gcc 12.2.1``.
        command: what starts it.
        flags: the user's own, after those for the core.
        machine: what a GCC makes code for, as ``-dumpmachine`` says; None for Zig, which knows every core.
    """

    name: str
    command: tuple[str, ...]
    flags: tuple[str, ...] = ()
    machine: str | None = None

    def core_flags(self, core: Core) -> tuple[str, ...]:
        """Return the flags that select a core; raise `ToolError` when the compiler makes code for others."""
        if self.machine is None:
            return ("-target", core.zig_target, f"-mcpu={core.cpu}")
        if not self.machine.startswith(core.arch):
            raise ToolError(
                f"{self.name} makes code for {self.machine}, expected {core.arch} for {core.name}",
                hint=f"name a compiler for {core.arch}, for instance: --cc {core.gcc_name}",
            )
        return core.gcc_flags

    @property
    def libraries(self) -> tuple[str, ...]:
        """What a program without a C library links: GCC's own arithmetic; Zig adds its own unasked."""
        return () if self.machine is None else ("-nostdlib", "-lgcc")


def find_compiler(cc: str | None = None) -> Compiler:
    """Return the compiler that ``cc`` names, with the flags behind the name; without one, Zig's clang.

    Args:
        cc: as a shell would read it: ``arm-none-eabi-gcc``, ``"/opt/gcc-13/bin/arm-none-eabi-gcc -Os -flto"``.

    Raises:
        ToolError: it is not there, or does not say that it is a GCC.
    """
    if cc is None or cc.strip() == "zig":
        return Compiler(f"clang (zig {zig_version()})", (*zig_command(), "cc"))
    try:
        command, *flags = shlex.split(cc)
    except ValueError as problem:
        raise UsageError(f"--cc {cc!r}: {problem or 'nothing in it'}") from None
    found = shutil.which(command)
    if found is None:
        raise ToolError(
            f"the C compiler {command!r} is not installed",
            hint="install it, on Debian: apt install gcc-arm-none-eabi (RISC-V: gcc-riscv64-unknown-elf)",
        )
    machine, version = _about_gcc(found)
    return Compiler(f"{Path(command).name} {version}", (found,), tuple(flags), machine)


@lru_cache(maxsize=8)
def _about_gcc(path: str) -> tuple[str, str]:
    """Return what a GCC makes code for, and its version."""
    if "clang" in run_tool([path, "--version"], 30).lower():
        raise ToolError(f"{path} is a clang, expected a GCC", hint="leave out --cc: clang is built in")
    machine = run_tool([path, "-dumpmachine"], 30).strip()
    version = run_tool([path, "-dumpfullversion"], 30).strip()
    return machine, version


def zig_command() -> list[str]:
    """Return the command that starts Zig, or raise `ToolError` when the package is not installed."""
    if find_spec("ziglang") is None:
        raise ToolError(
            "the cross compiler is not installed: no module ziglang",
            hint="pip install ziglang",
        )
    return [sys.executable, "-m", "ziglang"]


@lru_cache(maxsize=1)
def zig_version() -> str:
    """Return Zig's version, for the cache and for reports: ``0.17.0``."""
    return run_tool([*zig_command(), "version"], COMPILE_SECONDS).strip()


def cache_folder() -> Path:
    """Return the folder for compiled images: ``$QEDGE_CACHE``, or ``qedge`` in the user's cache folder."""
    given = os.environ.get("QEDGE_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qedge"


def run_tool(command: Sequence[str], seconds: float) -> str:
    """Run a tool and return what it printed; raise `ToolError` with its first lines when it fails."""
    environment = {**os.environ}
    for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        environment.setdefault(name, str(cache_folder() / "zig"))
    tool = " ".join(command[1:4]) if "ziglang" in command[:3] else Path(command[0]).name
    try:
        done = subprocess.run(
            list(command), capture_output=True, text=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{tool} took longer than {seconds:g} s") from None
    except OSError as error:
        raise ToolError(f"{tool} does not start: {error}") from error
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[:30])
        raise ToolError(f"{tool} failed with exit code {done.returncode}:\n{said}")
    return done.stdout
