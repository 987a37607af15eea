"""The command line; every module here without a leading underscore is one command."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run ``qedge`` with the process's arguments and exit with its code: 130 for Ctrl-C, whenever it comes."""
    from qedge.cli import _interrupt

    _interrupt.leave_at_once()
    try:
        from qedge.cli._app import run
    except ImportError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(f"error: the command line needs {error.name}, which is not installed", file=sys.stderr)
        from qedge.installing import install_command

        print(f"hint: {install_command('host')}", file=sys.stderr)
        sys.exit(8)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Who reads a pipe hears of a server's port when it is said, not when the server ends.
        sys.stdout.reconfigure(line_buffering=True)
    try:
        code = run(sys.argv[1:], _interrupt.begin)
    except KeyboardInterrupt:  # between two lines of what catches it inside
        code = 130
    sys.exit(code)
