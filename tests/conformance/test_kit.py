"""The conformance kit: it passes on every target of ours and on the documented one, and fails on broken ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qedge.target import names, resolve
from qedge.testing.models import small_classifier

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Each is the documented target with one fault: its code, and the tests that are to fail.
BROKEN = {
    "trusting": (
        "def verify(self, bundle, samples, options):\n"
        "        count = 4 if samples is None else len(samples)\n"
        "        return VerifyReport(True, True, 'golden vectors', 'here', count)",
        ["test_a_wrong_output_is_noticed"],
    ),
    "dated": (
        "def compile(self, request):\n"
        "        made = super().compile(request)\n"
        "        return Compiled({**made.files, 'made.txt': str(time.time_ns()).encode()}, made.extra)",
        ["test_compiling_twice_gives_the_same_bytes"],
    ),
    "brittle": (
        "def check(self, request):\n"
        "        {name: 1 for name in acme_qedge.KERNELS}[request.graph.operators[1].op]\n"
        "        return super().check(request)",
        [
            "test_an_unknown_operator_is_refused_in_words_not_by_an_exception",
            "test_every_refusal_says_what_to_do",
            "test_an_unknown_operator_ends_the_build_with_an_error_of_qedge",
        ],
    ),
    "boundless": (
        "def check(self, request):\n"
        "        found = super().check(request)\n"
        "        kept = tuple(f for f in found.findings if f.rule != 'capacity')\n"
        "        return CheckReport(kept, found.operators, found.metrics)",
        ["test_a_budget_that_nothing_fits_is_missed"],
    ),
    "credulous": (
        "def validate_target_data(self, data):\n        1 / len(data.value['bytes'] * [1])",
        ["test_foreign_target_data_never_end_in_an_exception_of_python"],
    ),
    "telltale": (
        "def compile(self, request):\n"
        "        made = super().compile(request)\n"
        "        return Compiled({**made.files, 'log.txt': str(request.workdir.parent).encode()}, made.extra)",
        ["test_nothing_tells_where_it_was_made", "test_compiling_twice_gives_the_same_bytes"],
    ),
}
RUNNER = """
import json, sys
import pytest

class Recorder:
    def __init__(self):
        self.outcomes = {}
    def pytest_runtest_logreport(self, report):
        name = report.nodeid.rpartition("::")[2].partition("[")[0]
        if report.when == "call" or report.failed:
            self.outcomes.setdefault(report.outcome, []).append(name)

found = {}
for name in sys.argv[2:]:
    recorder = Recorder()
    code = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--qedge-target", name], plugins=[recorder])
    found[name] = {"code": int(code), **{k: sorted(set(v)) for k, v in recorder.outcomes.items()}}
open(sys.argv[1], "w").write(json.dumps(found))
"""


def blocks(project: Path) -> dict[str, str]:
    """Return the two files of the page by name: the code block after each name."""
    page = (project / "docs" / "targets.md").read_text()
    return dict(re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", page, re.DOTALL))


def install(folder: Path, modules: dict[str, str], targets: dict[str, str]) -> None:
    """Put modules and one distribution with targets into ``folder``, as pip leaves them."""
    for name, text in modules.items():
        (folder / name).write_text(text)
    info = folder / "acme_qedge-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-qedge\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in targets.items())
    (info / "entry_points.txt").write_text(f"[qedge.targets]\n{lines}")


def run_kit(folder: Path, *targets: str) -> dict[str, dict[str, list[str]]]:
    """Return the outcomes of the kit by target, from one process outside the project."""
    out = folder / "outcomes.json"
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(out), *targets],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert out.exists(), done.stdout + done.stderr
    return dict(json.loads(out.read_text()))


@pytest.fixture(scope="module")
def documented(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's target and broken ones beside it, installed."""
    folder = tmp_path_factory.mktemp("site")
    files = blocks(project)
    entries = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]["qedge.targets"]
    head = (
        "import dataclasses\nimport time\nimport acme_qedge\n"
        "from qedge.target import CheckReport, Compiled, TargetInfo, VerifyReport\n"
    )
    classes = [
        f"class {name.title()}(acme_qedge.CArray):\n"
        f"    info = dataclasses.replace(acme_qedge.CArray.info, name={name!r})\n"
        f"    {code}\n{name.upper()} = {name.title()}()\n"
        for name, (code, _) in BROKEN.items()
    ]
    modules = {"acme_qedge.py": files["acme_qedge.py"], "acme_broken.py": "\n".join([head, *classes])}
    install(folder, modules, {**entries, **{name: f"acme_broken:{name.upper()}" for name in BROKEN}})
    return folder


def test_the_documented_target_is_one_of_fifty_lines(project: Path) -> None:
    lines = [line for line in blocks(project)["acme_qedge.py"].splitlines() if line.strip()]
    assert 30 < len(lines) <= 50


def test_the_documented_target_installs_builds_and_verifies(project: Path, tmp_path: Path, cli) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for name, text in blocks(project).items():
        (source / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--target", str(site), str(source)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    env = {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    (tmp_path / "model.tflite").write_bytes(small_classifier())
    build = ("build", "model.tflite", "-t", "carray")
    assert cli(*build, "--flash", "1K", cwd=tmp_path, env=env).returncode == 5
    shown = cli(*build, cwd=tmp_path, env=env)
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"carray +8 of 8 on cpu +\d", shown.stdout)
    assert (
        (tmp_path / "build/model/carray/model.c").read_text().startswith("const unsigned char model_model[]")
    )
    found = cli.json("verify", "build/model/carray", cwd=tmp_path, env=env)
    assert found["passed"]
    assert "CPU twin" in found["core"]
    samples = np.load(tmp_path / "build/model/carray/golden/input_0.npy")
    np.save(tmp_path / "one.npy", samples[0])
    np.save(tmp_path / "many.npy", samples)
    ran = cli.json("run", "build/model/carray", "one.npy", cwd=tmp_path, env=env)
    assert len(ran["results"][0]["top"]) == 3
    refused = cli("run", "build/model/carray", "many.npy", cwd=tmp_path, env=env)
    assert (refused.returncode, refused.stderr.count("expected [1, 12, 10, 4]")) == (3, 1)


@pytest.mark.long
def test_it_fails_on_broken_targets_each_for_its_reason(documented: Path) -> None:
    found = run_kit(documented, "carray", *BROKEN)
    assert found["carray"]["code"] == 0, found["carray"]
    assert len(found["carray"]["passed"]) > 18
    failed = {name: found[name].get("failed") for name in BROKEN}
    assert failed == {name: sorted(tests) for name, (_, tests) in BROKEN.items()}


def missing(name: str) -> list[str]:
    return [r.name for r in resolve(name).doctor() if r.ok is False]


SLOW = ("ethosu", "mcu")  # they compile for each test of the kit
TARGETS = [pytest.param(name, marks=[pytest.mark.long] if name in SLOW else []) for name in names()]


@pytest.mark.parametrize("name", TARGETS)
def test_it_passes_on_every_target_of_ours(name: str, tmp_path: Path) -> None:
    if missing(name):
        pytest.skip(f"{name} needs {', '.join(missing(name))}")
    found = run_kit(tmp_path, name)[name]
    assert found["code"] == 0, found
    assert len(found["passed"]) > 18
