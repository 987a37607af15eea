"""What the compiler is expected to do with a model; nothing here is the compiler's own word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from qedge.findings import Finding
from qedge.graph import Graph, Operator
from qedge.target import Placement
from qedge_coral import constraints, latency, memory, partition, statuses, versions

EDGETPU, CPU = "edgetpu", "cpu"


@dataclass(frozen=True)
class Prediction:
    """The expected result of compiling a graph.

    Args:
        placements: one an operator, in order; the reason starts with the compiler's own status text.
        subgraphs: indices of the operators of each Edge TPU subgraph.
        failures: reasons why the compiler would refuse the model as a whole.
    """

    graph: Graph
    placements: tuple[Placement, ...]
    subgraphs: tuple[tuple[int, ...], ...]
    failures: tuple[Finding, ...]

    @cached_property
    def mapped(self) -> tuple[int, ...]:
        """Indices of the operators on the Edge TPU, in order."""
        return tuple(p.index for p in self.placements if p.placement == EDGETPU)

    @property
    def mapped_percent(self) -> float:
        """Share of the operators on the Edge TPU; 100 for a graph without operators."""
        return 100.0 * len(self.mapped) / len(self.placements) if self.placements else 100.0

    @property
    def min_runtime(self) -> int:
        """Oldest Edge TPU runtime that runs the model: what the compiler writes, whatever the operators need."""
        return versions.RUNTIME

    def metrics(self) -> dict[str, Any]:
        """Return the figures of a check as JSON, estimates marked as such."""
        room = memory.estimate(self.graph, self.mapped)
        return {
            "mapped_percent": round(self.mapped_percent, 2),
            "mapped_operators": len(self.mapped),
            "cpu_operators": len(self.placements) - len(self.mapped),
            "edgetpu_subgraphs": len(self.subgraphs),
            "min_runtime": self.min_runtime,
            "parameter_bytes": {
                "estimate": True,
                "model": "weights, biases and scales padded as compiler 16 lays them out, cached or streamed as"
                " whole layers; the room for them as in published logs",
                "total": room.total_bytes,
                "cached": [room.cached_low_bytes, room.cached_bytes, room.cached_high_bytes],
                "streamed": [room.streamed_low_bytes, room.streamed_bytes, room.streamed_high_bytes],
            },
            "latency_ms": latency.estimate(self.graph, self.mapped, room),
        }


def predict(graph: Graph, *, all_subgraphs: bool = False) -> Prediction:
    """Return what compiler 16 is expected to do with a full-integer model.

    Operator versions that are too new are judged as if written down (see :mod:`qedge_coral.versions`): what
    cannot be written down is a failure of the whole model.
    """
    failures = model_failures(graph)
    broken = {op.index: constraints.violation(graph, op) for op in graph}
    eligible = [i for i, v in broken.items() if v is None] if not failures else []
    groups = partition.subgraphs(graph, eligible)
    taken = groups if all_subgraphs else groups[:1]
    inside = {i for group in taken for i in group}
    placements = []
    for op in graph:
        found = broken[op.index]
        if op.index in inside:
            placements.append(Placement(op.index, op.op, EDGETPU, statuses.MAPPED))
        elif failures:
            placements.append(_placed(op, failures[0].message, failures[0].hint))
        elif found is None:
            reason = f"{statuses.OTHER_SUBGRAPH}{_cut_by(graph, op, inside, broken)}"
            placements.append(_placed(op, reason, statuses.HINTS[statuses.OTHER_SUBGRAPH]))
        else:
            placements.append(_placed(op, f"{found.status}: {found.fact}", found.hint))
    return Prediction(graph, tuple(placements), tuple(tuple(g) for g in taken), failures)


def _placed(op: Operator, reason: str, hint: str | None) -> Placement:
    return Placement(op.index, op.custom_name or op.op, CPU, reason, hint)


def _cut_by(
    graph: Graph, op: Operator, inside: set[int], broken: Mapping[int, constraints.Violation | None]
) -> str:
    """Name the nearest operator before ``op`` that runs on the CPU, as ``": after #64 RESIZE_BILINEAR"``."""
    seen, queue = {op.index}, [op]
    while queue:
        for t in queue.pop(0).inputs:
            before = graph.producer.get(t) if t >= 0 else None
            if before is None or before.index in inside or before.index in seen:
                continue
            if broken[before.index] is not None:
                return f": after {before.label}"
            seen.add(before.index)
            queue.append(before)
    return ""


def model_failures(graph: Graph) -> tuple[Finding, ...]:
    """Return why the compiler would refuse the model as a whole; empty when it would not."""
    found = []
    eight_bit = [t for t in graph.tensors if t.dtype in ("int8", "uint8") and t.quantization is not None]
    if graph.operators and not eight_bit:
        found.append(_failure("dtype", statuses.NOT_QUANTIZED, "no 8-bit tensor with a scale"))
    for op in graph:
        computed = [p for p in constraints.SHAPE_INPUTS.get(op.op, ()) if _is_computed(graph, op, p)]
        if computed:
            name = graph.tensors[op.inputs[computed[0]]].name
            fact = f"{op.label} computes the shape of its output from {name!r} at run time"
            found.append(_failure("dynamic-shape", statuses.DYNAMIC, fact, op=op.label, tensor=name))
            break
    for op in graph:
        highest, lowered = versions.parsed_version(op.op), versions.lowered_version(graph, op)
        if lowered > highest and op.op != "CUSTOM":
            fact = f"Didn't find op for builtin opcode '{op.op}' version '{lowered}' (compiler: {highest})"
            failure = _failure("operator-version", statuses.NOT_PARSED, fact, op=op.label)
            if any(t is not None and t.dtype == "int4" for t in graph.input_tensors(op)):
                failure = replace(failure, message=f"{failure.message}: int4 weights", hint=_EIGHT_BITS)
            found.append(failure)
    return tuple(found)


_EIGHT_BITS = "the Edge TPU computes in 8 bits: build for it with --weights int8, apart from other targets"


def _is_computed(graph: Graph, op: Operator, position: int) -> bool:
    if position >= len(op.inputs) or op.inputs[position] < 0:
        return False
    return not graph.tensors[op.inputs[position]].is_constant


def _failure(rule: str, text: str, fact: str, *, op: str | None = None, tensor: str | None = None) -> Finding:
    return Finding("error", rule, f"{text}: {fact}", statuses.FAILURE_HINTS[text], op, tensor)
