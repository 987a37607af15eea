"""The whole journey on the model that ships: built, verified, run and measured through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qedge.errors import UsageError
from tests import json_page

TARGETS = ("rpi", "coral", "mcu")


@pytest.mark.parametrize("target", TARGETS)
def test_each_bundle_verifies(cli, digits_build: Path, target: str) -> None:
    found = cli.json("verify", digits_build / "digits" / target)
    assert found["passed"] is True
    assert found["samples"] >= 4
    assert found["target"] == target


def test_the_microcontroller_bundle_is_bit_exact_on_the_emulated_core(cli, digits_build: Path) -> None:
    found = cli.json("verify", digits_build / "digits" / "mcu")
    assert found["bit_exact"] is True
    assert "cortex-m4" in found["core"]
    assert "tflite-micro" in found["oracle"] or "golden" in found["oracle"]
    assert found["instructions"] > 100_000
    assert found["ram_bytes"]["stack"] <= 800


def test_nine_of_ten_clips_are_recognised_within_a_point_of_float(
    cli, digits_build: Path, project: Path
) -> None:
    clips = project / "examples" / "digits" / "clips"
    found = cli.json("evaluate", digits_build / "digits" / "rpi", "--data", clips)
    assert found["metric"] == "accuracy"
    assert found["samples"] >= 50
    assert found["quantized"] >= 0.9
    assert found["quantized"] >= found["float"] - 0.01


def test_the_emulated_core_hears_what_the_cpu_hears(cli, digits_build: Path, project: Path) -> None:
    clips = [next((project / "examples/digits/clips" / w).glob("*.wav")) for w in ("three", "seven")]
    heard = [
        [r["top"][0]["label"] for r in cli.json("run", digits_build / "digits" / t, *clips)["results"]]
        for t in ("rpi", "mcu")
    ]
    assert heard[0] == heard[1] == ["three", "seven"]


@pytest.mark.long
def test_the_same_build_gives_the_same_bytes(cli, digits_build: Path, project: Path, tmp_path: Path) -> None:
    folder = project / "examples" / "digits"
    cli.json("build", "-t", "rpi", "-t", "coral", "-t", "mcu", "-o", tmp_path, cwd=folder)
    first = {
        p.relative_to(digits_build): p.read_bytes() for p in _files(digits_build / "digits", digits_build)
    }
    second = {p.relative_to(tmp_path): p.read_bytes() for p in _files(tmp_path / "digits", tmp_path)}
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


def _files(folder: Path, root: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_the_report_is_one_file_that_needs_no_network(digits_build: Path) -> None:
    for target in TARGETS:
        page = (digits_build / "digits" / target / "report.html").read_text()
        assert "SQNR" in page
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert "https://" not in page
        assert "<script" not in page


def test_a_microcontroller_bundle_is_no_python_model(digits_build: Path) -> None:
    import qedge

    with pytest.raises(UsageError) as caught:
        qedge.load(digits_build / "digits" / "mcu")
    assert caught.value.hint


def test_the_build_prints_a_table_and_plain_progress_without_a_terminal(
    cli, project: Path, tmp_path: Path
) -> None:
    folder = project / "examples" / "digits"
    done = cli("build", "-t", "rpi", "-o", tmp_path, "--method", "minmax", cwd=folder)
    assert done.returncode == 0, done.stderr
    for word in ("size", "SQNR", "accuracy", "rpi"):
        assert word in done.stdout
    assert "calibrate" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_init_writes_what_build_needs(cli, project: Path, tmp_path: Path) -> None:
    digits = project / "examples" / "digits"
    done = cli(
        "init", digits / "digits.keras", "--data", digits / "clips", "--labels", digits / "labels.txt",
        "--target", "rpi", "--pre", "kind=audio", "--pre", "features=log_mel_int", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "qedge.toml").read_text().startswith("[model]")
    plan = cli.json("build", "--dry-run", cwd=tmp_path)
    assert plan["targets"]["rpi"]["bundle"].endswith("build/digits/rpi")
    assert not (tmp_path / "build").exists()
    again = cli("init", digits / "digits.keras", cwd=tmp_path)
    assert again.returncode == 2
    assert "hint: add --force" in again.stderr


def test_json_documents_are_as_documented(cli, digits_build: Path, project: Path, tmp_path: Path) -> None:
    mcu, rpi = digits_build / "digits" / "mcu", digits_build / "digits" / "rpi"
    clips = project / "examples" / "digits" / "clips"
    json_page.check("build", json.loads((digits_build / "done.json").read_text()))
    json_page.check("check", cli.json("check", rpi / "model.tflite", "-t", "coral", "-t", "mcu"))
    json_page.check("evaluate", cli.json("evaluate", rpi, "--data", clips, "--samples", 12))
    json_page.check("verify", cli.json("verify", rpi), "Raspberry Pi")
    json_page.check("verify", cli.json("verify", mcu), "microcontroller")
    json_page.check("bench", cli.json("bench", rpi, "--runs", 5))
    json_page.check("bench", cli.json("bench", mcu))
    json_page.check("inspect", cli.json("inspect", rpi))
    json_page.check("inspect", cli.json("inspect", rpi / "model.tflite"))
    json_page.check("new app", cli.json("new", "app", "voice", "hearing", cwd=tmp_path))
