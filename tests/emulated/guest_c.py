"""Runs inside an emulated system that has numpy and no TFLite binding: every bundle by its C library.

Usage: guest_c.py BUNDLE...; one line of JSON a bundle on stdout: what its golden vectors gave, and whether calls of
several threads at once gave the same.
"""

from __future__ import annotations

import contextlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import qedge
from qedge.errors import ToolError
from qedge.runtime.golden import golden_pairs, run_golden
from qedge.runtime.litert import find_binding

THREADS, STREAMS = 4, 2


def main() -> None:
    """Check every bundle."""
    with contextlib.suppress(ToolError):
        sys.exit(f"a binding is here: {find_binding()}")
    for path in sys.argv[1:]:
        with qedge.load(path, streams=STREAMS) as model:
            report = run_golden(model)
            described = model.engine.describe()
            pairs = golden_pairs(model.bundle, described) * 2
            with ThreadPoolExecutor(THREADS) as pool:
                results = list(pool.map(model.engine.run, [inputs for inputs, _ in pairs]))
            same = all(
                found.tobytes() == wanted.tobytes()
                for outputs, (_, expected) in zip(results, pairs)
                for found, wanted in zip(outputs, expected)
            )
        print(json.dumps({**report._asdict(), "library": described["binding"], "threads": same}), flush=True)


if __name__ == "__main__":
    main()
