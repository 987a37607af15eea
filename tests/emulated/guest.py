"""Runs inside the emulated Pi: golden vectors of every bundle, then the same inference bare and by qedge.

Usage: guest.py BINDING BUNDLE[=COUNT]...; one line of JSON a bundle on stdout. With COUNT the plug-in's marks
stand around COUNT bare and COUNT qedge inferences: four marks a bundle on stderr.
"""

from __future__ import annotations

import json
import os
import sys

import qedge
from qedge.bundle.manifest import MODEL
from qedge.runtime.golden import run_golden
from qedge.runtime.litert import find_binding

MARK_FD = -7


def mark() -> None:
    """Have the plug-in print the instructions so far."""
    try:
        os.write(MARK_FD, b"")
    except OSError:
        return


def main() -> None:
    """Check and count every bundle."""
    binding = sys.argv[1]
    for argument in sys.argv[2:]:
        path, _, count = argument.partition("=")
        with qedge.load(path, threads=1, binding=binding) as model:
            report = run_golden(model)
            if count:
                count_calls(model, binding, int(count))
        print(json.dumps({"bundle": path, **report._asdict()}), flush=True)


def count_calls(model: qedge.Model, binding: str, count: int) -> None:
    """Run the same inference bare and by qedge, with marks around each."""
    array = model.bundle.golden()[0][0][0]
    bare = find_binding(binding).module.Interpreter(model_content=model.bundle.read(MODEL), num_threads=1)
    bare.allocate_tensors()
    x, y = bare.get_input_details()[0]["index"], bare.get_output_details()[0]["index"]

    def call() -> None:
        bare.set_tensor(x, array)
        bare.invoke()
        bare.get_tensor(y)

    for kind in (call, lambda: model.run(array)):
        kind(), kind()
        mark()
        for _ in range(count):
            kind()
        mark()


if __name__ == "__main__":
    main()
