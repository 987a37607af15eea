"""Leaves out a NonMaxSuppression at the end of a detector: how much it gives depends on the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qedge.findings import Finding
from qedge.frontends.exported import OVERLAP

UNKNOWN = {"NonZero", "NonMaxSuppression", "Compress", "Unique", "Loop", "Scan"}
"""Operators ahead of it behind which nothing has a known size."""


@dataclass(frozen=True)
class LeftOut:
    """What was left out: the finding that says so, and what is noted of it."""

    finding: Finding
    notes: Mapping[str, str]


def leave_out(proto: Any) -> LeftOut | None:
    """End a ``ModelProto`` with the boxes and scores that its one NonMaxSuppression reads; None where it stays.

    Where boxes were moved apart by their class (``boxes + class * size``), boxes, best score and class are the outputs.
    """
    graph = proto.graph
    found = [n for n in graph.node if n.op_type == "NonMaxSuppression" and n.domain in ("", "ai.onnx")]
    if len(found) != 1 or len(found[0].input) < 2:
        return None
    (node,) = found
    makers = {o: n for n in graph.node for o in n.output}
    ends = _apart(node, makers)
    kept = _behind(ends, makers)
    if any(n.op_type in UNKNOWN for n in kept) or any(end not in makers for end in ends):
        return None
    nodes = [n for n in graph.node if any(n is k for k in kept)]
    copies = [type(n).FromString(n.SerializeToString()) for n in nodes]
    iou = _constant(proto, node, 3)
    del graph.node[:]
    graph.node.extend(copies)
    del graph.output[:]
    for end in ends:
        graph.output.add().name = end
    told = "" if iou is None else f", which drops boxes that overlap by more than {iou:.3g},"
    finding = Finding(
        "info",
        "suppression-left-out",
        f"NonMaxSuppression {node.name or node.output[0]!r}{told} and what follows are left out: the model ends with"
        f" {', '.join(map(repr, ends))}, and the bundle's post-processing drops overlapping boxes",
    )
    return LeftOut(finding, {} if iou is None else {OVERLAP: repr(iou)})


def _apart(node: Any, makers: Mapping[str, Any]) -> list[str]:
    """Return boxes and scores that it reads; boxes, scores and classes where classes move the boxes apart."""
    boxes, scores = _moved_back(node.input[0], makers), node.input[1]
    added = makers.get(boxes)
    if added is not None and added.op_type == "Add":
        for plain, other in (added.input, reversed(list(added.input))):
            offset = makers.get(other)
            if offset is not None and offset.op_type == "Mul":
                classes = [
                    name for name in offset.input if name in makers and makers[name].op_type != "Constant"
                ]
                if len(classes) == 1:
                    return [plain, scores, classes[0]]
    return [node.input[0], scores]


def _moved_back(name: str, makers: Mapping[str, Any]) -> str:
    """Return the value ahead of dimensions that were only added or taken away."""
    while name in makers and makers[name].op_type in ("Unsqueeze", "Squeeze", "Identity"):
        name = makers[name].input[0]
    return name


def _behind(ends: Sequence[str], makers: Mapping[str, Any]) -> list[Any]:
    """Return the nodes that values are made by."""
    found: list[Any] = []
    left, seen = list(ends), set()
    while left:
        node = makers.get(left.pop())
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            found.append(node)
            left += list(node.input)
    return found


def _constant(proto: Any, node: Any, place: int) -> float | None:
    """Return an input that is one number from 0 to 1, or None."""
    from onnx import numpy_helper

    if len(node.input) <= place:
        return None
    name = node.input[place]
    stored = [t for t in proto.graph.initializer if t.name == name]
    stored += [
        a.t for n in proto.graph.node if n.op_type == "Constant" and name in n.output for a in n.attribute
        if a.name == "value"
    ]  # fmt: skip
    if not stored:
        return None
    values = numpy_helper.to_array(stored[0]).reshape(-1)
    return round(float(values[0]), 6) if values.size == 1 and 0 <= values[0] <= 1 else None
