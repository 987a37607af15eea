"""A target's request in one line, for tests that call a target themselves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qedge.graph import Graph
from qedge.target import Request


def request(
    model: bytes | Graph, workdir: Path | None = None, *, name: str = "model", **stated: Any
) -> Request:
    """Return the request for a model; ``stated`` are fields of :class:`qedge.target.Request`, else options.

    Without ``workdir`` it fits targets and calls that write no file: writing one fails.
    """
    graph = model if isinstance(model, Graph) else Graph.from_bytes(model)
    known = ("labels", "preprocess", "postprocess", "golden_inputs", "sketch", "found", "memory")
    fields = {k: stated.pop(k) for k in known if k in stated}
    return Request(graph, name, workdir or Path(os.devnull, "no-workdir-was-given"), options=stated, **fields)
