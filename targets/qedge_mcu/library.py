"""A generated library on an emulated core: compile, run, read every inner tensor, count instructions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.emulate import Call, Elf, Machine, QemuMachine, compile_c, open_machine
from qedge.errors import VerificationError
from qedge_mcu.cores import CORES
from qedge_mcu.program import Program, Step, in_arena

Array = npt.NDArray[Any]
LOG_BYTES = 2 << 20
UNPACK = "qe_unpack_s4"
"""Function that unpacks weights of 4 bits ahead of the step that reads them."""


@dataclass(frozen=True)
class Traced:
    """One tensor that a step writes: its index in the graph, and where it lies in the context, in bytes."""

    index: int
    name: str
    offset: int
    nbytes: int
    dtype: str


@dataclass(frozen=True)
class TracedStep:
    """One operator, in the order in which they run.

    Args:
        op: position in the graph.
        label: ``#3 CONV_2D``.
        function: the kernel's symbol; empty when it needs no code.
    """

    op: int
    label: str
    function: str
    tensors: tuple[Traced, ...]


@dataclass(frozen=True)
class Description:
    """What a library says about itself; it travels in a bundle's ``target_data``.

    Args:
        prefix: of the public functions.
        core: that it was generated for.
        sources: ``.c`` files, relative.
        context_bytes: ``sizeof`` the context.
        inputs, outputs: where they lie.
        steps: one entry an operator.
    """

    prefix: str
    core: str
    sources: tuple[str, ...]
    context_bytes: int
    inputs: tuple[Traced, ...]
    outputs: tuple[Traced, ...]
    steps: tuple[TracedStep, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the description as a JSON object."""
        return {
            "prefix": self.prefix,
            "core": self.core,
            "sources": list(self.sources),
            "context_bytes": self.context_bytes,
            "inputs": [_traced_json(t) for t in self.inputs],
            "outputs": [_traced_json(t) for t in self.outputs],
            "steps": [
                {
                    "op": s.op,
                    "label": s.label,
                    "function": s.function,
                    "tensors": [_traced_json(t) for t in s.tensors],
                }
                for s in self.steps
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Description:
        """Return what :meth:`to_json` wrote."""
        return cls(
            str(data["prefix"]),
            str(data["core"]),
            tuple(data["sources"]),
            int(data["context_bytes"]),
            tuple(Traced(**t) for t in data["inputs"]),
            tuple(Traced(**t) for t in data["outputs"]),
            tuple(
                TracedStep(int(s["op"]), s["label"], s["function"], tuple(Traced(**t) for t in s["tensors"]))
                for s in data["steps"]
            ),
        )


def _traced_json(t: Traced) -> dict[str, Any]:
    return {"index": t.index, "name": t.name, "offset": t.offset, "nbytes": t.nbytes, "dtype": t.dtype}


def describe(program: Program, sources: Sequence[str]) -> Description:
    """Return the description of a program's library."""

    def traced(tensor: int) -> Traced:
        t = program.graph.tensors[tensor]
        return Traced(tensor, t.name, program.offset(tensor), t.nbytes, t.dtype)

    return Description(
        program.name,
        program.core.name,
        tuple(sources),
        program.context_bytes,
        tuple(traced(t) for t in program.graph.inputs),
        tuple(traced(t) for t in program.graph.outputs),
        tuple(
            TracedStep(
                s.op.index,
                s.op.label,
                f"{program.name}_{s.emitted.function}" if s.emitted.function else "",
                tuple(traced(t) for t in s.op.outputs if _written(program, s, t)),
            )
            for s in program.steps
        ),
    )


def _written(program: Program, step: Step, tensor: int) -> bool:
    """Whether a tensor can be read after its step: one without code writes none, unless it lies in a state."""
    made = bool(step.emitted.function) or step.emitted.placed
    return made and in_arena(program.graph.tensors[tensor])


@dataclass(frozen=True)
class Measured:
    """What one run takes.

    Args:
        instructions: of the whole run, exact.
        layers: instructions of each step, in order, unpacking its weights included; empty where calls and steps cannot
            be matched.
        stack_bytes: deepest byte of stack written.
        code_bytes: machine code, constants excluded.
        data_bytes: constants and initialised data in flash.
    """

    instructions: int
    layers: tuple[int, ...]
    stack_bytes: int
    code_bytes: int
    data_bytes: int
    by_function: Mapping[str, int] = field(default_factory=dict)


class Library:
    """A library's sources in ``folder``, to be run on ``core`` (any that its kernels compile for) or its stand-in.

    Args:
        cc: a GCC and its flags instead of the clang that is built in (`qedge.emulate.compile_c`).
    """

    def __init__(
        self,
        folder: Path,
        description: Description,
        core: str | None = None,
        optimise: str = "-O2",
        cc: str | None = None,
    ) -> None:
        self.folder = folder
        self.cc = cc
        self.description = description
        self.wanted = core or description.core
        self.core = CORES[self.wanted].runs_on
        self.optimise = optimise

    @property
    def _sources(self) -> list[Path]:
        return [self.folder / s for s in self.description.sources]

    @property
    def _symbols(self) -> tuple[str, str]:
        return f"{self.description.prefix}_init", f"{self.description.prefix}_run"

    @cached_property
    def image(self) -> Elf:
        """The library alone, as firmware links it."""
        return compile_c(self._sources, self.core, keep=self._symbols, optimise=self.optimise, cc=self.cc)

    @cached_property
    def observed_image(self) -> Elf:
        """The library with a hook after every step that copies what the step wrote."""
        with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
            observer = Path(folder) / "observer.c"
            observer.write_text(_observer(self.description))
            return compile_c(
                [*self._sources, observer],
                self.core,
                defines=["QE_OBSERVER=qe_observe"],
                keep=(*self._symbols, "qe_log", "qe_first", "qe_last"),
                optimise=self.optimise,
                cc=self.cc,
            )

    def run(self, samples: Sequence[Sequence[Array]]) -> list[list[Array]]:
        """Return the outputs of consecutive runs, flat, in the model's types."""
        machine, context = self._start(self.image)
        return [self._run(machine, context, sample) for sample in samples]

    def trace(self, samples: Sequence[Sequence[Array]]) -> list[dict[int, Array]]:
        """Return for each of consecutive runs every tensor that a step wrote, flat, by tensor index."""
        results: list[dict[int, Array]] = [{} for _ in samples]
        for first, last in self._portions():
            machine, context = self._start(self.observed_image)
            log = machine.allocate(self._log_bytes(first, last))
            for name, value in (("qe_log", log), ("qe_first", first), ("qe_last", last)):
                machine.write(name, value.to_bytes(4, "little"))
            for sample, found in zip(samples, results):
                self._run(machine, context, sample)
                at = log
                for step in self.description.steps[first : last + 1]:
                    for t in step.tensors:
                        found[t.index] = np.frombuffer(machine.read(at, t.nbytes), _numpy(t.dtype))
                        at += t.nbytes
        return results

    def measure(self, sample: Sequence[Array]) -> Measured:
        """Return what a run on one sample takes; fresh state."""
        machine, context = self._start(self.image, count=True)
        functions = {s.function for s in self.description.steps if s.function}
        unpack = f"{self.description.prefix}_{UNPACK}"
        functions |= {unpack} & set(self.image.symbols)
        self._write(machine, context, sample)
        run = machine.call(self._symbols[1], context, trace=sorted(functions))
        sizes = self.image.sizes()
        return Measured(
            run.instructions,
            self._layers(run.calls, unpack),
            run.stack_bytes,
            sizes.code,
            sizes.rodata + sizes.data,
            run.by_function,
        )

    def _layers(self, calls: Sequence[Call], unpack: str) -> tuple[int, ...]:
        """Return the instructions of each step; () where calls and steps cannot be matched."""
        counts: list[int] = []
        ahead = 0
        for call in calls:
            if call.symbol == unpack:
                ahead += call.instructions
            else:
                counts.append(ahead + call.instructions)
                ahead = 0
        steps = self.description.steps
        if [c.symbol for c in calls if c.symbol != unpack] != [s.function for s in steps if s.function]:
            return ()
        rest = iter(counts)
        return tuple(next(rest) if s.function else 0 for s in steps)

    def _start(self, image: Elf, *, count: bool = False) -> tuple[Machine | QemuMachine, int]:
        machine = open_machine(image, self.core, count=count)
        context = machine.allocate(self.description.context_bytes)
        if machine.call(self._symbols[0], context).value != 0:
            raise VerificationError(f"{self._symbols[0]} failed")
        return machine, context

    def _write(self, machine: Machine | QemuMachine, context: int, sample: Sequence[Array]) -> None:
        if len(sample) != len(self.description.inputs):
            raise VerificationError(f"{len(sample)} inputs, expected {len(self.description.inputs)}")
        for t, values in zip(self.description.inputs, sample):
            data = np.ascontiguousarray(values, _numpy(t.dtype)).tobytes()
            if len(data) != t.nbytes:
                raise VerificationError(f"input {t.name!r} has {len(data)} bytes, expected {t.nbytes}")
            machine.write(context + t.offset, data)

    def _run(self, machine: Machine | QemuMachine, context: int, sample: Sequence[Array]) -> list[Array]:
        self._write(machine, context, sample)
        status = machine.call(self._symbols[1], context).value
        if status != 0:
            raise VerificationError(f"{self._symbols[1]} returned {status}")
        return [
            np.frombuffer(machine.read(context + t.offset, t.nbytes), _numpy(t.dtype))
            for t in self.description.outputs
        ]

    def _log_bytes(self, first: int, last: int) -> int:
        """Return the bytes that the steps of one portion write."""
        steps = self.description.steps[first : last + 1]
        return max(sum(t.nbytes for s in steps for t in s.tensors), 4)

    def _portions(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of steps whose tensors fit the log together."""
        first, used = 0, 0
        for i, step in enumerate(self.description.steps):
            size = sum(t.nbytes for t in step.tensors)
            if used and used + size > LOG_BYTES:
                yield first, i - 1
                first, used = i, 0
            used += size
        yield first, len(self.description.steps) - 1


def _numpy(dtype: str) -> npt.DTypeLike:
    return np.dtype(dtype)


def _observer(description: Description) -> str:
    rows = [
        f"    {{{i}, {t.offset}u, {t.nbytes}u}}," for i, s in enumerate(description.steps) for t in s.tensors
    ]
    return (
        """\
/* Copies the tensors that the steps from qe_first to qe_last write, one after the other. */
#include <stdint.h>
#include <string.h>

static const struct { int32_t step; uint32_t offset, bytes; } tensors[] = {
    {-1, 0u, 0u}, /* no empty array where no step writes anything */
"""
        + "\n".join(rows)
        + """
};
uint8_t *volatile qe_log;
volatile int32_t qe_first, qe_last;
static uint32_t at;
static int32_t previous = INT32_MAX;
void qe_observe(void *context, int index);
void qe_observe(void *context, int index)
{
    if (index <= previous) {
        at = 0;
    }
    previous = index;
    if (index < qe_first || index > qe_last) {
        return;
    }
    for (uint32_t i = 0; i < sizeof tensors / sizeof tensors[0]; ++i) {
        if (tensors[i].step == index) {
            memcpy(qe_log + at, (const uint8_t *)context + tensors[i].offset, tensors[i].bytes);
            at += tensors[i].bytes;
        }
    }
}
"""
    )
