"""``deploy`` and ``rollback``: the steps, in an order that never leaves a broken active version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qedge.bundle import read_bundle
from qedge.deploy.plan import plan
from qedge.deploy.platforms import packages_for
from qedge.deploy.remote import Remote
from qedge.errors import ToolError, UsageError, VerificationError
from qedge.runtime.c_library import layout_of

ROOT = "~/.local/share/qedge"
SPARE_MB = 64

Progress = Callable[[str, float], None]


def deploy(
    bundle: Path,
    host: str,
    *,
    ssh: Sequence[str] = ("ssh",),
    root: str = ROOT,
    python: str | None = None,
    system_packages: bool = False,
    wheels: Path | None = None,
    app: Path | None = None,
    app_arguments: str = "",
    runs: int = 50,
    max_ms: float | None = None,
    engine: str | None = None,
    progress: Progress = lambda stage, fraction: None,
) -> dict[str, Any]:
    """Put ``bundle`` on ``host`` and make it the active version, once it has proven itself there.

    Probe, upload what changed, prepare beside the active version, run the golden vectors there, and only then
    switch. A failure or a lost connection before that leaves the active version untouched.

    Args:
        ssh: the ssh command with its options.
        root: folder on the device; each model has one in it.
        python: an interpreter on the device that has numpy and a binding already; None makes a virtual
            environment.
        system_packages: let the environment see the system's packages (picamera2).
        wheels: folder of wheels for a device without internet.
        app: sample app to run as a systemd service of the user.
        runs: of the benchmark.
        max_ms: the most that its median may take there; slower is a failure.
        engine: ``c``: install no binding even where one has wheels, as the bundle's C library needs none.

    Returns:
        ``device`` (what it is), ``version``, ``previous``, ``changed`` (whether another was active),
        ``uploaded`` {files, bytes}, ``verify`` and ``bench``.

    Raises:
        ToolError: ssh, the device or its Python lacks something.
        VerificationError: the golden vectors give something else on the device, or it takes too long.
    """
    with read_bundle(bundle) as opened, Remote(host, ssh) as remote:
        wanted = plan(opened, app, app_arguments)
        place: dict[str, Any] = {"root": root, "name": wanted.name}
        progress("probe", 0.0)
        device = remote.ask("probe", **place, python=python)
        layout = layout_of(opened)
        libraries = () if layout is None else tuple(layout.libraries)
        packages = [] if python else list(packages_for(device, libraries, engine))
        if wanted.needs_pillow and not python:
            packages.append("pillow")
        packages += () if python else wanted.packages
        extra = _wheels(wheels)
        contents = {
            hashlib.sha256(data).hexdigest(): data for data in (*wanted.files.values(), *extra.values())
        }
        present = set(device.pop("store"))
        missing = {sha: data for sha, data in contents.items() if sha not in present}
        size = sum(map(len, missing.values()))
        if size >> 20 > device["free_mb"] - SPARE_MB:
            raise ToolError(
                f"{host}: {device['free_mb']} MB free, expected {(size >> 20) + SPARE_MB} or more"
            )
        progress("upload", 0.2)
        if missing:
            listed = [{"sha256": sha, "bytes": len(data)} for sha, data in missing.items()]
            remote.ask("put", list(missing.values()), **place, files=listed)
        version = {**place, "version": wanted.version}
        progress("install", 0.4)
        remote.ask(
            "prepare",
            **version,
            layout={path: hashlib.sha256(data).hexdigest() for path, data in wanted.files.items()},
            packages=packages,
            python=python,
            system_packages=system_packages,
            wheels={name: hashlib.sha256(data).hexdigest() for name, data in extra.items()},
        )
        progress("verify", 0.7)
        found = remote.ask("check", **version, runs=runs)
        if not found["verify"]["passed"]:
            raise VerificationError(
                f"{host}: the golden vectors give other results there: {'; '.join(found['verify']['mismatches'])}",
                hint="the active version is as it was; compare with qedge verify here",
            )
        _refuse_slow(host, found, max_ms)
        progress("switch", 0.9)
        switched = remote.ask("activate", **version, unit=wanted.unit)
        before = device.pop("current")
        device.pop("previous")
        return {
            "host": host,
            "device": device,
            "version": switched["current"],
            "previous": switched["previous"],
            "changed": before != switched["current"],
            "uploaded": {"files": len(missing), "bytes": size},
            "packages": packages,
            **found,
        }


def _refuse_slow(host: str, found: Mapping[str, Any], max_ms: float | None) -> None:
    if max_ms is None:
        return
    if "bench" not in found:
        raise UsageError("the most that a run may take was given, and no runs", hint="--runs 50")
    median = found["bench"]["latency_ms"]["median"]
    if median > max_ms:
        raise VerificationError(
            f"{host}: {median:.3f} ms median there, expected at most {max_ms:g}",
            hint="the active version is as it was",
        )


def rollback(name: str, host: str, *, ssh: Sequence[str] = ("ssh",), root: str = ROOT) -> dict[str, Any]:
    """Make the version before the active one again; a second time goes forth again.

    Returns:
        ``version`` and ``previous``.

    Raises:
        ToolError: there is none.
    """
    with Remote(host, ssh) as remote:
        found = remote.ask("rollback", root=root, name=name)
    return {"host": host, "version": found["current"], "previous": found["previous"]}


def _wheels(folder: Path | None) -> dict[str, bytes]:
    if folder is None:
        return {}
    found = {path.name: path.read_bytes() for path in sorted(folder.glob("*.whl"))}
    if not found:
        raise UsageError(f"{folder}: no wheels in it", hint="pip download -d FOLDER PACKAGES for the device")
    return found
