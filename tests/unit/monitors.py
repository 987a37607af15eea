"""A C monitor on an emulated core, beside the Python one, for tests and the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qedge.drift.sketch import Sketch
from qedge.emulate import Machine, compile_c
from qedge.graph import Graph
from qedge_mcu.cores import core
from qedge_mcu.emit import emit
from qedge_mcu.library import describe
from qedge_mcu.monitor import monitor_files
from qedge_mcu.program import build

NAME = "watched"
STRUCT_BYTES = 256


class CMonitor:
    """``watched_monitor`` of a model, with the model's context; inputs and outputs are written, nothing is run."""

    def __init__(
        self, model: bytes, sketch: Sketch, window: int, folder: Path, *, count: bool = False
    ) -> None:
        name = "cortex-m4"
        program = build(Graph.from_bytes(model), core(name), NAME)
        generated = emit(program)
        generated.write(folder)
        for path, data in monitor_files(program.graph, NAME, sketch, window).items():
            (folder / "src" / path).write_bytes(data)
        self.description = describe(program, generated.sources)
        sources = [folder / s for s in generated.sources]
        base = (f"{NAME}_init", f"{NAME}_run")
        mine = tuple(f"{NAME}_monitor_{word}" for word in ("init", "before", "after"))
        plain = compile_c(sources, name, keep=base).sizes()
        self.image = compile_c([*sources, folder / "src" / f"{NAME}_monitor.c"], name, keep=(*base, *mine))
        sizes = self.image.sizes()
        self.code_bytes = sizes.code - plain.code
        self.table_bytes = sizes.rodata - plain.rodata
        self.machine = Machine(self.image, name, count=count)
        self.context = self.machine.allocate(self.description.context_bytes)
        self.monitor = self.machine.allocate(STRUCT_BYTES)
        self.instructions = [0, 0]

    def begin(self, rate: int) -> None:
        """Start with an empty window."""
        self.machine.call(f"{NAME}_monitor_init", self.monitor, rate)

    def add(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> int | None:
        """Take in one inference; return what a window says when it is whole."""
        verdict = 0
        for k, (word, tensors, arrays) in enumerate(
            (("before", self.description.inputs, inputs), ("after", self.description.outputs, outputs))
        ):
            for tensor, values in zip(tensors, arrays):
                self.machine.write(self.context + tensor.offset, np.ascontiguousarray(values).tobytes())
            run = self.machine.call(f"{NAME}_monitor_{word}", self.monitor, self.context)
            self.instructions[k] = run.instructions
            verdict = run.value
        return None if verdict == 0xFFFF_FFFF else verdict

    def counts(self, bins: int) -> list[int]:
        """Return the counts of the window so far."""
        return np.frombuffer(self.machine.read(self.monitor, 2 * bins), np.uint16).tolist()
