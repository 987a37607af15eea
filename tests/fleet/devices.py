"""Devices that are an sshd each, on loopback ports: what a rollout and an agent meet."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")
WRONG = """\
try:
    from qedge.runtime import litert
except ImportError:  # the agent's own Python sees no qedge
    pass
else:
    opened = litert.open_engine

    def wrong(*arguments, **options):
        engine = opened(*arguments, **options)
        run = engine.run
        engine.run = lambda arrays: [a[..., ::-1].copy() for a in run(arrays)]
        return engine

    litert.open_engine = wrong
"""
# Shell lines of a device: one that dies when the file ``dies`` is there.
DIES = """\
if [ -e {home}/dies ] && grep -qa '"operation": "prepare"' "$in"; then
  kill -9 $(cat {home}/pid) $PPID
  exit 1
fi"""


class FakeDevice:
    """One sshd with a home of its own.

    Args:
        python: shell lines that run before the device's Python does, which see the agent's request in ``$in``.
    """

    def __init__(self, folder: Path, number: int, *, python: str = "") -> None:
        self.home = folder / f"device{number}"
        self.name = f"device{number}"
        tools = self.home / "bin"
        tools.mkdir(parents=True)
        if python:
            before = python.format(home=self.home)
            script = f'#!/bin/bash\nin=$(mktemp); cat > "$in"\n{before}\nexec {sys.executable} "$@" < "$in"\n'
        else:
            script = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
        for name, text in (
            ("python3", script),
            ("systemctl", f'#!/bin/sh\necho "$@" >> {self.home}/systemctl.log\n'),
        ):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        self.interpreter = Path(sys.executable)
        self.mounted = False
        self.port = _free_port()
        (self.home / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {self.home}/pid\n"
            f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f'PermitRootLogin yes\nMaxStartups 100\nSetEnv PATH="{tools}:/usr/bin:/bin" HOME="{self.home}"\n'
        )
        self.server = subprocess.Popen(
            [str(SSHD), "-D", "-f", str(self.home / "config")],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def give_wrong_results(self) -> None:
        """Have models on this device compute otherwise than elsewhere."""
        hook = self.home / "wrong"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(WRONG)
        self.interpreter = self.home / "bin" / "wrong-python"
        self.interpreter.write_text(
            f'#!/bin/sh\nexport PYTHONPATH="{hook}:$PYTHONPATH"\nexec {sys.executable} "$@"\n'
        )
        self.interpreter.chmod(0o755)

    def mount_disk(self, megabytes: int) -> bool:
        """Give the device a small disk of its own; False where this machine may not mount any."""
        self.root.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(self.root)]
        self.mounted = subprocess.run(command, capture_output=True).returncode == 0
        return self.mounted

    def fill_disk(self) -> None:
        """Leave a few kilobytes."""
        free = shutil.disk_usage(self.root).free
        (self.root / "full").write_bytes(b"x" * (free - 8192))

    @property
    def root(self) -> Path:
        """The folder that versions go to."""
        return self.home / "qedge"

    def current(self, name: str = "tiny") -> str | None:
        """Return the active version, or None."""
        link = self.root / name / "current"
        return os.readlink(link).rpartition("/")[2] if link.is_symlink() else None

    def stop(self) -> None:
        """End the sshd."""
        self.server.terminate()
        self.server.wait()
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.root)], check=True)


@contextmanager
def devices(folder: Path, pythons: dict[int, str], count: int) -> Iterator[tuple[list[FakeDevice], Path]]:
    """Run ``count`` devices; yield them and their inventory for Ansible."""
    for key in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(command, check=True)
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    found = [FakeDevice(folder, number, python=pythons.get(number, "")) for number in range(count)]
    try:
        for device in found:
            _wait(device.port)
        yield found, write_inventory(folder, found)
    finally:
        for device in found:
            device.stop()


def write_inventory(folder: Path, found: list[FakeDevice]) -> Path:
    """Write what Ansible is to know of the devices; return the file."""
    lines = [
        f"{d.name} ansible_host=127.0.0.1 ansible_port={d.port} qedge_root={d.root} "
        f"qedge_deploy_arguments=\"['--python', '{d.interpreter}']\""
        for d in found
    ]
    lines += ["", "[all:vars]", f"ansible_user={getpass.getuser()}"]
    lines += [f"ansible_ssh_private_key_file={folder}/user", f"qedge_ssh_options={list(OPTIONS)!r}"]
    inventory = folder / "inventory.ini"
    inventory.write_text("\n".join(lines) + "\n")
    return inventory


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("sshd did not start")
