"""Projects that ``qedge new app`` makes: they run, every command of their page works, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit"))

from tiny_bundles import make_bundle

from qedge.bundle import pack_bundle, read_bundle
from qedge.cli.new import write_folder
from qedge.errors import UsageError

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"
# Lines of the page that change the machine or need a device.
ELSEWHERE = ("systemctl", "journalctl", "loginctl")


def clip(label: str) -> Path:
    return min((DIGITS / "clips" / label).glob("*.wav"))


def labels(output: str) -> list[str]:
    return [json.loads(line)["label"] for line in output.splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def hearing(cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project "hearing", and this test's Python as the environment that its page makes."""
    home = tmp_path_factory.mktemp("home")
    done = cli("new", "app", "voice", "hearing", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "wrote hearing" in done.stdout
    folder = home / "hearing"
    bin = folder / ".venv" / "bin"
    bin.mkdir(parents=True)
    (bin / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (bin / "python").chmod(0o755)
    return folder


def test_a_voice_project_hears(hearing: Path) -> None:
    command = [sys.executable, "hearing", str(clip("six")), "--json"]
    done = subprocess.run(
        command, cwd=hearing.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert labels(done.stdout) == ["six"]


def test_a_project_is_whole(cli, hearing: Path) -> None:
    assert cli.json("verify", hearing / "bundle")["passed"]
    with read_bundle(hearing / "bundle") as bundle:
        said = (hearing / "labels.txt").read_text().splitlines()
        assert tuple(said) == bundle.manifest.labels
    requirements = (hearing / "requirements.txt").read_text().splitlines()
    assert any(re.fullmatch(r"qedge\[rpi\]>=\d+\.\d+\.\d+", line) for line in requirements)
    assert all(">=" in line for line in requirements)
    for path in hearing.glob("*"):
        if path.is_file():
            assert not re.search(r"@[A-Z]+@", path.read_text()), path.name
    for name in re.findall(r"^\| `([^|]*)` \|", (hearing / "README.md").read_text(), re.MULTILINE):
        for each in name.split("`, `"):
            assert (hearing / each).exists(), each


def test_the_service_unit_is_valid(hearing: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    unit = hearing / "hearing.service"
    environment = {**os.environ, "HOME": str(hearing.parent), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = ["systemd-analyze", "verify", "--user", "--recursive-errors=no"]
    for path, code in ((unit, 0), (tmp_path / "broken.service", 1)):
        if not path.exists():
            path.write_text(unit.read_text().replace("%h/hearing/.venv", "%h/nowhere"))
        done = subprocess.run([*command, path], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
    start = re.search(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    assert start is not None
    words = start[1].replace("%h", str(hearing.parent)).split()
    heard = subprocess.run([*words, clip("six")], cwd="/", capture_output=True, text=True, check=False)
    assert labels(heard.stdout) == ["six"]


@pytest.mark.slow
def test_every_command_of_the_projects_page_works(cli, hearing: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(hearing, home / "hearing", symlinks=True)
    folder = home / "hearing"
    shutil.copy(DIGITS / "digits.keras", folder / "model.keras")
    shutil.copytree(DIGITS / "clips", folder / "samples")
    blocks = re.findall(r"```sh\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    heard = 0
    for line in lines:
        cwd = folder if " . " in f"{line} " or "build" in line else home
        words = line.split()
        if words[:3] == ["python", "-m", "venv"]:
            assert words[3] == "hearing/.venv"
        elif words[1] == "install":
            assert (home / words[3]).read_text().startswith("qedge[rpi]>=")
        elif words[0] == "qedge":
            more = ["--dry-run"] if words[1] == "deploy" else []
            done = cli(*words[1:], *more, cwd=cwd)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
        elif words[0].endswith("python"):
            python = [sys.executable, *words[1:], str(clip("six"))]
            done = subprocess.run(python, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            assert "six" in done.stdout
            heard += 1
        elif words[0] not in ELSEWHERE:
            assert words[0] in ("rm", "mkdir", "cp"), line
            environment = {**os.environ, "HOME": str(home)}
            subprocess.run(line, shell=True, cwd=cwd, env=environment, check=True)
    assert heard == 3
    assert (home / ".config/systemd/user/hearing.service").is_file()
    assert (folder / "bundle" / "report.html").is_file(), "the bundle that was built here is the one kept"


def test_what_is_there_stays(cli, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("taken")
    (tmp_path / "free").mkdir()
    for name in ("taken", "file", "link"):
        done = cli("new", "app", "voice", name, cwd=tmp_path)
        assert done.returncode == 2
        assert f"error: {name}: found something there" in done.stderr
        assert "hint: " in done.stderr
    assert tree(tmp_path) == {"file": b"mine", "taken/mine.txt": b"mine"}
    assert cli("new", "app", "voice", "hearing", "--out", "free", cwd=tmp_path).returncode == 0
    assert (tmp_path / "free" / "hearing.service").is_file()


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    files = {"__main__.py": b"", "bundle/manifest.json": b"{}"}
    for place in ("taken", "taken/mine.txt/below"):
        with pytest.raises(UsageError, match="cannot write"):
            write_folder(tmp_path / place, files)
        assert tree(tmp_path) == {"taken/mine.txt": b"mine"}
        assert [p.name for p in tmp_path.iterdir()] == ["taken"]
    with pytest.raises(UsageError, match="cannot write"):
        write_folder(tmp_path / "new", {"a": b"", "a/b": b""})
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_a_dry_run_says_it_and_writes_nothing(cli, tmp_path: Path) -> None:
    said = cli.json("new", "app", "voice", "hearing", "--dry-run", cwd=tmp_path)
    assert said["dry_run"] is True
    assert list(tmp_path.iterdir()) == []
    made = cli.json("new", "app", "voice", "hearing", cwd=tmp_path)
    assert made["files"] == said["files"]
    assert {f["path"]: f["bytes"] for f in made["files"]} == {
        path: len(data) for path, data in tree(tmp_path / "hearing").items()
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("app", "voic", "hearing"), 2, ("unknown app 'voic'", "did you mean 'voice'?")),
        (("app", "voice", "../up"), 2, ("found '../up'", "expected a letter")),
        (("app", "voice", "-x"), 2, ("-x",)),
        (("app", "voice", ""), 2, ("found ''",)),
        (("ap", "voice", "hearing"), 2, ("no such command 'ap'", "did you mean 'app'?")),
        (("app", "voice", "hearing", "--bundle", "missing"), 3, ("missing: no such bundle",)),
        ((), 2, ("missing command", "qedge new --help")),
    ],
)
def test_bad_arguments_have_one_cause_and_one_hint(
    cli, tmp_path: Path, arguments: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    done = cli("new", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1
    assert "hint: " in done.stderr
    for word in words:
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_of_ones_own_goes_in(cli, digits_build: Path, tmp_path: Path) -> None:
    with read_bundle(digits_build / "digits" / "rpi") as built:
        pack_bundle(built, tmp_path / "own.zip")
    done = cli("new", "app", "voice", "hearing", "--bundle", "own.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "hearing" / "bundle") == tree(digits_build / "digits" / "rpi")


def test_a_bundle_that_does_not_fit_the_app_is_refused(cli, digits_build: Path, tmp_path: Path) -> None:
    images = make_bundle(tmp_path / "images")
    damaged = shutil.copytree(images, tmp_path / "damaged")
    (damaged / "model.tflite").write_bytes(b"x" * (damaged / "model.tflite").stat().st_size)
    for bundle, code, word in (
        (images, 3, "the voice app gives audio"),
        (digits_build / "digits" / "mcu", 3, "does not run in Python"),
        (damaged, 9, "was altered"),
    ):
        done = cli("new", "app", "voice", "hearing", "--bundle", bundle, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert word in done.stderr
        assert "hint: " in done.stderr
        assert not (tmp_path / "hearing").exists()
