"""Cold start and memory of qedge.load and a first inference against the bare binding, by turns.

Run: python benchmarks/cold_start.py [--json] [--runs N]; needs the models beside the project. CPU seconds of
the whole process (least of the runs, as everything else on the machine only adds to it) and peak RSS.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from runtime_overhead import MODELS, bundle, shared_models

BARE = """
import sys, numpy
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
x = interpreter.get_input_details()[0]
interpreter.set_tensor(x["index"], numpy.zeros(x["shape"], x["dtype"]))
interpreter.invoke()
interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
"""
MEMORY = """
with open("/proc/self/status") as status:
    print([line.split()[1] for line in status if line.startswith("VmHWM")][0])
"""
OURS = """
import sys, numpy, qedge
model = qedge.load(sys.argv[1], threads=1)
x = model.inputs[0]
model.run(numpy.zeros(x.shape, x.dtype))
"""
NUMPY = "import numpy"
QEDGE = "import qedge"


def process(code: str, argument: str) -> tuple[float, float]:
    """Return (CPU seconds, peak RSS in MiB) of a fresh interpreter; byte code is cached, as pip leaves it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir(), "qedge-cold-start"))
    done = subprocess.run(
        [sys.executable, "-c", code + MEMORY, argument], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return seconds, int(done.stdout.split()[-1]) / 1024


def compare(one: tuple[str, str], other: tuple[str, str], runs: int) -> dict[str, float]:
    """Return the figures of two programs run by turns."""
    process(*one), process(*other)
    results = [(process(*one), process(*other)) for _ in range(runs)]
    bare, ours = min(r[0][0] for r in results), min(r[1][0] for r in results)
    return {
        "bare_s": bare,
        "qedge_s": ours,
        "ratio": ours / bare,
        "rss_more_mb": min(r[1][1] for r in results) - min(r[0][1] for r in results),
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    found = {"import": compare((NUMPY, ""), (QEDGE, ""), options.runs)}
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in MODELS.items():
            model = shared_models() / path
            place = bundle(Path(scratch, name), model.read_bytes(), None)
            found[name] = compare((BARE, str(model)), (OURS, str(place)), options.runs)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        print(f"{name:12} " + "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    print("goals: ratio at most 1.1 (import, against numpy: 1.2), rss_more_mb at most 5")


if __name__ == "__main__":
    main()
