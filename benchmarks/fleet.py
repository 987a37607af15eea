"""A rollout to twenty devices, each an sshd on loopback: one computes wrongly, one dies in the middle, one is full.

    python benchmarks/fleet.py [--devices 20] [--log FILE]

First every device gets version one; then a rollout of version two, of which no device may fail, and one of which
three may. After each: what each device runs, proven by reading the bundle that is active there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit"), str(ROOT / "tests" / "fleet")]

from devices import DIES, SSHD, FakeDevice, devices, write_inventory  # noqa: E402
from tiny_bundles import make_bundle, tiny_images, tiny_model  # noqa: E402

from qedge.bundle import read_bundle  # noqa: E402
from qedge.fleet.rollout import Rollout, rollout  # noqa: E402


def versions(found: list[FakeDevice], bundles: list[Path]) -> Counter[str]:
    """Return how many devices run which bundle; each is read whole where it is active."""
    digests = [read_bundle(b).manifest.to_json()["digest"] for b in bundles]
    counts: Counter[str] = Counter()
    for device in found:
        place = device.root / "tiny" / "current" / "bundle"
        digest = read_bundle(place).manifest.to_json()["digest"] if place.is_dir() else None
        counts["none" if digest is None else f"version {1 + digests.index(digest)}"] += 1
    return counts


def say(title: str, began: float, found: Rollout, runs: Counter[str]) -> None:
    """Print one rollout."""
    failed = [f"{r.host} ({r.error[:90]})" for r in found.results if not r.ok]
    print(f"{title}: {'done' if found.done else 'stopped'}, {time.monotonic() - began:.0f} s by the clock")
    print(
        f"  asked {len(found.results)}, failed {len(failed)}, not asked {len(found.left)}, back {len(found.back)}"
    )
    for line in failed:
        print(f"    {line}")
    print(f"  devices run: {dict(runs)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    if SSHD is None:
        print("fleet: skipped: needs sshd (apt install openssh-server)")
        return
    golden = [(image ^ 0x80).view(np.int8)[None] for image in tiny_images(2)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundles = [make_bundle(folder / str(k), tiny_model(seed=3 + k), golden=golden) for k in range(2)]
        options = {"runs": 0, "forks": 4, "log": arguments.log}
        n = arguments.devices
        with devices(folder, {n - 2: DIES}, n) as (found, inventory):
            if not found[n - 1].mount_disk(100):
                print("no device without space: this machine mounts no disks")
            began = time.monotonic()
            first = rollout(bundles[0], inventory, batches=("100%",), **options)
            say("version one to all", began, first, versions(found, bundles))
            found[n // 2].give_wrong_results()
            write_inventory(folder, found)
            (found[n - 2].home / "dies").touch()
            if found[n - 1].mounted:
                found[n - 1].fill_disk()
            began = time.monotonic()
            stopped = rollout(bundles[1], inventory, **options)
            say("version two, none may fail", began, stopped, versions(found, bundles))
            began = time.monotonic()
            done = rollout(bundles[1], inventory, failures=3, **options)
            say("version two, three may fail", began, done, versions(found, bundles))


if __name__ == "__main__":
    main()
