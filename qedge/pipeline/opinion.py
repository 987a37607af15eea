"""What a target says of a model, before there are samples to ask it with."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qedge.graph import Graph
from qedge.target import CheckReport, Request, Target


def what_it_says(target: Target, options: Mapping[str, Any], name: str, model: bytes) -> CheckReport:
    """Return what a target says of a model."""
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        return target.check(Request(Graph.from_bytes(model), name, Path(scratch), options))


def on_accelerator(target: Target, report: CheckReport) -> int:
    """Return how many operators the target's accelerator runs."""
    return sum(p.placement == target.info.accelerator for p in report.operators)
