"""Compare a generated library with TFLite Micro, byte for byte and layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph
from qedge_mcu.library import Library

Array = npt.NDArray[Any]
MAX_MISMATCHES = 8


def compare_layers(
    library: Library, samples: Sequence[Sequence[Array]], expected: Sequence[dict[int, Array]]
) -> list[str]:
    """Return where inner tensors differ: for each sample only the first layer, as its cause; empty is exact.

    Args:
        expected: for every sample what TFLite Micro's operators wrote, by tensor index.
    """
    found = []
    for k, (got, want) in enumerate(zip(library.trace(samples), expected)):
        for step in library.description.steps:
            differing = [
                difference(got[t.index], want[t.index], f"sample {k}: {step.label} {t.name!r}")
                for t in step.tensors
                if t.index in got and t.index in want
            ]
            said = [text for text in differing if text]
            if said:
                found += said
                break
    return found[:MAX_MISMATCHES]


def compare_outputs(
    library: Library, got: Sequence[Sequence[Array]], expected: Sequence[Sequence[Array]]
) -> list[str]:
    """Return where outputs differ; empty is exact."""
    found = []
    for k, (mine, theirs) in enumerate(zip(got, expected)):
        for t, a, b in zip(library.description.outputs, mine, theirs):
            said = difference(a, b, f"sample {k}: output {t.name!r}")
            if said:
                found.append(said)
    return found[:MAX_MISMATCHES]


def difference(got: Array, want: Array, where: str) -> str | None:
    """Return in words how two arrays differ, or None when every byte is equal."""
    a, b = np.ascontiguousarray(got).reshape(-1), np.ascontiguousarray(want).reshape(-1)
    if a.size != b.size or a.dtype != b.dtype:
        return f"{where}: {a.size} x {a.dtype}, expected {b.size} x {b.dtype}"
    if a.tobytes() == b.tobytes():
        return None
    item = a.dtype.itemsize
    unequal = (a.view(np.uint8) != b.view(np.uint8)).reshape(-1, item).any(axis=1)
    first = int(np.argmax(unequal))
    count = int(unequal.sum())
    return f"{where}: {count} of {a.size} values differ, first [{first}]: {a[first]}, expected {b[first]}"


def layer_table(graph: Graph, library: Library, layers: Sequence[int]) -> list[dict[str, Any]]:
    """Return one row a layer: operator, tensor, instructions and instructions a multiply-accumulate."""
    rows = []
    for step, instructions in zip(library.description.steps, layers):
        op, macs = graph.operators[step.op], multiply_accumulates(graph, step.op)
        rows.append(
            {
                "op": step.label,
                "output": graph.tensors[op.outputs[0]].name if op.outputs else None,
                "instructions": instructions,
                "macs": macs,
                "instructions_per_mac": round(instructions / macs, 3) if macs else None,
            }
        )
    return rows


def multiply_accumulates(graph: Graph, index: int) -> int:
    """Return the multiply-accumulates of an operator with weights, 0 for others; padding counts."""
    op = graph.operators[index]
    if op.op not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    weights, output = graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
    if op.op == "FULLY_CONNECTED":
        return weights.elements * (output.elements // weights.shape[0])
    channel_axis = 3 if op.op == "DEPTHWISE_CONV_2D" else 0
    return output.elements * (weights.elements // weights.shape[channel_axis])
