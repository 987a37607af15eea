"""What devices answered: one JSON file each, as ``qedge deploy --json`` printed it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from qedge.ship.follow import label_text


class Result(NamedTuple):
    """One device's answer.

    Args:
        ok: whether it has the version, proven.
        changed: whether another one was active before.
        previous: the version that it can go back to.
        error: what stood in the way; empty where nothing did.
        exit_code: of the deployment.
    """

    host: str
    ok: bool
    changed: bool
    version: str | None
    previous: str | None
    latency_ms: float | None
    error: str
    exit_code: int


def result_file(folder: Path, host: str) -> Path:
    """Return where a device's answer lies, whatever an inventory calls it: ``floor/2`` is one file of the folder."""
    return folder / f"{quote(host, safe='')}.json"


def read_results(folder: Path) -> list[Result]:
    """Return the answers that are there, by host."""
    return [_result(path) for path in sorted(folder.glob("*.json"))]


def _result(path: Path) -> Result:
    host = unquote(path.stem)
    try:
        document: Any = json.loads(path.read_bytes())
        if "error" in document:
            error = document["error"]
            return Result(host, False, False, None, None, None, error["message"], error["exit_code"])
        latency = document.get("bench", {}).get("latency_ms", {}).get("median")
        changed = bool(document.get("changed", True))
        return Result(host, True, changed, document["version"], document["previous"], latency, "", 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Result(host, False, False, None, None, None, "its deployment ended without an answer", 1)


def textfile(name: str, results: Sequence[Result], moment: float) -> str:
    """Return what devices answered in Prometheus' text format, for a textfile collector here."""
    lines = ["# TYPE qedge_fleet_ok gauge", "# TYPE qedge_fleet_seconds gauge"]
    lines += ["# TYPE qedge_fleet_version_info gauge", "# TYPE qedge_fleet_latency_seconds gauge"]
    lines.append(f'qedge_fleet_seconds{{model="{label_text(name)}"}} {moment:.0f}')
    for r in results:
        label = f'model="{label_text(name)}",device="{label_text(r.host)}"'
        lines.append(f"qedge_fleet_ok{{{label}}} {int(r.ok)}")
        if r.version:
            lines.append(f'qedge_fleet_version_info{{{label},version="{r.version}"}} 1')
        if r.latency_ms is not None:
            lines.append(f"qedge_fleet_latency_seconds{{{label}}} {r.latency_ms / 1000:g}")
    return "\n".join(lines) + "\n"
