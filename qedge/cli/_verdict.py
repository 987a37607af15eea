"""How a build ends: a figure a target, whether it is ready, what to type next, and where the report is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from qedge import pipeline
from qedge.cli._console import Ui, size
from qedge.errors import QedgeError
from qedge.report import TargetReport, verdict
from qedge.target import TargetInfo

MEASURING_S = 0.2
MOST_RUNS = 50
SLOW = 3.0  # times what the int8 and the float model take: from there on that is told


def show(
    ui: Ui,
    result: pipeline.BuildResult,
    latencies: Mapping[str, str | None],
    infos: Mapping[str, TargetInfo],
) -> None:
    """Print the table of the targets, the verdict on each, and the next command for each bundle."""
    parts = result.report.targets
    columns = list(dict.fromkeys(c.title for part in parts.values() for c in part.columns))
    rows = [
        (name, _placed(part), *(_column(part, title) for title in columns), latencies[name] or "-")
        for name, part in parts.items()
    ]
    ui.table("targets", ("target", "operators", *columns, "latency"), rows)
    ui.line()
    said = {name: verdict(result.report_of(name), part) for name, part in parts.items()}
    for each in dict.fromkeys(said.values()):
        of = [name for name, one in said.items() if one == each]
        whose = "" if len(of) == len(said) else f" ({', '.join(of)})"
        ui.line(f"{each.head}{whose}: {each.lost}")
    ui.line()
    width = max(map(len, result.bundles), default=0)
    for name, path in result.bundles.items():
        ui.line(f"{name:<{width}}  {path}")
        ui.line(f"{'':<{width}}  next: {infos[name].next_step.format(bundle=path)}")
        ui.line(f"{'':<{width}}  report: {path / 'report.html'}")
    ui.note(f"built in {result.seconds:.1f} s")


def latencies(result: pipeline.BuildResult, infos: Mapping[str, TargetInfo]) -> dict[str, str | None]:
    """Return what an inference takes, in words, by target: estimated for the device, or measured on this machine."""
    found = {}
    for name, path in result.bundles.items():
        info = infos[name]
        said = estimated(result.report.targets[name].metrics)
        if said is None and info.has_runtime and info.accelerator is None:
            ms = _measured_here(path)
            said = (
                None if ms is None else f"{ms:.3g} ms on this machine{_beside(result.prepared.of(name), ms)}"
            )
        found[name] = said
    return found


def estimated(metrics: Mapping[str, Any]) -> str | None:
    """Return a target's own estimate: one figure, or the range over the links that it may be reached by.

    >>> estimated({"latency_ms": {"estimate": True, "model": "m", "value": 3.14159}})
    '3.14 ms, estimate'
    """
    latency = metrics.get("latency_ms")
    if not isinstance(latency, Mapping):
        return None
    if "links" in latency:
        each = sorted(float(link["ms"]) for link in latency["links"].values())
        return f"{each[0]:.3g} to {each[-1]:.3g} ms by link, estimate"
    value = latency.get("value", latency.get("median"))
    if value is not None and "low" in latency:
        return f"{latency['low']:.3g} to {latency['high']:.3g} ms, about {value:.3g}; estimate"
    return None if value is None else f"{value:.3g} ms, estimate"


def _measured_here(bundle: Path) -> float | None:
    """Return the median of a few runs on zeros, in milliseconds; None where the bundle does not run here."""
    import numpy as np

    from qedge.runtime import load

    try:
        with load(bundle) as model:
            inputs = [np.zeros(spec.shape, spec.dtype) for spec in model.inputs]
            return _median_ms(lambda: model.run(inputs))
    except QedgeError:
        return None


def _beside(form: pipeline.Prepared, ms: float) -> str:
    """Return what the int8 and the float model take, where layers in 16 bit take much longer than either.

    LiteRT has fast kernels for those two alone.
    """
    import numpy as np

    from qedge.quantize.interpreter import Runner

    if form.quantized is None or form.quantized.plain is None or "xint16" not in form.quantized.method:
        return ""
    zeros = [np.zeros(form.graph.tensors[t].shape, np.float32) for t in form.graph.inputs]
    try:
        runners = [Runner(data) for data in (form.quantized.plain.data, form.source.data)]
        narrow, real = (_median_ms(partial(runner.run, zeros)) for runner in runners)
    except QedgeError:
        return ""
    if ms < SLOW * min(narrow, real):
        return ""
    return f" (int8 alone {narrow:.3g}, float {real:.3g}: --lift none, --lift float)"


def _median_ms(run: Callable[[], object]) -> float:
    """Return the median of a few runs, in milliseconds; the first one does not count."""
    run()
    times: list[float] = []
    while len(times) < MOST_RUNS and sum(times) < MEASURING_S:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1000 * median(times)


def _placed(part: TargetReport) -> str:
    total = len(part.operators)
    places: dict[str, int] = {}
    for operator in part.operators:
        places[operator.placement] = places.get(operator.placement, 0) + 1
    text = ", ".join(f"{count} of {total} on {place}" for place, count in places.items())
    return f"{text} (predicted)" if part.predicted else text


def _column(part: TargetReport, title: str) -> str:
    """Return the figure that a target shows under a title: bytes for a person, or the number; ``-`` without one."""
    for column in part.columns:
        value = column.value(part.metrics)
        if column.title == title and value is not None:
            return size(value) if column.metric.endswith("_bytes") else f"{value:,}"
    return "-"
