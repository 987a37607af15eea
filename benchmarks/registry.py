"""What a bundle costs over a registry, beside plain HTTP copies: of its files, and of the registry's own blobs.

    python benchmarks/registry.py [--bundle BUNDLE] [--runs 20] [--json]

Debian's docker-registry on this machine, a fresh repository each run; wall seconds, median over the runs, which take
turns. The plain copy (``http``) is what a script does: each file by Python's ``urllib``, one after the other, from a
static server, written, and the bundle checked as it is read. That client has no process to start and does not wait for
the disk, as a pull does; ``curl`` is one process of curl for all files, where it is installed.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from qedge.bundle import read_bundle  # noqa: E402
from qedge.ship import pull, push  # noqa: E402
from tests.ship.registries import REGISTRY, docker_registry  # noqa: E402


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=ROOT / "sample_apps" / "voice" / "bundle")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if REGISTRY is None:
        print("registry: skipped: needs Debian's docker-registry")
        return
    files = [p for p in arguments.bundle.rglob("*") if p.is_file()]
    size = sum(p.stat().st_size for p in files)
    found: dict[str, list[float]] = {
        "http": [],
        "curl": [],
        "blobs": [],
        "push": [],
        "pull": [],
        "pull_have": [],
    }
    with tempfile.TemporaryDirectory() as scratch, docker_registry(Path(scratch)) as host:
        handler = functools.partial(_Quiet, directory=str(arguments.bundle))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]

        def copy(target: Path) -> None:
            for path in files:
                name = path.relative_to(arguments.bundle)
                place = target / name
                place.parent.mkdir(parents=True, exist_ok=True)
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name.as_posix()}") as answer:
                    place.write_bytes(answer.read())
            read_bundle(target)

        def curl(target: Path) -> None:
            names = [path.relative_to(arguments.bundle).as_posix() for path in files]
            places = [
                word
                for name in names
                for word in (f"http://127.0.0.1:{port}/{name}", "-o", str(target / name))
            ]
            subprocess.run(["curl", "--silent", "--fail", "--create-dirs", *places], check=True)
            read_bundle(target)

        def blobs(digests: list[str], repository: str) -> None:
            for digest in digests:
                with urllib.request.urlopen(f"http://{host}/v2/{repository}/blobs/{digest}") as answer:
                    answer.read()

        digests = ["sha256:" + hashlib.sha256(p.read_bytes()).hexdigest() for p in files]
        for k in range(arguments.runs):
            reference, out = f"oci://{host}/bundle{k}:1", Path(scratch) / f"out{k}"
            found["push"].append(timed(functools.partial(push, arguments.bundle, reference)))
            found["pull"].append(timed(functools.partial(pull, reference, out)))
            found["pull_have"].append(timed(functools.partial(pull, reference, out)))
            found["blobs"].append(timed(functools.partial(blobs, digests, f"bundle{k}")))
            found["http"].append(timed(functools.partial(copy, Path(scratch) / f"copy{k}")))
            if shutil.which("curl"):
                found["curl"].append(timed(functools.partial(curl, Path(scratch) / f"curl{k}")))
        server.shutdown()
        server.server_close()
    medians = {name: statistics.median(times) for name, times in found.items() if times}
    load = round(os.getloadavg()[0], 1)
    result = {
        "bytes": size,
        "files": len(files),
        "load": load,
        "runs": arguments.runs,
        **{f"{k}_s": round(v, 4) for k, v in medians.items()},
    }
    result["pull_to_http"] = round(medians["pull"] / medians["http"], 2)
    result["pull_to_blobs"] = round(medians["pull"] / medians["blobs"], 2)
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"bundle of {size:,} bytes, {len(files)} files, median of {arguments.runs} runs, "
        f"load {load} of {os.cpu_count()} CPUs"
    )
    for name, median in medians.items():
        print(f"  {name:10} {1000 * median:8.1f} ms")
    print(f"  pull to a plain copy of the files by HTTP: {result['pull_to_http']}")
    print(f"  pull to plain GETs of the registry's own blobs: {result['pull_to_blobs']}")


if __name__ == "__main__":
    main()
