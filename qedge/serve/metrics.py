"""What a server counts, for Prometheus.

Requests are counted in plain numbers, and made into Prometheus' families when somebody asks: its own counters take as
long as a small model does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

from qedge.drift.watch import Monitor

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Tally:
    """The requests of one model and version: how many by status, and how long they took."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.seconds = 0.0
        self.buckets = [0] * (len(BUCKETS) + 1)

    def add(self, status: int, seconds: float) -> None:
        """Take in one request."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.seconds += seconds
        self.buckets[bisect_left(BUCKETS, seconds)] += 1


class Row:
    """One model when the figures are asked for."""

    def __init__(self, name: str, version: str, tally: Tally, waiting: int, watch: Monitor | None) -> None:
        self.labels = [name, version]
        self.tally, self.waiting, self.watch = tally, waiting, watch


def figures(rows: Iterable[Row]) -> bytes:
    """Return all figures in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Rows(list(rows)))
    return generate_latest(registry)


class _Rows:
    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        names = ["model", "version"]
        requests = CounterMetricFamily(
            "qedge_requests", "Inference requests by their HTTP status.", labels=[*names, "status"]
        )
        seconds = HistogramMetricFamily(
            "qedge_request_seconds", "From a request's head to its answer.", labels=names
        )
        waiting = GaugeMetricFamily("qedge_waiting", "Requests that wait or run now.", labels=names)
        windows = GaugeMetricFamily("qedge_drift_windows", "Windows that the monitor judged.", labels=names)
        drift = GaugeMetricFamily(
            "qedge_drift_changed", "1 where the last window was unlike calibration.", labels=[*names, "what"]
        )
        for row in self._rows:
            for status, count in sorted(row.tally.statuses.items()):
                requests.add_metric([*row.labels, str(status)], count)
            total, buckets = 0, []
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), row.tally.buckets):
                total += count
                buckets.append((bound, total))
            seconds.add_metric(row.labels, buckets, row.tally.seconds)
            waiting.add_metric(row.labels, row.waiting)
            if row.watch is not None:
                windows.add_metric(row.labels, row.watch.windows)
                drift.add_metric([*row.labels, "inputs"], row.watch.inputs_changed)
                drift.add_metric([*row.labels, "predictions"], row.watch.predictions_changed)
        yield from (requests, seconds, waiting, windows, drift)
