"""Estimated time of one inference on the Edge TPU, with its range.

    fixed + sent * (input + instructions + streamed parameters) + taken * output
          + MS_PER_GMAC * multiply-accumulates + MS_PER_MVALUE * values written on the chip + what the CPU does

Each crossing of the boundary counts, so a graph cut in two pays for both sides. The arithmetic is the chip's own and
the same for every host; the rest belongs to the link. All of it is fitted to published latencies
(``benchmarks/coral_latencies.json``; ``benchmarks/coral.py`` fits it again, leaves each row out in turn and prints the
errors by class of model). Always shown as an estimate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from qedge.graph import Graph, Operator
from qedge_coral.memory import Memory

MS_PER_GMAC = 0.874
"""Milliseconds for 10^9 multiply-accumulates on the chip."""
MS_PER_MVALUE = 0.1563
"""Milliseconds for 10^6 values that operators on the chip write: what depthwise and elementwise operators cost."""
INSTRUCTION_BYTES, INSTRUCTION_BYTES_OPERATOR, INSTRUCTION_BYTES_MVALUE = 3_380, 1_760, 1_640
"""Bytes of instructions of a model, an operator and 10^6 values; sent at each inference. From compiled models."""


@dataclass(frozen=True)
class Link:
    """How the Edge TPU hangs on its host, in milliseconds and 10^6 bytes, operations or values.

    Args:
        fixed: of any inference.
        sent: for 10^6 bytes sent to the chip.
        taken: for 10^6 bytes of output.
        cpu_mmac: for 10^6 multiply-accumulates on the host, one thread.
        cpu_mvalue: for 10^6 values that other operators on the host read or write.
        error: relative error of the printed range: nine of ten rows stay within it, each left out of the fit; 0.25
            at the least, for hosts differ.
        evidence: what it is fitted to.
    """

    title: str
    fixed: float
    sent: float
    taken: float
    cpu_mmac: float
    cpu_mvalue: float
    error: float
    evidence: str


LINKS: Mapping[str, Link] = {
    "usb3": Link(
        title="USB 3, PC",
        fixed=0.6,
        sent=2.026,
        taken=14.36,
        cpu_mmac=0.0931,
        cpu_mvalue=1.14,
        error=0.25,
        evidence="classifiers, pose, one detector; the CPU's part from three DeepLab",
    ),
    "usb3_pi4": Link(
        title="USB 3, Raspberry Pi 4",
        fixed=2.337,
        sent=3.35,
        taken=49.4,
        cpu_mmac=0.141,
        cpu_mvalue=3.44,
        error=0.55,
        evidence="four classifiers and five detectors; the CPU's part from YOLOv8",
    ),
    "usb3_pi5": Link(
        title="USB 3, Raspberry Pi 5",
        fixed=0.27,
        sent=2.872,
        taken=42.5,
        cpu_mmac=0.0294,
        cpu_mvalue=1.61,
        error=0.25,
        evidence="a study on another small board (Jetson Nano); only YOLOv8 and the CPU's part from a Raspberry Pi 5",
    ),
    "usb2": Link(
        title="USB 2",
        fixed=0.1975,
        sent=28.33,
        taken=114.7,
        cpu_mmac=0.475,
        cpu_mvalue=5.81,
        error=0.25,
        evidence="a study on a Jetson Nano and a Raspberry Pi 3; no row tells the CPU's part, which is rough",
    ),
    "pcie": Link(
        title="PCIe, Dev Board",
        fixed=0.48,
        sent=2.402,
        taken=39.4,
        cpu_mmac=0.288,
        cpu_mvalue=3.53,
        error=0.35,
        evidence="classifiers; the output's part from one row, the CPU's is rough",
    ),
}
"""Where no row tells what a value costs the CPU (USB 2, PCIe), it is the PC's ratio to a multiply-accumulate."""


@dataclass(frozen=True)
class Work:
    """What one inference has to do, all cuts together.

    Args:
        gmacs: 10^9 multiply-accumulates on the chip.
        mvalues: 10^6 values that operators on the chip write.
        operators: on the chip.
        cpu_mmacs, cpu_mvalues: 10^6 multiply-accumulates, and values of the other operators, on the CPU.
    """

    input_bytes: int
    output_bytes: int
    gmacs: float
    mvalues: float
    operators: int
    cpu_mmacs: float = 0.0
    cpu_mvalues: float = 0.0

    @property
    def instruction_bytes(self) -> int:
        """Estimated bytes of instructions."""
        if not self.operators:
            return 0
        each = INSTRUCTION_BYTES_OPERATOR * self.operators + INSTRUCTION_BYTES_MVALUE * self.mvalues
        return round(INSTRUCTION_BYTES + each)

    def chip_ms(self) -> float:
        """Return the milliseconds of arithmetic on the chip."""
        return MS_PER_GMAC * self.gmacs + MS_PER_MVALUE * self.mvalues

    def sent_bytes(self, streamed: int, instructions: int | None = None) -> int:
        """Return the bytes that go to the chip; ``instructions`` as read from a compiled file, else estimated."""
        return (
            self.input_bytes + streamed + (self.instruction_bytes if instructions is None else instructions)
        )

    def cpu_ms(self, link: Link) -> float:
        """Return the milliseconds on the host's CPU."""
        return link.cpu_mmac * self.cpu_mmacs + link.cpu_mvalue * self.cpu_mvalues

    def link_ms(self, link: Link, streamed: int, instructions: int | None = None) -> float:
        """Return the milliseconds without the CPU's part; 0 when nothing runs on the chip."""
        if not self.operators:
            return 0.0
        sent = self.sent_bytes(streamed, instructions) / 1e6
        return link.fixed + link.sent * sent + link.taken * self.output_bytes / 1e6 + self.chip_ms()


