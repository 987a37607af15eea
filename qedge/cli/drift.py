"""``qedge drift``: what the monitors of one device or a fleet saw, judged together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.bundle import canonical, read_bundle
from qedge.cli._bundles import BundleArg
from qedge.cli._console import Ui
from qedge.drift.dumps import Merged, merge
from qedge.drift.statistics import STATISTICS
from qedge.drift.watch import FALSE_ALARMS, read_sketch
from qedge.errors import DataError

MAX_DUMP_BYTES = 1 << 20
DumpsArg = Annotated[list[Path], typer.Argument(help="JSON files that Monitor.dump() gave, of any devices.")]
RateOpt = Annotated[
    float, typer.Option("--false-alarms", help="Share of verdicts that may be wrong where nothing changed.")
]


def command(ui: Ui, bundle: BundleArg, dumps: DumpsArg, false_alarms: RateOpt = FALSE_ALARMS) -> None:
    """Add up what devices saw, and say whether it is still what the bundle was calibrated on."""
    with read_bundle(bundle) as opened:
        sketch, digest = read_sketch(opened), str(opened.manifest.to_json()["digest"])
        merged = merge((_read(path) for path in dumps), sketch, digest=digest, false_alarms=false_alarms)
    verdict = merged.verdict
    document: dict[str, Any] = {
        "bundle": str(bundle),
        "dumps": merged.dumps,
        "samples": merged.samples,
        "windows": merged.windows,
        "input_alarms": merged.input_alarms,
        "prediction_alarms": merged.prediction_alarms,
        "inputs_changed": None if verdict is None else verdict.inputs_changed,
        "predictions_changed": None if verdict is None else verdict.predictions_changed,
        "histograms": _histograms(merged, sketch.kind),
    }
    rows = [
        ("samples", f"{merged.samples:,} in {merged.dumps} dumps"),
        ("inputs changed", _word(document["inputs_changed"], merged.input_alarms, merged.windows)),
        (
            "predictions changed",
            _word(document["predictions_changed"], merged.prediction_alarms, merged.windows),
        ),
    ]
    ui.table(f"{opened.manifest.name} against its calibration", ("", ""), rows)
    ui.json("drift", document)


def _histograms(merged: Merged, kind: str) -> list[dict[str, Any]]:
    """Return counts, distance and limit of every histogram."""
    names = [f"input {name}" for name in STATISTICS]
    names += ["classes"] if kind == "classes" else [f"output {name}" for name in STATISTICS]
    found = []
    for k, (name, counts) in enumerate(zip(names, (*merged.counts.inputs, *merged.counts.outputs))):
        verdict = merged.verdict
        over = None if verdict is None else verdict.distances[k] / max(verdict.limits[k], 1)
        found.append({"name": name, "counts": counts, "of_limit": over})
    return found


def _word(changed: bool | None, alarms: int, windows: int) -> str:
    word = "too few samples" if changed is None else "yes" if changed else "no"
    return f"{word}; {alarms} of {windows} windows alarmed"


def _read(path: Path) -> Any:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_DUMP_BYTES + 1)
    except OSError as problem:
        raise DataError(f"{path}: {problem.strerror}", hint="json.dump(watch.dump(), file)") from None
    if len(data) > MAX_DUMP_BYTES:
        raise DataError(f"{path}: more than {MAX_DUMP_BYTES:,} bytes, expected a dump of a monitor")
    return canonical.document(data, str(path), DataError)
