"""Compile C for this machine, with sanitizers where the compiler has them, and run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qedge.emulate.compilers import zig_command
from qedge.emulate.toolchain import WARNINGS
from qedge.errors import ToolError, VerificationError


@dataclass(frozen=True)
class HostCompiler:
    """A C compiler of this machine and the sanitizers that it links."""

    command: tuple[str, ...]
    sanitizers: tuple[str, ...]


@lru_cache(maxsize=1)
def host_compiler() -> HostCompiler:
    """Return gcc, clang or Zig's clang, the first that links a program; raise `ToolError` if none does."""
    tried = []
    for name in ("gcc", "clang", "cc"):
        found = shutil.which(name)
        if found:
            for sanitizers in (("address", "undefined"), ("undefined",), ()):
                compiler = HostCompiler((found,), sanitizers)
                if _links(compiler):
                    return compiler
            tried.append(name)
    # Zig's own run-time has no address sanitizer; undefined behaviour traps.
    compiler = HostCompiler((*zig_command(), "cc", "-fsanitize-trap=undefined"), ("undefined",))
    if _links(compiler):
        return compiler
    raise ToolError(
        f"no C compiler of this machine links a program (tried {', '.join([*tried, 'zig cc'])})",
        hint="install gcc or clang",
    )


def compile_host(
    sources: Sequence[Path],
    output: Path,
    *,
    includes: Sequence[Path] = (),
    defines: Sequence[str] = (),
    flags: Sequence[str] = (),
    sanitize: bool = True,
    warnings: Sequence[str] = (*WARNINGS, "-Werror"),
) -> Path:
    """Write the program ``output``, optimised lightly and with sanitizers, and return its path."""
    compiler = host_compiler()
    command = [*compiler.command, "-std=c11", "-O1", "-g", *warnings, *flags]
    if sanitize and compiler.sanitizers:
        command += [f"-fsanitize={','.join(compiler.sanitizers)}", "-fno-sanitize-recover=all"]
    command += [f"-I{path}" for path in includes] + [f"-D{name}" for name in defines]
    command += [*map(str, sources), "-o", str(output)]
    done = _run(command, b"", 300)
    if done.returncode != 0:
        said = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[:30])
        raise ToolError(f"{compiler.command[-1]} failed with exit code {done.returncode}:\n{said}")
    return output


def run_host(
    program: Path, data: bytes = b"", *, arguments: Sequence[str] = (), seconds: float = 120
) -> bytes:
    """Feed ``data`` to a program, return what it prints; a sanitizer's report raises `VerificationError`."""
    done = _run([str(program), *arguments], data, seconds)
    if done.returncode != 0:
        said = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[:30])
        raise VerificationError(f"{program.name} ended with code {done.returncode}:\n{said}")
    return done.stdout


def _links(compiler: HostCompiler) -> bool:
    with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
        source = Path(folder) / "try.c"
        source.write_text("int main(void) { return 0; }\n")
        flags = [f"-fsanitize={','.join(compiler.sanitizers)}"] if compiler.sanitizers else []
        program = str(Path(folder) / "try")
        if _run([*compiler.command, *flags, str(source), "-o", program], b"", 120).returncode != 0:
            return False
        return _run([program], b"", 30).returncode == 0


def _run(command: Sequence[str], data: bytes, seconds: float) -> subprocess.CompletedProcess[bytes]:
    # The leak checker needs ptrace, which containers often refuse.
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    try:
        return subprocess.run(
            list(command), input=data, capture_output=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{command[0]} took longer than {seconds:g} s") from None
    except OSError as error:
        raise ToolError(f"{command[0]} does not start: {error}") from error
