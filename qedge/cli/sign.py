"""``qedge sign``: vouch for a bundle with an OpenSSH key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qedge.cli._bundles import BundleArg
from qedge.cli._console import Ui
from qedge.trust import keygen
from qedge.trust.signature import MAX_SERIAL, sign_bundle

KeyOpt = Annotated[
    Path, typer.Option("--key", help="OpenSSH private key, or the .pub of one that an agent or token holds.")
]
SerialOpt = Annotated[
    int,
    typer.Option("--serial", min=0, max=MAX_SERIAL, help="Number of this release; devices may refuse lower."),
]


def command(ui: Ui, bundle: BundleArg, key: KeyOpt, serial: SerialOpt = 0) -> None:
    """Sign a bundle: its manifest's digest, and so every file in it.

    Check it with: qedge verify BUNDLE --signed-by KEY.pub
    """
    signature = sign_bundle(bundle, key, serial=serial)
    by = keygen.fingerprint(signature.armoured)
    rows = [("digest", signature.digest), ("serial", str(serial)), ("key", by or "")]
    ui.table(f"signed {bundle}", ("", ""), rows)
    document = {**signature.to_json(), "key": by}
    ui.json("sign", {"bundle": str(bundle), **document})
