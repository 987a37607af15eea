"""``qedge sign``: vouch for a bundle with an OpenSSH key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qedge.cli._bundles import BundleArg
from qedge.cli._console import Ui
from qedge.errors import UsageError
from qedge.trust import keygen
from qedge.trust.signature import MAX_SERIAL, sign_bundle

KeyOpt = Annotated[
    Path, typer.Option("--key", help="OpenSSH private key, or the .pub of one that an agent or token holds.")
]
OpenssfOpt = Annotated[
    bool,
    typer.Option(
        "--openssf", help="Sign as OpenSSF's model signing does, by a PEM key: BUNDLE.sig beside it."
    ),
]
SerialOpt = Annotated[
    int,
    typer.Option("--serial", min=0, max=MAX_SERIAL, help="Number of this release; devices may refuse lower."),
]


def command(
    ui: Ui, bundle: BundleArg, key: KeyOpt, serial: SerialOpt = 0, openssf: OpenssfOpt = False
) -> None:
    """Sign a bundle: its manifest's digest, and so every file in it.

    Check it with: qedge verify BUNDLE --signed-by KEY.pub
    """
    if openssf:
        _openssf(ui, bundle, key, serial)
        return
    signature = sign_bundle(bundle, key, serial=serial)
    by = keygen.fingerprint(signature.armoured)
    rows = [("digest", signature.digest), ("serial", str(serial)), ("key", by or "")]
    ui.table(f"signed {bundle}", ("", ""), rows)
    document = {**signature.to_json(), "key": by, "signature": None}
    ui.json("sign", {"bundle": str(bundle), **document})


def _openssf(ui: Ui, bundle: Path, key: Path, serial: int) -> None:
    from qedge.bundle import read_bundle
    from qedge.trust.openssf import sign

    if serial:
        raise UsageError("--openssf signs no serial", hint="leave --serial out, or sign with an OpenSSH key")
    place = sign(bundle, key)
    with read_bundle(bundle, verify=False) as opened:
        digest = opened.manifest.to_json()["digest"]
    ui.table(f"signed {bundle}", ("", ""), [("digest", digest), ("signature", str(place))])
    document = {"bundle": str(bundle), "digest": digest, "serial": 0, "key": None, "signature": str(place)}
    ui.json("sign", document)
