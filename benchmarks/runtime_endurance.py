"""A million inferences by four threads that share one model: memory, mixed-up results, malformed inputs.

Run: python benchmarks/runtime_endurance.py [--json] [--count N]; needs the models beside the project.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from pathlib import Path

import numpy as np
from runtime_overhead import MODELS, bundle, shared_models

import qedge
from qedge.errors import DataError
from qedge.runtime.board import resident_mb

THREADS = 4
MALFORMED_EVERY = 1000


def endure(count: int) -> dict[str, float]:
    """Return the figures of ``count`` inferences."""
    data = (shared_models() / MODELS["kws"]).read_bytes()
    wrong = [0] * THREADS
    refused = [0] * THREADS
    with (
        tempfile.TemporaryDirectory() as scratch,
        qedge.load(bundle(Path(scratch, "kws"), data, None), streams=2) as model,
    ):
        rng = np.random.default_rng(0)
        inputs = [rng.integers(-128, 128, model.inputs[0].shape, np.int8) for _ in range(64)]
        expected = [model.run(array) for array in inputs]

        def work(me: int, runs: int) -> None:
            for i in range(runs):
                k = (me * 17 + i) % len(inputs)
                if i % MALFORMED_EVERY == 0:
                    try:
                        model.run(inputs[k][:, 1:])
                    except DataError:
                        refused[me] += 1
                wrong[me] += not np.array_equal(model.run(inputs[k]), expected[k])

        def all_threads(runs: int) -> None:
            threads = [threading.Thread(target=work, args=(t, runs)) for t in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        all_threads(max(1, count // 100 // THREADS))
        before = resident_mb()
        refused[:] = [0] * THREADS
        all_threads(count // THREADS)
        after = resident_mb()
    return {
        "inferences": count // THREADS * THREADS,
        "threads": THREADS,
        "distinct_outputs": len({e.tobytes() for e in expected}),
        "wrong_results": sum(wrong),
        "malformed_refused": sum(refused),
        "malformed_sent": -(-(count // THREADS) // MALFORMED_EVERY) * THREADS,
        "rss_growth_mb": after - before,
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--count", type=int, default=1_000_000)
    options = parser.parse_args()
    found = endure(options.count)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for key, value in found.items():
        print(f"{key:20} {value:,.3f}" if isinstance(value, float) else f"{key:20} {value:,}")


if __name__ == "__main__":
    main()
