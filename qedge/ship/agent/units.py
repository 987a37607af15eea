"""systemd units of the user: the app's service, and the timer that looks for new versions."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from qedge.ship.agent.common import FOLLOW, FOLLOWED, Refused, json_of, root_of, run, version_of


def follow(request: dict[str, Any]) -> dict[str, Any]:
    """Have a timer of the user's systemd bring what a reference names, or with none stop it."""
    root, name = root_of(request), f"qedge-{request['name']}-follow"
    folder = os.path.expanduser("~/.config/systemd/user")
    timer = os.path.join(folder, f"{name}.timer")
    settings = os.path.join(root, FOLLOW)
    if not request.get("settings"):
        if os.path.exists(timer):
            run(["systemctl", "--user", "disable", "--now", f"{name}.timer"], "see journalctl --user")
        for path in (timer, os.path.join(folder, f"{name}.service"), settings):
            if os.path.exists(path):
                os.unlink(path)
        return {"following": None}
    if version_of(root, "current") is None:
        raise Refused("there is no version to start from: qedge deploy the first one")
    os.makedirs(folder, exist_ok=True)
    texts = {settings: json.dumps(request["settings"])}
    texts |= {os.path.join(folder, f"{name}.{kind}"): text for kind, text in request["units"].items()}
    for path, text in texts.items():
        with open(path + ".part", "w") as file:
            file.write(text.replace("@ROOT@", root.replace("%", "%%")))
        os.replace(path + ".part", path)
    run(["systemctl", "--user", "daemon-reload"], "is systemd running for this user? see loginctl")
    run(["systemctl", "--user", "enable", "--now", f"{name}.timer"], "see journalctl --user")
    subprocess.run(["loginctl", "enable-linger"], capture_output=True)
    return {"following": request["settings"]["reference"]}


def status(request: dict[str, Any]) -> dict[str, Any]:
    """Return which versions are there, and what following a reference last did."""
    root = root_of(request)
    settings, last = json_of(os.path.join(root, FOLLOW)), json_of(os.path.join(root, FOLLOWED))
    return {
        "current": version_of(root, "current"),
        "previous": version_of(root, "previous"),
        "following": settings.get("reference") if isinstance(settings, dict) else None,
        "last": last if isinstance(last, dict) else None,
    }


def restart_service(request: dict[str, Any], root: str) -> None:
    """Write the systemd unit of the user, where one is wanted or there already, and start the active version."""
    unit = f"qedge-{request['name']}.service"
    folder = os.path.expanduser("~/.config/systemd/user")
    place = os.path.join(folder, unit)
    if request.get("unit"):
        os.makedirs(folder, exist_ok=True)
        with open(place + ".part", "w") as file:
            file.write(request["unit"].replace("@ROOT@", root.replace("%", "%%")))
        os.replace(place + ".part", place)
        run(["systemctl", "--user", "daemon-reload"], "is systemd running for this user? see loginctl")
        run(["systemctl", "--user", "enable", unit], "see journalctl --user")
        subprocess.run(["loginctl", "enable-linger"], capture_output=True)
    if os.path.exists(place):
        run(["systemctl", "--user", "restart", unit], f"see journalctl --user -u {unit}")
