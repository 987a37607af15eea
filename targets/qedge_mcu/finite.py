"""A model's numbers must be numbers: scales above zero, and no constant that is infinite or NaN."""

from __future__ import annotations

import numpy as np

from qedge.errors import ModelError
from qedge.findings import Finding
from qedge.graph import Graph, Tensor


def expect_finite(graph: Graph) -> None:
    """Raise `ModelError` that names every tensor with a scale or a value that is no finite number."""
    findings = []
    for op in graph:
        for t in dict.fromkeys((*op.inputs, *op.outputs)):
            said = _wrong(graph.tensors[t]) if t >= 0 else None
            if said is not None:
                message = f"{graph.tensors[t].label!r} {said}"
                findings.append(
                    Finding("error", "not-finite", message, None, op.label, graph.tensors[t].name)
                )
    if findings:
        names = "; ".join(dict.fromkeys(f"{f.op}: {f.message}" for f in findings[:4]))
        raise ModelError(
            f"the model has numbers that no arithmetic can use: {names}",
            hint="look for NaN or infinite weights in the float model, then convert it again",
            findings=findings,
        )


def _wrong(tensor: Tensor) -> str | None:
    q = tensor.quantization
    if q is not None and _is_nothing(tensor):
        return None
    if q is not None and not (np.isfinite(q.scale).all() and (q.scale > 0).all()):
        bad = q.scale[~(np.isfinite(q.scale) & (q.scale > 0))]
        return f"has the scale {bad[0]:g}, expected a finite number above 0"
    if tensor.data is not None and tensor.data.dtype.kind == "f" and not np.isfinite(tensor.data).all():
        return f"has {int((~np.isfinite(tensor.data)).sum())} values that are infinite or NaN"
    return None


def _is_nothing(tensor: Tensor) -> bool:
    """Whether a tensor is a constant of zeros with the scale 0, which TFLiteConverter gives what has no range.

    An LSTM's first state is one. Arithmetic multiplies its codes, which are 0, by 0.
    """
    q, data = tensor.quantization, tensor.data
    if q is None or data is None or q.per_channel or q.scale[0] != 0:
        return False
    return bool((data.astype(np.int64) == int(q.zero_point[0])).all())
