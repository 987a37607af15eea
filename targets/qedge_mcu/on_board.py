"""Verify and measure a bundle on the user's own board, which runs ``examples/serial`` behind a serial port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from qedge.errors import UsageError
from qedge.graph import Graph
from qedge.oracle import tflm
from qedge.target import VerifyReport
from qedge_mcu import oracle
from qedge_mcu.library import Description, Library, TracedStep
from qedge_mcu.serial_link import BAUD, BoardInfo, Link
from qedge_mcu.verify import MAX_MISMATCHES, difference, multiply_accumulates

Array = npt.NDArray[Any]


class Board:
    """A board that runs one library.

    Raises:
        UsageError: it runs another model, or the same for another core.
    """

    def __init__(self, link: Link, description: Description, model: str) -> None:
        self.link, self.description = link, description
        self.info: BoardInfo = link.info()
        for what, found, expected in (
            ("model", f"{self.info.name} ({self.info.model})", f"{description.prefix} ({model[:16]})"),
            ("context in bytes", self.info.context_bytes, description.context_bytes),
        ):
            if found != expected:
                raise UsageError(
                    f"{link.port}: the board has another {what}: found {found}, expected {expected}",
                    hint="flash examples/serial of this bundle (c/examples/serial)",
                )

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"the board on {self.link.port}, built for {self.description.core}"

    def outputs(self, sample: Sequence[Array]) -> tuple[list[Array], int]:
        """Run one sample; return its outputs, flat, and the cycles of the run."""
        self._load(sample)
        cycles = self.link.run()
        read = self.link.read
        found = [
            np.frombuffer(read(t.offset, t.nbytes, self.info.chunk), np.dtype(t.dtype))
            for t in self.description.outputs
        ]
        return found, cycles

    def first_bad_step(
        self, samples: Sequence[Sequence[Array]], expected: Mapping[int, Array]
    ) -> tuple[TracedStep, str] | None:
        """Return the first step of a run on the last sample whose tensor is not the expected one, and its name.

        Args:
            samples: the runs before it, which a model with states needs, and itself.
            expected: the tensors of that run, by index.
        """
        wanted = [
            (i, t, expected[t.index])
            for i, step in enumerate(self.description.steps)
            for t in step.tensors
            if t.index in expected
        ]
        size = min(self.info.chunk // 12, self.info.chunk // 4 - 1)
        for first in range(0, len(wanted), size):
            part = wanted[first : first + size]
            self.link.initialise()
            for sample in samples[:-1]:
                self._load(sample)
                self.link.run()
            self._load(samples[-1])
            found = self.link.trace([(i, t.offset, t.nbytes) for i, t, _ in part])
            for (i, t, values), crc in zip(part, found):
                if crc != crc32(np.ascontiguousarray(values).tobytes()):
                    return self.description.steps[i], t.name
        return None

    def profile(self, sample: Sequence[Array]) -> list[tuple[TracedStep, int]]:
        """Return the cycles of every step that the library calls the observer for, in order."""
        # An alias has no code, and so no call behind it.
        observed = [(i, s) for i, s in enumerate(self.description.steps) if s.function or s.tensors]
        cycles: list[int] = []
        while len(cycles) < len(observed):
            self.link.initialise()
            self._load(sample)
            found = self.link.profile(observed[len(cycles)][0])
            if not found:
                break
            cycles += found
        return [(step, count) for (_, step), count in zip(observed, cycles)]

    def _load(self, sample: Sequence[Array]) -> None:
        for t, values in zip(self.description.inputs, sample):
            data = np.ascontiguousarray(values, np.dtype(t.dtype)).tobytes()
            if len(data) != t.nbytes:
                raise UsageError(f"input {t.name!r} has {len(data)} bytes, expected {t.nbytes}")
            self.link.write(t.offset, data, self.info.chunk)


def compare(
    board: Board,
    samples: Sequence[Sequence[Array]],
    expected: Sequence[Sequence[Array]],
    inner: Sequence[Mapping[int, Array]] | None,
) -> tuple[list[str], list[int]]:
    """Return where the board's outputs differ, in words, and the cycles of each run.

    Args:
        inner: the tensors of each run by index, to name the first layer that differs; None where nobody knows them.
    """
    board.link.initialise()
    mismatches, cycles = [], []
    for k, (sample, wanted) in enumerate(zip(samples, expected)):
        found, count = board.outputs(sample)
        cycles.append(count)
        said = [
            difference(mine, np.asarray(theirs), f"sample {k}: output {t.name!r}")
            for t, mine, theirs in zip(board.description.outputs, found, wanted)
        ]
        differing = [text for text in said if text]
        mismatches += differing
        if differing:
            mismatches += _first_layer(board, samples[: k + 1], inner)
            break
    if not mismatches and board.info.has_steps and inner is not None:
        mismatches += _first_layer(board, samples[:1], inner)
    return mismatches[:MAX_MISMATCHES], cycles


def _first_layer(
    board: Board, samples: Sequence[Sequence[Array]], inner: Sequence[Mapping[int, Array]] | None
) -> list[str]:
    k = len(samples) - 1
    if inner is None:
        return []
    if not board.info.has_steps:
        return [f"sample {k}: which layer differs first is known with -DQE_OBSERVER=qe_serial_step"]
    found = board.first_bad_step(samples, inner[k])
    return (
        []
        if found is None
        else [f"sample {k}: the first layer that differs is {found[0].label} {found[1]!r}"]
    )


def benchmark(board: Board, graph: Graph, sample: Sequence[Array], runs: int) -> dict[str, Any]:
    """Return the counter's figures as JSON: the whole run, and a layer each where the library has the observer."""
    info, link = board.info, board.link
    if not info.has_cycles:
        raise UsageError(
            f"{link.port}: the board's counter does not count",
            hint="give qe_serial_cycles a counter of yours: -DQE_SERIAL_OWN_CYCLES",
        )
    link.initialise()
    counts = sorted(board.outputs(sample)[1] for _ in range(max(runs, 1)))
    median = counts[len(counts) // 2]
    macs = sum(multiply_accumulates(graph, s.op) for s in board.description.steps)
    document: dict[str, Any] = {
        "core": board.name,
        "samples": len(counts),
        "cycles": {"median": median, "min": counts[0], "max": counts[-1]},
        "cycles_per_mac": round(median / macs, 3) if macs else None,
        "counter_hertz": info.hertz or None,
        "latency_ms": {"median": 1e3 * median / info.hertz if info.hertz else None},
    }
    if info.has_steps:
        document["layers"] = [_layer(graph, step, count) for step, count in board.profile(sample)]
    return document


def _layer(graph: Graph, step: TracedStep, cycles: int) -> dict[str, Any]:
    op, macs = graph.operators[step.op], multiply_accumulates(graph, step.op)
    return {
        "op": step.label,
        "output": graph.tensors[op.outputs[0]].name if op.outputs else None,
        "cycles": cycles,
        "macs": macs,
        "cycles_per_mac": round(cycles / macs, 3) if macs else None,
    }


def verify(
    library: Library,
    model: bytes,
    inputs: Sequence[Sequence[Array]],
    golden: Sequence[Sequence[Array]] | None,
    options: Mapping[str, Any],
) -> VerifyReport:
    """Run the samples on the board behind ``options["port"]`` and compare with TFLite Micro, or golden vectors."""
    inner: Sequence[Mapping[int, Array]] | None
    if tflm.available():
        runs = oracle.run(model, [list(s) for s in inputs], inner=True)
        named, expected, inner = (
            oracle.describe(model),
            [list(r.outputs) for r in runs],
            [r.tensors for r in runs],
        )
    elif golden is not None:
        named, expected = "golden vectors of the bundle", [list(row) for row in golden]
        inner = library.trace(inputs)
    else:
        raise UsageError(
            f"{tflm.DISTRIBUTION} is not installed, so only golden vectors can be compared",
            hint="leave out --data",
        )
    with _opened(options) as link:
        board = Board(link, library.description, Graph.from_bytes(model).sha256)
        mismatches, cycles = compare(board, inputs, expected, inner)
        metrics: dict[str, Any] = {"cycles": cycles[0]} if board.info.has_cycles and cycles else {}
        if board.info.hertz:
            metrics["counter_hertz"] = board.info.hertz
        layers = "inner tensors included" if board.info.has_steps else "outputs only"
        return VerifyReport(
            bit_exact=not mismatches,
            passed=not mismatches,
            oracle=f"{named}, {layers}",
            core=board.name,
            samples=len(cycles),
            mismatches=tuple(mismatches),
            metrics=metrics,
        )


def bench(
    library: Library, model: bytes, sample: Sequence[Array], options: Mapping[str, Any], runs: int
) -> dict[str, Any]:
    """Return what :func:`benchmark` says of the board behind ``options["port"]``."""
    graph = Graph.from_bytes(model)
    with _opened(options) as link:
        return benchmark(Board(link, library.description, graph.sha256), graph, sample, runs)


def _opened(options: Mapping[str, Any]) -> Link:
    return Link(str(options["port"]), int(options.get("baud") or BAUD))
