"""The command that brings an extra of qedge into the environment at hand, in one place."""

from __future__ import annotations

import os

ON_INDEX = False
"""Whether qedge is on the package index; on the day of publication this line changes, and README.md with it."""


def install_command(extra: str) -> str:
    """Return the command that installs ``qedge[extra]`` here.

    From the index, or else from where this qedge was installed: the clone of an editable install, or the wheel.
    """
    if ON_INDEX:
        return f'pip install "qedge[{extra}]"'
    origin = _origin()
    editable = "-e " if origin is not None and os.path.isdir(origin) else ""
    return f'pip install {editable}"{origin or "qedge-VERSION-py3-none-any.whl"}[{extra}]"'


def _origin() -> str | None:
    """Return the clone's folder or the wheel's path, or None where nothing says it."""
    clone = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.isfile(os.path.join(clone, "pyproject.toml")):
        return clone
    import json
    from importlib import metadata

    try:
        text = metadata.distribution("qedge").read_text("direct_url.json")
        url = str(json.loads(text or "{}").get("url", ""))
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        return None
    if not url.startswith("file://"):
        return None
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(url).path)
