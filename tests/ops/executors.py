"""Where a case table runs: C on this machine with sanitizers, C on an emulated core or under an emulated Linux.

An executor gets a model and the inputs of consecutive runs, and returns the outputs of each run. Before every
run the arena is filled with rubbish, so that nothing that an earlier run left can help.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.emulate import CORES, compile_c, compile_host, open_machine, qemu_available, run_host
from qedge.emulate.compilers import run_tool, zig_command
from qedge.emulate.toolchain import SUPPORT, WARNINGS
from qedge.graph import Graph
from qedge_mcu.c_text import io_name
from qedge_mcu.cores import core
from qedge_mcu.emit import Generated, emit
from qedge_mcu.program import Program, build
from qedge_mcu.structs import C_TYPES

Array = npt.NDArray[Any]
NAME = "model"
VECTORS = ("-msse4.1",) if platform.machine() in ("x86_64", "AMD64") else ()
"""What lets the compiler of this machine use the vectors that its kernels know."""

_LINUX = {
    "aarch64": ("aarch64-linux-musl", "generic", "qemu-aarch64"),
    "armhf": ("arm-linux-musleabihf", "cortex_a7", "qemu-arm"),
    "armv6": ("arm-linux-musleabihf", "arm1176jzf_s", "qemu-arm"),
}


@dataclass(frozen=True)
class Executor:
    """A place to run.

    Args:
        name: shown in the test's name.
        core: what the C is generated for.
        skips: tables that do not run here, with the reason.
        on_host: run on this machine: the kernels' portable twins, with sanitizers.
        cc: a GCC and its flags, for an emulated core; the built-in clang without one.
        flags: further flags of this machine's compiler.
        linux: architecture of an emulated Linux, with the code of the C engine's libraries.
        outside: inputs lie in memory of the caller, each in a piece of its own and size, and must stay as they are.
    """

    name: str
    core: str
    skips: Mapping[str, str] = field(default_factory=dict)
    on_host: bool = False
    cc: str | None = None
    flags: tuple[str, ...] = ()
    linux: str | None = None
    outside: bool = False

    @property
    def missing(self) -> str | None:
        """Why this machine cannot run it, or None."""
        if self.cc is not None and shutil.which(self.cc.split()[0]) is None:
            return f"{self.cc.split()[0]} is not installed"
        if self.linux is not None:
            emulator = _LINUX[self.linux][2]
            return None if shutil.which(emulator) else f"{emulator} is not installed"
        if not self.on_host and CORES[self.core].unicorn is None and not qemu_available(self.core):
            return f"no QEMU for {self.core} is installed"
        return None

    def run(self, data: bytes, samples: Sequence[Sequence[Array]], folder: Path) -> list[list[Array]]:
        """Return the outputs of consecutive runs, in ``folder`` for what must be written."""
        graph = Graph.from_bytes(data)
        program, generated = generate(graph, self.core, folder)
        if self.on_host or self.linux is not None:
            given = _on_host_outside if self.outside else _on_host
            results = given(self, program, generated, samples, folder)
        else:
            results = _on_core(self, program, generated, samples, folder)
        return [
            [
                np.frombuffer(raw, np.dtype(graph.tensors[t].dtype)).reshape(graph.tensors[t].shape)
                for raw, t in zip(row, graph.outputs)
            ]
            for row in results
        ]


def generate(graph: Graph, core_name: str, folder: Path) -> tuple[Program, Generated]:
    """Write the library of a model into ``folder``."""
    program = build(graph, core(core_name), NAME, tries=0)
    generated = emit(program)
    for path, content in generated.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return program, generated


def run_c(place: Executor, sources: Sequence[Path], includes: Sequence[Path], data: bytes = b"") -> bytes:
    """Compile a program for this machine or an emulated Linux and return what it prints."""
    program = sources[0].parent / "run"
    if place.linux is None:
        return run_host(compile_host(sources, program, includes=includes, flags=place.flags), data)
    target, cpu, emulator = _LINUX[place.linux]
    flags = ["-std=c11", "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-builtin", "-fno-sanitize=all"]
    flags += ["-fomit-frame-pointer", "-DQE_NO_ASM", *WARNINGS, "-Werror"]
    command = [
        *zig_command(),
        "cc",
        "-target",
        target,
        f"-mcpu={cpu}",
        *flags,
        *(f"-I{path}" for path in includes),
    ]
    here = Path(__file__).parent / "linux"
    command += [f"-I{here}", f"-I{SUPPORT / 'include'}", *map(str, sources), str(here / "start.c")]
    run_tool([*command, "-lcompiler_rt", "-o", str(program)], 300)
    done = subprocess.run([emulator, str(program)], input=data, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    return done.stdout


def _on_host(
    place: Executor,
    program: Program,
    generated: Generated,
    samples: Sequence[Sequence[Array]],
    folder: Path,
) -> list[list[bytes]]:
    graph = program.graph
    spans = [
        [(program.offset(t), graph.tensors[t].nbytes) for t in ts] for ts in (graph.inputs, graph.outputs)
    ]
    reads = _transfers("fread", "stdin", spans[0])
    writes = _transfers("fwrite", "stdout", spans[1])
    (folder / "main.c").write_text(
        f'#include <stdio.h>\n#include <string.h>\n#include "{NAME}.h"\n\nstatic {NAME}_context context;\n\n'
        f"int main(void)\n{{\n    if ({NAME}_init(&context) != 0) {{ return 2; }}\n"
        f"    for (int run = 0; run < {len(samples)}; ++run) {{\n"
        "        memset(context.arena, 0xA5, sizeof(context.arena));\n"
        f"{reads}        if ({NAME}_run(&context) != 0) {{ return 3; }}\n{writes}    }}\n    return 0;\n}}\n"
    )
    return _answers(place, program, generated, samples, folder)


def _answers(
    place: Executor,
    program: Program,
    generated: Generated,
    samples: Sequence[Sequence[Array]],
    folder: Path,
) -> list[list[bytes]]:
    """Compile what ``main.c`` has in ``folder``, and return the outputs that it prints."""
    sources = [folder / "main.c", *(folder / s for s in generated.sources)]
    said = run_c(place, sources, [folder / "src"], b"".join(x.tobytes() for row in samples for x in row))
    results, at = [], 0
    for _row in samples:
        found = []
        for t in program.graph.outputs:
            size = program.graph.tensors[t].nbytes
            found.append(said[at : at + size])
            at += size
        results.append(found)
    assert at == len(said)
    return results


_OUTSIDE = """\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "@name@.h"

