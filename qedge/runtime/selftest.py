"""``python -m qedge.runtime.selftest BUNDLE [RUNS]``: golden vectors and benchmark, one line of JSON.

What ``qedge deploy`` runs on the device, before a version becomes the active one.
"""

from __future__ import annotations

import json
import sys

from qedge.errors import QedgeError
from qedge.runtime.golden import run_golden
from qedge.runtime.loader import load

MARK = "QEDGE:"


def main(arguments: list[str]) -> int:
    """Print the line; 0 when the golden vectors pass, else the error's exit code."""
    runs = int(arguments[1]) if len(arguments) > 1 else 0
    try:
        with load(arguments[0]) as model:
            report = run_golden(model)
        document = {"verify": report._asdict()}
        if runs:
            from qedge.runtime.bench import bench_bundle

            document["bench"] = bench_bundle(arguments[0], runs=runs, cold_starts=1)
    except QedgeError as problem:
        print(problem.message, file=sys.stderr)
        return problem.exit_code
    print(MARK + json.dumps(document))
    return 0 if report.passed else 7


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
