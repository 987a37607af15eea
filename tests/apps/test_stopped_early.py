"""Ctrl-C and SIGTERM while an app still loads its packages: it ends at once and says nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

APPS = Path(__file__).parents[2] / "sample_apps"
# Stops the process in the middle of its imports: when numpy is looked for.
STOPPER = """
import importlib.abc, os, sys

class Stopper(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "numpy":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(os.environ["STOP_WITH"]))
        return None

sys.meta_path.insert(0, Stopper())
"""


@pytest.mark.parametrize("app", ["camera", "voice"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_packages_load_is_no_traceback(app: str, number: int, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(STOPPER)
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths, "STOP_WITH": str(int(number))}
    done = subprocess.run(
        [sys.executable, str(APPS / app), "--no-such-option"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
