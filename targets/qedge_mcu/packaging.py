"""What surrounds the library: projects for the usual build systems, an example, golden vectors.

Every file below ``templates/<engine>/`` is copied with ``@name@`` and its like replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files as package_files
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qedge._version import __version__
from qedge.errors import ToolError
from qedge_mcu.boards import board
from qedge_mcu.c_text import values_text
from qedge_mcu.emit import Generated
from qedge_mcu.example import classify_header
from qedge_mcu.program import Program
from qedge_mcu.projects import project_values
from qedge_mcu.structs import C_TYPES

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Array = npt.NDArray[Any]
GOLDEN_BYTES = 40_000
"""Golden samples beyond the first stop here: they are meant to fit a board's flash beside the model."""

# Some Cortex-M7 (STM32F746) have a single-precision FPU only; the kernels need no more.
GCC_FLAGS: Mapping[str, str] = {
    "cortex-m0": "-mcpu=cortex-m0 -mthumb",
    "cortex-m0plus": "-mcpu=cortex-m0plus -mthumb",
    "cortex-m3": "-mcpu=cortex-m3 -mthumb",
    "cortex-m4": "-mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard",
    "cortex-m7": "-mcpu=cortex-m7 -mthumb -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
    "cortex-m33": "-mcpu=cortex-m33 -mthumb -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
    "cortex-m55": "-mcpu=cortex-m55 -mthumb -mfloat-abi=hard",
    "cortex-m85": "-mcpu=cortex-m85 -mthumb -mfloat-abi=hard",
    "riscv32": "-march=rv32imc -mabi=ilp32",
}
ARCH_NOTES: Mapping[str, str] = {
    "portable": "The kernels are portable C and run on any core.\n",
    "dsp": "The kernels are for cores with the DSP extension (Cortex-M4, M7, M33).\n",
    "mve": "The kernels are for cores with Helium (Cortex-M55, M85).\n",
    "vector": "The kernels use SSE4.1 (-msse4.1) or NEON where the compiler may, and are portable C elsewhere.\n",
}
CORE_NOTES: Mapping[str, str] = {
    "esp32-s3": "The kernels are portable C: the vector unit of the ESP32-S3, which Espressif's own (esp-nn)\n"
    "use and are faster by, stays idle.\n",
}
# Architectures of the boards manager, as their cores call themselves: of 32 bits, and so without avr and megaavr.
ARDUINO = (
    "apollo3", "esp32", "esp8266", "mbed", "mbed_edge", "mbed_giga", "mbed_nano", "mbed_nicla", "mbed_opta",
    "mbed_portenta", "mbed_rp2040", "nrf52", "nRF5", "renesas", "renesas_portenta", "renesas_uno", "rp2040", "sam",
    "samd", "silabs", "stm32", "STM32F1", "STM32F4", "teensy", "zephyr",
)  # fmt: skip


def project_files(
    program: Program,
    generated: Generated,
    inputs: Sequence[Sequence[Array]],
    outputs: Sequence[Sequence[Array]],
    board_name: str | None = None,
) -> dict[str, bytes]:
    """Return the files of ``templates/qedge/`` for one library, by path beside ``src/``.

    The example ``golden`` needs golden vectors, and ``classify`` a model that tells classes apart: the rest is there
    for any.

    Args:
        board_name: of the board that the library is built for, for the commands of its build systems.
    """
    chosen = board(board_name) if board_name else None
    app = generated.files.get(f"src/{program.name}_app.h", b"").decode()
    sound = f"src/{program.name}_frontend.h" in generated.files
    classify = classify_header(program, app, sound=sound)
    examples = [*(["golden"] if inputs else []), *(["classify"] if classify else []), "serial"]
    values = _values(program, generated) | project_values(program.name, examples, app, chosen)
    values["frontend_note"] = f"; `{program.name}_frontend.h` makes features of sound" if sound else ""
    text, values["sensor_type"], values["sensor_count"] = classify or ("", "", "")
    files = {
        path: data.encode()
        for path, data in fill_templates("qedge", values).items()
        if not any(f"/{name}/" in path for name in {"golden", "classify"} - {*examples})
    }
    if classify is not None:
        files["examples/classify/classify.h"] = text.encode()
    if inputs:
        files["examples/golden/golden.h"] = golden_header(program, inputs, outputs, app)
    return files


