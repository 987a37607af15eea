"""A front end and a target from another distribution's wheel take part in every command, without a word in qedge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

Environment = dict[str, str]


@pytest.fixture(scope="module")
def installed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The variables under which Python finds a plug-in that was built as a wheel and installed by pip."""
    out, site = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    source = project / "tests" / "third_party" / "acme"
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    run(build)
    (wheel,) = out.glob("acme_qedge-*.whl")
    run([*install, str(wheel)])
    return {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])}


def run(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``net.acme``, ``empty.acme`` and ``x.npy``."""
    folder = tmp_path_factory.mktemp("model")
    rng = np.random.default_rng(0)
    layers = [
        {"name": f"dense_{i}", "kernel": rng.normal(size=shape).tolist(), "bias": [0.5] * shape[1]}
        for i, shape in enumerate([(6, 8), (8, 3)])
    ]
    (folder / "net.acme").write_bytes(b"ACME1\n" + json.dumps({"layers": layers}).encode())
    (folder / "empty.acme").write_bytes(b'ACME1\n{"layers": []}')
    np.save(folder / "x.npy", rng.normal(size=(60, 6)).astype(np.float32))
    return folder


def test_doctor_lists_both(cli, installed: Environment) -> None:
    sections = cli.json("doctor", env=installed)["sections"]
    (row,) = [row for row in sections["front ends"] if row["name"] == "acme"]
    assert row["ok"] is True
    assert "an .acme file" in row["detail"]
    assert "anvil" in sections


def test_check_and_build_take_the_model_to_the_target(
    cli, installed: Environment, model: Path, tmp_path: Path
) -> None:
    arguments = (model / "net.acme", "--data", model / "x.npy", "-t", "anvil")
    checked = cli.json("check", *arguments, env=installed)
    assert checked["model"]["origin"] == "acme"
    assert [o["op"] for o in checked["targets"]["anvil"]["operators"]] == ["FULLY_CONNECTED"] * 2
    built = cli.json("build", *arguments, "-o", tmp_path / "out", env=installed)
    bundle = Path(built["targets"]["anvil"]["bundle"])
    assert (bundle / "anvil.txt").read_text() == "2 operators\n"
    assert (bundle / "model.tflite").read_bytes()[4:8] == b"TFL3"


def test_its_refusals_and_its_absence_are_told_in_its_words(cli, installed: Environment, model: Path) -> None:
    refused = cli("check", model / "empty.acme", "--data", model / "x.npy", "-t", "rpi", env=installed)
    assert (refused.returncode, "it has no layers" in refused.stderr) == (3, True)
    unknown = cli("check", model / "net.acme", "--data", model / "x.npy", "-t", "rpi")
    assert unknown.returncode == 3
    assert "is no model that can be read" in unknown.stderr
    assert "an .acme file" not in unknown.stderr
    helped = cli("build", "--help", env={**installed, "COLUMNS": "300"})
    assert "an .acme file" in helped.stdout
