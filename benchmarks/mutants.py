"""Small faults that nothing held once, each put into a copy of the project: the tests named beside it must fail.

``python benchmarks/mutants.py [--json]`` copies ``qedge``, ``targets`` and ``tests`` to a folder, runs the tests
as they are, then with one fault at a time, and says which faults live. Exit 1 when one does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutant:
    """A fault: what is replaced in a file, and the test module that holds it."""

    name: str
    file: str
    before: str
    after: str
    tests: str


MUTANTS = (
    Mutant(
        "class folders in alphabetical order, whatever the label file says",
        "qedge/datasets/labels.py",
        "order = np.array([list(names).index(f) for f in folders], np.int64)",
        "order = np.arange(len(folders))",
        "tests/unit/test_labels.py",
    ),
    Mutant(
        "held-out samples calibrate too",
        "qedge/datasets/split.py",
        "rest = np.setdiff1d(np.arange(count), held)",
        "rest = np.arange(count)",
        "tests/unit/test_labels.py",
    ),
    Mutant(
        "the held-out guard lets everything through",
        "qedge/quantize/search.py",
        "if again.score >= plain.score - HELD_OUT_LUCK and not disagrees(again.result, plain.result):",
        "if True:",
        "tests/unit/test_search_guards.py",
    ),
    Mutant(
        "held-out samples are part of what the guard's ranges see",
        "qedge/quantize/statistics.py",
        "if fit or second is None:",
        "if second is None:",
        "tests/unit/test_statistics.py",
    ),
    Mutant(
        "the judge has no temperature",
        "qedge/quantize/judge.py",
        "        values = values / temperature\n",
        "",
        "tests/unit/test_search_guards.py",
    ),
    Mutant(
        "the squared error forgets what is clipped",
        "qedge/quantize/methods/mse.py",
        "cost = below[:, None] + above[None, :] + (counts",
        "cost = 0 * below[:, None] + 0 * above[None, :] + (counts",
        "tests/unit/test_search_guards.py",
    ),
    Mutant(
        "ties of single rounding go down",
        "qedge/quantmath.py",
        "((a * m + (np.int64(1) << (total_shift - 1))) >> total_shift)",
        "((a * m + (np.int64(1) << (total_shift - 1)) - 1) >> total_shift)",
        "tests/unit/test_quantmath.py",
    ),
    Mutant(
        "ties of double rounding go up for negative values",
        "qedge/quantmath.py",
        "threshold = (mask >> 1) + (high < 0)",
        "threshold = mask >> 1",
        "tests/unit/test_quantmath.py",
    ),
)


def passes(folder: Path, tests: str) -> bool:
    """Return whether a test module of the copy passes."""
    path = os.pathsep.join(map(str, (folder, folder / "targets")))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def lives(folder: Path, mutant: Mutant) -> bool:
    """Return whether a fault passes its tests; the copy is left as it was."""
    file = folder / mutant.file
    text = file.read_text()
    if text.count(mutant.before) != 1:
        sys.exit(f"{mutant.file} does not hold this once: {mutant.before}")
    try:
        file.write_text(text.replace(mutant.before, mutant.after))
        return passes(folder, mutant.tests)
    finally:
        file.write_text(text)


def main() -> int:
    """Print what became of each fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="qedge-mutants-") as scratch:
        folder = Path(scratch)
        for part in ("qedge", "targets", "tests"):
            shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT / "pyproject.toml", folder)
        for tests in dict.fromkeys(m.tests for m in MUTANTS):
            if not passes(folder, tests):
                sys.exit(f"{tests} fails without any fault")
        for mutant in MUTANTS:
            alive = lives(folder, mutant)
            rows.append({"mutant": mutant.name, "tests": mutant.tests, "lives": alive})
            if not arguments.json:
                print(f"{'LIVES' if alive else 'fails':6} {mutant.tests:34} {mutant.name}", flush=True)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    return int(any(row["lives"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
