"""``qedge push``: a bundle into an OCI registry."""

from __future__ import annotations

from typing import Annotated

import typer

from qedge.cli._bundles import BundleArg
from qedge.cli._console import Ui
from qedge.ship import push

ReferenceArg = Annotated[str, typer.Argument(help="oci://host/name:tag; oci+http:// without TLS.")]


def command(ui: Ui, bundle: BundleArg, reference: ReferenceArg) -> None:
    """Put a bundle, and its signature, into an OCI registry; files that are there already are not sent.

    Who one is comes from docker's own files (docker login) or QEDGE_REGISTRY_AUTH=user:secret.
    """
    with ui.progress() as progress:
        progress("push", 0.0)
        done = push(bundle, reference)
    rows = [
        ("reference", done.reference),
        ("files", str(done.files)),
        ("sent", f"{done.sent_bytes:,} bytes"),
        ("signed", "yes" if done.signed else "no"),
    ]
    ui.table(f"pushed {bundle}", ("", ""), rows)
    ui.json("push", {"bundle": str(bundle), **done._asdict()})
