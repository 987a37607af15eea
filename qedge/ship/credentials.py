"""Who one is to a registry: docker's own files and credential helpers, as ``docker login`` leaves them."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess

from qedge.errors import ToolError

HELPER_TIMEOUT_S = 30
IDENTITY = "<token>"
"""The user that docker gives a secret which is no password: a token service takes it by OAuth 2 (Azure's registry)."""
_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


def credentials(host: str) -> tuple[str, str] | None:
    """Return user and secret for a registry's host, or None where there are none; an identity token's user is IDENTITY.

    Looked for in ``QEDGE_REGISTRY_AUTH`` (``user:secret``), then in docker's ``config.json`` (of
    ``DOCKER_CONFIG``, else ``~/.docker``) and podman's ``auth.json``: credential helpers first, as docker does.

    Raises:
        ToolError: a credential helper that is named there is missing or fails.
    """
    given = os.environ.get("QEDGE_REGISTRY_AUTH")
    if given:
        user, _, secret = given.partition(":")
        return user, secret
    for path in _files():
        try:
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        except (OSError, ValueError):
            continue
        if isinstance(document, dict):
            found = _from_document(document, host)
            if found is not None:
                return found
    return None


def _files() -> list[str]:
    docker = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    named = [os.environ["REGISTRY_AUTH_FILE"]] if os.environ.get("REGISTRY_AUTH_FILE") else []
    return [*named, os.path.join(docker, "config.json"), os.path.join(runtime, "containers", "auth.json")]


def _from_document(document: dict[str, object], host: str) -> tuple[str, str] | None:
    names = ["https://index.docker.io/v1/", *_HUB] if host in _HUB else [host, f"https://{host}"]
    helpers = document.get("credHelpers")
    store = document.get("credsStore")
    for name in names:
        helper = helpers.get(name) if isinstance(helpers, dict) else None
        found = _from_helper(helper or store, name)
        if found is not None:
            return found
    auths = document.get("auths")
    for name in names:
        entry = auths.get(name) if isinstance(auths, dict) else None
        if not isinstance(entry, dict):
            continue
        if isinstance(entry.get("identitytoken"), str) and entry["identitytoken"]:
            return IDENTITY, entry["identitytoken"]
        if isinstance(entry.get("auth"), str):
            try:
                text = base64.b64decode(entry["auth"], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                continue
            user, colon, secret = text.partition(":")
            if colon:
                return user, secret
    return None


def _from_helper(helper: object, name: str) -> tuple[str, str] | None:
    if not isinstance(helper, str) or not helper:
        return None
    if not re.fullmatch(r"[A-Za-z0-9._-]+", helper):
        raise ToolError(f"docker's configuration names the credential helper {helper!r}, expected a word")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=name.encode(),
            capture_output=True,
            timeout=HELPER_TIMEOUT_S,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        raise ToolError(
            f"{program} is named in docker's configuration, but does not answer",
            hint="install it, or state QEDGE_REGISTRY_AUTH=user:secret",
        ) from None
    if done.returncode != 0:
        return None  # the helper's way to say that it knows nothing of this host
    try:
        answer = json.loads(done.stdout)
        return str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise ToolError(f"{program} answered something that is no JSON of Username and Secret") from None
