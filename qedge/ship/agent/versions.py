"""Versions on the device: files by their SHA-256, laid out, proven, made active by one rename, and gone back from."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from typing import Any

from qedge.ship.agent.common import (
    MARK,
    Refused,
    last_line,
    place_file,
    point,
    root_of,
    sync,
    text_of,
    version_of,
)
from qedge.ship.agent.environments import environment_of
from qedge.ship.agent.signed import refuse_unsigned
from qedge.ship.agent.units import restart_service

SPARE_BYTES = 8 << 20


def put(request: dict[str, Any]) -> dict[str, Any]:
    """Keep the files that follow the request, each under its SHA-256."""
    store = os.path.join(root_of(request), "store")
    os.makedirs(store, exist_ok=True)
    for entry in request["files"]:
        data = sys.stdin.buffer.read(entry["bytes"])
        if len(data) != entry["bytes"] or hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise Refused("a file did not arrive whole")
        keep(store, entry["sha256"], data)
    return {"files": len(request["files"])}


def keep(store: str, sha256: str, data: bytes) -> None:
    """Put a file into the store, whole or not at all."""
    place = os.path.join(store, sha256)
    with open(place + ".part", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(place + ".part", place)


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Lay the version out beside the active one, with an environment that has what it needs."""
    root = root_of(request)
    place = os.path.join(root, "versions", request["version"])
    environment = environment_of(request, root)
    if os.path.isdir(place):
        write_launcher(environment, place)
        return {"environment": environment, "new": False}
    part = place + ".part"
    shutil.rmtree(part, ignore_errors=True)
    refuse_unsigned(request, root)
    for path, sha256 in request["layout"].items():
        source = os.path.join(root, "store", sha256)
        target = os.path.join(part, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(source, "rb") as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != sha256:
            os.unlink(source)
            raise Refused(f"the device's copy of {path} was damaged and is removed: deploy again")
        place_file(source, target)
    write_launcher(environment, part)
    sync(part)
    os.replace(part, place)
    sync(os.path.dirname(place))
    return {"environment": environment, "new": True}


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Run the golden vectors and the benchmark with the version's own code; it need not be active."""
    place = os.path.join(root_of(request), "versions", request["version"])
    command = [os.path.join(place, "python"), "-m", "qedge.runtime.selftest", os.path.join(place, "bundle")]
    done = subprocess.run(
        [*command, str(request["runs"])],
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "QEDGE_KEEP_COMPILED": ""},
    )
    if shutil.disk_usage(place).free < SPARE_BYTES:
        # A disk that fills up cuts compiled files short without a word, and a version with such does not start.
        for folder, names, _ in os.walk(os.path.join(place, "lib")):
            if "__pycache__" in names:
                shutil.rmtree(os.path.join(folder, "__pycache__"), ignore_errors=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not lines:
        raise Refused("the bundle does not run on the device: " + last_line(done.stderr or done.stdout))
    found: dict[str, Any] = json.loads(lines[-1][len(MARK) :])
    return found


def activate(request: dict[str, Any]) -> dict[str, Any]:
    """Make a version the active one in one step; the one before is kept."""
    root = root_of(request)
    version, before = request["version"], version_of(root, "current")
    if not os.path.isdir(os.path.join(root, "versions", version)):
        raise Refused(f"version {version} is not on the device")
    if before is not None and before != version:
        point(root, "previous", before)
    point(root, "current", version)
    restart_service(request, root)
    _prune(root)
    return {"current": version, "previous": version_of(root, "previous")}


def rollback(request: dict[str, Any]) -> dict[str, Any]:
    """Make the version before the active one again."""
    root = root_of(request)
    previous, current = version_of(root, "previous"), version_of(root, "current")
    if previous is None or previous == current:
        raise Refused("there is no earlier version on the device to go back to")
    if not os.path.isdir(os.path.join(root, "versions", previous)):
        raise Refused(f"version {previous} is no longer on the device")
    point(root, "current", previous)
    if current is not None:
        point(root, "previous", current)
    restart_service(request, root)
    return {"current": previous, "previous": current}


def write_launcher(environment: str, place: str) -> None:
    """Write ``place/python``: the environment's interpreter with the version's own qedge.

    A script, as a link to an interpreter outside of its environment would not see the packages in it.
    """
    path = os.path.join(place, "python")
    with open(path + ".part", "w") as file:
        file.write('#!/bin/sh\nexport PYTHONPATH="$(dirname "$0")/lib"\n')
        # Compiled files are written while a version is proven, and never once it is active.
        file.write('export PYTHONDONTWRITEBYTECODE="${QEDGE_KEEP_COMPILED-1}"\n')
        file.write(f'exec {shlex.quote(environment)} "$@"\n')
    os.chmod(path + ".part", 0o755)
    os.replace(path + ".part", path)


def _prune(root: str) -> None:
    """Remove versions that are neither active nor the one before, and files that no version has."""
    versions = os.path.join(root, "versions")
    keep = {version_of(root, "current"), version_of(root, "previous")}
    for name in os.listdir(versions):
        if name not in keep:
            shutil.rmtree(os.path.join(versions, name), ignore_errors=True)
    used = "".join(text_of(os.path.join(versions, name, "python")) or "" for name in os.listdir(versions))
    environments = os.path.join(root, "environments")
    for name in os.listdir(environments) if os.path.isdir(environments) else []:
        if os.path.join(environments, name, "") not in used:
            shutil.rmtree(os.path.join(environments, name), ignore_errors=True)
    store = os.path.join(root, "store")
    for name in os.listdir(store) if os.path.isdir(store) else []:
        if os.stat(os.path.join(store, name)).st_nlink == 1:
            os.unlink(os.path.join(store, name))
