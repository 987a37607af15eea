"""An evaluation on a cluster whose workers die: the totals of one process, to the last bit.

    python benchmarks/cluster.py [--shared ../shared] [--samples 20000] [--workers 2] [--kills 2]

The keyword samples of ``benchmarks/evaluate.py`` as a file, a Dask scheduler and its workers on this machine, as
``dask scheduler`` and ``dask worker`` start them. While the evaluation runs, workers are killed. What goes between
this process and the cluster is counted: data are named, not sent.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from evaluate import Repeated, models_in, parser_of

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit")]

from clusters import cluster, worker_of  # noqa: E402

from qedge.datasets import InputInfo, open_dataset  # noqa: E402
from qedge.quantize import compare  # noqa: E402
from qedge.shards import executor_of  # noqa: E402
from qedge.shards.protocol import packed  # noqa: E402


def main() -> None:
    parser = parser_of(__doc__, samples=20_000)
    parser.add_argument("--kills", type=int, default=2)
    arguments = parser.parse_args()
    models = models_in(arguments.shared)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "samples.npz"
        samples = Repeated(arguments.shared, arguments.samples)
        np.savez(place, x=np.concatenate([samples[i][0] for i in range(len(samples))]), y=samples.labels)
        dataset = open_dataset(place, [InputInfo("input", (1, 49, 10, 1), "float32")])
        named = len(packed(dataset))  # type: ignore[arg-type]
        began = time.perf_counter()
        one = compare(*models, dataset, threads=1)
        print(f"one process: {time.perf_counter() - began:.1f} s")
        with cluster(arguments.workers, Path(scratch)) as (address, nannies):
            killed: list[int] = []
            marks = [arguments.samples * (k + 1) // (arguments.kills + 1) for k in range(arguments.kills)]

            def progress(stage: str, count: int, total: int) -> None:
                if len(killed) < len(marks) and count >= marks[len(killed)]:
                    victim = worker_of(nannies[len(killed) % len(nannies)].pid)
                    if victim is not None:
                        os.kill(victim, signal.SIGKILL)
                        killed.append(count)

            began = time.perf_counter()
            found = compare(*models, dataset, progress, executor=executor_of(cluster=address), threads=1)
            print(
                f"{arguments.workers} workers of a Dask cluster, killed after {killed} samples: "
                f"{time.perf_counter() - began:.1f} s"
            )
        np.testing.assert_equal(dataclasses.asdict(found), dataclasses.asdict(one))
        if len(killed) != arguments.kills:
            raise SystemExit("cluster: no worker was found to kill")
        size = place.stat().st_size
        print(f"the same to the last bit over {arguments.samples:,} samples")
        print(f"the data, {size:,} bytes, went to the workers as {named:,} bytes: names, shapes and labels")


if __name__ == "__main__":
    main()
