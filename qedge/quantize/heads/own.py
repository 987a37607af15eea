"""Detectors that end with ``TFLite_Detection_PostProcess``: the model without it, and the anchors that it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.errors import QedgeError
from qedge.graph import Graph, Operator
from qedge.processing.detect import Detect, Detection
from qedge.quantize.heads.anchors import on_grids
from qedge.quantize.heads.cut import PROOFS, TOLERANCE, Cut, without_tail
from qedge.quantize.interpreter import Runner

OPERATOR = "TFLite_Detection_PostProcess"
MOST_ANCHORS = 3000
"""More, where they lie on no grid, would make the manifest larger than what is gained: the operator stays, in float."""


def own_operator(graph: Graph) -> Operator | None:
    """Return the operator where a model's outputs are all its own."""
    found = [op for op in graph if op.custom_name == OPERATOR]
    return found[0] if len(found) == 1 and set(found[0].outputs) == set(graph.outputs) else None


def own_meaning(graph: Graph, op: Operator) -> Detect:
    """Return what the outputs of the operator mean."""
    boxes, classes, scores, count = (list(graph.outputs).index(t) for t in op.outputs)
    size = graph.tensors[graph.inputs[0]].shape[1:3]
    return Detect(
        "ssd", boxes=boxes, classes=classes, scores_output=scores, count=count, input_size=tuple(size),
        score_form="probabilities",
    )  # fmt: skip


def cut_own(model: bytes, seed: int = 0) -> Cut | None:
    """Return a float detector without that operator; None where it has none, or what it finds is not found without it.

    Both are asked for the objects of random inputs, at the operator's own threshold.
    """
    graph = Graph.from_bytes(model)
    op = own_operator(graph)
    if op is None or len(graph.inputs) != 1 or len(op.inputs) < 3:
        return None
    anchors = graph.tensors[op.inputs[2]].data
    fields = _fields(op.custom_options)
    if anchors is None or anchors.dtype != np.float32 or fields is None:
        return None
    size = tuple(graph.tensors[graph.inputs[0]].shape[1:3])
    places = _anchors(np.asarray(anchors, np.float64).reshape(-1, 4), size)
    if places is None:
        return None
    columns = graph.tensors[op.inputs[1]].shape[-1]
    try:
        post = Detect(
            "anchors", boxes=0, scores_output=1, score_form="probabilities",
            input_size=size,
            background=columns == fields["num_classes"] + 1,
            box_scales=tuple(float(fields[f"{side}_scale"]) for side in "yxhw"),
            iou=float(fields["nms_iou_threshold"]), limit=int(fields["max_detections"]),
            per_class=bool(fields.get("use_regular_nms", False)), **places,
        )  # fmt: skip
        asked = post.replace(threshold=max(0.0, float(fields["nms_score_threshold"])))
    except (KeyError, TypeError, ValueError, QedgeError):
        return None
    whole = own_meaning(graph, op)
    data = without_tail(model, op.inputs[:2], ("boxes", "scores"))
    rng, shape, worst, seen = np.random.default_rng(seed), graph.tensors[graph.inputs[0]].shape, 0.0, 0
    real, ended = Runner(model), Runner(data)
    for _ in range(PROOFS):
        image = [rng.random(shape, np.float32)]
        wanted = whole.replace(threshold=0.0, limit=1 << 20).apply(real.predict(image), ())
        found = asked.apply(ended.predict(image), ())
        worst, seen = max(worst, _apart(wanted, found)), seen + len(wanted)
    return Cut(data, post, whole, 1, worst) if seen and worst <= TOLERANCE else None


def _anchors(found: npt.NDArray[np.float64], size: tuple[int, ...]) -> dict[str, Any] | None:
    """Return the fields with anchors (n, 4) as (y, x, h, w): as sizes on grids, or all; None where those are many."""
    grids = on_grids(found[:, [1, 0, 3, 2]], size)
    if grids is not None:
        return {"strides": grids.strides, "cell_middle": grids.middle, "anchor_sizes": grids.sizes}
    return {"anchors": tuple(found.reshape(-1).tolist())} if len(found) <= MOST_ANCHORS else None


def _fields(options: bytes) -> Mapping[str, Any] | None:
    from flatbuffers import flexbuffers

    try:
        found = flexbuffers.Loads(options)
    except Exception:  # whatever damaged bytes make of it
        return None
    return found if isinstance(found, dict) else None


def _apart(wanted: list[Detection], found: list[Detection]) -> float:
    """Return the largest difference of scores and corners; infinite where other objects are found."""
    if [d.label for d in wanted] != [d.label for d in found]:
        return float("inf")
    numbers = [np.array([(d.score, *d.box) for d in many]).reshape(-1, 5) for many in (wanted, found)]
    return float(np.abs(numbers[0] - numbers[1]).max(initial=0.0))
