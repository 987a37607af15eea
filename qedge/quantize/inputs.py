"""Features of a model's input that are lost ahead of the first layer: smaller than one step of the scale they share."""

from __future__ import annotations

import numpy as np

from qedge.datasets.protocol import Dataset
from qedge.findings import Finding
from qedge.graph import Graph
from qedge.processing.affine import INPUTS_KEY, apply_steps, steps_in

LOOKED_AT = 256  # samples
MOST_FEATURES = 1024  # a longer last axis is a signal, not a list of features
STEPS = 4.0  # a feature that spans fewer steps than this keeps two bits at most
NAMED = 8


def coarse_features(graph: Graph, dataset: Dataset) -> list[Finding]:
    """Return one warning for each input with features that span under :data:`STEPS` steps of the input's scale.

    Features lie along the last axis of an input of rank 2 or 3; what never varies is no feature.

    Args:
        graph: of the quantised model.
        dataset: samples in the model's own units.
    """
    findings = []
    steps = steps_in(graph.metadata.get(INPUTS_KEY, b""))
    stated = [steps.get(k) for k in range(len(graph.inputs))]
    for k, (t, name) in enumerate(zip(graph.inputs, graph.input_names)):
        tensor, step = graph.tensors[t], _step(graph, t)
        if step is None or not 2 <= len(tensor.shape) <= 3 or not 2 <= tensor.shape[-1] <= MOST_FEATURES:
            continue
        count = min(len(dataset), LOOKED_AT)
        fed = (apply_steps(stated, dataset[i])[k] for i in range(count))
        rows = np.concatenate([np.asarray(values).reshape(-1, tensor.shape[-1]) for values in fed])
        span = rows.max(axis=0) - rows.min(axis=0)
        lost = np.flatnonzero((span > 0) & (span < STEPS * step))
        if lost.size:
            some = ", ".join(map(str, lost[:NAMED])) + (" ..." if lost.size > NAMED else "")
            message = (
                f"the features {some} (counted from 0) of the input {name!r} span less than {STEPS:g} steps of its"
                f" {step:.4g}: 8 bits cannot tell their values apart beside those of the largest, {int(span.argmax())}"
            )
            hint = (
                "bring the features to one size ahead of the model: standardise the data and train again, or put a"
                " Normalization layer first"
            )
            findings.append(Finding("warning", "coarse-features", message, hint, tensor=name))
    return findings


def _step(graph: Graph, tensor: int) -> float | None:
    """Return the scale that an input is read with, behind a QUANTIZE where the input is float; None for no 8 bits."""
    reader = next((op for op in graph.consumers[tensor] if op.op == "QUANTIZE"), None)
    found = graph.tensors[tensor]
    if found.dtype == "float32" and reader is not None:
        found = graph.tensors[reader.outputs[0]]
    if found.dtype not in ("int8", "uint8") or found.quantization is None:
        return None
    return found.quantization.scalar[0]
