"""Which range of pixels a model seems to have been trained on, for somebody who does not know."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from qedge.datasets import lint, open_dataset
from qedge.errors import QedgeError
from qedge.frontends import load_model
from qedge.graph import Graph
from qedge.pipeline.prepare import complete_preprocess, input_infos

LOOKED_AT = 40


def fitting_ranges(
    model: Path, data: Path, ranges: Sequence[tuple[float, float]]
) -> tuple[tuple[float, float], ...]:
    """Return those of ``ranges`` that the linter has nothing against, in their order.

    Empty where it cannot say: the model or the photos cannot be read, or it has something against each.

    Args:
        model: as ``qedge build`` takes it; code in it is not run.
        data: a folder of photos, of which :data:`LOOKED_AT` are read.
        ranges: what 0..255 may become.
    """
    found = []
    try:
        with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
            source = load_model(model, workdir=Path(scratch))
        graph = Graph.from_bytes(source.data, str(model))
        infos = input_infos(graph, source.orders)
        for low, high in ranges:
            preprocess = complete_preprocess({"kind": "image", "range": [low, high]}, data, graph)
            dataset = open_dataset(data, infos, preprocess, limit=LOOKED_AT)
            rules = {finding.rule for finding in lint(dataset, infos, float_model=source.data)}
            if "normalization" not in rules:
                found.append((low, high))
    except QedgeError:
        return ()
    return tuple(found)
