"""What calibration looked like, for the bundle: see :mod:`qedge.drift`."""

from __future__ import annotations

from qedge.drift.sketch import LEAST_SAMPLES, Sketch, make_sketch
from qedge.oracle.golden import golden_samples, reference_outputs
from qedge.pipeline.request import Prepared

MAX_SAMPLES = 500
# Of model and samples together: a bound on the time and the memory that a sketch takes.
_BUDGET_BYTES = 1 << 30


def drift_sketch(prepared: Prepared) -> Sketch | None:
    """Return the sketch of up to ``MAX_SAMPLES`` samples of the dataset; None without enough of them."""
    dataset, graph = prepared.dataset, prepared.graph
    if dataset is None or len(dataset) < LEAST_SAMPLES:
        return None
    each = len(prepared.model) + 8 * sum(graph.tensors[t].nbytes for t in graph.inputs)
    count = min(len(dataset), MAX_SAMPLES, max(LEAST_SAMPLES, _BUDGET_BYTES // each))
    samples = golden_samples(graph, dataset, count)
    classes = prepared.postprocess is not None and prepared.postprocess.kind == "classify"
    return make_sketch(samples, reference_outputs(prepared.model, samples), classes=classes)
