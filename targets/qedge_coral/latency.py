"""Estimated time of one inference on the Edge TPU, with its error.

Model: a fixed cost, a cost a multiply-accumulate and a cost a byte of parameters that is streamed, fitted to
published benchmarks of classification models that map wholly (``benchmarks/coral.py`` fits it again and
says how far off it is). Operators left on the CPU are added from a rough rate. Always label it an estimate.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from qedge.graph import Graph, Operator
from qedge_coral.memory import Memory


@dataclass(frozen=True)
class Link:
    """How the Edge TPU hangs on its host.

    Args:
        fixed_ms: cost of any inference.
        ms_per_gmac: per 10^9 multiply-accumulates.
        ms_per_mb: per 10^6 bytes of streamed parameters.
        error: mean relative error, leave-one-out, on the published table.
    """

    title: str
    fixed_ms: float
    ms_per_gmac: float
    ms_per_mb: float
    error: float

    def ms(self, macs: int, streamed_bytes: int) -> float:
        """Return the estimate in milliseconds."""
        return self.fixed_ms + macs / 1e9 * self.ms_per_gmac + streamed_bytes / 1e6 * self.ms_per_mb


LINKS = {
    "usb3": Link("USB 3, desktop", 2.04, 0.60, 2.08, 0.12),
    "usb2": Link("USB 2, Raspberry Pi 3", 8.3, 0.60, 28.0, 0.35),
    "pcie": Link("PCIe, Dev Board", 1.84, 0.87, 2.40, 0.16),
}
CPU_MS_PER_MOPS = {"usb3": 0.25, "usb2": 2.0, "pcie": 1.5}
"""Rough time of 10^6 elementary operations in TFLite's 8-bit kernels on the host of each link."""


def macs(graph: Graph, op: Operator) -> int:
    """Return the multiply-accumulates of one operator; 0 where it has none."""
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
    left = sum(cpu_operations(graph, op) for op in graph if op.index not in inside)
    found: dict[str, Any] = {}
    for name, link in LINKS.items():
        cpu = left / 1e6 * CPU_MS_PER_MOPS[name]

        def device(streamed: int, link: Link = link) -> float:
            return link.ms(accelerated, streamed) if inside else 0.0

        found[name] = {
            "title": link.title,
            "ms": round(device(memory.streamed_bytes) + cpu, 2),
            "low_ms": round(device(memory.streamed_low_bytes) * (1 - link.error) + cpu / 2, 2),
            "high_ms": round(device(memory.streamed_high_bytes) * (1 + link.error) + cpu * 2, 2),
            "cpu_ms": round(cpu, 2),
        }
    return {
        "estimate": True,
        "model": "fixed + multiply-accumulates + streamed parameters, fitted to published benchmarks",
        "macs": accelerated,
        "links": found,
    }
