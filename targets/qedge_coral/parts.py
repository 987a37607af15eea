"""A model that the CPU cuts into several parts for the Edge TPU: whether compiling all of them is worth the way."""

from __future__ import annotations

from qedge.findings import Finding
from qedge_coral.latency import LINKS
from qedge_coral.predict import Prediction, predict

LINK = "usb3"
"""The link whose latency decides: what most Edge TPUs hang on."""


def worth_all(shipped: Prediction) -> Finding | None:
    """Return what ``--all-subgraphs`` would gain where it is expected to be faster than the first part alone, or None.

    The compiler's option is experimental: each part costs a trip over the bus, which the estimate counts.
    """
    if shipped.failures:
        return None
    every = predict(shipped.graph, all_subgraphs=True)
    if len(every.subgraphs) <= len(shipped.subgraphs):
        return None
    before, after = (p.metrics()["latency_ms"]["links"][LINK]["ms"] for p in (shipped, every))
    if after >= before:
        return None
    return Finding(
        "info",
        "all-subgraphs",
        f"with all {len(every.subgraphs)} parts compiled, {len(every.mapped)} of {len(every.placements)} operators are"
        f" predicted on the Edge TPU in place of {len(shipped.mapped)}, and about {after:.3g} ms over"
        f" {LINKS[LINK].title} in place of {before:.3g}",
        "--all-subgraphs (the compiler's -a, which it calls experimental)",
    )
