"""The decoding at the end of a detector, which stays on the CPU: where the Edge TPU's part ends, and what it costs."""

from __future__ import annotations

from qedge.findings import Finding
from qedge_coral import latency
from qedge_coral.predict import Prediction

LEAST_OPERATORS = 3
ARITHMETIC = 0.02
"""Share of the multiply-accumulates above which what is left to the CPU is more than decoding."""
NAMES = 3


def head(found: Prediction) -> Finding | None:
    """Return what to do about a decoding that follows the Edge TPU's part; None where there is none."""
    graph, inside = found.graph, set(found.mapped)
    reached = {t for i in inside for t in graph.operators[i].outputs}
    tail = []
    for op in graph:
        if op.index not in inside and any(t in reached for t in op.inputs):
            tail.append(op)
            reached.update(op.outputs)
    whole = sum(latency.macs(graph, op) for op in graph)
    left = sum(latency.macs(graph, op) for op in tail)
    if len(tail) < LEAST_OPERATORS or left > ARITHMETIC * whole:
        return None
    after = {op.index for op in tail}
    ends = {t for op in tail for t in op.inputs if t >= 0 and graph.producer.get(t) is not None}
    names = [graph.tensors[t].label for t in sorted(ends) if graph.producer[t].index in inside]
    made = latency.work(graph, [op.index for op in graph if op.index not in after])
    link = latency.LINKS["usb3_pi5"]
    listed = ", ".join(repr(n) for n in names[:NAMES])
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return Finding(
        "warning",
        "head-on-cpu",
        f"the last {len(tail)} operators decode on the CPU, from {listed}{more} on:"
        f" {made.cpu_ms(link):.2g} ms on a Raspberry Pi 5 (estimate)",
        "leave them there, or end the model at those tensors (an export without its decoding) and decode in the"
        " bundle's post-processing, only where a score passes",
    )
