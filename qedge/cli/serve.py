"""``qedge serve``: bundles behind the Open Inference Protocol."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from qedge.cli._console import Ui
from qedge.errors import ToolError, UsageError
from qedge.installing import install_command

BundlesArg = Annotated[
    list[str], typer.Argument(help="Bundles: PATH, NAME=PATH or NAME:VERSION=PATH.", metavar="BUNDLE...")
]
HostOpt = Annotated[
    str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is every one of this machine.")
]
PortOpt = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]
StreamsOpt = Annotated[
    int, typer.Option("--streams", min=1, max=64, help="Inferences of a model at the same time.")
]
QueueOpt = Annotated[
    int, typer.Option("--queue", min=0, max=65536, help="Requests of a model that may wait; others get 503.")
]
TimeoutOpt = Annotated[
    float, typer.Option("--timeout", min=0.1, help="Seconds for a request to come, and for its answer.")
]
StopOpt = Annotated[
    float, typer.Option("--stop", min=0, help="Seconds that a stop waits for requests at work.")
]
TrustedOpt = Annotated[
    Path | None, typer.Option("--signed-by", help="Public keys: refuse bundles that none of them signed.")
]
DriftOpt = Annotated[bool, typer.Option("--drift", help="Watch each model for drift, see /metrics.")]


def command(
    ui: Ui,
    bundles: BundlesArg,
    host: HostOpt = "127.0.0.1",
    port: PortOpt = 8000,
    streams: StreamsOpt = 2,
    queue: QueueOpt = 64,
    timeout: TimeoutOpt = 30.0,
    stop: StopOpt = 30.0,
    signed_by: TrustedOpt = None,
    drift: DriftOpt = False,
) -> None:
    """Serve bundles over HTTP as the Open Inference Protocol (v2) says; KServe's and Triton's clients work.

    /metrics is for Prometheus. There is no authentication: put it behind what has one.
    """
    if not (math.isfinite(timeout) and math.isfinite(stop)):
        raise UsageError("--timeout, --stop: expected numbers of seconds", hint="for instance --timeout 30")
    try:
        from qedge.serve.app import Server
        from qedge.serve.models import Models, parse_places
        from qedge.serve.run import serve

        models = Models(parse_places(bundles), streams=streams, queue=queue, trusted=signed_by)
        server = Server(models, timeout_s=timeout, drift=drift)
    except ImportError as problem:
        raise ToolError(
            f"serving needs {problem.name}, which is not installed", hint=install_command("serve")
        ) from None
    models.load()

    def started(bound: int) -> None:
        rows = [(row["name"], row["version"]) for row in models.index()]
        ui.table(f"http://{host}:{bound}/v2", ("model", "version"), rows)
        ui.json("serve", {"host": host, "port": bound, "models": models.index()})

    serve(server, host=host, port=port, timeout_s=timeout, stop_s=stop, started=started)
