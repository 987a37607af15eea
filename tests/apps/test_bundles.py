"""The bundles in the sample apps: built from the models in ``examples/``, intact, and as good as those."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

import qedge
from qedge.bundle import read_bundle

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))
APPS = sorted(path.parent for path in (ROOT / "sample_apps").glob("*/bundle"))


def test_every_app_brings_a_bundle() -> None:
    entries = sorted(path.parent for path in (ROOT / "sample_apps").glob("*/__main__.py"))
    assert entries
    assert entries == APPS


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_the_bundle_is_of_the_model_that_is_shipped(cli, app: Path) -> None:
    with read_bundle(app / "bundle") as bundle:
        manifest = bundle.manifest
    model = ROOT / "examples" / manifest.name / f"{manifest.name}.keras"
    made = hashlib.sha256(model.read_bytes()).hexdigest()
    assert manifest.model_sha256 == made, "make bundles writes it again"
    labels = model.with_name("labels.txt").read_text().split()
    assert list(manifest.labels) == labels
    assert cli.json("verify", app / "bundle")["passed"]
    assert sum(path.stat().st_size for path in (app / "bundle").rglob("*")) < 500_000


def test_the_bundle_of_the_voice_app_knows_the_shipped_clips() -> None:
    clips = sorted((ROOT / "examples" / "digits" / "clips").glob("*/*.wav"))
    assert len(clips) == 60
    with qedge.load(ROOT / "sample_apps" / "voice" / "bundle") as model:
        right = sum(model(clip).top(1)[0][0] == clip.parent.name for clip in clips)
    assert right >= 54


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_the_bundle_says_what_calibration_looked_like(app: Path) -> None:
    with qedge.load(app / "bundle") as model, qedge.monitor(model, window=10) as watch:
        assert watch.sketch.samples >= 60
        spec = model.inputs[0]
        for _ in range(10):
            model.run([np.full(spec.shape, -128, spec.dtype)])
        assert watch.inputs_changed  # ten times the same that is no sample


def test_the_shipped_clips_are_no_drift() -> None:
    clips = sorted((ROOT / "examples" / "digits" / "clips").glob("*/*.wav"))
    bundle = ROOT / "sample_apps" / "voice" / "bundle"
    with qedge.load(bundle) as model, qedge.monitor(model, window=len(clips)) as watch:
        for clip in clips:
            model(clip)
        assert (watch.windows, watch.changed) == (1, [])


def test_no_picture_of_the_training_is_in_the_bundle_of_the_camera_app() -> None:
    from make_bundles import drawn

    with read_bundle(ROOT / "sample_apps" / "camera" / "bundle") as bundle:
        samples = [inputs for inputs, _ in bundle.golden()]
        np.testing.assert_array_equal(samples, drawn(bundle.manifest))
        assert sorted(bundle.manifest.files) == [
            "drift.json",  # histograms of sums: no picture can be made of them
            "golden/builtin_0.npy",
            "golden/input_0.npy",
            "golden/output_0.npy",
            "model.tflite",
            "report.json",
        ]
