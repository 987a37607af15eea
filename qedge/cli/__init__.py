"""The command line; every module here without a leading underscore is one command."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run ``qedge`` with the process's arguments and exit with its code: 130 for Ctrl-C, whenever it comes."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # An exception within an import may end as another one, or be printed where nobody can catch it.
        signal.signal(signal.SIGINT, _leave)
    try:
        from qedge.cli._app import run
    except ImportError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(f"error: the command line needs {error.name}, which is not installed", file=sys.stderr)
        from qedge.installing import install_command

        print(f"hint: {install_command('host')}", file=sys.stderr)
        sys.exit(8)
    try:
        code = run(sys.argv[1:], _begin)
    except KeyboardInterrupt:  # between two lines of what catches it inside
        code = 130
    sys.exit(code)


def _leave(number: int, frame: FrameType | None) -> None:
    """Leave at once: nothing has begun that would have to be put away."""
    print("error: interrupted", file=sys.stderr, flush=True)
    os._exit(130)


def _begin() -> None:
    """From now on Ctrl-C is an exception, so that what has begun is put away."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    interruptions.append(number)
    raise KeyboardInterrupt


interruptions: list[int] = []
"""Ctrl-C that has come: what follows from it, such as a compiler that ended early, is no error of its own."""
