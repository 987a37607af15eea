"""Ctrl-C: leaves at once while nothing has begun, and is an exception from then on."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

came: list[int] = []
"""Ctrl-C that has come: what follows from it, such as a compiler that ended early, is no error of its own."""


def leave_at_once() -> None:
    """Let Ctrl-C end the process: an exception within an import may end as another one, or be printed in passing."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def begin() -> None:
    """From now on Ctrl-C is an exception, so that what has begun is put away."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, _interrupt)


def _leave(number: int, frame: FrameType | None) -> None:
    print("error: interrupted", file=sys.stderr, flush=True)
    os._exit(130)


def _interrupt(number: int, frame: FrameType | None) -> None:
    came.append(number)
    raise KeyboardInterrupt
