"""A build of the digit spotter for three targets beside the same build by another commit, by turns.

Run: python benchmarks/build_time.py [--base COMMIT] [--runs N] [--warm] [--json]. Each run is a process of its own,
with nothing in qedge's cache unless ``--warm`` says so. Wall time and CPU seconds, children included; the ratio is
that of the fastest runs, since everything else that a machine does only adds to them. Both run in this environment,
with the byte code of installed packages as it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FIRST = "5b845f2f"
COMMAND = [sys.executable, "-m", "qedge", "build", "-t", "rpi", "-t", "coral", "-t", "mcu", "-q"]


def checkout(commit: str, folder: Path) -> Path:
    """Unpack a commit's tree into a folder and return it."""
    archive = subprocess.run(
        ["git", "-C", str(PROJECT), "archive", commit, "qedge", "targets"], capture_output=True, check=True
    )
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def build(tree: Path, cache: Path, out: Path) -> tuple[float, float]:
    """Return (wall, CPU) seconds of one build by the code in ``tree``."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'targets'}",
        "QEDGE_CACHE": str(cache),
        "PYTHONWARNINGS": "ignore",
    }
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [*COMMAND, "--out", str(out)],
        cwd=PROJECT / "examples/digits",
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the fastest build of each commit and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=FIRST)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--warm", action="store_true", help="keep qedge's cache from run to run")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qedge-build-time-") as scratch:
        folder = Path(scratch)
        trees = {given.base: checkout(given.base, folder / "base"), "now": PROJECT}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in trees}
        for run in range(given.runs):
            for name, tree in trees.items():
                cache = folder / f"cache-{name}" if given.warm else folder / f"cache-{name}-{run}"
                found[name].append(build(tree, cache, folder / f"out-{name}"))
    best = {name: [min(values) for values in zip(*runs)] for name, runs in found.items()}
    ratio = [now / base for base, now in zip(best[given.base], best["now"])]
    if given.json:
        print(json.dumps({"runs": found, "best": best, "wall_ratio": ratio[0], "cpu_ratio": ratio[1]}))
        return
    print(f"{'':<12}{'wall s':>9}{'CPU s':>9}")
    for name, (wall, cpu) in best.items():
        print(f"{name:<12}{wall:>9.1f}{cpu:>9.1f}")
    print(f"{'ratio':<12}{ratio[0]:>9.2f}{ratio[1]:>9.2f}")


if __name__ == "__main__":
    main()