def macs(graph: Graph, op: Operator) -> int:
    """Return the multiply-accumulates of one operator; 0 where it has none."""
    if not op.outputs:
        return 0
    result = graph.output_tensors(op)[0]
    if op.op == "CONV_2D":
        _, height, width, inputs = graph.tensors[op.inputs[1]].shape
        return result.elements * height * width * inputs
    if op.op == "DEPTHWISE_CONV_2D":
        _, height, width, _ = graph.tensors[op.inputs[1]].shape
        return result.elements * height * width
    if op.op == "TRANSPOSE_CONV":
        outputs, height, width, _ = graph.tensors[op.inputs[1]].shape
        return graph.tensors[op.inputs[2]].elements * height * width * outputs
    if op.op == "FULLY_CONNECTED":
        return result.elements * graph.tensors[op.inputs[1]].shape[-1]
    if op.op == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        steps = graph.tensors[op.inputs[0]].shape[-2]
        return steps * sum(graph.tensors[t].elements for t in op.inputs[1:9] if t >= 0)
    if op.op == "BATCH_MATMUL":
        return result.elements * graph.tensors[op.inputs[0]].shape[-1]
    return 0


def work(graph: Graph, mapped: Collection[int]) -> Work:
    """Return what one inference has to do when the operators of ``mapped`` run on the chip."""
    inside = set(mapped)
    made = {t for op in graph if op.index in inside for t in op.outputs}
    read = {t for op in graph if op.index in inside for t in op.inputs if t >= 0}
    given = [t for t in read - made if not graph.tensors[t].is_constant and not graph.tensors[t].is_variable]
    outside = {t for op in graph if op.index not in inside for t in op.inputs} | set(graph.outputs)
    cpu = [op for op in graph if op.index not in inside]
    return Work(
        input_bytes=sum(graph.tensors[t].nbytes for t in given),
        output_bytes=sum(graph.tensors[t].nbytes for t in made & outside),
        gmacs=sum(macs(graph, op) for op in graph if op.index in inside) / 1e9,
        mvalues=sum(_written(graph, op) for op in graph if op.index in inside) / 1e6,
        operators=len(inside),
        cpu_mmacs=sum(macs(graph, op) for op in cpu) / 1e6,
        cpu_mvalues=sum(_moved(graph, op) for op in cpu if not macs(graph, op)) / 1e6,
    )


def _written(graph: Graph, op: Operator) -> int:
    if op.op in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
        return 0
    return sum(t.elements for t in graph.output_tensors(op))


def _moved(graph: Graph, op: Operator) -> int:
    """Return the larger of what an operator on the CPU reads and writes."""
    values = [t for t in graph.input_tensors(op) if t is not None and not t.is_constant]
    read = max((t.elements for t in values), default=0)
    return max(read, sum(t.elements for t in graph.output_tensors(op)))


def estimate(
    graph: Graph, mapped: Collection[int], memory: Memory, instructions: int | None = None
) -> dict[str, Any]:
    """Return the latency for every link as JSON: the estimate and its range, in milliseconds.

    The range has the error of the link, the range of the streamed bytes, a factor of 2 either way for the
    operators on the CPU, and for a PC what a smaller host was measured with: published hosts are not of one kind.

    Args:
        instructions: bytes, as read from a compiled file; None: estimated.
    """
    found_work = work(graph, mapped)
    found = {}
    for name in LINKS:
        low, middle, high = bounds(name, found_work, memory, instructions)
        cpu = found_work.cpu_ms(LINKS[name])
        found[name] = {
            "title": LINKS[name].title,
            "evidence": LINKS[name].evidence,
            "ms": round(middle, 2),
            "low_ms": round(low, 2),
            "high_ms": round(high, 2),
            "cpu_ms": round(cpu, 2),
        }
    return {
        "estimate": True,
        "model": "fixed + sent + taken + multiply-accumulates + values written + CPU, fitted to published"
        " latencies",
        "macs": round(found_work.gmacs * 1e9),
        "input_bytes": found_work.input_bytes,
        "output_bytes": found_work.output_bytes,
        "links": found,
    }


def bounds(
    name: str, given: Work, memory: Memory, instructions: int | None = None
) -> tuple[float, float, float]:
    """Return the least, the usual and the most milliseconds on a link."""
    link, cpu = LINKS[name], given.cpu_ms(LINKS[name])
    hosts = [link, LINKS["usb3_pi5"]] if name == "usb3" else [link]
    middle = given.link_ms(link, memory.streamed_bytes, instructions) + cpu
    least = min(given.link_ms(host, memory.streamed_low_bytes, instructions) for host in hosts)
    most = max(given.link_ms(host, memory.streamed_high_bytes, instructions) for host in hosts)
    return least * (1 - link.error) + cpu / 2, middle, most * (1 + link.error) + cpu * 2
