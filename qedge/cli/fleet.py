"""``qedge fleet``: many devices, by Ansible."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.bundle.write import write_whole
from qedge.cli._console import Ui
from qedge.errors import UsageError, VerificationError
from qedge.fleet.monitoring import files as monitoring_files
from qedge.fleet.results import Result, textfile
from qedge.fleet.rollout import rollout
from qedge.ship import pull

HELP = "Many devices: a rollout in batches by Ansible, and what watches them."
InventoryArg = Annotated[
    Path, typer.Argument(help="Ansible's inventory: a file with one device a line is one.")
]
ReferenceArg = Annotated[
    str, typer.Argument(help="A bundle, or oci://HOST/NAME:TAG.", metavar="BUNDLE|REFERENCE")
]
BatchesOpt = Annotated[str, typer.Option("--batches", help="Sizes: devices, shares of all, or 'all'.")]
FailuresOpt = Annotated[
    int, typer.Option("--failures", min=0, help="Devices that may fail; one more stops it.")
]
KeepOpt = Annotated[
    bool, typer.Option("--keep", help="Where it stops, leave the devices that have the new version with it.")
]
LatencyOpt = Annotated[
    float | None,
    typer.Option("--max-latency", min=0, help="Milliseconds that the median may take on a device."),
]
RunsOpt = Annotated[int, typer.Option("--runs", min=0, help="Counted runs of the benchmark on each device.")]
ForksOpt = Annotated[int, typer.Option("--forks", min=1, max=500, help="Devices at the same time.")]
LimitOpt = Annotated[
    str | None, typer.Option("--limit", help="Ansible's pattern of the devices that are meant.")
]
SignedOpt = Annotated[
    Path | None, typer.Option("--signed-by", help="Public keys: refuse a reference that none of them signed.")
]
LogOpt = Annotated[Path | None, typer.Option("--log", help="File for what Ansible prints.")]
TextfileOpt = Annotated[
    Path | None, typer.Option("--textfile", help="Folder here of node_exporter's textfile collector.")
]
OutOpt = Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.")]


def bring(
    ui: Ui,
    inventory: InventoryArg,
    reference: ReferenceArg,
    batches: BatchesOpt = "1,10%,all",
    failures: FailuresOpt = 0,
    keep: KeepOpt = False,
    max_latency: LatencyOpt = None,
    runs: RunsOpt = 50,
    forks: ForksOpt = 10,
    limit: LimitOpt = None,
    signed_by: SignedOpt = None,
    log: LogOpt = None,
    metrics: TextfileOpt = None,
) -> None:
    """Bring a bundle to all devices, a batch after the other; stop and go back where too many fail."""
    options: dict[str, Any] = {
        "batches": batches.split(","), "failures": failures, "keep": keep, "max_ms": max_latency, "runs": runs,
        "forks": forks, "limit": limit, "log": log,
    }  # fmt: skip
    if reference.startswith(("oci://", "oci+http://")):
        with tempfile.TemporaryDirectory(prefix="qedge-fleet-") as scratch:
            pulled = pull(reference, Path(scratch) / "bundle", trusted=signed_by)
            found = rollout(pulled.bundle, inventory, **options)
    elif signed_by is not None:
        raise UsageError("--signed-by is for references", hint="qedge verify BUNDLE --signed-by KEYS")
    else:
        found = rollout(Path(reference), inventory, **options)
    if metrics is not None:
        text = textfile(found.name, found.results, time.time()).encode()
        write_whole(metrics / f"qedge_fleet_{found.name}.prom", text)
    rows = [_row(r) for r in found.results] + [(host, "not asked", "", "") for host in found.left]
    ui.table(
        f"{found.name}: {'done' if found.done else 'stopped'}", ("device", "", "version", "latency"), rows
    )
    if found.back:
        ui.table("gone back", ("device", "", "version", "latency"), [_row(r) for r in found.back])
    document = {
        "name": found.name,
        "done": found.done,
        "devices": [r._asdict() for r in found.results],
        "left": list(found.left),
        "back": [r._asdict() for r in found.back],
    }
    ui.json("fleet rollout", document)
    if not found.done:
        failed = [r for r in found.results if not r.ok]
        first = f": {failed[0].host}: {failed[0].error}" if failed else ""
        raise VerificationError(
            f"{len(failed)} of {len(found.results)} devices failed, {failures} may{first}",
            hint="each of them runs the version that it had",
        )


def monitoring(ui: Ui, out: OutOpt = Path("monitoring")) -> None:
    """Write Prometheus' alert rules and Grafana's dashboard for what devices and servers measure."""
    for name, data in monitoring_files().items():
        write_whole(out / name, data)
    names = sorted(monitoring_files())
    ui.table(str(out), ("",), [(name,) for name in names])
    ui.json("fleet monitoring", {"out": str(out), "files": names})


def _row(r: Result) -> tuple[str, str, str, str]:
    word = ("has it" if not r.changed else "new") if r.ok else f"failed: {r.error}"
    return r.host, word, r.version or "", "" if r.latency_ms is None else f"{r.latency_ms:.3f} ms"


COMMANDS = {"rollout": bring, "monitoring": monitoring}
