"""Words of one's own: from a folder of recordings to a spotter that the app runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qedge.processing.wav import write_wav

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "digits" / "train_words.py"
CLIPS = ROOT / "examples" / "digits" / "clips"
WORDS = ("nine", "seven", "two")


def train(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    for word in WORDS:
        shutil.copytree(CLIPS / word, tmp_path / "recordings" / word)
    return tmp_path / "recordings"


def test_what_cannot_be_learned_from_is_named(recordings: Path, tmp_path: Path) -> None:
    def refused() -> str:
        done = train(recordings, "--out", tmp_path / "words")
        assert done.returncode == 1
        assert not (tmp_path / "words").exists()
        return done.stderr

    hum = np.sin(np.arange(32000) / 20)
    write_wav(recordings / "two" / "long.wav", (hum * 9000).astype(np.int16), 16000)
    assert "long.wav holds 2.0" in refused()
    write_wav(recordings / "two" / "long.wav", np.zeros(9000, np.int16), 16000)
    assert "long.wav is silent" in refused()
    shutil.rmtree(recordings / "two")
    (recordings / "two").mkdir()
    shutil.copy(next((CLIPS / "two").glob("*.wav")), recordings / "two")
    assert "fewer than 3 recordings of two" in refused()
    for word in WORDS:
        shutil.rmtree(recordings / word)
    assert "no recordings in" in refused()


@pytest.mark.long
def test_a_folder_of_recordings_becomes_a_spotter_of_its_words(cli, recordings: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    out = tmp_path / "words"
    done = train(recordings, "--out", out, "--words", 240, "--epochs", 3)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout[done.stdout.index("{") :])["recognised_of_recordings_held_out"]
    assert list(said) == [*WORDS, "unknown", "silence"]
    assert np.mean(list(said.values())) > 0.6
    assert (out / "labels.txt").read_text().split() == [*WORDS, "unknown", "silence"]
    built = cli.json("build", "-t", "rpi", "--effort", "fast", cwd=out)
    command = [
        sys.executable,
        str(ROOT / "sample_apps" / "voice"),
        built["targets"]["rpi"]["bundle"],
        "--json",
    ]
    clips = [str(clip) for word in WORDS for clip in sorted((CLIPS / word).glob("*.wav"))]
    heard = subprocess.run([*command, *clips], capture_output=True, text=True, check=True, timeout=120)
    labels = [json.loads(line)["label"] for line in heard.stdout.splitlines()]
    assert {*labels} == {*WORDS}
