"""The whole journey on the model that ships: build for three targets, verify each bundle, run it on clips.

Run by ``make demo``; every command that it runs is printed, and can be typed by hand in ``examples/digits``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
QEDGE = [sys.executable, "-m", "qedge"]
TARGETS = ("rpi", "coral", "mcu")


def qedge(*arguments: str, show: bool = True) -> str:
    """Run one command in this folder; stop the demo with its exit code when it fails."""
    if show:
        print(f"\n$ qedge {' '.join(arguments)}", flush=True)
    stdout = None if show else subprocess.PIPE
    done = subprocess.run([*QEDGE, *arguments], cwd=HERE, stdout=stdout, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


def recognised(results: list[dict[str, object]]) -> tuple[int, Counter[str]]:
    """Return how many clips were named after their folder, and the misses by ``said -> heard``."""
    misses: Counter[str] = Counter()
    for result in results:
        said = Path(str(result["input"])).parent.name
        heard = result["top"][0]["label"]  # type: ignore[index]
        if said != heard:
            misses[f"{said} -> {heard}"] += 1
    return len(results) - sum(misses.values()), misses


def main() -> None:
    """Build, verify, run, and print what a person wants to see."""
    started = time.monotonic()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    qedge("build", "-t", "rpi", "-t", "coral", "-t", "mcu")
    for target in TARGETS:
        qedge("verify", f"build/digits/{target}")
    clips = [str(p.relative_to(HERE)) for p in sorted((HERE / "clips").glob("*/*.wav"))]
    first = [next(c for c in clips if c.startswith(f"clips/{w}/")) for w in ("three", "seven", "silence")]
    qedge("run", "build/digits/mcu", *first)
    print("\n$ qedge run build/digits/rpi clips", flush=True)
    results = json.loads(qedge("run", "build/digits/rpi", "clips", "--json", show=False))["results"]
    right, misses = recognised(results)
    print(
        f"{right} of {len(results)} clips recognised by the int8 model ({100 * right / len(results):.1f} %)"
    )
    for miss, count in misses.most_common():
        print(f"  missed: {miss}" + (f" ({count} times)" if count > 1 else ""))
    print(f"\nThree verified bundles in {time.monotonic() - started:.0f} s, in {HERE / 'build' / 'digits'}:")
    print(
        "  rpi    qedge deploy build/digits/rpi pi@raspberrypi: installs what it needs there, and proves it"
    )
    print("  coral  the same with 'qedge[coral]'; COMPILE.md says how to get the Edge TPU's own code")
    print("  mcu    c/ is a C library without dependencies for any firmware project")
    print("  open rpi/report.html in a browser to see what the build found")


if __name__ == "__main__":
    main()
