"""Compile C for an emulated core, cached by content."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from qedge.emulate.compilers import COMPILE_SECONDS, cache_folder, find_compiler, run_tool
from qedge.emulate.cores import Core, find_core
from qedge.emulate.elf import Elf

SUPPORT = Path(__file__).parent / "support"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic")
_FREESTANDING = (
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
    # Without it, Zig strips the symbols at -Os; the linker script drops the debug sections.
    "-g",
)


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
    cc: str | None = None,
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
        cc: a GCC and its flags, as `qedge.emulate.compilers.find_compiler` reads it; None is Zig's clang.
    """
    chip, compiler = find_core(core), find_compiler(cc)
    arguments = [
        *compiler.core_flags(chip),
        optimise,
        *_FREESTANDING,
        *warnings,
        *flags,
        *compiler.flags,
        *(f"-D{name}" for name in defines),
        *(f"-Wl,-u,{name}" for name in keep),
    ]
    script = _linker_script(chip)
    key = content_key([compiler.name, *arguments, script], [*sources, SUPPORT / "start.c"], includes)
    cached = cache_folder() / "images" / f"{key}.elf"
    if cached.is_file():
        return Elf(cached.read_bytes())
    with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
        (Path(folder) / "link.ld").write_text(script)
        linked = Path(folder) / "image.elf"
        command = [*compiler.command, *arguments]
        command += [f"-I{path}" for path in (*includes, SUPPORT / "include")]
        command += [str(path) for path in sources] + [str(SUPPORT / "start.c")]
        command += ["-static", "-Wl,--gc-sections", f"-Wl,-T,{folder}/link.ld", *compiler.libraries]
        run_tool([*command, "-o", str(linked)], COMPILE_SECONDS)
        data = linked.read_bytes()
    keep_in_cache(cached, data)
    return Elf(data)


def warm_up(core: str) -> None:
    """Compile next to nothing for ``core``: the compiler's own library is in its cache from then on."""
    with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
        source = Path(folder) / "nothing.c"
        source.write_text("int nothing(void);\nint nothing(void)\n{\n    return 0;\n}\n")
        compile_c([source], core, keep=["nothing"])


def check_c(
    sources: Sequence[Path],
    core: str,
    *,
    includes: Sequence[Path] = (),
    flags: Sequence[str] = (),
    cc: str | None = None,
) -> None:
    """Raise `ToolError` unless ``sources`` compile for ``core`` without a warning; nothing is linked."""
    chip, compiler = find_core(core), find_compiler(cc)
    given = [*compiler.core_flags(chip), "-O2", *_FREESTANDING, *WARNINGS, "-Werror", *flags, *compiler.flags]
    with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
        for source in sources:
            command = [*compiler.command, *given]
            command += [f"-I{path}" for path in (*includes, SUPPORT / "include")]
            run_tool([*command, "-c", str(source), "-o", f"{folder}/check.o"], COMPILE_SECONDS)


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


def content_key(words: Iterable[str], sources: Iterable[Path], includes: Iterable[Path]) -> str:
    """Return the name of a compilation in the cache: by its command, sources and headers."""
    digest = hashlib.sha256()
    files = [(path.name, path) for path in sources]
    # A quoted include is looked for beside the source first.
    beside = sorted({path for source in sources for path in source.parent.glob("*.h")})
    files += [(path.name, path) for path in beside]
    for folder in (*includes, SUPPORT / "include"):
        found = [path for path in folder.rglob("*") if path.suffix in (".h", ".c", ".inc", ".hpp")]
        files += sorted((path.relative_to(folder).as_posix(), path) for path in found)
    for word in words:
        digest.update(word.encode() + b"\0")
    for name, path in files:
        data = path.read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def keep_in_cache(path: Path, data: bytes) -> None:
    """Write a cache entry whole or not at all; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        os.replace(file.name, path)
    except OSError:
        return