static @name@_context context;
static unsigned char *given[@count@], *kept[@count@];
static const size_t sizes[@count@] = {@sizes@};

int main(void)
{
    if (@name@_init(&context) != 0 || @name@_run(&context) != @NAME@_ERROR_INPUT) {
        return 2;
    }
    for (int k = 0; k < @count@; ++k) {
        given[k] = (unsigned char *)malloc(sizes[k]);
        kept[k] = (unsigned char *)malloc(sizes[k]);
    }
@sets@
    for (int run = 0; run < @runs@; ++run) {
        memset(context.arena, 0xA5, sizeof(context.arena));
        for (int k = 0; k < @count@; ++k) {
            if (fread(given[k], 1, sizes[k], stdin) != sizes[k]) {
                return 1;
            }
            memcpy(kept[k], given[k], sizes[k]);
        }
        if (@name@_run(&context) != 0) {
            return 3;
        }
        for (int k = 0; k < @count@; ++k) {
            if (memcmp(given[k], kept[k], sizes[k]) != 0) {
                return 4;
            }
        }
@writes@
    }
    for (int k = 0; k < @count@; ++k) {
        free(given[k]);
        free(kept[k]);
    }
    return 0;
}
"""


def _on_host_outside(
    place: Executor,
    program: Program,
    generated: Generated,
    samples: Sequence[Sequence[Array]],
    folder: Path,
) -> list[list[bytes]]:
    graph = program.graph
    inputs, outputs = ([graph.tensors[t] for t in ts] for ts in (graph.inputs, graph.outputs))
    words = {
        "name": NAME,
        "NAME": NAME.upper(),
        "count": str(len(inputs)),
        "sizes": ", ".join(str(t.nbytes) for t in inputs),
        "runs": str(len(samples)),
        "sets": "\n".join(
            f"    {NAME}_set_{io_name('input', k, len(inputs))}("
            f"&context, (const {C_TYPES[t.dtype]} *)(void *)given[{k}]);"
            for k, t in enumerate(inputs)
        ),
        "writes": "\n".join(
            f"        fwrite({NAME}_{io_name('output', k, len(outputs))}(&context), 1, {t.nbytes}, stdout);"
            for k, t in enumerate(outputs)
        ),
    }
    text = _OUTSIDE
    for key, value in words.items():
        text = text.replace(f"@{key}@", value)
    (folder / "main.c").write_text(text)
    return _answers(place, program, generated, samples, folder)


def _transfers(function: str, stream: str, spans: Sequence[tuple[int, int]]) -> str:
    return "".join(
        f"        if ({function}(context.arena + {at}, 1, {size}, {stream}) != {size}) {{ return 1; }}\n"
        for at, size in spans
    )


def _on_core(
    executor: Executor,
    program: Program,
    generated: Generated,
    samples: Sequence[Sequence[Array]],
    folder: Path,
) -> list[list[bytes]]:
    graph = program.graph
    init, run = f"{NAME}_init", f"{NAME}_run"
    sources = [folder / s for s in generated.sources]
    elf = compile_c(
        sources,
        executor.core,
        includes=[folder / "src"],
        keep=[init, run],
        cc=executor.cc,
        defines=[f"{NAME.upper()}_EXTERNAL_INPUT"] if executor.outside else [],
    )
    machine = open_machine(elf, executor.core, count=False)
    arena = program.outside_arena_bytes if executor.outside else program.arena_bytes
    pointers = (arena + 3) // 4 * 4 + program.state_bytes
    context = machine.allocate(pointers + 4 * len(graph.inputs) + 32)
    assert machine.call(init, context).value == 0
    inputs, outputs = ([context + program.offset(t) for t in ts] for ts in (graph.inputs, graph.outputs))
    if executor.outside:
        inputs = [machine.allocate(graph.tensors[t].nbytes, 4) for t in graph.inputs]
        machine.write(context + pointers, b"".join(at.to_bytes(4, "little") for at in inputs))
        parts = [program.part_of_input(t) for t in graph.outputs]
        outputs = [
            context + program.offset_outside(t) if part is None else inputs[part[0]] + part[1]
            for t, part in zip(graph.outputs, parts)
        ]
    results = []
    for row in samples:
        machine.write(context, b"\xa5" * arena)
        for at, value in zip(inputs, row):
            machine.write(at, value.tobytes())
        assert machine.call(run, context).value == 0
        if executor.outside:
            assert all(machine.read(at, v.nbytes) == v.tobytes() for at, v in zip(inputs, row))
        results.append([machine.read(at, graph.tensors[t].nbytes) for at, t in zip(outputs, graph.outputs)])
    return results


EXECUTORS = (
    Executor("host", "host", on_host=True, flags=VECTORS),
    Executor("cortex-m4", "cortex-m4"),
)
_OUTSIDE_FLAG = f"-D{NAME.upper()}_EXTERNAL_INPUT"
LONG = (
    Executor("riscv32", "riscv32"),
    Executor("host-outside", "host", on_host=True, flags=(*VECTORS, _OUTSIDE_FLAG), outside=True),
    Executor("cortex-m4-outside", "cortex-m4", outside=True),
)
"""Executors of the tests that take minutes."""
