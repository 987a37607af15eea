"""Ask the package registry again for every row of ``docs/devices.md`` about wheels: ``make facts``.

Not part of the tests: the world changes when it likes. Each row with packages is resolved by pip as that system's own
pip would, nothing is installed; a row that says "no binding has wheels" must fail. Rows for armv7l ask for the binding
alone, as numpy and pillow come from piwheels there. Exits with 1 where a row does not hold.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).resolve().parent / "devices.md"
# glibc of the system, as pip's tags say it: newest first, for pip takes the ones that are named and no others.
TAGS = ("2_39", "2_36", "2_35", "2_34", "2_31", "2_28", "2_27", "2_17", "2014")
BINDINGS = ("ai-edge-litert>=2.1.2", "tflite-runtime>=2.14")


class Row(NamedTuple):
    """One row: the system, its Python and architecture, and what is to be installed; () where nothing can be."""

    system: str
    python: str
    arch: str
    packages: tuple[str, ...]


def rows(text: str) -> list[Row]:
    """Return the rows of the page's table of systems.

    >>> rows("| Pi | 3.11 | armv7l | `numpy<2` `x==1` |\\n| Old | 3.9 | aarch64 | too old: qedge needs Python 3.10 |")
    [Row(system='Pi', python='3.11', arch='armv7l', packages=('numpy<2', 'x==1'))]
    """
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 4 or not re.fullmatch(r"3\.\d+", cells[1]) or cells[3].startswith("too old"):
            continue
        found.append(Row(*cells[:3], tuple(re.findall(r"`([^`]+)`", cells[3]))))
    return found


def resolves(row: Row, packages: tuple[str, ...]) -> bool:
    """Return whether pip finds wheels of all packages for that system."""
    platforms = [f"manylinux{'' if tag == '2014' else '_'}{tag}_{row.arch}" for tag in TAGS]
    named = [word for platform in (*platforms, f"linux_{row.arch}") for word in ("--platform", platform)]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--quiet",
            "--no-deps",
            "--target",
            folder,
        ]
        command += [*named, "--python-version", row.python, "--only-binary=:all:", *packages]
        return subprocess.run(command, capture_output=True).returncode == 0


def holds(row: Row) -> bool:
    """Return whether the registry says what the row says."""
    if not row.packages:
        return not any(resolves(row, (binding,)) for binding in BINDINGS)
    asked = row.packages
    if row.arch == "armv7l":
        asked = tuple(p for p in asked if not p.startswith(("numpy", "pillow")))
    return resolves(row, asked)


def main() -> int:
    """Print each row and whether it holds today."""
    wrong = 0
    for row in rows(PAGE.read_text("utf-8")):
        good = holds(row)
        wrong += not good
        said = ", ".join(row.packages) or "no wheels"
        print(
            f"{'holds' if good else 'WRONG':6} {row.system}, Python {row.python}, {row.arch}: {said}",
            flush=True,
        )
    print(f"asked on {date.today()}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
