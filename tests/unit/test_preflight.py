"""What is said before a model is read, and targets that fail beside others that do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from quantize_models import cnn, images

import qedge.pipeline  # noqa: F401
from qedge.cli._app import run
from qedge.errors import DataError, ToolError
from qedge.processing.wav import write_wav
from qedge.target import names, resolve, resolve_all


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model.tflite").write_bytes(cnn())
    (tmp_path / "model.keras").write_bytes(b"never read")
    np.save(tmp_path / "data.npy", np.concatenate([images()[i][0] for i in range(12)]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_model_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was read")

    monkeypatch.setattr(sys.modules["qedge.pipeline.prepare"], "load_model", refuse)


def picture(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(place)


CASES: dict[str, tuple[list[str], int, str]] = {
    "no model": (["gone.keras", "--data", "data.npy"], 2, "no model at gone.keras"),
    "no data": (["model.keras", "--data", "gone"], 3, "no dataset at gone"),
    "data of another kind": (["model.keras", "--data", "model.tflite"], 3, "no dataset: found a .tflite"),
    "no data at all": (["model.keras"], 2, "representative dataset"),
    "a misspelt method": (["model.keras", "--data", "data.npy", "--method", "minmx"], 2, "minmax"),
    "a misspelt target": (["model.keras", "--data", "data.npy", "-t", "rpy"], 2, "rpi"),
    "a misspelt board": (["model.keras", "--data", "data.npy", "-t", "mcu", "--board", "pico3"], 2, "pico2"),
    "a size that is none": (["model.keras", "--data", "data.npy", "-t", "mcu", "--ram", "lots"], 2, "--ram"),
    "no recipe": (["model.keras", "--data", "data.npy", "--recipe", "gone.toml"], 2, "gone.toml"),
    "no labels": (["model.keras", "--data", "data.npy", "--labels", "gone.txt"], 3, "gone.txt"),
    "a field that is none": (["model.keras", "--data", "data.npy", "--pre", "colour=rgb"], 2, "color"),
    "a range of one number": (["model.keras", "--data", "data.npy", "--range", "1"], 2, "--range"),
    "no compiled file": (
        ["model.keras", "--data", "data.npy", "-t", "coral", "--compiled", "gone"],
        2,
        "gone",
    ),
    "no compiler": (["model.keras", "--data", "data.npy", "-t", "coral", "--compiler", "gone"], 8, "gone"),
    "a file in the way": (["model.keras", "--data", "data.npy", "--out", "data.npy"], 2, "in the way"),
    "a folder nobody writes to": (
        ["model.keras", "--data", "data.npy", "--out", "/proc/qedge"],
        2,
        "written",
    ),
    "other things in the place": (["model.keras", "--data", "data.npy", "--out", "taken"], 2, "no bundle"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_before_a_model_is_read(
    case: str, desk: Path, no_model_is_read: None, capfd: pytest.CaptureFixture[str]
) -> None:
    (desk / "taken" / "model" / "rpi").mkdir(parents=True)
    (desk / "taken" / "model" / "rpi" / "thesis.txt").write_text("years of work")
    words, code, said = CASES[case]
    before = sorted(desk.rglob("*"))
    assert run(["build", *words]) == code
    printed = capfd.readouterr().err
    assert said in printed
    assert "hint:" in printed
    assert sorted(desk.rglob("*")) == before


HEAVY = ("tensorflow", "keras", "ai_edge_litert", "onnx", "torch", "rich", "PIL", "qedge.cli.deploy")
"""What an error before the model has no use for: frameworks, and the other commands."""


def test_nothing_heavy_is_loaded_for_it(desk: Path) -> None:
    (desk / "taken" / "model" / "rpi").mkdir(parents=True)
    (desk / "taken" / "model" / "rpi" / "thesis.txt").write_text("years of work")
    cases = {name: ["build", *words] for name, (words, _, _) in CASES.items()}
    code = (
        "import json, sys; from qedge.cli._app import run\n"
        "heavy, cases = json.loads(sys.argv[1])\n"
        "for name, words in cases.items():\n"
        "    print(json.dumps([name, run(words), [m for m in heavy if m in sys.modules]]))\n"
    )
    given = json.dumps([HEAVY, cases])
    done = subprocess.run(
        [sys.executable, "-c", code, given], cwd=desk, capture_output=True, text=True, check=True
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said == [[name, code, []] for name, (_, code, _) in CASES.items()]


def test_files_that_cannot_be_samples_are_named_together(
    desk: Path, no_model_is_read: None, capfd: pytest.CaptureFixture[str]
) -> None:
    for k in range(3):
        picture(desk / "photos" / "cat" / f"{k}.png")
    (desk / "photos" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (desk / "photos" / "cat" / "empty.png").write_bytes(b"")
    (desk / "photos" / "cat" / "new.heic").write_bytes(b"ftypheic")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(desk / "photos" / "cat" / "deep.png")
    assert run(["build", "model.keras", "--data", "photos"]) == 3
    printed = capfd.readouterr().err
    for name in ("broken.jpg (damaged", "empty.png (empty)", "new.heic (HEIC: save", "deep.png (I;16"):
        assert name in printed
    assert "4 of 7 files" in printed


def test_clips_that_cannot_be_samples_are_named_together(
    desk: Path, no_model_is_read: None, capfd: pytest.CaptureFixture[str]
) -> None:
    (desk / "clips").mkdir()
    write_wav(desk / "clips" / "a.wav", np.zeros(100, np.int16), 16_000)
    good = (desk / "clips" / "a.wav").read_bytes()
    (desk / "clips" / "b.wav").write_bytes(b"ID3" + good)
    (desk / "clips" / "c.wav").write_bytes(good[:34] + b"\x0c\x00" + good[36:])
    (desk / "clips" / "d.mp3").write_bytes(b"ID3")
    assert run(["build", "model.keras", "--data", "clips"]) == 3
    printed = capfd.readouterr().err
    for name in ("b.wav (no WAV", "c.wav (format 1, 12 bits", "d.mp3 (MP3"):
        assert name in printed


def test_class_folders_that_are_links_are_followed(tmp_path: Path) -> None:
    from qedge.datasets.folder import scan

    for name in ("cat", "dog"):
        picture(tmp_path / "store" / name / "0.png")
    (tmp_path / "photos").mkdir()
    for name in ("cat", "dog"):
        os.symlink(tmp_path / "store" / name, tmp_path / "photos" / name)
    os.symlink(tmp_path / "photos", tmp_path / "store" / "cat" / "round")  # a circle ends
    kind, files, classes = scan(tmp_path / "photos")
    assert (kind, len(files), classes) == ("image", 2, ["cat", "dog"])


def test_one_target_s_refusal_leaves_the_others_be(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["build", "model.tflite", "--data", "data.npy", "--method", "minmax", "-t", "rpi", "-t", "mcu"]
    words += ["--core", "cortex-m4", "--ram", "300"]
    assert run([*words, "--json"]) == 5
    document = json.loads(capfd.readouterr().out)
    assert document["failures"]["mcu"]["exit_code"] == 5
    assert document["failures"]["mcu"]["kind"] == "CapacityError"
    assert list(document["targets"]) == ["rpi"]
    assert (desk / "build" / "model" / "rpi" / "manifest.json").is_file()
    assert not (desk / "build" / "model" / "mcu").exists()

    assert run([*words, "--all-or-nothing", "--out", "strict"]) == 5
    assert not (desk / "strict").exists()
    assert run([*words[:6], "-t", "mcu", "--ram", "300", "--out", "strict"]) == 5
    assert not (desk / "strict").exists()


def test_a_target_goes_by_the_names_that_people_have(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def planned(*words: str) -> dict:
        assert run(["build", "model.tflite", "--data", "data.npy", "--dry-run", "--json", *words]) == 0
        return json.loads(capfd.readouterr().out)["targets"]

    assert list(planned("-t", "edgetpu", "-t", "raspberrypi")) == ["coral", "rpi"]
    assert list(planned("-t", "esp32")) == ["mcu"]
    found = dict(resolve_all(["pico2"]))
    ((target, options),) = found.items()
    assert (target.info.name, options) == ("mcu", {"board": "pico2"})
    assert resolve_all(["mcu"])[0][1] == {}
    taken = [name for t, _ in resolve_all(["all"]) for name in t.info.aliases]
    assert len(taken) == len(set(taken))
    assert not set(taken) & set(names())
    assert run(["build", "model.tflite", "--data", "data.npy", "-t", "pico", "-t", "pico2"]) == 2
    assert "other options" in capfd.readouterr().err
    assert run(["build", "model.tflite", "--data", "data.npy", "-t", "stm33"]) == 2
    assert "did you mean 'stm32'" in capfd.readouterr().err


def test_a_target_s_tools_get_ready_while_the_model_is_read(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = threading.Event()

    def warm_up(options: object) -> None:
        warm.set()
        raise ToolError("no compiler")  # what stands in the way is for compile to say

    def prepare(request: object, progress: object) -> None:
        assert warm.wait(30)
        raise DataError("seen")

    monkeypatch.setattr(resolve("rpi")._target, "warm_up", warm_up)
    monkeypatch.setattr(sys.modules["qedge.pipeline.journey"], "prepare", prepare)
    assert run(["build", "model.tflite", "--data", "data.npy", "-t", "rpi"]) == 3
