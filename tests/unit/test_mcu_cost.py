"""What instructions cost: ranges that contain what others published, and that the user's own figures narrow."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from mcu_models import bundle_of, residual_network

from qedge.cli._app import run
from qedge.errors import UsageError
from qedge_mcu import calibration, cost
from qedge_mcu.boards import board
from qedge_rpi.target import TARGET as rpi
from tests import json_page

BOARD = board("nucleo-l4r5zi")
README = Path(cost.__file__).parent / "README.md"
TFLM = [m for m in cost.published() if "TensorFlow Lite for Microcontrollers" in m.source]


PARTS = {"cycles": "cycles an instruction", "power": "mW a MHz"}
EVERY = [
    (part, name)
    for part in PARTS
    for name in dict.fromkeys(m.board for m in cost.published() if getattr(m, part))
]
FAILS = {("power", "nucleo-u575zi-q")}
"""Made for low power, as no other board that published its power."""


def without(name: str) -> list[cost.Measured]:
    return [m for m in cost.published() if m.board != name]


def left_out(part: str, name: str) -> tuple[cost.Span, list[float]]:
    """Return what the other boards foretell of one, and what was published of it."""
    rest = without(name)
    span = cost.cycles_of(name, None, rest) if part == "cycles" else cost.power_of(name, rest)
    return span, [v for m in cost.published() if m.board == name for v in getattr(m, part)]


@pytest.mark.parametrize(("part", "name"), EVERY)
def test_what_the_other_boards_foretell_of_each_is_as_the_readme_says(part: str, name: str) -> None:
    found, published = left_out(part, name)
    assert len(published) % len(cost.MODELS) == 0
    assert name not in found.source
    within = found.low <= min(published) and max(published) <= found.high
    assert within == ((part, name) not in FAILS)
    row = (
        f"| {name} | {PARTS[part]} | {found.low:.2f} to {found.high:.2f} | {min(published):.2f} to"
        f" {max(published):.2f} | {'yes' if within else '**no**'} |"
    )
    assert row in README.read_text()


def test_a_submission_with_one_model_left_out_foretells_it_as_the_readme_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submissions, missed = cost.published(), []
    counted = [m for m in submissions if m.cycles]
    for m in counted:
        for k, model in enumerate(cost.MODELS):
            rest = replace(m, cycles=m.cycles[:k] + m.cycles[k + 1 :])
            others = (rest, *(o for o in submissions if o.board != m.board))
            monkeypatch.setattr(cost, "published", lambda others=others: others)
            found = cost.cycles_of(m.board, None, others)
            if not found.low <= m.cycles[k] <= found.high:
                missed.append((m.board, model))
    assert missed == [("nucleo-l4r5zi", "ad"), ("ek-ra8d1", "ad")]
    total = len(counted) * len(cost.MODELS)
    assert f"contains the fourth {total - len(missed)} times of {total}" in README.read_text()


@pytest.mark.parametrize("name", ["nucleo-l4r5zi", "ek-ra6m4"])
def test_energy_of_a_board_that_is_left_out_is_within_both_ranges(name: str) -> None:
    cycles, power = cost.cycles_of(name, None, without(name)), cost.power_of(name, without(name))
    (own,) = [m for m in TFLM if m.board == name]
    for c, p in zip(own.cycles, own.power):
        assert cycles.low * power.low <= c * p <= cycles.high * power.high


def test_every_estimate_has_a_range_and_a_source() -> None:
    for name in (None, "pico", "nucleo-l4r5zi"):
        for found in cost.of_instructions(1_000_000, 100, name, 1.3).values():
            assert found["estimate"] is True
            assert 0 < found["low"] < found["high"]
            assert found["low"] <= found["value"] <= found["high"]
            assert re.search(r"MLPerf Tiny|other boards", found["source"])


def test_a_board_with_figures_of_its_own_has_the_narrower_range() -> None:
    def width(name: str | None) -> float:
        found = cost.of_instructions(1_000_000, 120, name, 1.3)["latency_ms"]
        return found["high"] / found["low"]

    assert width("nucleo-l4r5zi") < width("pico")
    assert width(None) == width("pico")


def test_own_measurements_narrow_the_range_about_them(tmp_path: Path) -> None:
    place, text, widths = tmp_path / "board.toml", "", []
    for milliseconds in (40.0, 41.0, 39.5):
        text = calibration.with_measurement(text, BOARD, 3_000_000, milliseconds, 1.6)
        place.write_text(text)
        own = calibration.read({"calibration": place}, BOARD)
        found = cost.of_instructions(3_000_000, 120, "nucleo-l4r5zi", 1.3, own)
        latency, energy = found["latency_ms"], found["energy_mj"]
        assert latency["low"] <= milliseconds <= latency["high"]
        assert energy["low"] <= 1.6 <= energy["high"]
        assert "your own measurement" in latency["source"]
        widths.append(latency["high"] / latency["low"])
    assert widths[0] > widths[1] > widths[2]
    plain = cost.of_instructions(3_000_000, 120, "nucleo-l4r5zi", 1.3)["latency_ms"]
    assert widths[0] < plain["high"] / plain["low"]


def test_own_measurements_without_power_leave_the_published_power() -> None:
    own = (cost.Measured("nucleo-l4r5zi", "your own", (1.6,)),)
    found = cost.of_instructions(3_000_000, 120, "nucleo-l4r5zi", 1.3, own)["energy_mj"]
    assert "MLPerf Tiny" in found["source"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("board = 3", "measured"),
        ('board = "nucleo-l4r5zi"\nmeasured = [{ instructions = 0, megahertz = 1, milliseconds = 1 }]', "more than 0"),
        ('board = "nucleo-l4r5zi"\nmeasured = [{ instructions = 5, megahertz = 1 }]', "milliseconds"),
        ("board = [", "no TOML"),
        ('board = "pico"\nmeasured = []', "of the board pico"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_measurements_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "board.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        calibration.read({"calibration": tmp_path / "board.toml"}, BOARD)


def test_a_file_of_another_board_does_not_grow() -> None:
    text = calibration.with_measurement("", BOARD, 5, 1.0, None)
    with pytest.raises(UsageError, match="another board"):
        calibration.with_measurement(text, board("pico"), 5, 1.0, None)


def test_calibrate_board_counts_the_bundle_s_instructions_and_bench_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(bundle_of(residual_network(), tmp_path, board=BOARD.name))
    out = str(tmp_path / "mine.toml")
    assert run(["bench", bundle, "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert run(["calibrate-board", bundle, "--ms", "1.25", "--mj", "0.05", "--out", out, "--json"]) == 0
    json_page.check("calibrate-board", json.loads(capsys.readouterr().out))
    assert run(["bench", bundle, "--calibration", out, "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["instructions"] == before["instructions"]
    assert after["latency_ms"]["median"] == pytest.approx(1.25, rel=1e-3)
    assert after["energy_mj"]["value"] == pytest.approx(0.05, rel=1e-3)
    spread = [d["latency_ms"]["high"] / d["latency_ms"]["low"] for d in (before, after)]
    assert spread[1] < spread[0]


def test_calibrate_board_refuses_what_it_cannot_use(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = str(bundle_of(residual_network(), tmp_path))
    for arguments, said in (
        ([bundle, "--ms", "0"], "more than 0"),
        ([bundle, "--ms", "1"], "built for no board"),
        ([bundle, "--ms", "1", "--mj", "nan"], "more than 0"),
    ):
        assert run(["calibrate-board", *arguments, "--out", str(tmp_path / "no.toml")]) == 2
        assert said in capfd.readouterr().err
    assert not (tmp_path / "no.toml").exists()


def test_a_target_without_estimates_says_so() -> None:
    with pytest.raises(UsageError, match="rpi has no estimates"):
        rpi.calibration(Path("x"), 1.0, None, "")
