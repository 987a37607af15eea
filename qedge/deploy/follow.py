"""Devices that bring their versions themselves: the timer that ``qedge agent install`` sets up over ssh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qedge.deploy.push import ROOT
from qedge.deploy.remote import Remote
from qedge.errors import UsageError
from qedge.ship.reference import Reference

SERVICE = """\
[Unit]
Description=qedge {name}: bring what the registry has
After=network-online.target

[Service]
Type=oneshot
ExecStart="@ROOT@/current/python" -m qedge.ship.follow "@ROOT@"
"""
TIMER = """\
[Unit]
Description=qedge {name}: look for a new version

[Timer]
OnBootSec={every_s}
OnUnitActiveSec={every_s}
RandomizedDelaySec={spread_s}

[Install]
WantedBy=timers.target
"""
LEAST_S, MOST_S = 10, 30 * 24 * 3600


def install(
    name: str,
    host: str,
    reference: str,
    *,
    every_s: int = 900,
    runs: int = 20,
    textfile: str | None = None,
    channel: bool = False,
    ssh: Sequence[str] = ("ssh",),
    root: str = ROOT,
) -> dict[str, Any]:
    """Have a device follow a reference: look every ``every_s`` seconds, at another moment than its neighbours.

    Args:
        name: of the model, a version of which is on the device.
        textfile: folder there of node_exporter's textfile collector.
        channel: the reference is a signed channel; the device has ``trusted_keys`` then.

    Raises:
        UsageError: no such reference, or a time out of range.
        ToolError: ssh, or the device has no version to start from.
    """
    if not LEAST_S <= every_s <= MOST_S:
        raise UsageError(f"--every: found {every_s} s, expected {LEAST_S} to {MOST_S}")
    settings = {"reference": str(Reference.parse(reference)), "runs": runs, "textfile": textfile}
    if channel:  # versions from before channels refuse the word
        settings["channel"] = True
    units = {
        "service": SERVICE.format(name=name),
        "timer": TIMER.format(name=name, every_s=every_s, spread_s=every_s // 4),
    }
    with Remote(host, ssh) as remote:
        found = remote.ask("follow", root=root, name=name, settings=settings, units=units)
    return {"host": host, "name": name, **found}


def remove(name: str, host: str, *, ssh: Sequence[str] = ("ssh",), root: str = ROOT) -> dict[str, Any]:
    """Have a device follow nothing any longer; its versions stay."""
    with Remote(host, ssh) as remote:
        found = remote.ask("follow", root=root, name=name)
    return {"host": host, "name": name, **found}


def status(name: str, host: str, *, ssh: Sequence[str] = ("ssh",), root: str = ROOT) -> dict[str, Any]:
    """Return ``current``, ``previous``, ``following`` and what the last round did (``last``)."""
    with Remote(host, ssh) as remote:
        found = remote.ask("status", root=root, name=name)
    return {"host": host, "name": name, **found}
