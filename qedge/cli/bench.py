"""``qedge bench``: what a bundle costs, measured or counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from qedge.bundle import read_bundle
from qedge.cli._bundles import BundleArg
from qedge.cli._console import Ui
from qedge.cli._options import options_of
from qedge.config import load_config
from qedge.target import target_of

RunsOpt = Annotated[int, typer.Option("--runs", min=1, help="Counted runs.")]
ThreadsOpt = Annotated[int | None, typer.Option("--threads", min=1, help="Threads of the interpreter.")]


def command(
    ui: Ui,
    target_options: Mapping[str, Any],
    bundle: BundleArg,
    runs: RunsOpt = 100,
    threads: ThreadsOpt = None,
) -> None:
    """Measure a bundle: latency on this machine, or what its target counts or emulates here."""
    opened = read_bundle(bundle)
    target = target_of(opened)
    name = target.info.name
    options = options_of(target.info, target_options, load_config(None))
    with ui.progress() as progress:
        progress(f"bench {name}", 0.0)
        document = target.bench(bundle, options, runs=runs, threads=threads)
        if document is None:
            from qedge.runtime.bench import bench_bundle

            twin = not target.info.has_runtime
            document = bench_bundle(bundle, runs=runs, threads=threads, twin=twin)
            if twin:
                ui.note(f"measured on the CPU twin: a {target.info.title} is faster or slower")
    layers = document.get("layers")
    figures = {k: v for k, v in document.items() if k != "layers"}
    ui.table(f"bench {opened.manifest.name} ({name})", ("", ""), list(_rows("", figures)))
    if layers:
        columns = list(layers[0])
        ui.line()
        ui.table("layers", columns, [[_cell(layer.get(c)) for c in columns] for layer in layers])
    ui.json("bench", {"bundle": str(bundle), "target": name, **document})


def _rows(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _rows(f"{prefix}.{key}" if prefix else str(key), inner)
    elif value is not None:
        yield prefix, _cell(value)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell, value))
    return f"{value:,.4g}" if isinstance(value, float) else str(value).split(";")[0]