def fill_templates(kind: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return every file of ``templates/<kind>/`` with ``@name@`` and its like replaced by ``values``.

    Raises:
        ToolError: a template asks for something that ``values`` does not have.
    """

    def fill(text: str, path: str) -> str:
        def replace(match: re.Match[str]) -> str:
            if match.group(1) not in values:
                raise ToolError(f"templates/{kind}/{path}: nothing is known for @{match.group(1)}@")
            return values[match.group(1)]

        return re.sub(r"@([A-Za-z_]+)@", replace, text)

    root = package_files("qedge_mcu") / "templates" / kind
    return {path: fill(entry.read_text("utf-8"), path) for path, entry in _walk(root, "")}


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _values(program: Program, generated: Generated) -> dict[str, str]:
    name, graph = program.name, program.graph
    return {
        "name": name,
        "NAME": name.upper(),
        "title": f"{name}: int8 neural network",
        "version": __version__,
        "core": program.core.name,
        "context_bytes": f"{program.context_bytes:,}",
        "first_input": "input" if len(graph.inputs) == 1 else "input_0",
        "first_output": "output" if len(graph.outputs) == 1 else "output_0",
        "gcc_flags": GCC_FLAGS.get(program.core.name, ""),
        "arch_note": CORE_NOTES.get(program.core.name, ARCH_NOTES[program.core.family]),
        "arduino_architectures": ",".join(ARDUINO),
        "cmake_sources": "".join(f"  {s}\n" for s in generated.sources),
        "zephyr_sources": "".join(f"    ../{s}\n" for s in generated.sources),
    }


def golden_header(
    program: Program, inputs: Sequence[Sequence[Array]], outputs: Sequence[Sequence[Array]], app: str
) -> bytes:
    """Return ``golden.h``: samples as arrays, and ``golden_run`` that runs and compares one.

    At least one sample, and as many as fit ``GOLDEN_BYTES``.

    Args:
        app: the text of ``<model>_app.h``; where it tells classes apart, examples say them.
    """
    name, graph = program.name, program.graph
    each = sum(graph.tensors[t].nbytes for t in (*graph.inputs, *graph.outputs))
    count = max(1, min(len(inputs), GOLDEN_BYTES // max(each, 1)))
    parts = [
        f"/* Golden vectors of {name}: real inputs, and the outputs that TFLite Micro gives for them.",
        f" * Generated by qedge {__version__}. Do not edit. */",
        f"#ifndef {name.upper()}_GOLDEN_H\n#define {name.upper()}_GOLDEN_H\n\n#include <string.h>\n",
        f'#include "{name}_app.h"\n' if f"{name}_top(" in app else f'#include "{name}.h"\n',
        f"#define GOLDEN_SAMPLES {count}\n",
    ]
    upper = name.upper()
    loads, compares = [], []
    for kind, tensors, samples in (("input", graph.inputs, inputs), ("output", graph.outputs, outputs)):
        for k, t in enumerate(tensors):
            values = np.concatenate([np.asarray(s[k]).reshape(-1) for s in samples[:count]])
            accessor = f"{name}_{kind if len(tensors) == 1 else f'{kind}_{k}'}(context)"
            array = f"golden_{kind}_{k}"
            elements = graph.tensors[t].elements
            ctype = C_TYPES[graph.tensors[t].dtype]
            parts.append(
                f"static const {ctype} {array}[GOLDEN_SAMPLES][{elements}] = {{\n"
                + "".join(f"{{\n{values_text(row)}\n}},\n" for row in values.reshape(count, elements))
                + "};\n"
            )
            if kind == "input":
                io = kind if len(tensors) == 1 else f"{kind}_{k}"
                loads += [
                    f"#if defined({upper}_EXTERNAL_INPUT)",
                    "    static union {",
                    f"        {ctype} codes[{elements}];",
                    "        uint32_t aligned;",
                    f"    }} given_{k};",
                    f"    memcpy(given_{k}.codes, {array}[sample], sizeof({array}[sample]));",
                    f"    {name}_set_{io}(context, given_{k}.codes);",
                    "#else",
                    f"    memcpy({accessor}, {array}[sample], sizeof({array}[sample]));",
                    "#endif",
                ]
            else:
                compares.append(
                    f"    different |= memcmp({accessor}, {array}[sample], sizeof({array}[sample]));"
                )
    parts += [
        "/* Return 0 when the outputs of a sample are equal to the last bit. */",
        f"static inline int golden_run({name}_context *context, int sample)\n{{",
        *loads,
        f"    int different = {name}_run(context);",
        *compares,
        "    return different;\n}\n\n#endif\n",
    ]
    return "\n".join(parts).encode()
