"""What goes onto the device: the bundle, the device half of qedge, and a sample app where one is wanted."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shlex
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import qedge
from qedge._version import __version__
from qedge.bundle import Bundle
from qedge.bundle.manifest import MANIFEST, SIGNATURE
from qedge.errors import UsageError
from qedge.processing.spec import PREPROCESS_KINDS

# The device ring: what `qedge.load` may import, see docs/architecture.md.
DEVICE_RING = (
    "errors.py",
    "fields.py",
    "findings.py",
    "installing.py",
    "quantmath.py",
    "archives.py",
    "__init__.py",
    "_version.py",
    "py.typed",
)
DEVICE_PARTS = ("bundle", "drift", "processing", "runtime", "ship", "trust")
RUNTIME_GROUP = "qedge.runtimes"

UNIT = """\
[Unit]
Description=qedge {name}: {app}
After=network.target

[Service]
ExecStart="@ROOT@/current/python" "@ROOT@/current/app/{app}" "@ROOT@/current/bundle"{arguments}
Environment=PYTHONUNBUFFERED=1
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
"""


class Plan(NamedTuple):
    """What one version consists of.

    Args:
        name: of the model; the folder on the device.
        version: 12 hexadecimal digits of everything in it.
        files: path on the device, below the version, to contents.
        unit: the systemd unit, with ``@ROOT@`` for the model's folder, or None.
        needs_pillow: whether the pre-processing reads images.
        packages: what else the app asks for in its ``requirements.txt``.
    """

    name: str
    version: str
    files: Mapping[str, bytes]
    unit: str | None
    needs_pillow: bool
    packages: tuple[str, ...] = ()


def plan(bundle: Bundle, app: Path | None = None, arguments: str = "") -> Plan:
    """Return the version that a bundle makes, with ``app`` (a file, or a folder with ``__main__.py``) as its
    service.

    Raises:
        UsageError: the target does not run in Python on a device, or ``app`` cannot be run.
    """
    manifest = bundle.manifest
    files = {f"bundle/{name}": bundle.read(name) for name in sorted(manifest.files)}
    files[f"bundle/{MANIFEST}"] = manifest.encoded()
    if bundle.signature is not None:
        files[f"bundle/{SIGNATURE}"] = bundle.signature
    files.update({f"lib/{path}": data for path, data in device_half(manifest.target).items()})
    unit: str | None = None
    packages: tuple[str, ...] = ()
    if app is not None:
        contents, entry = _app(app)
        packages = _packages(contents.get(f"{entry}/requirements.txt", b""))
        files.update({f"app/{path}": data for path, data in contents.items()})
        words = "".join(f" {unit_word(word)}" for word in shlex.split(arguments))
        unit = UNIT.format(name=manifest.name, app=entry, arguments=words)
    digest = hashlib.sha256(json.dumps([unit]).encode())
    for path in sorted(files):
        digest.update(path.encode() + b"\0" + hashlib.sha256(files[path]).digest())
    pillow = manifest.preprocess is not None and manifest.preprocess.kind == "image"
    pillow = pillow and "image" in PREPROCESS_KINDS
    return Plan(manifest.name, digest.hexdigest()[:12], files, unit, pillow, packages)


def unit_word(word: str) -> str:
    r"""Return one argument as a systemd unit writes it, whose quoting is not a shell's.

    >>> unit_word("--camera"), unit_word("front door"), unit_word('50% of "$HOME"')
    ('--camera', '"front door"', '"50%% of \\"$$HOME\\""')
    """
    if word and not set(word) & set(" \t\n\\\"'%$;"):
        return word
    for plain, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("%", "%%"), ("$", "$$")):
        word = word.replace(plain, written)
    return f'"{word}"'


def device_half(target: str) -> dict[str, bytes]:
    """Return the files that a device imports: qedge's device ring and the target's package, installed form.

    Raises:
        UsageError: the target has no runtime half.
    """
    found = [e for e in entry_points(group=RUNTIME_GROUP) if e.name == target]
    if not found:
        raise UsageError(
            f"target {target!r} has no runtime that could be deployed",
            hint="use the files in the bundle: see the README there",
        )
    home = Path(qedge.__file__).parent
    files = {f"qedge/{name}": (home / name).read_bytes() for name in DEVICE_RING}
    for part in DEVICE_PARTS:
        files.update(_sources(home / part, f"qedge/{part}"))
    package = found[0].value.partition(":")[0].partition(".")[0]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UsageError(f"the package {package!r} of target {target!r} has no files")
    if spec.submodule_search_locations is None:
        files[f"{package}.py"] = Path(spec.origin).read_bytes()
    else:
        files.update(_sources(Path(spec.origin).parent, package))
    info = f"qedge-{__version__}.dist-info"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: qedge\nVersion: {__version__}\n".encode()
    files[f"{info}/entry_points.txt"] = f"[{RUNTIME_GROUP}]\n{target} = {found[0].value}\n".encode()
    return files


def _sources(folder: Path, prefix: str) -> dict[str, bytes]:
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*.py"))
    }


def _app(app: Path) -> tuple[dict[str, bytes], str]:
    """Return (files, what Python runs) of a sample app, without a ``bundle/`` of its own: it gets the deployed one."""
    app = app.resolve()
    if app.is_file() and app.suffix == ".py":
        return {app.name: app.read_bytes()}, app.name
    if (app / "__main__.py").is_file():
        own = app / "bundle" if (app / "bundle" / MANIFEST).is_file() else None
        contents = {
            f"{app.name}/{path.relative_to(app).as_posix()}": path.read_bytes()
            for path in sorted(app.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts and own not in path.parents
        }
        return contents, app.name
    raise UsageError(f"{app}: expected a Python file, or a folder with a __main__.py", hint="--service APP")


def _packages(requirements: bytes) -> tuple[str, ...]:
    """Return the lines of a ``requirements.txt`` that name packages, but for qedge, which is sent as it is here."""
    lines = [line.partition("#")[0].strip() for line in requirements.decode().splitlines()]
    return tuple(line for line in lines if line and not re.match(r"-|qedge\b", line))
