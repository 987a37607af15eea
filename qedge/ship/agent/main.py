"""Answers one request."""

from __future__ import annotations

import json
import os
import sys

from qedge.ship.agent.common import MARK, Refused, lock, root_of
from qedge.ship.agent.probe import probe
from qedge.ship.agent.units import follow, status
from qedge.ship.agent.versions import activate, check, prepare, put, rollback

OPERATIONS = {f.__name__: f for f in (probe, put, prepare, check, activate, rollback, follow, status)}


def main() -> None:
    """Read a request from stdin and print its answer."""
    try:
        request = json.loads(sys.stdin.buffer.readline())
        operation = OPERATIONS[request["operation"]]
        if operation in (probe, check, status):
            answer = operation(request)
        else:
            os.makedirs(root_of(request), exist_ok=True)
            with open(os.path.join(root_of(request), ".lock"), "w") as file:
                lock(file)
                answer = operation(request)
        print(MARK + json.dumps(answer), flush=True)
    except Refused as problem:
        print(MARK + json.dumps({"refused": str(problem)}), flush=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        print(MARK + json.dumps({"refused": f"{type(problem).__name__}: {problem}"}), flush=True)
