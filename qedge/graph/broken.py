"""Constants that hold NaN: a model that was broken before it came here."""

from __future__ import annotations

import numpy as np

from qedge.errors import ModelError
from qedge.graph.view import Graph, Tensor


def check_constants(graph: Graph) -> None:
    """Raise when a weight is NaN or infinite; a mask that is added may hold infinity.

    Raises:
        ModelError: naming the layer, once for all of its weights.
    """
    for op in graph.operators:
        for slot, tensor in enumerate(graph.input_tensors(op)):
            if tensor is None or tensor.data is None or tensor.data.dtype.kind != "f":
                continue
            is_weight = slot in (1, 2) and op.op in WEIGHTED
            wrong = ~np.isfinite(tensor.data) if is_weight else np.isnan(tensor.data)
            if wrong.any():
                count = int(wrong.sum())
                what = "NaN" if np.isnan(tensor.data).any() else "infinite"
                raise ModelError(
                    f"the layer {layer_of(tensor)!r} ({op.label}) is broken: {count} of {tensor.elements} values of its"
                    f" constant {tensor.label!r} are {what}",
                    hint="the model was broken before it came here (a training that diverged?): load it where it was"
                    " trained, look at the weights of this layer, and save an earlier checkpoint",
                )


WEIGHTED = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
    "CONV_3D",
    "BATCH_MATMUL",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "SVDF",
)


def layer_of(tensor: Tensor) -> str:
    """Return the layer that a constant is named after: ``dense_1`` of ``dense_1/weights``."""
    return tensor.label.rsplit("/", 1)[0]
