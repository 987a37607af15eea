"""``rollout``: batches of devices by ansible-playbook, a failure budget, and the way back."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from qedge.bundle import read_bundle
from qedge.errors import ToolError, UsageError
from qedge.fleet.results import Result, read_results
from qedge.installing import install_command

ROLE = Path(__file__).parent / "role"
BATCHES = ("1", "10%", "100%")


class Rollout(NamedTuple):
    """What a rollout did.

    Args:
        name: of the model.
        done: whether every device was asked and no more failed than may.
        results: the answers of the devices that were asked.
        left: devices that were not asked, as it stopped before.
        back: devices that went back, and their answers.
    """

    name: str
    done: bool
    results: tuple[Result, ...]
    left: tuple[str, ...]
    back: tuple[Result, ...]


def rollout(
    bundle: Path,
    inventory: Path,
    *,
    batches: Sequence[str] = BATCHES,
    failures: int = 0,
    keep: bool = False,
    max_ms: float | None = None,
    runs: int = 50,
    forks: int = 10,
    limit: str | None = None,
    log: Path | None = None,
) -> Rollout:
    """Bring ``bundle`` to the devices of an inventory, batch by batch.

    Each device proves the version by its golden vectors and its benchmark before it becomes active; one that fails
    keeps what it has. Where more than ``failures`` have failed after a batch, no further one is asked, and
    those that changed go back to the version before, unless ``keep`` says that they are to stay.

    Args:
        inventory: Ansible's, in any of its forms; a host's variables may set those of the role.
        batches: sizes, as numbers of devices or shares of all.
        max_ms: the most that the median of a run may take on a device.
        forks: devices at the same time.
        limit: Ansible's pattern of the devices that are meant.
        log: file for what Ansible prints.

    Raises:
        UsageError: no device, or a batch that is neither a number nor a share.
        ToolError: ansible-core is missing or does not run.
    """
    sizes = [_batch(word) for word in batches]
    if not inventory.exists():
        raise UsageError(f"{inventory}: no such inventory", hint="a file with one device a line is one")
    with read_bundle(bundle) as opened:
        name = opened.manifest.name
    gate = ["--runs", str(runs)] + ([] if max_ms is None else ["--max-latency", f"{max_ms:g}"])
    with tempfile.TemporaryDirectory(prefix="qedge-fleet-") as scratch:
        playbooks = _Playbooks(Path(scratch), inventory, bundle.resolve(), forks, limit, log)
        hosts = playbooks.hosts()
        if not hosts:
            raise UsageError(f"{inventory}: no devices in it", hint="one a line, or another --limit")
        results = playbooks.play(
            "deployed", hosts, sizes, {"qedge_failures": failures, "qedge_gate_arguments": gate}
        )
        done = sum(not r.ok for r in results) <= failures and len(results) == len(hosts)
        changed = [r.host for r in results if r.ok and r.changed and r.previous is not None]
        back: list[Result] = []
        if not done and changed and not keep:
            back = playbooks.play("previous", changed, ["100%"], {})
    asked = {r.host for r in results}
    return Rollout(name, done, tuple(results), tuple(h for h in hosts if h not in asked), tuple(back))


class _Playbooks:
    """Runs the role by ansible-playbook, on connections that ``qedge deploy`` makes."""

    def __init__(
        self, scratch: Path, inventory: Path, bundle: Path, forks: int, limit: str | None, log: Path | None
    ) -> None:
        if importlib.util.find_spec("ansible") is None:
            raise ToolError("ansible-core is not installed", hint=install_command("fleet"))
        self._scratch, self._inventory, self._bundle = scratch, inventory, bundle
        self._forks, self._limit, self._log = forks, limit, log

    def hosts(self) -> list[str]:
        """Return the devices that the inventory and the limit name, in their order."""
        words = ["--limit", self._limit] if self._limit else []
        done = self._run("ansible", "all", "-i", str(self._inventory), "--list-hosts", *words)
        if done.returncode != 0:
            raise UsageError(f"{self._inventory}: {_last(done.stderr or done.stdout)}")
        return [line.strip() for line in done.stdout.splitlines()[1:] if line.strip()]

    def play(
        self, state: str, hosts: Sequence[str], sizes: Sequence[int | str], variables: dict[str, Any]
    ) -> list[Result]:
        """Return the answers of the devices that were asked."""
        results = self._scratch / state
        results.mkdir()
        book = [
            {
                "hosts": "all",
                "gather_facts": False,
                "serial": list(sizes),
                "max_fail_percentage": 99,
                "roles": [{"role": str(ROLE)}],
            }
        ]
        values = {
            "qedge_state": state,
            "qedge_bundle": str(self._bundle),
            "qedge_results": str(results),
            "qedge_python": sys.executable,
            "ansible_python_interpreter": sys.executable,
            **variables,
        }
        texts = {"book": book, "values": values, "limit": "\n".join(hosts)}
        places = {key: self._scratch / f"{state}.{key}.json" for key in texts}
        for key, text in texts.items():
            places[key].write_text(text if isinstance(text, str) else json.dumps(text))
        done = self._run(
            "ansible-playbook", str(places["book"]), "-i", str(self._inventory), "-e", f"@{places['values']}",
            "--limit", f"@{places['limit']}", "--forks", str(self._forks),
        )  # fmt: skip
        found = read_results(results)
        if not found:
            raise ToolError(f"ansible-playbook asked no device: {_last(done.stdout + done.stderr)}")
        return found

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        module = {"ansible": "adhoc", "ansible-playbook": "playbook"}[program]
        command = [sys.executable, "-m", f"ansible.cli.{module}", *arguments]
        env = {
            **os.environ,
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_HOME": str(self._scratch / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env)
        if self._log is not None:
            with open(self._log, "a", encoding="utf-8") as file:
                file.write(done.stdout + done.stderr)
        return done


def _batch(word: str) -> int | str:
    match = re.fullmatch(r"\s*([1-9][0-9]{0,5})\s*(%?)\s*", word.replace("all", "100%"))
    if match is None or (match.group(2) and int(match.group(1)) > 100):
        raise UsageError(
            f"--batches: found {word!r}, expected a number of devices, a share or 'all'", hint="1,10%,all"
        )
    return f"{match.group(1)}%" if match.group(2) else int(match.group(1))


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
