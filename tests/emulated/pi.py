"""The emulated Pi as something to log in to and to install on; only the network is missing in between."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from systems import call

WHEELS = {"arm64": "aarch64", "armhf": "armv7l"}


class EmulatedPi:
    """A folder with an ``ssh`` that leads to an emulated system, whatever the host's name, and a home there.

    Args:
        words: start its Python, as ``systems.interpreter`` gives them.
        place: a folder to make.
    """

    def __init__(self, words: Sequence[str], place: Path) -> None:
        self.home = place / "home"
        self.ssh, self.python = place / "tools" / "ssh", place / "bin" / "python3"
        for folder in (self.home, self.ssh.parent, self.python.parent):
            folder.mkdir(parents=True)
        # What the version's launcher says comes first, then the binding that the environment has.
        words = [w.replace("PYTHONPATH=", "PYTHONPATH=$PYTHONPATH:") for w in words]
        _script(self.python, "exec " + " ".join(f'"{w}"' for w in words) + ' "$@"')
        _script(
            self.ssh,
            'case " $* " in *" -T "*) ;; *) exit 0;; esac\n'
            'for last in "$@"; do :; done\n'
            f'cd "{self.home}"; HOME="{self.home}" PATH="{self.python.parent}:$PATH" exec sh -c "$last"',
        )


def _script(place: Path, text: str) -> None:
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)


def pip_install(wheel_arch: str, site: Path, *words: str) -> None:
    """Install into ``site`` for another machine, by the tags that Python 3.11 of Debian 12 takes there."""
    tags = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux2014")
    platforms = [word for tag in tags for word in ("--platform", f"{tag}_{wheel_arch}")]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        sys.exit("needs pip in this environment")
    call(*pip, "--target", str(site), *platforms, "--python-version", "311", "--only-binary=:all:", *words)
