"""Progress for people and for logs, and Ctrl-C at any moment."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qedge.cli import _progress
from qedge.cli._progress import BUILD, Share, lines


def test_the_bar_of_a_build_only_goes_forward_and_ends_at_one() -> None:
    share = Share(BUILD)
    said = [
        ("load model", 0.0),
        ("reading m.keras", 0.0),
        ("converting with Keras", 0.1),
        ("read m.keras", 1.0),
    ]
    said += [
        ("read data", 0.0),
        ("search", 0.2),
        ("calibrate", 0.5),
        ("search", 0.9),
        ("compile for mcu", 0.0),
    ]
    said += [("something else", 1.0), ("write bundles", 1.0)]
    reached = [share(*step) for step in said]
    assert reached == sorted(reached)
    assert 0 <= reached[0] < reached[-1] == pytest.approx(1.0)


def test_a_terminal_shows_one_line_that_says_what_is_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with _progress.bar(BUILD, color=True) as report:
        for stage in ("load model", "search", "write bundles"):
            report(stage, 0.5)
    shown = terminal.getvalue()
    assert "write bundles" in shown
    drawn = [frame for frame in shown.split("\r") if frame.strip()]
    assert max(frame.rstrip("\n").count("\n") for frame in drawn) <= 1


def test_a_stage_that_takes_long_is_told_again_without_a_terminal() -> None:
    out, told = io.StringIO(), threading.Event()

    class Log:
        def write(self, text: str) -> int:
            if "still at it: search: 40 %" in text:
                told.set()
            return out.write(text)

        def flush(self) -> None:
            pass

    with lines(Log(), patience_s=0.05) as report:  # type: ignore[arg-type]
        report("search", 0.0)
        report("search", 0.4)
        assert told.wait(30)
    assert out.getvalue().count("search\n") == 1
    assert _progress.PATIENCE_S * 1.1 <= 10


INTERRUPTED = """
import os, signal, sys

class AtImport:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            os.kill(os.getpid(), signal.SIGINT)
        return None

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests in the background
sys.meta_path.insert(0, AtImport())
"""


@pytest.mark.parametrize(
    "moment", ["typer", "numpy", "pydantic", "qedge.cli.build", "qedge_mcu.target", "PIL"]
)
def test_ctrl_c_is_130_without_a_traceback_at_any_import(moment: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED)
    (tmp_path / "photos").mkdir()
    (tmp_path / "m.keras").touch()
    (tmp_path / "photos" / "a.png").write_bytes(b"x")
    environment = {**os.environ, "AT": moment, "PYTHONPATH": str(tmp_path), "COLUMNS": "100"}
    words = ["build", "m.keras", "--data", "photos"]
    done = subprocess.run(
        [sys.executable, "-m", "qedge", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1] == "error: interrupted"
    assert done.returncode == 130


def test_ctrl_c_while_a_model_is_converted_leaves_nothing_behind(tmp_path: Path, project: Path) -> None:
    out = tmp_path / "out"
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{heeding}; from qedge.cli import main; main()",
            *("build", "-t", "rpi", "-o", str(out)),
        ],
        cwd=project / "examples" / "digits",
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "converting" in line:
            os.kill(process.pid, signal.SIGINT)
            break
    said += process.stderr.read()
    assert process.wait(60) == 130
    process.stderr.close()
    assert "Traceback" not in said
    assert said.strip().endswith("error: interrupted")
    assert sorted(p.name for p in tmp_path.iterdir()) == []
