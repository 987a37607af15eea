"""``qedge calibrate-board``: narrow the estimates of a board by what was measured on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qedge.bundle import read_bundle
from qedge.bundle.write import write_whole
from qedge.cli._bundles import BundleArg
from qedge.cli._console import Ui
from qedge.errors import ToolError, UsageError
from qedge.target import target_of

MsOpt = Annotated[float, typer.Option("--ms", help="Milliseconds of one inference on the board.")]
MjOpt = Annotated[float | None, typer.Option("--mj", help="Millijoules of one inference, board included.")]
OutOpt = Annotated[
    Path, typer.Option("--out", "-o", help="File of the board's measurements; one that is there grows.")
]


def command(ui: Ui, bundle: BundleArg, ms: MsOpt, mj: MjOpt = None, out: OutOpt = Path("board.toml")) -> None:
    """Add what you measured on your own board to a file that narrows its estimates of time and energy.

    Use it with: qedge build ... --board NAME --calibration FILE
    """
    for flag, value in (("--ms", ms), ("--mj", mj)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{flag}: found {value:g}, expected more than 0")
    target = target_of(read_bundle(bundle))
    try:
        known = out.read_text("utf-8") if out.exists() else ""
        text = target.calibration(bundle, ms, mj, known)
        write_whole(out, text.encode())
    except (OSError, UnicodeDecodeError) as problem:
        raise ToolError(f"{out}: {problem}", hint="choose another --out") from None
    ui.line(f"written: {out}; use it with --calibration {out}")
    ui.json("calibrate-board", {"bundle": str(bundle), "file": str(out), "ms": ms, "mj": mj})
