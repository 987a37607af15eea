"""Projects that ``qedge new app`` makes: they run, every command of their page works, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit"))

from tiny_bundles import make_bundle

import qedge
from qedge.bundle import pack_bundle, read_bundle
from qedge.cli.new import app_names, apps_home, write_folder
from qedge.errors import UsageError
from qedge.processing.regression import Regression

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"
# Lines of the page that change the machine or need a device.
ELSEWHERE = ("systemctl", "journalctl", "loginctl")


def clip(label: str) -> Path:
    return min((DIGITS / "clips" / label).glob("*.wav"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Project:
    """A project of ``qedge new app``, with this test's Python as the environment that its page makes.

    Args:
        arguments: what makes the app end by itself.
        word: what it then says.
    """

    def __init__(self, app: str, name: str, arguments: list[str], word: str, home: Path) -> None:
        self.app, self.name, self.arguments, self.word, self.home = app, name, arguments, word, home
        self.folder = home / name

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Return what the app prints, started by ``command`` and with the arguments that make it end."""
        words = [sys.executable, *command, *self.arguments]
        done = subprocess.run(
            words, cwd=cwd or self.home, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{words}\n{done.stderr}"
        return done.stdout

    def service(self) -> list[str]:
        """Return the command of the unit."""
        unit = (self.folder / f"{self.name}.service").read_text()
        start = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        assert start is not None
        return start[1].replace("%h", str(self.home)).split()


PROJECTS = {
    "voice": ("hearing", [str(clip("six")), "--json"], "six"),
    "camera": ("door", ["test", "--json", "--frames", "5"], '"labels"'),
}


@pytest.fixture(scope="module", params=sorted(PROJECTS))
def made(cli, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Project:
    app = request.param
    name, arguments, word = PROJECTS[app]
    home = tmp_path_factory.mktemp("home")
    done = cli("new", "app", app, name, cwd=home)
    assert done.returncode == 0, done.stderr
    assert f"wrote {name}" in done.stdout
    bin = home / name / ".venv" / "bin"
    bin.mkdir(parents=True)
    (bin / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (bin / "python").chmod(0o755)
    return Project(app, name, arguments, word, home)


def test_every_app_is_offered() -> None:
    apps = sorted(path.parent.name for path in (ROOT / "sample_apps").glob("*/__main__.py"))
    assert app_names(apps_home()) == apps == sorted(PROJECTS)


def test_a_project_runs(made: Project) -> None:
    lines = [json.loads(line) for line in made.run(made.name).splitlines()]
    if made.app == "voice":
        assert [line["label"] for line in lines] == ["six"]
    else:
        assert [line["frame"] for line in lines] == [1, 2, 3, 4, 5]
        assert {label["label"] for line in lines for label in line["labels"]} <= set(
            (made.folder / "labels.txt").read_text().split()
        )


def test_a_project_is_whole(cli, made: Project) -> None:
    folder = made.folder
    assert cli.json("verify", folder / "bundle")["passed"]
    with read_bundle(folder / "bundle") as bundle:
        assert tuple((folder / "labels.txt").read_text().splitlines()) == bundle.manifest.labels
    requirements = (folder / "requirements.txt").read_text().splitlines()
    assert any(re.fullmatch(r"qedge\[rpi\]>=\d+\.\d+\.\d+", line) for line in requirements)
    assert requirements[0] == "--find-links wheels"
    assert all(">=" in line for line in requirements[1:])
    for path in folder.glob("*"):
        if path.suffix in (".md", ".service", ".toml", ".txt"):
            assert not re.search(r"@[A-Z]+@", path.read_text()), path.name
    told = re.findall(r"^\| (`[^|]*`) \|", (folder / "README.md").read_text(), re.MULTILINE)
    told = [name.strip("`/") for line in told for name in line.split(", ")]
    there = {path.name for path in folder.iterdir()} - {".venv", "README.md", "requirements.txt"}
    assert sorted(told) == sorted(there - {f"{made.name}.service", "__pycache__"})


def test_the_wheel_it_carries_installs_and_runs_it(made: Project, tmp_path: Path) -> None:
    """As on a device: pip takes qedge from the project, with no index that could have it."""
    place = tmp_path / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(place),
    ]
    wanted = [line for line in (made.folder / "requirements.txt").read_text().splitlines() if "qedge" in line]
    links = ["--find-links", str(made.folder / "wheels")]
    subprocess.run([*command, *links, *wanted], check=True, capture_output=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import qedge; print(qedge.__file__); "
        "m = qedge.load(sys.argv[2]); print(m.name, m.describe()['binding'])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(place), str(made.folder / "bundle")],
        env=environment, cwd="/", capture_output=True, text=True, check=True,
    )  # fmt: skip
    home, said = done.stdout.splitlines()
    assert home.startswith(str(place))
    assert "litert" in said
    told = (place / f"qedge-{qedge.__version__}.dist-info" / "METADATA").read_text()
    assert re.search(r"^Requires-Dist: ai-edge-litert.*extra == 'rpi'", told, re.MULTILINE)


def test_the_service_unit_is_valid(made: Project, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    unit, broken = made.folder / f"{made.name}.service", tmp_path / "broken.service"
    broken.write_text(unit.read_text().replace("/.venv/", "/nowhere/"))
    environment = {**os.environ, "HOME": str(made.home), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = ["systemd-analyze", "verify", "--user", "--recursive-errors=no"]
    for path, code in ((unit, 0), (broken, 1)):
        done = subprocess.run([*command, path], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr


def test_the_command_of_the_service_starts_the_app(made: Project) -> None:
    words = made.service()
    if made.app == "voice":
        assert made.word in made.run(*words[1:], cwd=Path("/"))
        return
    assert words[2:] == ["--web", "0.0.0.0:8000"]
    words = [*words[:2], "--web", "127.0.0.1:0", "test"]
    app = subprocess.Popen(words, cwd="/", stderr=subprocess.PIPE, text=True)
    assert app.stderr is not None
    with app:
        said = next((line for line in app.stderr if "http://127.0.0.1:" in line), None)
        app.send_signal(signal.SIGTERM)
        app.communicate(timeout=120)
    assert said is not None
    assert app.returncode == 0


MAKE_MODEL = """
import sys, keras
keras.utils.set_random_seed(0)
image = keras.Input((24, 24, 3))
x = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(image)
x = keras.layers.GlobalAveragePooling2D()(x)
keras.Model(image, keras.layers.Dense(3, activation="softmax")(x)).save(sys.argv[1])
"""


def give_a_model(app: str, folder: Path) -> None:
    """Put ``model.keras`` and ``samples/`` into a project."""
    if app == "voice":
        shutil.copy(DIGITS / "digits.keras", folder / "model.keras")
        shutil.copytree(DIGITS / "clips", folder / "samples")
        return
    subprocess.run(
        [sys.executable, "-c", MAKE_MODEL, folder / "model.keras"], check=True, capture_output=True
    )
    (folder / "labels.txt").write_text("nobody\nsomebody\nthe cat\n")
    rng = np.random.default_rng(0)
    for label in ("nobody", "somebody", "the cat"):
        (folder / "samples" / label).mkdir(parents=True)
        for i in range(4):
            noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((48, 36)).save(folder / "samples" / label / f"{i}.jpg")


@pytest.mark.long
def test_every_command_of_the_projects_page_works(cli, made: Project, tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = shutil.copytree(made.folder, home / made.name)
    give_a_model(made.app, folder)
    blocks = re.findall(r"```sh\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    ran = 0
    for line in lines:
        words = line.split()
        cwd = folder if "." in words or "build" in line else home
        if words[:3] == ["python", "-m", "venv"]:
            assert words[-1] == f"{made.name}/.venv"
        elif words[1] == "install":
            assert "\nqedge[rpi]>=" in (home / words[3]).read_text()
        elif words[0] == "qedge":
            more = ["--dry-run"] if words[1] == "deploy" else []
            done = cli(*words[1:], *more, cwd=cwd)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
        elif words[0].endswith("python"):
            assert made.word in made.run(*words[1:], cwd=cwd), line
            ran += 1
        elif words[0] not in ELSEWHERE:
            assert words[0] in ("rm", "mkdir", "cp"), line
            environment = {**os.environ, "HOME": str(home)}
            subprocess.run(line, shell=True, cwd=cwd, env=environment, check=True)
    assert ran == 3
    assert (home / f".config/systemd/user/{made.name}.service").is_file()
    with read_bundle(folder / "bundle") as bundle:
        assert bundle.manifest.name == "model", "the bundle that was built here is the one kept"


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
    values = make_bundle(tmp_path / "values", postprocess=Regression())
    raw = make_bundle(tmp_path / "raw", preprocess=None)
    damaged = shutil.copytree(images, tmp_path / "damaged")
    (damaged / "model.tflite").write_bytes(b"x" * (damaged / "model.tflite").stat().st_size)
    sound = digits_build / "digits"
    for app, bundle, code, word in (
        ("voice", images, 3, "its model takes image, the voice app gives audio\nhint: qedge new app camera"),
        (
            "camera",
            sound / "rpi",
            3,
            "its model takes audio, the camera app gives image\nhint: qedge new app voice",
        ),
        (
            "camera",
            values,
            3,
            "its model gives regression, the camera app shows classify or detect or keypoints",
        ),
        ("camera", raw, 3, "its model takes raw arrays"),
        ("voice", sound / "mcu", 3, "does not run in Python"),
        ("voice", damaged, 9, "was altered"),
    ):
        done = cli("new", "app", app, "mine", "--bundle", bundle, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert word in done.stderr
        assert "hint: " in done.stderr
        assert not (tmp_path / "mine").exists()
    assert cli("new", "app", "camera", "mine", "--bundle", images, cwd=tmp_path).returncode == 0
