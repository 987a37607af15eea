"""How far a command is: one bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from qedge.target.protocol import Progress

BUILD: Mapping[str, float] = {
    "load model": 0.01,
    "reading": 0.01,
    "converting": 0.3,
    "checking the float model": 0.02,
    "read data": 0.01,
    "check data": 0.05,
    "calibrate": 0.07,
    "search": 0.2,
    "round": 0.1,
    "compare": 0.05,
    "check targets": 0.03,
    "layers": 0.05,
    "compile": 0.08,
    "write bundles": 0.02,
}
"""The stages of a build in their order, and what part of the time each takes, roughly."""
PATIENCE_S = 9.0


class Share:
    """The part that is done of everything, from stages that each say their own part.

    Args:
        plan: the stages by how they begin, in order, with their shares. A stage that is not in it moves nothing.

    >>> share = Share({"load": 0.5, "search": 0.5})
    >>> share("load model", 0.5), share("search", 0.0), share("load model", 1.0)
    (0.25, 0.5, 0.5)
    """

    def __init__(self, plan: Mapping[str, float]) -> None:
        self._plan, self._reached = plan, 0.0
        self._whole = sum(plan.values()) or 1.0

    def __call__(self, stage: str, fraction: float) -> float:
        before = 0.0
        for name, share in self._plan.items():
            if stage.startswith(name):
                now = (before + share * min(1.0, max(0.0, fraction))) / self._whole
                self._reached = max(self._reached, now)  # a stage that comes again takes nothing back
                break
            before += share
        return self._reached


@contextmanager
def bar(plan: Mapping[str, float], color: bool) -> Iterator[Progress]:
    """Give a progress function that moves one bar on stderr, which says what is being done; gone at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, no_color=not color)
    columns = (BarColumn(24), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        share = Share(plan)
        task = bars.add_task("", total=1.0 if plan else None)

        def report(stage: str, fraction: float) -> None:
            bars.update(task, description=stage, completed=share(stage, fraction) if plan else None)

        yield report


@contextmanager
def lines(out: TextIO | None = None, patience_s: float = PATIENCE_S) -> Iterator[Progress]:
    """Give a progress function that prints a line when a stage begins, and one when nothing was said for a while."""
    stream = out if out is not None else sys.stderr
    started = time.monotonic()
    lock, over = threading.Lock(), threading.Event()
    seen, now, told = set[str](), "", started

    def say(text: str) -> None:
        nonlocal told
        print(f"[{time.monotonic() - started:5.1f} s] {text}", file=stream, flush=True)
        told = time.monotonic()

    def report(stage: str, fraction: float) -> None:
        nonlocal now
        with lock:
            if stage not in seen:
                seen.add(stage)
                say(stage)
            now = f"{stage}: {100 * fraction:.0f} %" if 0 < fraction < 1 else stage

    def beat() -> None:
        while not over.wait(patience_s / 10):
            with lock:
                if now and time.monotonic() - told >= patience_s:
                    say(f"still at it: {now}")

    teller = threading.Thread(target=beat, daemon=True)
    teller.start()
    try:
        yield report
    finally:
        over.set()
        teller.join()
