"""Run the Edge TPU load path with every TFLite binding that is supported, each in an environment of its own.

    python benchmarks/coral_bindings.py [--json] [--keep FOLDER]

Makes the environments (downloads the bindings), builds the stand-in ``libedgetpu.so.1`` and a compiled bundle, and
in each environment loads the bundle with ``strict=True``, in this process and isolated, and compares the outputs
with the golden vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
BINDINGS = {
    "ai-edge-litert, oldest supported": ["ai-edge-litert==2.1.2", "numpy"],
    "ai-edge-litert, newest": ["ai-edge-litert", "numpy"],
    "tflite-runtime, last release": ["tflite-runtime==2.14.0", "numpy<2"],
}
RUN = """
import json, sys
import numpy as np
from qedge.bundle import read_bundle
from qedge_coral.runtime import open_runtime
result = {"python": sys.version.split()[0]}
with read_bundle(sys.argv[1]) as bundle:
    for isolate in (False, True):
        engine = open_runtime(bundle, strict=True, isolate=isolate)
        worst = 0
        for inputs, outputs in bundle.golden():
            for found, wanted in zip(engine.run(inputs), outputs):
                worst = max(worst, int(np.abs(found.astype(int) - wanted.astype(int)).max()))
        result["isolated" if isolate else "direct"] = worst
        result.setdefault("binding", engine.describe()["binding"])
        engine.close()
print(json.dumps(result))
"""


def run_with(packages: list[str], folder: Path, bundle: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Return what one binding made of the bundle, or why it did not."""
    python = str(folder / "bin/python")
    if not (folder / "bin/python").exists():
        venv.create(folder, with_pip=True)
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True
        )
        if done.returncode:
            return {"error": done.stderr.strip().splitlines()[-1]}
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "targets")])
    environment = {**environment, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache")}
    line = [python, "-c", RUN, str(bundle)]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> int:
    """Print a line a binding; the exit status is 1 when one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--keep", type=Path, help="folder for the environments, made once (default: temporary)"
    )
    given = parser.parse_args()
    sys.path.insert(0, str(PROJECT / "tests/unit"))
    import coral_doubles as doubles

    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        options = {"compiler": str(doubles.build_compiler(folder))}
        bundle = doubles.write(folder / "bundle", doubles.small_model(), options, folder / "work")
        environment = {
            **os.environ,
            "QEDGE_LIBEDGETPU": str(doubles.build_library(folder)),
            "EDGETPU_DOUBLE_HELPER": doubles.helper(),
        }
        found = {
            name: run_with(packages, folder / f"env{i}", bundle, environment)
            for i, (name, packages) in enumerate(BINDINGS.items())
        }
    if given.json:
        json.dump(found, sys.stdout, indent=2)
    else:
        for name, facts in found.items():
            print(f"{name:34} {facts}")
    return int(any("error" in f or f["direct"] > 1 or f["isolated"] > 1 for f in found.values()))


if __name__ == "__main__":
    sys.exit(main())
