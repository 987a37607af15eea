"""Each documented exit code, reached by a user's own command; every failure has one cause and one hint."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qedge.bundle import read_bundle, write_bundle


def check(done, code: int, *words: str) -> None:
    """Assert the exit code, one cause, one hint, no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    causes = [line for line in lines if line.startswith("error: ")]
    assert causes, done.stderr
    assert any(line.startswith("hint: ") for line in lines), done.stderr
    for word in words:
        assert word in done.stderr


def test_0_when_all_is_well(cli) -> None:
    done = cli("targets")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("rpi", "coral", "mcu"))


def test_1_is_a_bug_such_as_one_in_somebody_elses_target(cli, tmp_path: Path, digits_build: Path) -> None:
    (tmp_path / "buggy.py").write_text(
        "from qedge.target import Target, TargetInfo\n"
        "class Buggy(Target):\n"
        "    info = TargetInfo('buggy', 'Buggy', 'A target with a bug.')\n"
        "    def check(self, request): return 1 // 0\n"
        "    def compile(self, request): ...\n"
        "    def verify(self, bundle, samples, options): ...\n"
        "TARGET = Buggy()\n"
    )
    info = tmp_path / "buggy-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: buggy\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[qedge.targets]\nbuggy = buggy:TARGET\n")
    import os

    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    model = digits_build / "digits" / "rpi" / "model.tflite"
    done = cli("check", model, "-t", "buggy", env={"PYTHONPATH": path})
    check(done, 1, "target 'buggy' failed in check", "ZeroDivisionError", "buggy 1, not of qedge", "--debug")
    shown = cli("check", model, "-t", "buggy", "--debug", env={"PYTHONPATH": path})
    assert shown.returncode == 1
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build",), ("no model was named", "qedge init")),
        (("build", "none.keras"), ("no model at none.keras",)),
        (("biuld",), ("did you mean 'build'",)),
        (("build", "--targt", "rpi"), ("--targt", "--target")),
        (("targets", "corl"), ("did you mean 'coral'",)),
        (("run",), ("bundle",)),
    ],
)
def test_2_is_a_usage_error_with_the_nearest_name(cli, tmp_path: Path, arguments, words) -> None:
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("error: ") == 1
    assert "hint: " in done.stderr
    for word in words:
        assert word.lower() in done.stderr.lower()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[modl]\npath = 'x'\n", ("$.modl", "did you mean 'model'")),
        ("[model]\npth = 'x'\n", ("$.model.pth", "did you mean 'path'")),
        ("[data]\nsamples = 'many'\n", ("$.data.samples", "expected an integer")),
        ("[model\n", ("not valid TOML",)),
        ("model = 3\n", ("$.model", "expected an object")),
    ],
)
def test_2_names_the_field_of_a_wrong_configuration(cli, tmp_path: Path, text, words) -> None:
    (tmp_path / "qedge.toml").write_text(text)
    check(cli("build", cwd=tmp_path), 2, *words)


