"""Damaged models in a process of their own: each is converted or refused, and nothing else happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).with_name("damage_loop.py")


def mutate(model: Path, first: int, last: int) -> None:
    """Damage a model again and again in a process and a folder of its own, and assert that nothing else happens."""
    work, home = model.parent / "work", model.parent / "home"
    work.mkdir()
    home.mkdir()
    done = subprocess.run(
        [sys.executable, str(LOOP), str(model), str(first), str(last)],
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
        cwd=work,
        env={**os.environ, "HOME": str(home), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["other"] == []
    assert told["converted"] + told["refused"] == last - first
    assert told["refused"] > (last - first) // 5
    assert told["mb"] < 1536
    assert [p.name for p in work.iterdir()] == [f"damaged{model.suffix}"]
