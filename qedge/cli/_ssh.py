"""How a command reaches a device: the flags of ``ssh`` that all such commands share."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

HostArg = Annotated[str, typer.Argument(help="user@host, or a name of ~/.ssh/config.")]
_PORT = Annotated[int | None, typer.Option("--port", help="Of ssh.", min=1, max=65535)]
_IDENTITY = Annotated[Path | None, typer.Option("--identity", help="Private key, as in ssh -i.")]
_OPTION = Annotated[
    list[str] | None,
    typer.Option("--ssh-option", help="KEY=VALUE as in ssh -o; repeatable.", metavar="KEY=VALUE"),
]
_ROOT = Annotated[str, typer.Option("--root", help="Folder on the device.")]
_FLAGS: Mapping[str, Any] = {"port": _PORT, "identity": _IDENTITY, "ssh_option": _OPTION, "root": _ROOT}


class Ssh(NamedTuple):
    """The ssh command with its options, and the folder on the device.

    A command with a parameter ``ssh`` of this type has the flags ``--port --identity --ssh-option --root``.
    """

    command: list[str]
    root: str

    @classmethod
    def taken(cls, given: dict[str, Any]) -> Ssh:
        """Return what the flags say; they are gone from ``given``."""
        port, identity, options, root = (given.pop(name) for name in _FLAGS)
        command = ["ssh"]
        command += ["-p", str(port)] if port else []
        command += ["-i", str(identity)] if identity else []
        return cls(command + [word for option in options or () for word in ("-o", option)], root)


def ssh_flags() -> list[inspect.Parameter]:
    """Return the flags as parameters of a command."""
    from qedge.deploy.push import ROOT  # other commands do not wait for it

    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, kind, default=ROOT if name == "root" else None, annotation=annotation)
        for name, annotation in _FLAGS.items()
    ]
