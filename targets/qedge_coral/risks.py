"""Sizes at which the compiler was seen to give up, each with the public evidence: warnings, not rules.

The compiler says no more than that activations are too large, or nothing; the same network compiles at 384 and 512
and not at 352 and 480. So a model that is as large as one that failed may fail too.
"""

from __future__ import annotations

from collections.abc import Collection

from qedge.findings import Finding
from qedge.graph import Graph
from qedge_coral import memory, statuses

MOVED = 786_432
"""Values that one PAD or slice moves in or out of the chip from which on no compiled form is public."""
ACTIVATION = 50_331_648
"""Values of the largest tensor of the smallest MobileNetV2 of which no compiled form is public."""
MULTIPLICATIONS = 501
"""MUL operators of a chain of which no compiled form is public."""
LARGE_PARAMETERS, LARGE_INPUT = 7_000_000, 371_712
"""Parameter bytes of YOLOv5s, and values of its input at the least size (352) that was reported to fail."""

_STUDY = "iwatake2222/EdgeTPU_Analysis"


def risks(graph: Graph, mapped: Collection[int]) -> list[Finding]:
    """Return a warning for every way in which the mapped operators are as large as a model that did not compile."""
    ops = [graph.operators[i] for i in mapped]
    inside = {t for op in ops for t in op.outputs}
    found = []
    for op in ops:
        if op.op not in ("PAD", "STRIDED_SLICE", "SLICE"):
            continue
        source, result = graph.tensors[op.inputs[0]], graph.output_tensors(op)[0]
        goes_out = op.op == "PAD" and (result.index in graph.outputs or not graph.consumers[result.index])
        comes_in = op.op != "PAD" and source.index not in inside
        moved = result.elements if goes_out else source.elements if comes_in else 0
        if moved >= MOVED:
            fact = f"{op.label} moves {moved} values {'out of' if goes_out else 'into'} the Edge TPU"
            found.append(_risk(fact, f"512x512x3 has no compiled form, 512x256x3 has ({_STUDY})", op.label))
    sizes = [t.elements for op in ops for t in graph.output_tensors(op)]
    if max(sizes, default=0) >= ACTIVATION:
        fact = f"the largest tensor on the Edge TPU has {max(sizes)} values"
        found.append(_risk(fact, f"MobileNetV2 compiled at 1024x1024, not at 2048x1024 ({_STUDY})"))
    products = sum(op.op == "MUL" for op in ops)
    if products >= MULTIPLICATIONS:
        found.append(_risk(f"{products} MUL operators", f"501 in a row have no compiled form ({_STUDY})"))
    given = sum(graph.tensors[t].elements for t in graph.inputs)
    total = memory.estimate(graph, mapped).total_bytes
    if total >= LARGE_PARAMETERS and given >= LARGE_INPUT and _branches(graph):
        fact = f"{total} bytes of parameters and an input of {given} values"
        evidence = "YOLOv5s failed at 352 and 480, and compiled at 384 and 512 (google-coral/edgetpu#512)"
        found.append(_risk(fact, evidence))
    return found


def _branches(graph: Graph) -> bool:
    """Whether branches are joined as a detector's are; classifiers of any size are known to compile."""
    return any(op.op == "CONCATENATION" for op in graph) and len(graph.operators) > 100


def _risk(fact: str, evidence: str, op: str | None = None) -> Finding:
    return Finding(
        "warning",
        "compiler-may-fail",
        f"the compiler may give up: {fact}; {evidence}",
        statuses.FAILURE_HINTS[statuses.LARGE_ACTIVATIONS],
        op,
    )
