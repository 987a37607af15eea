"""Hosts that lack something: a device with the extra ``[rpi]`` alone, and systems without POSIX's own modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bundles import make_bundle

HIDE = """
import os, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["HIDDEN"].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Hidden())
for name in os.environ["HIDDEN"].split():
    sys.modules.pop(name, None)
for word in os.environ.get("WITHOUT", "").split():
    module, _, name = word.rpartition(".")
    delattr(__import__(module), name) if hasattr(__import__(module), name) else None
"""
# What the extras other than [rpi] bring: none of it is on a device.
HOST_ONLY = "jinja2 threadpoolctl tensorflow keras tf_keras onnx onnxruntime torch ziglang unicorn tflite_micro ethosu"


@pytest.fixture
def without(tmp_path: Path):
    """Run Python where modules and functions are hidden."""
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "sitecustomize.py").write_text(HIDE)

    def run(hidden: str, *words: str, functions: str = "") -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(tmp_path / "hiding"), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        environment = {**os.environ, "PYTHONPATH": path, "HIDDEN": hidden, "WITHOUT": functions}
        return subprocess.run(
            [sys.executable, *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    return run


@pytest.mark.parametrize(
    "words",
    [
        ("run", "BUNDLE", "photo.png"),
        ("bench", "BUNDLE", "--runs", "3"),
        ("verify", "BUNDLE"),
        ("inspect", "BUNDLE"),
        ("doctor",),
    ],
    ids=lambda words: words[0],
)
def test_a_device_with_the_extra_rpi_alone_has_its_commands(
    words: tuple[str, ...], without, tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8), "red").save(tmp_path / "photo.png")
    bundle = make_bundle(tmp_path / "bundle")
    done = without(HOST_ONLY, "-m", "qedge", *(str(bundle) if w == "BUNDLE" else w for w in words))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


WINDOWS_LACKS = "os.killpg os.fork os.sched_getaffinity os.getuid os.geteuid"


def test_a_conversion_works_and_ends_without_process_groups(without, tmp_path: Path) -> None:
    """As on Windows: a child that takes too long is ended, and one that is well is read."""
    program = """
import sys, tempfile
from pathlib import Path
from qedge.errors import ModelError
from qedge.frontends import child
front_end = type("F", (), {"info": type("I", (), {"environment": {}, "noise": "x", "title": "slow", "name": "slow"})})()
print(child.run([Path("no-request.json")], [front_end], Path(tempfile.mkdtemp()), child.Limits(60)).status)
print(child.run([Path("no-request.json")], [front_end], Path(tempfile.mkdtemp()), child.Limits(0.001)).why)
"""
    done = without("fcntl resource", "-c", program, functions=WINDOWS_LACKS)
    assert done.returncode == 0, done.stderr
    status, why = done.stdout.splitlines()
    assert int(status) > 0
    assert "took more than" in why


def test_commands_of_the_host_import_without_posix_modules(without) -> None:
    program = (
        "from qedge.cli._app import build_app; import qedge.deploy, qedge.api; build_app(); print('imported')"
    )
    done = without("fcntl resource pwd grp termios", "-c", program, functions=WINDOWS_LACKS)
    assert done.stdout.strip() == "imported", done.stderr[-2000:]


def test_an_isolated_edge_tpu_is_refused_in_words_where_it_cannot_be(without) -> None:
    program = """
from qedge.errors import ToolError
from qedge_coral.isolate import Child
try:
    Child({}, None, 1.0)
except ToolError as problem:
    print(problem.message, "|", problem.hint)
"""
    done = without("fcntl resource", "-c", program, functions=WINDOWS_LACKS)
    assert "needs a POSIX system" in done.stdout, done.stderr
    assert "Linux or macOS" in done.stdout
