"""``qedge pull``: a bundle out of an OCI registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qedge.cli._console import Ui
from qedge.cli.push import ReferenceArg
from qedge.cli.verify import SerialOpt, SignedByOpt
from qedge.ship import Reference, pull

OutOpt = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the bundle; default: its name.")]
HaveOpt = Annotated[
    list[Path] | None,
    typer.Option("--have", help="A bundle whose files need not be fetched again; repeatable."),
]


def command(
    ui: Ui,
    reference: ReferenceArg,
    out: OutOpt = None,
    signed_by: SignedByOpt = None,
    least_serial: SerialOpt = None,
    have: HaveOpt = None,
) -> None:
    """Fetch a bundle from an OCI registry, whole or not at all; files that are here are not fetched again.

    Every byte is checked against its digest; --signed-by also refuses what none of these keys signed (exit 9).
    """
    place = out or Path(Reference.parse(reference).name.rpartition("/")[2])
    with ui.progress() as progress:
        progress("pull", 0.0)
        done = pull(reference, place, trusted=signed_by, least_serial=least_serial, have=have or ())
    signed = f"{done.signer}, serial {done.serial}" if done.signer else "not asked: --signed-by KEYS"
    rows = [
        ("bundle", str(done.bundle)),
        ("digest", done.digest),
        ("files", str(done.files)),
        ("received", f"{done.received_bytes:,} bytes"),
        ("signed by", signed),
    ]
    ui.table(f"pulled {reference}", ("", ""), rows)
    ui.json("pull", {"reference": reference, **done._asdict(), "bundle": str(done.bundle)})
