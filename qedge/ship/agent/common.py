"""What all of the agent stands on: where things lie on the device, and how they are read, linked and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import Any

MARK = "QEDGE:"
# Below the root: public keys, or allowed_signers of ssh-keygen; none: all is accepted.
TRUSTED = "trusted_keys"
FOLLOW, FOLLOWED = "follow.json", "followed.json"  # what to follow, and what that last did


class Refused(Exception):
    """Something that the person who deploys must know."""


def root_of(request: dict[str, Any]) -> str:
    """Return the model's folder: beside ``trusted_keys``, not further down, where none would lie."""
    name = str(request["name"])
    if os.path.basename(name) != name or name in ("", ".", "..", TRUSTED):
        raise Refused(f"{name!r} is no name of a model")
    return os.path.join(os.path.expanduser(str(request["root"])), name)


def text_of(path: str) -> str | None:
    """Return a file's text, or None where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def json_of(path: str) -> Any:
    """Return a file's JSON, or None where it has none."""
    try:
        return json.loads(text_of(path) or "null")
    except ValueError:
        return None


def run(command: list[str], hint: str) -> None:
    """Run a command, or refuse with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as problem:
        raise Refused(f"{command[0]}: {problem.strerror}; {hint}") from None
    if done.returncode != 0:
        raise Refused(f"{' '.join(command[:4])} failed: {last_line(done.stderr or done.stdout)}; {hint}")


def last_line(text: str) -> str:
    """Return the last line of what a program said."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def version_of(root: str, name: str) -> str | None:
    """Return which version the link ``name`` points at."""
    try:
        return os.path.basename(os.readlink(os.path.join(root, name)))
    except OSError:
        return None


def point(root: str, name: str, version: str) -> None:
    """Make the link ``name`` point at a version."""
    _link(os.path.join("versions", version), os.path.join(root, name))


def _link(target: str, place: str) -> None:
    """Make ``place`` a link to ``target``, in one step."""
    fresh = place + ".new"
    if os.path.lexists(fresh):
        os.unlink(fresh)
    os.symlink(target, fresh)
    os.replace(fresh, place)
    sync(os.path.dirname(place))


def sync(folder: str) -> None:
    """Wait until the disk has a folder's entries, so that a loss of power keeps their order."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def place_file(source: str, target: str) -> None:
    """Put a file of the store somewhere else, as a link where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def lock(file: Any, patience_s: float = 60) -> None:
    """Lock one model's folder, waiting for a deployment that is still at work; freed when the process ends."""
    import fcntl  # where it runs has it; the computer that sends it may be one without

    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > until:
                raise Refused("another deployment of this model is at work on the device") from None
            time.sleep(0.2)
