"""``qedge deploy``: a bundle onto a device over ssh, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.bundle import read_bundle
from qedge.cli._bundles import BundleArg
from qedge.cli._console import Ui
from qedge.cli._ssh import HostArg, Ssh
from qedge.deploy import deploy, plan, rollback
from qedge.errors import UsageError, unknown
from qedge.target import names, resolve

LatencyOpt = Annotated[
    float | None, typer.Option("--max-latency", min=0, help="Milliseconds that the median there may take.")
]
RollbackOpt = Annotated[
    bool, typer.Option("--rollback", help="Make the version before the active one again.")
]
ServiceOpt = Annotated[
    Path | None, typer.Option("--service", help="Run this app (a .py, or a folder) as a systemd service.")
]
ArgumentsOpt = Annotated[str, typer.Option("--service-arguments", help="What the app gets after the bundle.")]
PythonOpt = Annotated[
    str | None, typer.Option("--python", help="Interpreter there that has numpy and a binding already.")
]
SystemOpt = Annotated[
    bool, typer.Option("--system-packages", help="Let the environment see the system's packages (picamera2).")
]
WheelsOpt = Annotated[
    Path | None, typer.Option("--wheels", help="Folder of wheels, for a device without internet.")
]
RunsOpt = Annotated[int, typer.Option("--runs", min=0, help="Counted runs of the benchmark there.")]
EngineOpt = Annotated[
    str | None,
    typer.Option("--engine", help="c: install no TFLite binding, the bundle's C library needs none."),
]
ENGINES = ("litert", "c")
DryOpt = Annotated[bool, typer.Option("--dry-run", help="Say what would be copied, and connect to nothing.")]


def command(
    ui: Ui,
    ssh: Ssh,
    bundle: BundleArg,
    host: HostArg,
    back: RollbackOpt = False,
    service: ServiceOpt = None,
    service_arguments: ArgumentsOpt = "",
    python: PythonOpt = None,
    system_packages: SystemOpt = False,
    wheels: WheelsOpt = None,
    runs: RunsOpt = 50,
    engine: EngineOpt = None,
    max_latency: LatencyOpt = None,
    dry_run: DryOpt = False,
) -> None:
    """Copy a bundle to a device, prove it there, and make it the active version; or go back with --rollback."""
    if engine not in (None, *ENGINES):
        raise unknown("engine", engine, ENGINES)
    with read_bundle(bundle) as opened:
        target = opened.manifest.target
        if target in names() and not back and not (info := resolve(target).info).has_runtime:
            raise UsageError(f"a bundle for {target!r} does not run in Python there", hint=info.on_device)
        name = opened.manifest.name
        wanted = None if back else plan(opened, service, service_arguments)
    document: dict[str, Any]
    if back:
        document = rollback(name, host, ssh=ssh.command, root=ssh.root)
    elif dry_run and wanted:
        size = sum(map(len, wanted.files.values()))
        document = {"host": host, "version": wanted.version, "files": len(wanted.files), "bytes": size}
    else:
        with ui.progress() as progress:
            document = deploy(
                bundle,
                host,
                ssh=ssh.command,
                root=ssh.root,
                python=python,
                system_packages=system_packages,
                wheels=wheels,
                app=service,
                app_arguments=service_arguments,
                runs=runs,
                engine=engine,
                max_ms=max_latency,
                progress=progress,
            )
    ui.table(f"{name} on {host}", ("", ""), _rows(document, ssh.root, name))
    ui.json("deploy", {"bundle": str(bundle), "name": name, **document})


def _rows(document: dict[str, Any], root: str, name: str) -> list[tuple[str, str]]:
    rows = [("version", str(document["version"])), ("previous", str(document.get("previous") or "none"))]
    if "device" in document:
        device = document["device"]
        system = ", ".join(str(device[k]) for k in ("board", "os", "arch") if device.get(k))
        rows.insert(0, ("device", f"{system}, Python {'.'.join(map(str, device['python']))}"))
        sent = document["uploaded"]
        rows.append(("copied", f"{sent['files']} files, {sent['bytes']:,} bytes"))
        exact = "byte for byte" if document["verify"]["bit_exact"] else "within 1"
        rows.append(("golden vectors", f"{document['verify']['samples']} pass, {exact}"))
    if "bench" in document:
        rows.append(("latency", f"{document['bench']['latency_ms']['median']:.3f} ms median"))
    if "files" in document:
        rows.append(("would copy", f"at most {document['files']} files, {document['bytes']:,} bytes"))
    rows.append(("there", f"{root}/{name}/current/bundle"))
    return rows
