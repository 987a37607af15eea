"""Leaves out a NonMaxSuppression at the end of a detector: how much it gives depends on the data."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qedge.findings import Finding
from qedge.frontends.exported import OVERLAP
from qedge.frontends.onnx.control import captured

UNKNOWN = {"NonZero", "NonMaxSuppression", "Compress", "Unique", "Loop", "Scan"}
"""Operators behind which nothing has a known size."""
LAYERS = {"Conv", "ConvTranspose", "Gemm", "RoiAlign"}
"""Operators that do more than choose: behind an unknown size they are a second stage, which cannot be left out."""
SELECTS = {"Gather", "Slice", "Split", "ReduceMax", "ArgMax", "Greater", "GreaterOrEqual", "TopK"}
"""What takes a part of boxes or scores ahead of a choice."""
SHAPES = {"Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose", "Identity", "Cast"}
POINTWISE = {"Sigmoid", "Sqrt", "Mul"}
"""What is done to scores that were chosen already."""
MOST_ENDS = 4
IMAGE, MOST_CHANNELS = 3, 4
"""Dimensions of an image without a batch, channels first, and how many those are at most."""
INT64 = 7  # TensorProto.DataType


@dataclass(frozen=True)
class LeftOut:
    """What was left out: the finding that says so, and what is noted of it."""

    finding: Finding
    notes: Mapping[str, str]


def leave_out(proto: Any) -> LeftOut | None:
    """End a ``ModelProto`` with the boxes and scores that its one NonMaxSuppression reads; None where it stays.

    Where boxes were moved apart by their class (``boxes + class * size``), boxes, best score and class are the outputs.
    Where a choice comes first whose size nobody knows (a threshold), the values that it chooses from are the outputs.
    """
    graph = proto.graph
    found = [n for n in _every(graph) if n.op_type == "NonMaxSuppression" and n.domain in ("", "ai.onnx")]
    if len(found) != 1 or len(found[0].input) < 2:
        return None
    (node,) = found
    makers = {o: n for n in graph.node for o in n.output}
    ends = _apart(node, makers) if any(node is n for n in graph.node) else []
    if not ends or any(n.op_type in UNKNOWN for n in _behind(ends, makers)):
        ends = _ahead_of_choices(graph, makers)
    if not ends or any(end not in makers for end in ends):
        return None
    kept = _behind(ends, makers)
    nodes = [n for n in graph.node if any(n is k for k in kept)]
    copies = [type(n).FromString(n.SerializeToString()) for n in nodes]
    iou = _constant(proto, node, 3)
    name = node.name or node.output[0]
    del graph.node[:]
    graph.node.extend(copies)
    del graph.output[:]
    for end in ends:
        graph.output.add().name = end
    _give_a_batch(proto)
    told = "" if iou is None else f", which drops boxes that overlap by more than {iou:.3g},"
    finding = Finding(
        "info",
        "suppression-left-out",
        f"NonMaxSuppression {name!r}{told} and what follows are left out: the model ends with"
        f" {', '.join(map(repr, ends))}, and dropping overlapping boxes is left to the bundle's post-processing",
    )
    return LeftOut(finding, {} if iou is None else {OVERLAP: repr(iou)})


def _give_a_batch(proto: Any) -> None:
    """Put a batch of one in front of the input of a detector that takes an image without it, as torchvision's do."""
    graph = proto.graph
    inputs = [i for i in graph.input if i.name not in {v.name for v in graph.initializer}]
    if len(inputs) != 1:
        return
    (image,) = inputs
    dims = image.type.tensor_type.shape.dim
    sizes = [d.dim_value for d in dims]
    if len(sizes) != IMAGE or not 0 < sizes[0] <= MOST_CHANNELS or min(sizes) <= 0:
        return
    name, inner = image.name, f"{image.name}_without_batch"
    for node in _every(graph):
        for k, read in enumerate(node.input):
            if read == name:
                node.input[k] = inner
    first = graph.initializer.add(name=f"{inner}_place", data_type=INT64)
    first.int64_data.append(0)
    turned = type(graph.node[0])(op_type="Gather", name=inner, input=[name, first.name], output=[inner])
    graph.node.insert(0, turned)
    del dims[:]
    for size in (1, *sizes):
        dims.add().dim_value = size


def _every(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph and of those within its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _every(attribute.g)


def _ahead_of_choices(graph: Any, makers: Mapping[str, Any]) -> list[str]:
    """Return the values of known size that a graph's choices of unknown size choose from, and its other outputs.

    [] where more follows than a choice: layers, as in a detector of two stages.
    """
    unknown: set[str] = set()
    moving = {i.name for i in graph.input} - {i.name for i in graph.initializer}
    front: list[str] = []
    for node in graph.node:
        read = {*node.input, *captured(node)}
        if node.op_type in UNKNOWN or read & unknown:
            if node.op_type in LAYERS:
                return []
            unknown.update(node.output)
            front += [name for name in (*node.input, *captured(node)) if name in moving - unknown]
        if read & moving and node.op_type not in ("Shape", "Size"):
            moving.update(node.output)
    front += [output.name for output in graph.output if output.name not in unknown]
    ends = list(dict.fromkeys(end for name in front for end in _whole(name, makers, moving)))
    # What another end is made of tells nothing new.
    inner = {o for end in ends for n in _behind([end], makers) for o in n.input}
    ends = [end for end in ends if end not in inner or any(end == o.name for o in graph.output)]
    return ends if len(ends) <= MOST_ENDS else []


def _whole(name: str, makers: Mapping[str, Any], moving: Collection[str]) -> list[str]:
    """Return what a value is a part of: the inputs of the first operator that takes a part, itself where none does."""
    node = makers.get(name)
    if node is None or node.op_type not in SELECTS | SHAPES | POINTWISE:
        return [name]
    ahead = [i for i in node.input if i in moving]
    ends = [end for i in ahead for end in _whole(i, makers, moving)]
    return ends if node.op_type in SELECTS or ends != ahead else [name]


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
        a.t for n in _every(proto.graph) if n.op_type == "Constant" and name in n.output for a in n.attribute
        if a.name == "value"
    ]  # fmt: skip
    if not stored:
        return None
    values = numpy_helper.to_array(stored[0]).reshape(-1)
    return round(float(values[0]), 6) if values.size == 1 and 0 <= values[0] <= 1 else None
