"""What candidates of the quantiser take on the target of a build, by the target's own figures."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qedge.datasets import Dataset
from qedge.graph import Graph
from qedge.oracle.golden import golden_samples
from qedge.price import Price
from qedge.quantize.assignment import Pricer
from qedge.target import Request, Target


def pricer_of(
    targets: Sequence[tuple[Target, Mapping[str, Any]]], name: str, dataset: Dataset, always: bool = False
) -> Pricer | None:
    """Return what prices a model by the limits that a user stated; None without them, and for several targets.

    What suits the limits of one target may not run on another. A board's own limits start no search: what exceeds
    them is refused when it is compiled.

    Args:
        always: whether the target is asked even without limits.
    """
    if len(targets) != 1:
        return None
    ((target, options),) = targets
    stated = always or any(options.get(limit) is not None for limit in LIMITS)
    return _Pricer(target, options, name, dataset) if stated else None


LIMITS = ("ram", "flash", "latency")


class _Pricer:
    """Asks one target; the same model is priced once, and what candidates have in common is counted once."""

    def __init__(self, target: Target, options: Mapping[str, Any], name: str, dataset: Dataset) -> None:
        self._target, self._options, self._name, self._dataset = target, options, name, dataset
        self._known: dict[bytes, Price | None] = {}
        self._exact: dict[bytes, Price | None] = {}
        self._memory: dict[Any, Any] = {}

    def __call__(self, model: bytes, *, exact: bool = False) -> Price | None:
        known = self._exact if exact else self._known
        if model not in known:
            known[model] = self._ask(model, None if exact else self._memory)
        return known[model]

    def _ask(self, model: bytes, memory: dict[Any, Any] | None) -> Price | None:
        graph = Graph.from_bytes(model, "a candidate")
        inputs = golden_samples(graph, self._dataset, 1)
        with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
            asked = Request(
                graph, self._name, Path(scratch), self._options, golden_inputs=inputs, memory=memory
            )
            return self._target.price(asked)
