"""Install PyTorch for the CPU beside the packages of ``.venv`` and run the tests that need it: ``make test-torch``.

``.venv-torch`` has PyTorch and its exporter only, and reads the rest from ``.venv``. A build with CUDA would take 5 GB:
where the index offers no build for the CPU, nothing is installed or run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

TORCH = "torch==2.13.0"
ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".venv-torch"
TESTS = ("tests/frontends/test_torch_front_end.py", "tests/frontends/test_torch_damage.py")


def offered() -> str:
    """Return the version that pip would install; nothing is fetched but what is said about it."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps"]
    done = subprocess.run(
        [*command, "--quiet", "--report", "-", TORCH], capture_output=True, text=True, check=False
    )
    try:
        return str(json.loads(done.stdout)["install"][0]["metadata"]["version"])
    except (ValueError, LookupError):
        return "none"


def install() -> Path:
    """Return the Python that has PyTorch, installed where it is not yet."""
    python, done = PLACE / "bin" / "python", PLACE / ".installed"
    if done.is_file():
        return python
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(PLACE)], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(PLACE)}))
    theirs = sysconfig.get_path("purelib")
    (site / "base.pth").write_text(f"import site; site.addsitedir({theirs!r})\n")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, TORCH, "onnxscript"], check=True)
    size = sum(p.stat().st_size for p in PLACE.rglob("*") if p.is_file() and not p.is_symlink())
    print(f"PyTorch in {time.perf_counter() - began:.0f} s, {size / 1e6:.0f} MB", flush=True)
    done.touch()
    return python


def main() -> int:
    """Return the exit code of the tests, 0 where they cannot be run."""
    if (
        sys.platform == "linux"
        and not (PLACE / ".installed").is_file()
        and not (found := offered()).endswith("+cpu")
    ):
        print(f"no build of {TORCH} for the CPU is offered here (found {found}): its tests are not run")
        return 0
    return subprocess.run([str(install()), "-m", "pytest", "-q", *TESTS], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
