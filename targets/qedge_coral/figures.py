"""What a check, a build and a bundle say in words of the Edge TPU: mapping, memory, latency, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qedge_coral import versions

Figures = tuple[tuple[str, str], ...]


def predicted(metrics: Mapping[str, Any]) -> Figures:
    """Return the figures of a prediction's metrics."""
    on_chip, left = metrics["mapped_operators"], metrics["cpu_operators"]
    held = metrics["parameter_bytes"]
    low, usual, high = held["cached"]
    least, streamed, most = held["streamed"]
    return (
        (
            "on the Edge TPU",
            f"{on_chip} of {on_chip + left} operators ({metrics['mapped_percent']} %), predicted",
        ),
        (
            "parameters",
            f"{amount(usual)} cached ({amount(low)} to {amount(high)}),"
            f" {amount(streamed)} streamed ({amount(least)} to {amount(most)}), predicted",
        ),
        *latency(metrics["latency_ms"]),
        ("runtime", f"{metrics['min_runtime']} or newer"),
        ("compiler", f"{versions.COMPILER} (predicted; it has not run)"),
    )


def read(parts: Sequence[Mapping[str, Any]], estimate: Mapping[str, Any] | None = None) -> Figures:
    """Return the figures of compiled files, as :meth:`CompiledModel.to_json` gives them, one a segment."""
    cached, streamed, instructions = (
        sum(int(p[key]) for p in parts)
        for key in ("cached_parameter_bytes", "streamed_parameter_bytes", "instruction_bytes")
    )
    left = [name for p in parts for name in p["cpu_operators"]]
    names = sorted({v for p in parts for v in p["compiler_versions"]})
    return (
        ("left to the CPU", f"{len(left)} operators ({counted(left)})" if left else "nothing"),
        ("parameters", f"{amount(cached)} cached, {amount(streamed)} streamed, as compiled"),
        ("instructions", amount(instructions)),
        *(latency(estimate) if estimate else ()),
        ("runtime", f"{max(int(p['min_runtime']) for p in parts)} or newer, as compiled"),
        ("compiler", ", ".join(names)),
    )


def bundle(data: Mapping[str, Any]) -> Figures:
    """Return the figures of a bundle's ``target_data``: as compiled, else as predicted."""
    if data.get("compiler"):
        return read(data["compiler"], data.get("latency_ms"))
    return predicted(data["predicted"]) if data.get("predicted") else ()


def latency(estimate: Mapping[str, Any]) -> Figures:
    """Return a line for each link: the estimate and its range, and how many inferences a second that is."""
    found = []
    for link in estimate["links"].values():
        cpu = f", CPU {link['cpu_ms']} ms of it" if link["cpu_ms"] else ""
        text = f"{link['ms']} ms ({link['low_ms']} to {link['high_ms']}{cpu}){a_second(link)}, estimate"
        found.append((str(link["title"]), text))
    return tuple(found)


def a_second(link: Mapping[str, Any]) -> str:
    """Return how many inferences a second a link's latencies are, two digits of each; none of what takes no time.

    >>> a_second({"ms": 22.95, "low_ms": 10.33, "high_ms": 48.31})
    ', 44 (21 to 97) a second'
    >>> a_second({"ms": 0.0, "low_ms": 0.0, "high_ms": 0.0})
    ''
    """
    if not min(link["ms"], link["low_ms"], link["high_ms"]):
        return ""
    usual, low, high = (float(f"{1000 / link[key]:.2g}") for key in ("ms", "high_ms", "low_ms"))
    return f", {usual:g} ({low:g} to {high:g}) a second"


def counted(names: Sequence[str]) -> str:
    """Return names with how often each occurs.

    >>> counted(["ADD", "MUL", "ADD"])
    '2 ADD, 1 MUL'
    """
    return ", ".join(f"{names.count(n)} {n}" for n in dict.fromkeys(names)) or "none"


def amount(count: int) -> str:
    """Return bytes for a person, 1 kB being 1000 bytes.

    >>> amount(29504), amount(1843712), amount(64)
    ('29.5 kB', '1.84 MB', '64 B')
    """
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.2f} MB"
