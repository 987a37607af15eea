"""The child of :mod:`qedge_coral.isolate`: opens the device, then runs an inference a byte on stdin."""

from __future__ import annotations

import json
import mmap
import os
import sys
from typing import Any

from qedge.bundle.read import read_bundle
from qedge.errors import QedgeError
from qedge_coral import failures
from qedge_coral.isolate import layout, views
from qedge_coral.runtime import open_stage


def main(answers: int, memory: str, arguments: dict[str, Any]) -> int:
    """Serve until stdin ends; every answer is one line of JSON on the file descriptor ``answers``."""

    def say(message: dict[str, Any]) -> None:
        os.write(answers, json.dumps(message).encode() + b"\n")

    try:
        with read_bundle(arguments["bundle"], verify=False) as bundle:
            options = {**arguments["options"], "probe": False}
            engine = open_stage(bundle, int(arguments["stage"]), arguments["device"], options)
    except QedgeError as problem:
        say({"error": _described(problem)})
        return 0
    say({"ready": True})
    if not memory:
        engine.close()
        return 0
    with open(memory, "r+b") as file:
        shared = mmap.mmap(file.fileno(), 0)
    given = layout(engine.inputs)
    taken = layout(engine.outputs, sum(-(-size // 64) * 64 for _, size in given))
    inputs = views(shared, engine.inputs, given)
    outputs = views(shared, engine.outputs, taken)
    while sys.stdin.buffer.read(1):
        try:
            for place, result in zip(outputs, engine.run(inputs)):
                place[...] = result
        except QedgeError as problem:
            say({"error": _described(problem)})
            continue
        say({"done": True})
    engine.close()
    return 0


def _described(problem: QedgeError) -> dict[str, str]:
    rule = problem.rule if isinstance(problem, failures.EdgeTpuError) else "edgetpu"
    return {"rule": rule, "message": problem.message, "hint": problem.hint or ""}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])))
