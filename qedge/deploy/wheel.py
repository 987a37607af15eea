"""The device half as a wheel: what an app carries until qedge is on an index."""

from __future__ import annotations

import base64
import hashlib
from importlib import metadata

from qedge._version import __version__
from qedge.bundle.write import zip_bytes
from qedge.deploy.plan import device_half

NAME = f"qedge-{__version__}-py3-none-any.whl"


def device_wheel(target: str) -> bytes:
    """Return a wheel of qedge's device ring and the target's runtime, the same bytes for the same files.

    Its extras are those of the installed distribution, so that pip brings the binding with ``qedge[rpi]``.

    Raises:
        UsageError: the target has no runtime half.
    """
    files = device_half(target)
    info = f"qedge-{__version__}.dist-info"
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: qedge\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = f"{info}/RECORD"
    lines = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in sorted(files.items())]
    files[record] = ("\n".join([*lines, f"{record},,"]) + "\n").encode()
    return zip_bytes(dict(sorted(files.items())))


def _metadata() -> str:
    """Return the core metadata: what the device half needs, and the extras as they are installed here."""
    lines = ["Metadata-Version: 2.1", "Name: qedge", f"Version: {__version__}"]
    try:
        found = metadata.metadata("qedge")
    except metadata.PackageNotFoundError:
        return "\n".join(lines) + "\n"
    lines += [f"Requires-Python: {found['Requires-Python']}"] if found["Requires-Python"] else []
    lines += [f"Provides-Extra: {extra}" for extra in found.get_all("Provides-Extra") or ()]
    lines += [f"Requires-Dist: {need}" for need in found.get_all("Requires-Dist") or ()]
    return "\n".join(lines) + "\n"


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
