"""Dumps of many devices as one: what a fleet saw, judged together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from qedge.drift.judge import LEAST_WINDOW, check_rate
from qedge.drift.sketch import Sketch
from qedge.drift.watch import FALSE_ALARMS, Counts, Verdict
from qedge.errors import DataError
from qedge.fields import Field

FORMAT = "qedge-drift"
_KEYS = (
    "format", "version", "digest", "windows", "input_alarms", "prediction_alarms", "samples", "inputs", "outputs",
)  # fmt: skip


class Merged(NamedTuple):
    """What devices saw together.

    Args:
        dumps, samples, windows, input_alarms, prediction_alarms: sums.
        verdict: of all samples as one window (above 4,096 their shares as one of 4,096); None of fewer than 10.
    """

    dumps: int
    samples: int
    windows: int
    input_alarms: int
    prediction_alarms: int
    counts: Counts
    verdict: Verdict | None


def merge(
    dumps: Iterable[Mapping[str, Any]],
    sketch: Sketch,
    *,
    digest: str = "",
    false_alarms: float = FALSE_ALARMS,
) -> Merged:
    """Return the sum of dumps, in whatever order they come, judged against the bundle's sketch.

    Args:
        digest: of the bundle; a dump of another one is refused.

    Raises:
        DataError: a dump is damaged, or of another bundle.
        UsageError: a rate out of range.
    """
    check_rate(false_alarms)
    counts = Counts(sketch)
    sums = dict.fromkeys(("windows", "input_alarms", "prediction_alarms"), 0)
    number = 0
    for number, dump in enumerate(dumps, 1):
        root = _checked(dump, sketch, digest, f"dump {number}")
        for key in sums:
            sums[key] += root[key].integer(0, 1 << 53)
        counts.samples += root["samples"].integer(0, 1 << 53)
        for name, held in (("inputs", counts.inputs), ("outputs", counts.outputs)):
            for mine, theirs in zip(held, root[name].items()):
                mine[:] = [a + c.integer(0, 1 << 53) for a, c in zip(mine, theirs.items())]
    verdict = counts.judged(sketch, false_alarms) if counts.samples >= LEAST_WINDOW else None
    return Merged(
        number,
        counts.samples,
        sums["windows"],
        sums["input_alarms"],
        sums["prediction_alarms"],
        counts,
        verdict,
    )


def _checked(dump: Mapping[str, Any], sketch: Sketch, digest: str, where: str) -> Field:
    root = Field(dump, f"{where}: $", DataError)
    root.object(_KEYS)
    root["format"].string((FORMAT,))
    root["version"].integer(1, 1)
    if root["digest"].string() != digest:
        raise root["digest"].fail(f"the bundle's {digest}", hint="name the bundle that the devices run")
    samples = root["samples"].integer(0, 1 << 53)
    for name, histograms in (("inputs", sketch.inputs), ("outputs", sketch.outputs)):
        rows = list(root[name].items())
        if len(rows) != len(histograms):
            raise root[name].fail(f"{len(histograms)} histograms")
        for row, histogram in zip(rows, histograms):
            values = [c.integer(0, 1 << 53) for c in row.items()]
            if len(values) != len(histogram.counts) or sum(values) != samples:
                raise row.fail(f"{len(histogram.counts)} counts of {samples} samples together")
    return root
