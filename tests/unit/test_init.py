"""``qedge init``: what it asks, what it looks at before it writes, and paths that lead from the file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qedge.cli._app import run
from qedge.config import load_config


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "m.keras").write_bytes(b"never read")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answers(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> list[str]:
    """Answer what is asked by the word that the question begins with; return the questions."""
    asked: list[str] = []

    def prompt(question: str, default: Any = "", **_: Any) -> str:
        asked.append(question)
        return next((text for word, text in given.items() if question.startswith(word)), str(default))

    monkeypatch.setattr("typer.prompt", prompt)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return asked


def test_it_asks_for_range_labels_and_budget_and_build_can_read_it(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "Model": "m.keras",
        "Repr": "photos",
        "What": "-1,1",
        "Labels": "names.txt",
        "Accuracy": "1%",
        "Targets": "mcu",
    }
    asked = answers(monkeypatch, given)
    assert run(["init"]) == 0
    assert [question.split()[0].strip(",") for question in asked] == [
        "Model", "Representative", "What", "Labels", "Accuracy", "Targets",
    ]  # fmt: skip
    config = load_config()
    assert config.section("preprocess") == {"range": [-1.0, 1.0], "kind": "image"}
    assert config.get("quantize", "max_drop") == "1%"
    assert config.path_of("model", "labels") == desk / "names.txt"
    assert config.get("build", "targets") == ["mcu"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["gone.keras"], 2, "no model at gone.keras"),
        (["m.keras", "--data", "gone"], 3, "no dataset at gone"),
        (["m.keras", "--data", "photos", "--labels", "gone.txt"], 3, "no label file gone.txt"),
    ],
)
def test_what_is_not_there_is_said_and_nothing_is_written(
    words: list[str], code: int, said: str, desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", *words, "--yes"]) == code
    assert said in capfd.readouterr().err
    assert not (desk / "qedge.toml").exists()


def test_a_budget_that_is_none_is_refused(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, {"Accuracy": "a bit"})
    assert run(["init", "m.keras", "--data", "photos", "-t", "rpi"]) == 2
    assert not (desk / "qedge.toml").exists()


def test_paths_lead_from_the_file_up_too(desk: Path) -> None:
    (desk / "inner").mkdir()
    words = ["init", "m.keras", "--data", "photos", "-t", "rpi", "--config", "inner/qedge.toml", "--yes"]
    assert run(words) == 0
    text = (desk / "inner" / "qedge.toml").read_text()
    assert 'path = "../m.keras"' in text
    assert 'path = "../photos"' in text
    config = load_config(desk / "inner" / "qedge.toml")
    found = config.path_of("model", "path")
    assert found is not None
    assert found.resolve() == desk / "m.keras"


@pytest.mark.long
def test_the_question_says_on_which_ranges_the_model_behaves_as_a_trained_one(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    (tmp_path / "photos").mkdir()
    for number in range(16):
        coarse = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        picture = Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)
        picture.save(tmp_path / "photos" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    asked = answers(monkeypatch, {"What": "-1,1"})
    model = project / "examples" / "objects" / "objects.keras"
    assert run(["init", str(model), "--data", "photos", "-t", "rpi"]) == 0
    (question,) = (q for q in asked if q.startswith("What"))
    assert question.endswith("(the model behaves as a trained one on 0,1 and -1,1)")
    assert load_config().section("preprocess") == {"range": [-1.0, 1.0], "kind": "image"}
