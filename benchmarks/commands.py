"""What several benchmarks do: run a command of qedge, count CPU seconds, and print rows."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterable
from typing import Any


def qedge(*arguments: object) -> dict[str, Any]:
    """Run one command with ``--json``; stop with its own message when it fails."""
    command = [sys.executable, "-m", "qedge", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}")
    return dict(json.loads(done.stdout))


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those that it started and that have ended."""
    usages = (resource.getrusage(kind) for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def printed(rows: Iterable[dict[str, Any]], *, as_json: bool) -> list[dict[str, Any]]:
    """Print each row as soon as it is there, or all of them at the end as JSON; return them."""
    found = []
    for row in rows:
        found.append(row)
        if not as_json:
            print("  ".join(f"{k}={v}" for k, v in row.items()), flush=True)
    if as_json:
        print(json.dumps(found, indent=2))
    return found
