"""What is in the wheel, and that it works outside the tree with nothing but what it asks for."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module")
def pyproject(project: Path) -> dict:
    return tomllib.loads((project / "pyproject.toml").read_text())


def test_folders_packages_and_entry_points_agree(project: Path, pyproject: dict) -> None:
    folders = sorted(p.name for p in (project / "targets").iterdir() if (p / "__init__.py").is_file())
    packages = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages[0] == "qedge"
    assert sorted(packages[1:]) == [f"targets/{f}" for f in folders]
    entries = pyproject["project"]["entry-points"]["qedge.targets"]
    assert sorted(v.split(".")[0] for v in entries.values()) == folders
    assert all(v == f"qedge_{name}.target:TARGET" for name, v in entries.items())


def test_every_target_has_an_extra_of_its_name(pyproject: dict) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    for name in pyproject["project"]["entry-points"]["qedge.targets"]:
        assert name in extras


def test_tensorflow_is_only_in_the_extra_that_reads_keras(pyproject: dict) -> None:
    for name, requirements in pyproject["project"]["optional-dependencies"].items():
        if name != "keras":
            assert not any(r.startswith(("tensorflow", "tf-keras", "tf_keras")) for r in requirements), name


@pytest.fixture(scope="module")
def wheel(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_source_file(project: Path, wheel: Path) -> None:
    import zipfile

    inside = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "qedge", "targets", "sample_apps"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode:
        pytest.skip("not a git checkout: the list of source files is unknown")
    placed = {
        "targets/": "",
        "sample_apps/": "qedge/sample_apps/",
        "qedge/testing/entry.py": "_qedge_pytest.py",
    }
    wanted = set()
    for name in tracked.stdout.split():
        lead = next((lead for lead in placed if name.startswith(lead)), "")
        wanted.add(placed.get(lead, "") + name.removeprefix(lead))
    assert wanted
    assert sorted(wanted - inside) == []


class Clean:
    """A virtual environment outside the tree with the wheel and nothing else of ours."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        venv.create(folder, with_pip=True)
        self.bin = folder / "bin"
        self.cwd = folder
        self("python", "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{wheel}{extra}")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, without this process's import path."""
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=self.cwd,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.cwd), **_network()},
            capture_output=True,
            text=True,
            check=False,
        )

    def __call__(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _network() -> dict[str, str]:
    import os

    prefixes = ("PIP_", "SSL_", "REQUESTS_", "HTTP", "http", "NO_PROXY", "no_proxy", "ALL_PROXY")
    return {k: v for k, v in os.environ.items() if k.startswith(prefixes)}


@pytest.mark.slow
def test_the_plain_wheel_imports_numpy_at_most(tmp_path: Path, wheel: Path) -> None:
    clean = Clean(tmp_path / "plain", wheel, "")
    names = ("tensorflow", "typer", "rich", "PIL", "ai_edge_litert")
    heavy = f"import sys, qedge; print([m for m in {names} if m in sys.modules])"
    assert clean("python", "-W", "error", "-c", heavy).strip() == "[]"
    done = clean.run("qedge", "--help")
    assert done.returncode == 8
    assert "hint: pip install" in done.stderr
    assert "[host]" in done.stderr


@pytest.mark.long
def test_the_rpi_install_runs_a_bundle_without_tensorflow(
    tmp_path: Path, wheel: Path, digits_build: Path, project: Path
) -> None:
    clean = Clean(tmp_path / "rpi", wheel, "[rpi]")
    listed = clean("python", "-m", "pip", "list", "--format", "freeze").lower()
    assert "tensorflow" not in listed
    assert "keras" not in listed
    clip = next((project / "examples" / "digits" / "clips" / "three").glob("*.wav"))
    bundle = digits_build / "digits" / "rpi"
    program = f"import qedge\nwith qedge.load({str(bundle)!r}) as m: print(m({str(clip)!r}).top(1)[0][0])"
    assert clean("python", "-W", "error", "-c", program).strip() == "three"


@pytest.mark.long
def test_the_wheel_makes_projects_that_run(tmp_path: Path, wheel: Path, project: Path) -> None:
    clean = Clean(tmp_path / "host", wheel, "[host,rpi]")
    clip = next((project / "examples" / "digits" / "clips" / "three").glob("*.wav"))
    assert "wrote hearing" in clean("qedge", "new", "app", "voice", "hearing")
    assert '"label": "three"' in clean("python", "hearing", str(clip), "--json")
    found = clean("python", "-c", "from qedge.cli.new import apps_home; print(apps_home())").strip()
    assert found.endswith("site-packages/qedge/sample_apps")
