"""``qedge channel``: a signed file in a registry that names the version which devices follow."""

from __future__ import annotations

from typing import Annotated

import typer

from qedge.cli._console import Ui
from qedge.cli.sign import KeyOpt
from qedge.cli.verify import SignedByOpt
from qedge.errors import UsageError
from qedge.ship.channel import Channel, read_channel, set_channel

HELP = "Signed channels: which version of a model the devices that follow them are to have."
ChannelArg = Annotated[str, typer.Argument(help="oci://HOST/NAME:CHANNEL", metavar="CHANNEL")]
VersionArg = Annotated[str, typer.Argument(help="A pushed bundle of the same repository.", metavar="VERSION")]
NumberOpt = Annotated[
    int | None, typer.Option("--number", min=1, help="Default: one more than the channel has.")
]


def set_(ui: Ui, reference: ChannelArg, version: VersionArg, key: KeyOpt, number: NumberOpt = None) -> None:
    """Have a channel name a version; devices that follow it bring that one, and never an earlier word of the channel.

    To go back, name the earlier version again: the number rises all the same.
    """
    _say(ui, "set", reference, set_channel(reference, version, key, number=number))


def show(ui: Ui, reference: ChannelArg, signed_by: SignedByOpt = None) -> None:
    """Say which version a channel names, once it is proven to be signed by one of the keys."""
    if signed_by is None:
        raise UsageError(
            "--signed-by: found nothing, expected public keys", hint="an unproven word says nothing"
        )
    _say(ui, "show", reference, read_channel(reference, signed_by))


def _say(ui: Ui, command: str, reference: str, channel: Channel) -> None:
    rows = [("version", channel.digest), ("number", str(channel.number)), ("signer", channel.signer or "")]
    ui.table(reference, ("", ""), rows)
    document = {
        "channel": reference,
        "number": channel.number,
        "digest": channel.digest,
        "signer": channel.signer,
    }
    ui.json(f"channel {command}", document)


COMMANDS = {"set": set_, "show": show}
