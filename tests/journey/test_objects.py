"""The object classifier that the camera app ships: as good in int8 as in float, on every target."""

from __future__ import annotations

from pathlib import Path

import pytest

FLOAT, POINTS = 0.84, 0.005  # what its page promises: the float model's accuracy, and what int8 loses of it


@pytest.fixture(scope="module")
def built(cli, project: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its bundles for a Raspberry Pi and for a microcontroller."""
    images = shared / "data" / "cifar10" / "calibration"
    if not images.is_dir():
        pytest.skip("needs CIFAR-10 as images beside the project")
    out = tmp_path_factory.mktemp("objects")
    cli.json(
        "build", "--data", images, "-t", "rpi", "-t", "mcu", "-o", out, cwd=project / "examples" / "objects"
    )
    return out / "objects"


def test_the_edge_tpu_takes_all_of_it(cli, project: Path) -> None:
    found = cli.json("check", project / "sample_apps" / "camera" / "bundle" / "model.tflite", "-t", "coral")
    assert len(found["operators"]) > 10
    assert {operator["placement"] for operator in found["operators"]} == {"edgetpu"}


@pytest.mark.shared
@pytest.mark.slow
def test_int8_is_within_half_a_point_of_float(cli, built: Path, shared: Path) -> None:
    found = cli.json("evaluate", built / "rpi", "--data", shared / "data" / "cifar10" / "test")
    assert found["samples"] == 2000
    assert found["float"] >= FLOAT
    assert found["quantized"] >= found["float"] - POINTS


@pytest.mark.shared
@pytest.mark.slow
def test_the_microcontroller_gives_every_bit(cli, built: Path) -> None:
    found = cli.json("verify", built / "mcu")
    assert found["bit_exact"] is True
    assert found["samples"] >= 4
    assert found["ram_bytes"]["arena"] < 32_000
    assert found["instructions"] < 25_000_000
