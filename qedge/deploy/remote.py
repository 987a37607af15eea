"""Talks to the agent on a device through the system's ``ssh``; one connection serves all requests."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from qedge.errors import ToolError, UsageError
from qedge.ship import agent
from qedge.ship.agent.common import MARK

# On stdin the length of the agent's modules, the modules as JSON, and the request: nothing is quoted for a shell.
_BOOTSTRAP = """\
import importlib.util, json, sys
n = int(sys.stdin.buffer.readline())
text = sys.stdin.buffer.read(n)
len(text) == n or sys.exit(3)
modules = json.loads(text)
class Sent:
    def find_spec(self, name, path, target=None):
        if name in modules:
            holds = any(module.startswith(name + ".") for module in modules)
            return importlib.util.spec_from_loader(name, self, is_package=holds)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        exec(compile(modules[module.__name__], module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, Sent())
from qedge.ship.agent.main import main
main()
"""
CONNECT_TIMEOUT_S = 15


def agent_modules() -> dict[str, str]:
    """Return the text of the agent's modules and of what they import, by name; packages are empty there."""
    folder = Path(agent.__file__).parent
    names = [f"{agent.__name__}.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"]
    found: dict[str, str] = {}
    for name in sorted([*names, *agent.SENT]):
        above = name.split(".")
        found |= {".".join(above[:k]): "" for k in range(1, len(above)) if ".".join(above[:k]) not in found}
        found[name] = folder.parents[1].joinpath(*above[1:]).with_suffix(".py").read_text(encoding="utf-8")
    return found


class Remote:
    """A device; use it in a ``with``.

    Args:
        host: ``user@host``, or a name of ``~/.ssh/config``.
        ssh: the command and its options, for instance ``("ssh", "-p", "2222")``.
        python: the device's interpreter that runs the agent.
    """

    def __init__(self, host: str, ssh: Sequence[str] = ("ssh",), python: str = "python3") -> None:
        if not host or host.startswith("-") or any(c.isspace() for c in host):
            raise UsageError(f"found host {host!r}, expected user@host")
        if shutil.which(ssh[0]) is None:
            raise ToolError(f"{ssh[0]} is not installed", hint="sudo apt install openssh-client")
        self.host = host
        self._python = python
        self._scratch = tempfile.TemporaryDirectory(prefix="qedge-ssh-")
        self._shared = [
            "-o", "ControlMaster=auto",
            "-o", f"ControlPath={self._scratch.name}/%C",
            "-o", "ControlPersist=60",
            "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}",
            "-o", "ServerAliveInterval=5",
            "-o", "ServerAliveCountMax=3",
        ]  # fmt: skip
        self._ssh = list(ssh)

    def ask(self, operation: str, payload: Sequence[bytes] = (), **request: Any) -> dict[str, Any]:
        """Return the agent's answer.

        Raises:
            ToolError: the connection fails or breaks, or the agent refuses.
        """
        text = json.dumps(agent_modules()).encode()
        line = json.dumps({"operation": operation, **request}).encode()
        sent = b"".join([b"%d\n" % len(text), text, line, b"\n", *payload])
        command = f"{shlex.quote(self._python)} -c {shlex.quote(_BOOTSTRAP)}"
        # Files rather than pipes: the shared connection stays in the background and would keep a pipe open.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            subprocess.run(
                [*self._ssh, *self._shared, "-T", self.host, command], input=sent, stdout=out, stderr=err
            )
            out.seek(0), err.seek(0)
            printed, complaint = out.read().decode(errors="replace"), err.read().decode(errors="replace")
        answers = [line for line in printed.splitlines() if line.startswith(MARK)]
        if not answers:
            said = complaint.strip().splitlines()
            raise ToolError(
                f"{self.host}: {operation} got no answer: {said[-1] if said else 'the connection broke'}",
                hint=f"does this work? ssh {self.host} python3 --version",
            )
        try:
            answer: dict[str, Any] = json.loads(answers[-1][len(MARK) :])
        except (ValueError, RecursionError):
            raise ToolError(f"{self.host}: {operation}: the answer was cut off") from None
        if not isinstance(answer, dict):
            raise ToolError(f"{self.host}: {operation}: the answer is none of the agent's")
        if "refused" in answer:
            raise ToolError(f"{self.host}: {answer['refused']}")
        return answer

    def close(self) -> None:
        """End the shared connection."""
        subprocess.run([*self._ssh, *self._shared, "-O", "exit", self.host], capture_output=True, check=False)
        self._scratch.cleanup()

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
