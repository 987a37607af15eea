"""A compiled file is told by the weights that it holds, against compiled models beside their sources."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qedge.errors import ModelError
from qedge.graph import Graph
from qedge_coral import fingerprint
from qedge_coral.package import CompiledModel, read_compiled


def pairs(shared: Path) -> Iterator[tuple[Graph, Graph, CompiledModel]]:
    for folder in (shared / "coral/pairs", shared / "coral/pairs_more"):
        for entry in json.loads((folder / "ground_truth.json").read_text()):
            compiled = Graph.from_file(folder / entry["compiled"])
            yield Graph.from_file(folder / entry["source"]), compiled, read_compiled(compiled)


def trained_again(graph: Graph) -> Graph:
    """Return the model with the weights of every layer in another order: the same values, just as often."""
    rng = np.random.default_rng(1)
    tensors = []
    for t in graph.tensors:
        if t.data is not None and t.dtype in ("int8", "uint8"):
            t = dataclasses.replace(t, data=rng.permutation(t.data.reshape(-1)).reshape(t.shape))
        tensors.append(t)
    return dataclasses.replace(graph, tensors=tuple(tensors))


@pytest.mark.shared
def test_the_source_is_taken_and_other_weights_refused(shared: Path) -> None:
    taken = refused = 0
    for graph, compiled, read in pairs(shared):
        fingerprint.check_boundary(graph, compiled)
        fingerprint.check_weights(graph, [compiled], read.packages)
        taken += 1
        if any(op.op in fingerprint.WEIGHTED for op in graph):
            with pytest.raises(ModelError, match="other weights"):
                fingerprint.check_weights(trained_again(graph), [compiled], read.packages)
            refused += 1
    assert (taken, refused) == (14, 12)
