"""What a device is, and what lies on it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import struct
import subprocess
import sys
from typing import Any

from qedge.ship.agent.common import Refused, root_of, text_of, version_of


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the device is and what lies on it."""
    root = root_of(request)
    store = os.path.join(root, "store")
    interpreter = request.get("python") or sys.executable
    code = (
        "import sys, struct, json; print(json.dumps([list(sys.version_info[:3]), struct.calcsize('P') * 8]))"
    )
    version, bits = list(sys.version_info[:3]), struct.calcsize("P") * 8
    if request.get("python"):
        done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True)
        if done.returncode != 0:
            raise Refused(f"{interpreter} does not run on the device: {done.stderr.strip()[-200:]}")
        version, bits = json.loads(done.stdout)
    usage = shutil.disk_usage(_existing(root))
    return {
        "board": (text_of("/proc/device-tree/model") or "").rstrip("\0\n ") or None,
        "os": _os_name(),
        "python": version,
        "bits": bits,
        "arch": platform.machine(),
        "free_mb": usage.free >> 20,
        "store": sorted(os.listdir(store)) if os.path.isdir(store) else [],
        "current": version_of(root, "current"),
        "previous": version_of(root, "previous"),
    }


def _existing(path: str) -> str:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _os_name() -> str | None:
    for line in (text_of("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return None
