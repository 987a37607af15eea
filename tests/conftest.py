"""Fixtures that every test may use."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# No test may depend on how busy the machine is: no deadline an example, and slow data is no failure.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

PROJECT = Path(__file__).resolve().parent.parent


_STARTS: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def same_numbers(request: pytest.FixtureRequest) -> None:
    """Every test takes the numbers of its module's ``RNG`` from the start on, whichever tests ran before it."""
    rng = getattr(request.module, "RNG", None)
    if isinstance(rng, np.random.Generator):
        bits = rng.bit_generator
        bits.state = _STARTS.setdefault(request.module.__name__, bits.state)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Third-party models and data that lie beside the project, or a skip."""
    folder = PROJECT.parent / "shared"
    if not (folder / "models").is_dir():
        folder = PROJECT.parent.parent / "shared"
    if not (folder / "models").is_dir():
        pytest.skip("needs the third-party models and data beside the project")
    return folder


class Cli:
    """Runs ``python -m qedge`` as a user does, in a process of its own."""

    def __call__(
        self, *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Return the finished process; its streams are text and no terminal."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("QEDGE_")}
        return subprocess.run(
            [sys.executable, "-m", "qedge", *map(str, arguments)],
            cwd=cwd,
            env={**clean, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def json(self, *arguments: object, code: int = 0, **options: Any) -> dict[str, Any]:
        """Run with ``--json``; assert the exit code and return what was printed."""
        done = self(*arguments, "--json", **options)
        assert done.returncode == code, done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture(scope="session")
def cli() -> Cli:
    """The command line."""
    return Cli()


@pytest.fixture(scope="session")
def digits_build(tmp_path_factory: pytest.TempPathFactory, project: Path, cli: Cli) -> Path:
    """The shipped digit spotter, built for all three targets; once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    out = root / "digits_build"
    with open(root / "digits_build.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "done.json").exists():
            folder = project / "examples" / "digits"
            document = cli.json("build", "-t", "rpi", "-t", "coral", "-t", "mcu", "-o", out, cwd=folder)
            (out / "done.json").write_text(json.dumps(document))
    return out
