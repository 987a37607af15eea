"""A model that the CPU cuts into several parts for the Edge TPU: whether all of them are compiled, or the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qedge.findings import Finding
from qedge.graph import Graph
from qedge_coral.latency import LINKS
from qedge_coral.package import CompiledModel
from qedge_coral.predict import EDGETPU, Prediction, predict

LINK = "usb3"
"""The link whose latency is told: what most Edge TPUs hang on."""
FLAG = "--all-subgraphs"


@dataclass(frozen=True)
class Parts:
    """Which parts of a model are compiled.

    Args:
        prediction: with them.
        every: whether all are; else the first alone, as the compiler does by itself.
        finding: what that gains, or what all would; None where the model is in one part.
        other: with the first part alone, where all are compiled without being asked for.
        fell_back: why the first alone was compiled in the end.
    """

    prediction: Prediction
    every: bool
    finding: Finding | None = None
    other: Prediction | None = None
    fell_back: Finding | None = None

    def first_alone(self, why: str) -> Parts:
        """Return the first part alone, after all could not be compiled."""
        assert self.other is not None
        said = Finding(
            "warning",
            "all-subgraphs",
            f"all parts at once could not be compiled ({why}): the first alone is,"
            f" {_operators(self.other)} on the Edge TPU",
        )
        return Parts(self.other, False, fell_back=said)

    def as_compiled(self, read: Sequence[CompiledModel]) -> Prediction:
        """Return the prediction that fits compiled files: someone else may have compiled the first part alone."""
        cpu = sorted(name for r in read for name in r.cpu_operators)
        if self.other is not None and cpu == _left(self.other):
            return self.other
        return self.prediction


def choose(graph: Graph, options: Mapping[str, Any]) -> Parts:
    """Return which parts are compiled: as asked, else all where each link is expected to be faster with them.

    The compiler's option is experimental: each part costs a trip over the bus, which the estimate counts. It does not
    go with several Edge TPUs (``segments``), and where ``search`` gives up operators nobody knows the parts.
    """
    asked = options.get("all_subgraphs")
    if asked:
        return Parts(predict(graph, all_subgraphs=True), True)
    first = predict(graph)
    if first.failures or int(options.get("segments") or 1) > 1 or options.get("search"):
        return Parts(first, False)
    every = predict(graph, all_subgraphs=True)
    if len(every.subgraphs) <= len(first.subgraphs):
        return Parts(first, False)
    before, after = (_latencies(p) for p in (first, every))
    gained = (
        f"{_operators(every)} predicted on the Edge TPU in place of {len(first.mapped)}, and about"
        f" {after[LINK]:.3g} ms over {LINKS[LINK].title} in place of {before[LINK]:.3g}"
    )
    count = len(every.subgraphs)
    faster = [link for link in LINKS if after[link] < before[link]]
    if len(faster) == len(LINKS) and asked is None:
        message = f"every part is compiled, {count} of them: {gained}"
        hint = f"--no-{FLAG[2:]} compiles the first alone; all are the compiler's -a, which it calls experimental"
        return Parts(every, True, Finding("info", "all-subgraphs", message, hint), first)
    if faster:
        message = f"with all {count} parts compiled, {gained}"
        hint = f"{FLAG} (the compiler's -a, which it calls experimental)"
        if len(faster) < len(LINKS):
            slower = ", ".join(LINKS[link].title for link in LINKS if link not in faster)
            message += f"; no faster over {slower}"
        return Parts(first, False, Finding("info", "all-subgraphs", message, hint))
    message = f"only the first of {count} parts is compiled: with all, {gained}, which is no faster"
    return Parts(first, False, Finding("info", "all-subgraphs", message, f"{FLAG} compiles all the same"))


def _latencies(found: Prediction) -> dict[str, float]:
    return {name: link["ms"] for name, link in found.metrics()["latency_ms"]["links"].items()}


def _operators(found: Prediction) -> str:
    return f"{len(found.mapped)} of {len(found.placements)} operators"


def _left(found: Prediction) -> list[str]:
    return sorted(p.op for p in found.placements if p.placement != EDGETPU)
