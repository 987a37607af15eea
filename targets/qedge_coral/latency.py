"""Estimated time of one inference on the Edge TPU, with its error.

Model: a fixed cost, a cost a byte of input, a cost a multiply-accumulate and a cost a byte of parameters that is
streamed, fitted to published benchmarks of classification models that map wholly (``benchmarks/coral.py`` fits it
again, leaves each model out in turn and prints the errors). Operators left on the CPU are added at a rough rate.
Always shown as an estimate.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from qedge.graph import Graph, Operator
from qedge_coral.memory import Memory

MS_PER_GMAC = 0.7
"""Milliseconds for 10^9 multiply-accumulates of convolutions: 1.4 of the chip's 2 * 10^12 a second."""
DEPTHWISE_COST = 9.25
"""Cost of a depthwise multiply-accumulate in those of a convolution: 114 a cycle against 1,054."""


@dataclass(frozen=True)
class Link:
    """How the Edge TPU hangs on its host.

    Args:
        fixed_ms: cost of any inference.
        input_ms_per_mb: per 10^6 bytes of input; 0 where the published inputs are too alike to tell.
        streamed_ms_per_mb: per 10^6 bytes of streamed parameters.
        error: worst relative error, leave-one-out; wider for the Raspberry Pi, which has four rows only.
    """

    title: str
    fixed_ms: float
    input_ms_per_mb: float
    streamed_ms_per_mb: float
    error: float

    def ms(self, gmacs: float, input_bytes: int, streamed_bytes: int) -> float:
        """Return the estimate in milliseconds for ``gmacs`` weighted 10^9 multiply-accumulates."""
        return (
            self.fixed_ms
            + gmacs * MS_PER_GMAC
            + input_bytes / 1e6 * self.input_ms_per_mb
            + streamed_bytes / 1e6 * self.streamed_ms_per_mb
        )


LINKS = {
    "usb3": Link("USB 3, desktop", 0.427, 9.269, 2.042, 0.23),
    "usb3_pi4": Link("USB 3, Raspberry Pi 4", 3.967, 0.0, 3.444, 0.25),
    "usb2": Link("USB 2, Raspberry Pi 3", 9.435, 0.0, 27.729, 0.25),
    "pcie": Link("PCIe, Dev Board", 1.83, 0.0, 2.481, 0.35),
}
CPU_MS_PER_MOPS = {"usb3": 0.25, "usb3_pi4": 0.8, "usb2": 2.0, "pcie": 1.5}
"""Rough time of 10^6 elementary operations in TFLite's 8-bit kernels on the host of each link."""


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
    return 0


def cpu_operations(graph: Graph, op: Operator) -> int:
    """Return a rough count of elementary operations of an operator on the CPU."""
    moved = sum(t.elements for t in graph.output_tensors(op))
    moved += sum(t.elements for t in graph.input_tensors(op) if t is not None and not t.is_constant)
    return macs(graph, op) + moved


def estimate(graph: Graph, mapped: Collection[int], memory: Memory) -> dict[str, Any]:
    """Return the latency for every link as JSON: the estimate and its range, in milliseconds.

    The range has the error of the fit, the range of the streamed bytes, and a factor of 2 either way for the
    operators on the CPU.
    """
    inside = set(mapped)
    accelerated = sum(macs(graph, op) for op in graph if op.index in inside)
    slow = sum(macs(graph, op) for op in graph if op.index in inside and op.op == "DEPTHWISE_CONV_2D")
    gmacs = (accelerated + (DEPTHWISE_COST - 1) * slow) / 1e9
    given = sum(graph.tensors[t].nbytes for t in graph.inputs)
    left = sum(cpu_operations(graph, op) for op in graph if op.index not in inside)
    found: dict[str, Any] = {}
    for name, link in LINKS.items():
        cpu = left / 1e6 * CPU_MS_PER_MOPS[name]

        def device(streamed: int, link: Link = link) -> float:
            return link.ms(gmacs, given, streamed) if inside else 0.0

        found[name] = {
            "title": link.title,
            "ms": round(device(memory.streamed_bytes) + cpu, 2),
            "low_ms": round(device(memory.streamed_low_bytes) * (1 - link.error) + cpu / 2, 2),
            "high_ms": round(device(memory.streamed_high_bytes) * (1 + link.error) + cpu * 2, 2),
            "cpu_ms": round(cpu, 2),
        }
    return {
        "estimate": True,
        "model": "fixed + input + multiply-accumulates + streamed parameters, fitted to published benchmarks",
        "macs": accelerated,
        "links": found,
    }
