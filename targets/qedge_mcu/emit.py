"""Write a program as C11: the same program gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path

from qedge_mcu.c_text import banner
from qedge_mcu.constants import Constants
from qedge_mcu.header import header_text
from qedge_mcu.parameters import Parameters
from qedge_mcu.program import Program
from qedge_mcu.source import source_text


@dataclass(frozen=True)
class Generated:
    """The C library as files, and what it takes.

    Args:
        files: path to contents, sources under ``src/``.
        constant_bytes: all constants, parameter structs included, as a 32-bit target stores them.
        overhead_bytes: the part beyond the model's own weights and biases.
    """

    files: dict[str, bytes]
    constant_bytes: int
    overhead_bytes: int

    @property
    def sources(self) -> list[str]:
        """The ``.c`` files, sorted."""
        return sorted(f for f in self.files if f.startswith("src/") and f.endswith(".c"))

    def write(self, folder: Path) -> None:
        """Write every file below ``folder``."""
        for path, data in self.files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


def emit(program: Program) -> Generated:
    """Return the library of one model."""
    constants = Constants(program)
    parameters = Parameters(program, constants)
    name = program.name
    kernels = sorted({k for s in program.steps for k in s.emitted.kernels})
    headers = sorted(
        {"qe_common.h", *(h for s in program.steps for h in s.emitted.headers)}
        | {h for k in kernels for h in [k.removesuffix(".c") + ".h"] if _exists(f"include/{h}")}
    )
    files = {
        f"src/{name}.h": header_text(program),
        f"src/{name}.c": source_text(program, constants, parameters, headers),
        f"src/{name}_weights.h": constants.header(),
        f"src/{name}_weights.c": constants.source(),
        "src/qe_config.h": _config(program, kernels),
        "src/qe_common.h": _kernel("include/qe_common.h"),
    }
    for header in headers:
        files[f"src/{header}"] = _kernel(f"include/{header}")
    for kernel in kernels:
        files[f"src/{kernel}"] = _kernel(kernel)
    return Generated(
        {path: text.encode() for path, text in sorted(files.items())},
        constants.nbytes + parameters.nbytes,
        constants.nbytes + parameters.nbytes - constants.model_bytes,
    )


def _kernel(path: str) -> str:
    return (package_files("qedge_mcu") / "kernels" / path).read_text("utf-8")


def _exists(path: str) -> bool:
    return (package_files("qedge_mcu") / "kernels" / path).is_file()


def _config(program: Program, kernels: Iterable[str]) -> str:
    """Return ``qe_config.h``: kernel switches, and every kernel function under the model's own prefix."""
    name = program.name
    texts = [_kernel(k) for k in kernels]
    functions = sorted({name for text in texts for name in _functions(text)})
    lines = [f"#define {f} {name}_{f}" for f in functions]
    switches = [f"#define {d} 1" for d in sorted({d for s in program.steps for d in s.emitted.defines})]
    return (
        banner(program, "How the kernels are configured for this model.")
        + "#ifndef QE_CONFIG_H\n#define QE_CONFIG_H\n\n"
        + "/* Each library has its own kernels, so that several models fit in one image. */\n"
        + "\n".join(lines)
        + "\n"
        + ("\n/* Variants that this model uses. */\n" + "\n".join(switches) + "\n" if switches else "")
        + "\n#endif\n"
    )


def _functions(text: str) -> list[str]:
    """Return the functions that a kernel's source defines, by themselves or by a macro that takes the name first."""
    plain = re.findall(r"^(?!static)[a-z][a-z0-9_ *]*?\b(qe_[a-z0-9_]+)\(", text, re.MULTILINE)
    return plain + re.findall(r"^QE_[A-Z0-9_]+\((qe_[a-z0-9_]+),", text, re.MULTILINE)
