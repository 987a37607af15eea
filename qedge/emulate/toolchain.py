"""Compile C for a Cortex-M core with the clang that the ``ziglang`` package carries, cached by content."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from qedge.emulate.cores import Core, find_core
from qedge.emulate.elf import Elf
from qedge.errors import ToolError

SUPPORT = Path(__file__).parent / "support"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic")
COMPILE_SECONDS = 300


def cache_folder() -> Path:
    """Return the folder for compiled images: ``$QEDGE_CACHE``, or ``qedge`` in the user's cache folder."""
    given = os.environ.get("QEDGE_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qedge"


def zig_command() -> list[str]:
    """Return the command that starts Zig, or raise `ToolError` when the package is not installed."""
    if find_spec("ziglang") is None:
        raise ToolError(
            "the cross compiler is not installed: no module ziglang",
            hint="pip install 'qedge[mcu]'",
        )
    return [sys.executable, "-m", "ziglang"]


@lru_cache(maxsize=1)
def zig_version() -> str:
    """Return Zig's version, for the cache and for reports: ``0.17.0``."""
    return _run([*zig_command(), "version"], COMPILE_SECONDS).strip()


def compile_c(
    sources: Sequence[Path],
    core: str = "cortex-m4",
    *,
    includes: Sequence[Path] = (),
    defines: Sequence[str] = (),
    keep: Sequence[str] = (),
    optimise: str = "-O2",
    flags: Sequence[str] = (),
    warnings: Sequence[str] = (*WARNINGS, "-Werror"),
) -> Elf:
    """Return the image linked from ``sources`` for ``core``; unused functions and objects are dropped.

    Args:
        sources: C (or C++) files.
        core: a name in `qedge.emulate.cores.CORES`.
        includes: folders searched for headers.
        defines: ``NAME`` or ``NAME=VALUE``.
        keep: symbols that stay although nothing calls them: what the emulator will call or read.
        optimise: ``-O2``, ``-O3``, ``-Os``.
        flags: further flags of the compiler.
        warnings: warning flags; a warning is an error unless this says otherwise.
    """
    chip = find_core(core)
    arguments = [
        *_target_flags(chip, optimise),
        *warnings,
        *flags,
        *(f"-D{name}" for name in defines),
        *(f"-Wl,-u,{name}" for name in keep),
    ]
    script = _linker_script(chip)
    key = _key([zig_version(), *arguments, script], [*sources, SUPPORT / "start.c"], includes)
    cached = cache_folder() / "images" / f"{key}.elf"
    if cached.is_file():
        return Elf(cached.read_bytes())
    with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
        (Path(folder) / "link.ld").write_text(script)
        linked = Path(folder) / "image.elf"
        command = [*zig_command(), "cc", *arguments]
        command += [f"-I{path}" for path in (*includes, SUPPORT / "include")]
        command += [str(path) for path in sources] + [str(SUPPORT / "start.c")]
        command += ["-static", "-Wl,--gc-sections", f"-Wl,-T,{folder}/link.ld"]
        _run([*command, "-o", str(linked)], COMPILE_SECONDS)
        data = linked.read_bytes()
    _store(cached, data)
    return Elf(data)


def check_c(
    sources: Sequence[Path],
    core: str,
    *,
    includes: Sequence[Path] = (),
    flags: Sequence[str] = (),
) -> None:
    """Raise `ToolError` unless ``sources`` compile for ``core`` without a warning; nothing is linked."""
    chip = find_core(core)
    with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
        for source in sources:
            command = [*zig_command(), "cc", *_target_flags(chip, "-O2"), *WARNINGS, "-Werror", *flags]
            command += [f"-I{path}" for path in (*includes, SUPPORT / "include")]
            _run([*command, "-c", str(source), "-o", f"{folder}/check.o"], COMPILE_SECONDS)


def _target_flags(core: Core, optimise: str) -> list[str]:
    return [
        "-target",
        f"thumb-freestanding-{core.abi}",
        f"-mcpu={core.cpu}",
        optimise,
        "-ffreestanding",
        "-ffunction-sections",
        "-fdata-sections",
        # Without it, Zig strips the symbols at -Os; the linker script drops the debug sections.
        "-g",
    ]


def _linker_script(core: Core) -> str:
    text = (SUPPORT / "link.ld.in").read_text()
    values = {
        "FLASH": hex(core.flash),
        "FLASH_BYTES": hex(core.flash_bytes),
        "RAM": hex(core.ram),
        "RAM_BYTES": hex(core.ram_bytes),
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _key(words: Iterable[str], sources: Iterable[Path], includes: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    files = [(path.name, path) for path in sources]
    for folder in (*includes, SUPPORT / "include"):
        found = [path for path in folder.rglob("*") if path.suffix in (".h", ".c", ".inc", ".hpp")]
        files += sorted((path.relative_to(folder).as_posix(), path) for path in found)
    for word in words:
        digest.update(word.encode() + b"\0")
    for name, path in files:
        data = path.read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _store(path: Path, data: bytes) -> None:
    """Write a cache entry whole or not at all; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        os.replace(file.name, path)
    except OSError:
        return


def _run(command: Sequence[str], seconds: float) -> str:
    """Run a tool and return what it printed; raise `ToolError` with its last lines when it fails."""
    environment = {**os.environ}
    for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        environment.setdefault(name, str(cache_folder() / "zig"))
    tool = " ".join(command[1:4])
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
