"""Every command of the README, in its order, in a folder as a reader would have it."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import qedge
from qedge import installing

MAKE_MODEL = """
import sys, keras
keras.utils.set_random_seed(0)
image = keras.Input((24, 24, 3))
x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(image)
x = keras.layers.DepthwiseConv2D(3, activation="relu")(x)
x = keras.layers.GlobalAveragePooling2D()(x)
keras.Model(image, keras.layers.Dense(3, activation="softmax")(x)).save(sys.argv[1])
"""


def shell_blocks(text: str) -> list[str]:
    """Return the lines of all ``sh`` blocks, comments cut off."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.keras, samples/ in class folders and photo.jpg."""
    folder = tmp_path_factory.mktemp("desk")
    made = subprocess.run(
        [sys.executable, "-c", MAKE_MODEL, str(folder / "model.keras")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    rng = np.random.default_rng(1)
    for label in ("bird", "cat", "dog"):
        (folder / "samples" / label).mkdir(parents=True)
        for i in range(8):
            noise = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            picture = Image.fromarray(noise).resize((64, 48))
            picture.save(folder / "samples" / label / f"{i}.jpg")
    picture.save(folder / "photo.jpg")
    return folder


LATER = ("make test",)
"""The tests take minutes of their own, and this is one of them: here, that a clean clone has the word."""


def fresh_clone(project: Path, place: Path) -> Path:
    """Return a folder with what git would clone from this working tree."""
    listed = ["git", "-C", str(project), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (project / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(project / name, place / name)
    return place


@pytest.fixture
def emulated(project: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What emulates a Raspberry Pi, where this machine can."""
    if "bookworm" not in Path("/etc/os-release").read_text() or shutil.which("qemu-aarch64") is None:
        pytest.skip("needs Debian 12 with qemu-user, whose packages make the emulated Pi")
    monkeypatch.syspath_prepend(str(project / "tests" / "emulated"))
    pi, systems = importlib.import_module("pi"), importlib.import_module("systems")
    return SimpleNamespace(Pi=pi.EmulatedPi, install=pi.pip_install, interpreter=systems.interpreter)


@pytest.mark.long
def test_the_readme_from_top_to_bottom_on_a_fresh_machine(
    project: Path, desk: Path, emulated: SimpleNamespace, tmp_path: Path
) -> None:
    """A clone, an environment of its own, and an emulated Pi to deploy to and to install by hand on."""
    if not (project / ".git").exists():
        pytest.skip("needs a git checkout to clone")
    text = (project / "README.md").read_text()
    emulated.install("aarch64", tmp_path / "packages", "numpy", "ai-edge-litert", "pillow")
    pi = emulated.Pi(emulated.interpreter("arm64", [tmp_path / "packages"]), tmp_path / "pi")
    clone = fresh_clone(project, tmp_path / "clone")
    shutil.copytree(desk, clone, dirs_exist_ok=True)
    script = ["set -e"]
    for line in shell_blocks(text):
        if "model_int8.tflite" in line:  # an int8 model, as a reader has one
            script.append("cp build/model/rpi/model.tflite model_int8.tflite")
        script.append(f"echo {shlex.quote('$ ' + line)}")
        if line.startswith("qedge deploy"):  # what it would install there is there: no network lies between
            line += (
                f" --python {pi.python} --runs 0"  # a cold start is a process of the emulated system's own
            )
        script.append(line.replace("make", "make -n", 1) if line in LATER else line)
    done = subprocess.run(
        ["bash", "-c", "\n".join([*script, "make dist"])],
        cwd=clone,
        env={**os.environ, "PATH": f"{pi.ssh.parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    assert done.stdout.count("$ qedge ") >= 10
    assert re.search(r"model on pi@raspberrypi(.*\n)*?.*device .*aarch64", done.stdout)
    assert (pi.home / ".local/share/qedge/model/current/bundle/manifest.json").is_file()

    (wheel,) = re.findall(r'pip install "(qedge-[^"]+)"', text)
    emulated.install("aarch64", tmp_path / "installed", f"{clone}/dist/{wheel}")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    shutil.copytree(clone / "build/model/rpi", pi.home / "rpi")
    shutil.copy(clone / "photo.jpg", pi.home)
    command = [*emulated.interpreter("arm64", [tmp_path / "installed"]), "-c", program]
    done = subprocess.run(command, cwd=pi.home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert any(label in done.stdout for label in ("bird", "cat", "dog"))


def test_the_other_commands_are_words_of_make_and_the_environment(project: Path) -> None:
    """Nothing is fetched from an index that does not have qedge."""
    text = (project / "README.md").read_text()
    makefile = (project / "Makefile").read_text()
    others = [line for line in shell_blocks(text) if not line.startswith("qedge ")]
    for line in others:
        words = shlex.split(line)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE)
        else:
            assert words == [".", ".venv/bin/activate"]
    assert others[:2] == ["make install", ". .venv/bin/activate"]
    assert {"make demo", "make test"} <= set(others)
    assert not installing.ON_INDEX
    assert 'pip install "qedge[' not in text
    (wheel,) = re.findall(r'pip install "(qedge-[^"]+)"', text)
    extra = re.fullmatch(rf"qedge-{re.escape(qedge.__version__)}-py3-none-any\.whl\[(\w+)\]", wheel)
    assert extra is not None
    assert re.search(rf"^{extra[1]} = ", (project / "pyproject.toml").read_text(), re.MULTILINE)


def test_the_python_of_the_readme_runs(cli, project: Path, desk: Path) -> None:
    text = (project / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    if not (desk / "build" / "model" / "rpi").exists():
        done = cli("build", "model.keras", "--data", "samples", "--range", "0,1", "--target", "rpi", cwd=desk)
        assert done.returncode == 0, done.stderr
    program = program.replace('"rpi"', '"build/model/rpi"')
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=desk, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert any(label in done.stdout for label in ("bird", "cat", "dog"))


def test_links_of_the_pages_lead_somewhere(project: Path) -> None:
    pages = [*sorted(project.glob("*.md")), *sorted((project / "docs").glob("*.md"))]
    for folder in ("targets", "sample_apps", "examples"):
        pages += sorted((project / folder).glob("**/README.md"))
    checked = 0
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" in link:
                continue
            assert (page.parent / link).exists(), f"{page.relative_to(project)}: {link}"
            checked += 1
    assert checked > 3


def test_the_workflow_and_the_guide_call_words_that_make_has(project: Path) -> None:
    makefile = (project / "Makefile").read_text()
    for page in (".github/workflows/test.yml", "CONTRIBUTING.md", ".ci/run"):
        text = (project / page).read_text()
        words = re.findall(r"(?m)^\s*(?:- run: )?make ([a-z-]+)", text)
        assert words, page
        for word in words:
            assert re.search(rf"^{word}:", makefile, re.MULTILINE), f"{page}: make {word}"
