"""Virtual environments on the device: made once, and filled with what a version needs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import Any

from qedge.ship.agent.common import json_of, place_file, run

# LiteRT's interpreter needs none of what its wheel depends on (numpy is there), nor its library for GPUs.
ALONE, MODULE = ("ai-edge-litert",), "ai_edge_litert"
NEVER_LOADED = ("libLiteRtWebGpuAccelerator.so",)


def environment_of(request: dict[str, Any], root: str) -> str:
    """Return the interpreter to run with; makes a virtual environment and fills it where none has all packages."""
    if request.get("python"):
        return str(request["python"])
    interpreter, packages = sys.executable, request["packages"]
    made_from = [interpreter, list(sys.version_info[:2]), bool(request.get("system_packages"))]
    environments = os.path.join(root, "environments")
    for name in sorted(os.listdir(environments)) if os.path.isdir(environments) else []:
        found = json_of(os.path.join(environments, name, "complete"))
        if found and found["from"] == made_from and set(packages) <= set(found["packages"]):
            return os.path.join(environments, name, "bin", "python")
    folder = os.path.join(
        environments, hashlib.sha256(json.dumps([packages, made_from]).encode()).hexdigest()[:12]
    )
    shutil.rmtree(folder, ignore_errors=True)
    system = ["--system-site-packages"] if request.get("system_packages") else []
    run(
        [interpreter, "-m", "venv", *system, folder], "python3-venv is missing: sudo apt install python3-venv"
    )
    python = os.path.join(folder, "bin", "python")
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary=:all:",
    ]
    wheels = os.path.join(folder, "wheels")
    if request.get("wheels"):
        os.makedirs(wheels)
        for name, sha256 in request["wheels"].items():
            place_file(os.path.join(root, "store", sha256), os.path.join(wheels, name))
        command += ["--no-index", "--find-links", wheels]
    if packages:
        hint = (
            "the folder of --wheels lacks something for this device"
            if request.get("wheels")
            else "is the device online? if not, give a folder of wheels with --wheels"
        )
        alone = [name for name in packages if name.startswith(ALONE)]
        rest = [name for name in packages if name not in alone]
        if rest:
            run([*command, *rest], hint)
        if alone:
            run([*command, "--no-deps", *alone], hint)
            _slim(python, [*command, *alone], hint)
    shutil.rmtree(wheels, ignore_errors=True)
    with open(os.path.join(folder, "complete"), "w") as file:
        json.dump({"packages": packages, "from": made_from}, file)
    return python


def _slim(python: str, complete: list[str], hint: str) -> None:
    """Remove what the CPU never loads; where the binding does not work then, run ``complete`` after all."""
    code = f"import {MODULE}, os; print(os.path.dirname({MODULE}.__file__)); import {MODULE}.interpreter"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode == 0:
        for name in NEVER_LOADED:
            place = os.path.join(done.stdout.strip().splitlines()[-1], name)
            if os.path.exists(place):
                os.unlink(place)
        done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode != 0:
        run([*complete, "--force-reinstall"], hint)
