"""``python -m qedge.fleet.gate RESULTS MOST``: fail where more devices have failed than may; the role asks it first."""

from __future__ import annotations

import sys
from pathlib import Path

from qedge.fleet.results import read_results


def main(arguments: list[str]) -> int:
    """Return 0 while no more than so many have failed."""
    failed = sorted(r.host for r in read_results(Path(arguments[0])) if not r.ok)
    if len(failed) <= int(arguments[1]):
        return 0
    print(f"{len(failed)} devices failed, {arguments[1]} may: {', '.join(failed)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
