"""What instructions cost in milliseconds and millijoules: a range, and what it stands on.

The range of a board that nobody measured is the 95 % prediction interval of the next board (Student's t on the
logarithms of each board's median: cycles an instruction, milliwatts a megahertz), from the figures in
``published.toml``. That of a board with figures of its own, published or the user's, spans those figures and half
the spread that other models show on one board, less with each measurement more. Where weights lie, in flash behind a
cache or in RAM, is part of the spread: the boards differ in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files as package_files
from statistics import mean, median, stdev
from typing import Any

from qedge_mcu.boards import read_toml

MODELS = ("ad", "ic", "kws", "vww")
STUDENT = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
"""Two-sided 95 % quantile of Student's t by degrees of freedom."""


@dataclass(frozen=True)
class Measured:
    """Figures of several models on one board.

    Args:
        board: its name.
        source: who published it and where.
        cycles: an instruction, one a model; empty where the instructions are not known.
        power: milliwatts a megahertz, one a model; empty where nobody measured it.
    """

    board: str
    source: str
    cycles: tuple[float, ...] = ()
    power: tuple[float, ...] = ()


@dataclass(frozen=True)
class Span:
    """From ``low`` to ``high``, most likely near ``middle``, and what says so."""

    low: float
    middle: float
    high: float
    source: str

    def json(self, factor: float, model: str) -> dict[str, Any]:
        """Return the span times a factor, rounded to four digits, as an estimate in JSON."""
        low, middle, high = (float(f"{factor * v:.4g}") for v in (self.low, self.middle, self.high))
        return {
            "estimate": True,
            "model": model,
            "value": middle,
            "low": low,
            "high": high,
            "source": self.source,
        }


@lru_cache(maxsize=1)
def published() -> tuple[Measured, ...]:
    """Return every submission of ``published.toml``."""
    data = read_toml((package_files("qedge_mcu") / "published.toml").read_text("utf-8"))
    return tuple(_submission(s, data["rounds"], data["instructions"]) for s in data["submission"])


def _submission(s: Mapping[str, Any], rounds: Mapping[str, str], instructions: Mapping[str, Any]) -> Measured:
    milliseconds, clock = s["milliseconds"], 1000 * s["megahertz"]
    counted = instructions.get(s.get("kernels", ""), {})
    energy = s.get("microjoules", {})
    return Measured(
        s["board"],
        f"MLPerf Tiny {s['round']}, {s['submitter']} ({s['engine']}; {rounds[s['round']]})",
        tuple(milliseconds[m] * clock / counted[m] for m in MODELS if m in counted),
        tuple(energy[m] / milliseconds[m] / s["megahertz"] for m in MODELS if m in energy),
    )


def of_instructions(
    instructions: int,
    megahertz: float,
    board: str | None,
    usual: float,
    own: Sequence[Measured] = (),
) -> dict[str, Any]:
    """Return ``latency_ms`` and ``energy_mj`` of an inference, each a range with its source.

    Args:
        megahertz: of the core.
        board: its name, or None for any board.
        usual: cycles an instruction that the core's kernels take where nothing waits for memory.
        own: the user's measurements.
    """
    cycles = cycles_of(board, usual, published()) if not own else cycles_of(board, None, own)
    watts = power_of(board, own if any(m.power for m in own) else published())
    latency = instructions / (megahertz * 1000)
    model = f"{cycles.middle:.2g} ({cycles.low:.2g} to {cycles.high:.2g}) cycles an instruction at {megahertz:g} MHz"
    time = cycles.json(latency, model)
    energy = Span(
        cycles.low * watts.low, cycles.middle * watts.middle, cycles.high * watts.high, watts.source
    )
    said = f"{watts.middle:.2g} ({watts.low:.2g} to {watts.high:.2g}) mW a MHz, board included"
    return {
        "latency_ms": time,
        "energy_mj": energy.json(latency * megahertz / 1000, f"the latency times {said}"),
    }


def cycles_of(board: str | None, usual: float | None, known: Iterable[Measured]) -> Span:
    """Return the cycles an instruction of a board; the middle is ``usual`` as far as that is within, if it is given."""
    figures = [(m.board, m.cycles, m.source) for m in known if m.cycles]
    return _span(board, figures, usual)


def power_of(board: str | None, known: Iterable[Measured]) -> Span:
    """Return the milliwatts a megahertz of a board."""
    return _span(board, [(m.board, m.power, m.source) for m in known if m.power], None)


_Figures = Sequence[tuple[str, tuple[float, ...], str]]


def _span(board: str | None, figures: _Figures, usual: float | None) -> Span:
    mine = [(values, source) for name, values, source in figures if name == board]
    return _measured(mine, usual) if mine else _predicted(figures, usual)


def _measured(mine: Sequence[tuple[tuple[float, ...], str]], usual: float | None) -> Span:
    """Return what was measured, and room for other models: half the spread, less with each measurement more."""
    values = [v for found, _ in mine for v in found]
    room = _room() ** (1 / len(mine))
    low, high = min(values) / room, max(values) * room
    best = math.exp(mean(map(math.log, values))) if usual is None else min(max(usual, low), high)
    return Span(low, best, high, "; ".join(source for _, source in mine))


def _room() -> float:
    """Return how far from one model's figure another model's on the same board lies, at the middle of submissions."""
    return median(max(m.cycles) / min(m.cycles) for m in published() if m.cycles)


def _predicted(figures: _Figures, usual: float | None) -> Span:
    """Return the 95 % prediction interval of another board."""
    names = list(dict.fromkeys(name for name, _, _ in figures))
    logs = [math.log(median(v for n, values, _ in figures if n == name for v in values)) for name in names]
    middle, degrees = mean(logs), len(logs) - 1
    reach = STUDENT[degrees] * stdev(logs) * math.sqrt(1 + 1 / len(logs))
    low, high = math.exp(middle - reach), math.exp(middle + reach)
    best = math.exp(middle) if usual is None else min(max(usual, low), high)
    return Span(low, best, high, f"95 % interval from {len(names)} other boards: {', '.join(sorted(names))}")
