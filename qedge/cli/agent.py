"""``qedge agent``: devices that bring new versions themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.cli._console import Ui
from qedge.cli._ssh import HostArg, Ssh
from qedge.deploy import follow
from qedge.errors import ToolError
from qedge.ship.follow import follow as one_round

HELP = "Devices that follow a reference in a registry: a timer pulls, proves and switches."
NameArg = Annotated[str, typer.Argument(help="Of the model: its bundle's name.")]
ReferenceArg = Annotated[str, typer.Argument(help="oci://HOST/NAME:TAG")]
EveryOpt = Annotated[int, typer.Option("--every", help="Seconds between two looks.")]
RunsOpt = Annotated[int, typer.Option("--runs", min=0, help="Of the benchmark that is part of the proof.")]
TextfileOpt = Annotated[
    str | None, typer.Option("--textfile", help="Folder there of node_exporter's textfile collector.")
]
ChannelOpt = Annotated[
    bool, typer.Option("--channel", help="The reference is a signed channel (qedge channel set).")
]
FolderArg = Annotated[Path, typer.Argument(help="The model's folder on this device: ROOT/NAME.")]


def install(
    ui: Ui,
    ssh: Ssh,
    name: NameArg,
    host: HostArg,
    reference: ReferenceArg,
    every: EveryOpt = 900,
    runs: RunsOpt = 20,
    textfile: TextfileOpt = None,
    channel: ChannelOpt = False,
) -> None:
    """Have a device follow a reference; a first version must be on it (qedge deploy)."""
    options: dict[str, Any] = {"every_s": every, "runs": runs, "textfile": textfile, "channel": channel}
    document = follow.install(name, host, reference, ssh=ssh.command, root=ssh.root, **options)
    ui.table(f"{name} on {host}", ("", ""), [("follows", document["following"]), ("every", f"{every} s")])
    ui.json("agent install", document)


def remove(ui: Ui, ssh: Ssh, name: NameArg, host: HostArg) -> None:
    """Have a device follow nothing any longer; its versions stay."""
    document = follow.remove(name, host, ssh=ssh.command, root=ssh.root)
    ui.table(f"{name} on {host}", ("", ""), [("follows", "nothing")])
    ui.json("agent remove", document)


def status(ui: Ui, ssh: Ssh, name: NameArg, host: HostArg) -> None:
    """Say which version a device runs, and what its last look at the registry did."""
    document = follow.status(name, host, ssh=ssh.command, root=ssh.root)
    last = document["last"] or {}
    rows = [
        ("version", document["current"] or "none"),
        ("previous", document["previous"] or "none"),
        ("follows", document["following"] or "nothing"),
        ("last look", f"{last.get('result', 'none')} {last.get('message', '')}".strip()),
    ]
    ui.table(f"{name} on {host}", ("", ""), rows)
    ui.json("agent status", document)


def run(ui: Ui, folder: FolderArg) -> None:
    """On a device: look once, now. The timer does the same without this command line."""
    document = one_round(str(folder.resolve()))
    ui.table(
        str(folder), ("", ""), [("result", document["result"]), ("version", document.get("version") or "")]
    )
    ui.json("agent run", document)
    if document["result"] == "failed":
        raise ToolError(document["message"], hint="the version before still runs")


COMMANDS = {"install": install, "status": status, "remove": remove, "run": run}