def test_3_is_a_model_or_data_that_cannot_be_used(cli, tmp_path: Path, digits_build: Path) -> None:
    model = (digits_build / "digits" / "rpi" / "model.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(model[: len(model) // 2])
    check(cli("check", tmp_path / "cut.tflite", "-t", "rpi"), 3, "cut.tflite")
    (tmp_path / "text.keras").write_text("no model")
    np.save(tmp_path / "x.npy", np.zeros((4, 2), np.float32))
    check(cli("build", tmp_path / "text.keras", "--data", tmp_path / "x.npy", "-t", "rpi"), 3, "text.keras")
    (tmp_path / "empty").mkdir()
    float_model = digits_build / "digits" / "float.tflite"
    check(
        cli("build", float_model, "--data", tmp_path / "empty", "-o", tmp_path / "out", "-t", "rpi"),
        3,
        "empty",
    )
    assert not (tmp_path / "out").exists()


def test_4_names_all_operators_that_a_target_cannot_run(
    cli, tmp_path: Path, unsupported_model: bytes
) -> None:
    path = tmp_path / "odd.tflite"
    path.write_bytes(unsupported_model)
    check(cli("build", path, "-t", "mcu", "-o", tmp_path / "out"), 4, "mcu")
    assert not (tmp_path / "out").exists()


def test_5_when_it_does_not_fit_and_the_old_bundle_stays(cli, tmp_path: Path, digits_build: Path) -> None:
    model = digits_build / "digits" / "mcu" / "model.tflite"
    done = cli("build", model, "-t", "mcu", "-o", tmp_path, "--name", "small")
    assert done.returncode == 0, done.stderr
    before = (tmp_path / "small" / "mcu" / "manifest.json").read_bytes()
    check(cli("build", model, "-t", "mcu", "-o", tmp_path, "--name", "small", "--ram", "1K"), 5, "bytes of")
    check(cli("build", model, "-t", "mcu", "-o", tmp_path, "--name", "small", "--flash", "2K"), 5, "flash")
    assert (tmp_path / "small" / "mcu" / "manifest.json").read_bytes() == before


def test_6_when_an_accuracy_budget_is_missed(cli, tmp_path: Path, digits_build: Path, project: Path) -> None:
    folder = project / "examples" / "digits"
    model = digits_build / "digits" / "float.tflite"
    arguments = (
        "build",
        model,
        "-t",
        "mcu",
        "-o",
        tmp_path / "out",
        "--method",
        "minmax",
        "--min-sqnr",
        "150",
    )
    check(cli(*arguments, cwd=folder), 6, "dB")
    assert not (tmp_path / "out").exists()


def test_7_when_the_device_says_something_else(cli, tmp_path: Path, digits_build: Path) -> None:
    for target in ("rpi", "mcu"):
        bundle = read_bundle(digits_build / "digits" / target)
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        import io

        golden = np.load(io.BytesIO(files["golden/output_0.npy"]))
        buffer = io.BytesIO()
        np.save(buffer, golden[:, ..., ::-1] ^ 0x55)
        files["golden/output_0.npy"] = buffer.getvalue()
        write_bundle(tmp_path / target, bundle.manifest, files)
        check(cli("verify", tmp_path / target), 7)
    document = json.loads(cli("verify", tmp_path / "rpi", "--json").stdout)
    assert document["command"] == "verify"
    assert not document["passed"]


def test_8_when_a_tool_is_missing(cli, tmp_path: Path, digits_build: Path) -> None:
    model = digits_build / "digits" / "rpi" / "model.tflite"
    env = {"QEDGE_EDGETPU_COMPILER": str(tmp_path / "edgetpu_compiler")}
    check(cli("build", model, "-t", "coral", "-o", tmp_path / "out", env=env), 8, "edgetpu_compiler")


def test_9_when_a_bundle_is_damaged(cli, tmp_path: Path, digits_build: Path) -> None:
    import shutil

    shutil.copytree(digits_build / "digits" / "rpi", tmp_path / "rpi")
    path = tmp_path / "rpi" / "model.tflite"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    for command in ("run", "verify", "bench", "inspect"):
        extra = [path] if command == "run" else []
        check(cli(command, tmp_path / "rpi", *extra), 9, "model.tflite")


def test_errors_are_json_too(cli, tmp_path: Path) -> None:
    done = cli("check", "none.tflite", "-t", "rpi", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document["error"]["exit_code"] == done.returncode == 2
    assert document["error"]["hint"]
    assert document["schema_version"] == 1


def test_help_groups_options_by_what_they_are_of(cli) -> None:
    done = cli("build", "--help")
    assert done.returncode == 0, done.stderr
    titles = [line.rstrip(":") for line in done.stdout.splitlines() if re.fullmatch(r"[A-Z][\w ]+:", line)]
    own = ["Arguments", "Options", "Quantisation", "Samples and answers", "The model"]
    assert titles[: len(own)] == own
    assert titles[-1] == "Output"
    sections = dict(zip(titles, re.split(r"^[A-Z][\w ]+:$", done.stdout, flags=re.M)[1:], strict=True))
    for title, flag in (
        ("Options", "--data"),
        ("Quantisation", "--method"),
        ("Samples and answers", "--fit"),
        ("The model", "--input-shape"),
        ("Target coral", "--min-mapped"),
        ("Targets ethosu and mcu", "--flash"),
        ("Target mcu", "--board"),
        ("Output", "--json"),
    ):
        assert [t for t, text in sections.items() if re.search(rf"^  (-\w, )?{flag} ", text, re.M)] == [title]


def test_completion_scripts_are_printed(cli) -> None:
    for shell in ("bash", "zsh", "fish"):
        done = cli("--show-completion", shell)
        assert done.returncode == 0, done.stderr
        assert "_QEDGE_COMPLETE" in done.stdout.upper()


COMPLETIONS = [
    ("qedge build -t ", {"rpi", "mcu", "coral", "all"}),
    ("qedge build --board pi", {"pico", "pico2"}),
    ("qedge build --method m", {"minmax", "mse"}),
    ("qedge build --fit ", {"stretch", "crop", "letterbox"}),
    ("qedge in", {"init", "inspect"}),
]


def completed(shell: str, typed: str) -> str:
    """Return what qedge gives a shell for what is typed so far, by the protocol of the script that it installs."""
    words = typed.split(" ")
    asked = {"COMP_WORDS": " ".join(w for w in words if w), "COMP_CWORD": str(len(words) - 1)}
    asked |= {"_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run(
        [sys.executable, "-m", "qedge"],
        env={**os.environ, "_QEDGE_COMPLETE": f"complete_{shell}", **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("shell", "typed", "offered"),
    [("bash", *case) for case in COMPLETIONS]
    + [(s, *case) for s in ("zsh", "fish") for case in COMPLETIONS[:2]],
)
def test_values_are_completed(shell: str, typed: str, offered: set[str]) -> None:
    said = completed(shell, typed)
    assert offered <= set(re.findall(r"[\w-]+", said)), said


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish: apt install fish")
def test_fish_itself_completes_a_board(tmp_path: Path) -> None:
    """The script that is installed, in the shell that it is for."""
    (tmp_path / "qedge").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m qedge "$@"\n')
    (tmp_path / "qedge").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    script = "qedge --show-completion fish | source; complete -C 'qedge build --board pic'"
    done = subprocess.run(
        ["fish", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert {"pico", "pico2"} <= set(done.stdout.split()), done.stderr


@pytest.fixture
def unsupported_model() -> bytes:
    """An int8 model with an operator that has no C kernel."""
    from qedge.testing.opmodels import Spec, single_op

    tensor = Spec((1, 4), "int8", 0.5)
    return single_op("FLOOR_MOD", [tensor, tensor], [tensor])
