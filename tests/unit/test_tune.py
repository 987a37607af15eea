"""Tuning: what was learned is kept only where held-out samples call it better; jobs survive the way to the child."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qedge.cli._app import completed
from qedge.cli._console import Ui
from qedge.cli.build import _figures
from qedge.errors import UsageError
from qedge.findings import Finding
from qedge.graph import Graph
from qedge.quantize import QuantizeOptions, quantize
from qedge.quantize.build import Builder
from qedge.quantize.calibrate import Progress
from qedge.quantize.interpreter import Runner
from qedge.quantize.learned import Learned
from qedge.quantize.model import FloatModel
from qedge.quantize.recipe import Recipe
from qedge.quantize.samples import split
from qedge.report import BuildReport
from qedge.tune import Settings, Tuner, child, tuner_of
from qedge.tune.job import Job, Start, job_of, learnable, start_of
from qedge.tune.refine import learned_of
from tests.unit.quantize_models import ArrayDataset, cnn, images

TUNED = QuantizeOptions(method="minmax", tune="on")


def _builder(spread: float = 1.0) -> Builder:
    data = images(24)
    return Builder(FloatModel.from_bytes(cnn(spread=spread)), data, range(len(data)), threads=1)


def _student(builder: Builder, recipe: Recipe) -> tuple[FloatModel, Job, Start, Learned]:
    model, plan = builder.plan(recipe)
    job = job_of(model.graph, plan, Settings())
    start = start_of(model.graph, plan, job, *builder.rounded(recipe, model, plan))
    return model, job, start, learned_of(plan, job, start)


@pytest.mark.parametrize("method", ["minmax", "mse+equalize+round", "minmax+dense-per-channel"])
def test_learning_nothing_gives_the_model_that_it_started_from(method: str) -> None:
    builder, recipe = _builder(spread=30.0), Recipe.parse(method)
    builder.learned[recipe] = _student(builder, recipe)[3]
    before, after = (builder.build(replace(recipe, tuned=tuned)) for tuned in (False, True))
    one, other = (Graph.from_bytes(data) for data in (before, after))
    for a, b in zip(one.tensors, other.tensors):
        if a.dtype == "int8" and a.is_constant and a.data is not None and b.data is not None:
            assert np.array_equal(a.data, b.data)
    sample = builder.dataset[0]
    assert np.abs(Runner(before).predict(sample)[0] - Runner(after).predict(sample)[0]).max() <= 1 / 256


def test_a_job_and_its_start_survive_the_way_to_the_child(tmp_path: Path) -> None:
    _, job, start, _ = _student(_builder(), Recipe())
    assert Job.load(job.dump()) == job
    start.save(tmp_path / "start.npz")
    again = Start.read(tmp_path / "start.npz")
    assert np.array_equal(again.ranges, start.ranges)
    for name in ("weights", "scales", "biases"):
        before, after = getattr(start, name), getattr(again, name)
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[t], after[t]) for t in before)


def test_the_softmax_keeps_its_scale_and_tied_tensors_share_a_grid() -> None:
    model, job, _, _ = _student(_builder(), Recipe())
    by_name = {t.name: t.index for t in model.graph.tensors}
    assert not job.grids[job.written[by_name["scores"]]].learned
    assert job.grids[job.written[by_name["logits"]]].learned
    assert job.written[by_name["pooled"]] == job.written[by_name["flat"]] == job.written[by_name["third"]]


class _Fake:
    """A refiner that moves every weight by a share of its size."""

    def __init__(self, share: float) -> None:
        self.share, self.held = share, [-1]

    def __call__(
        self, builder: Builder, recipe: Recipe, held: Sequence[int], progress: Progress | None
    ) -> tuple[Learned | None, str]:
        self.held = list(held)
        found = _student(builder, recipe)[3]
        moved = {t: (w * (1 + self.share)).astype(np.float32) for t, w in found.weights.items()}
        return replace(found, weights=moved), ""


def test_what_is_worse_on_held_out_samples_is_not_kept() -> None:
    model, data, fake = cnn(), images(24), _Fake(0.5)
    options = QuantizeOptions(method="minmax+equalize")
    plain = quantize(model, data, options)
    tuned = quantize(model, data, replace(options, tune="on"), refiner=fake)
    assert tuned.data == plain.data
    assert [f.rule for f in tuned.findings if "tuned" in f.rule] == ["not-tuned"]
    assert [c.method.endswith("+tune") for c in tuned.candidates] == [False, True]
    assert 0 < len(fake.held) < len(data)


def test_what_is_noisier_on_all_samples_is_not_kept() -> None:
    values = images(24).arrays[0].copy()
    values[split(list(range(24)), 0)[1]] = 0.0  # the held-out samples see no weight of the first layer
    data = ArrayDataset(values)

    def forget(
        builder: Builder, recipe: Recipe, held: Sequence[int], progress: Progress | None
    ) -> tuple[Learned | None, str]:
        found = _student(builder, recipe)[3]
        first = min(found.weights)
        return replace(found, weights={**found.weights, first: np.zeros_like(found.weights[first])}), ""

    tuned = quantize(cnn(), data, TUNED, refiner=forget)
    (said,) = [f for f in tuned.findings if "tuned" in f.rule]
    assert said.rule == "not-tuned"
    assert "on all samples" in said.message


def test_what_learns_nothing_leaves_the_better_start() -> None:
    tuned = quantize(cnn(spread=1000.0), images(24), TUNED, refiner=lambda *_: (None, ""))
    (said,) = [f for f in tuned.findings if f.rule == "not-tuned"]
    assert (said.severity, "nothing beat the start" in said.message) == ("info", True)
    assert tuned.method == "minmax+equalize0.5"
    assert [c.method for c in tuned.candidates if c.chosen] == ["minmax+equalize0.5"]


def test_what_could_not_learn_is_a_warning() -> None:
    tuned = quantize(cnn(spread=1000.0), images(24), TUNED, refiner=lambda *_: (None, "the child died"))
    (said,) = [f for f in tuned.findings if f.rule == "not-tuned"]
    assert (said.severity, "the child died" in said.message) == ("warning", True)


def test_a_model_that_is_perfect_is_left_alone() -> None:
    fake = _Fake(0.0)
    tuned = quantize(cnn(), images(24), QuantizeOptions(tune="on", io="int8"), refiner=fake)
    assert ("tuned" in [f.rule for f in tuned.findings]) == (fake.held != [-1])


def test_what_is_no_worse_is_kept_and_said() -> None:
    tuned = quantize(cnn(), images(24), TUNED, refiner=_Fake(0.0))
    assert tuned.method.endswith("+tune")
    assert [f.rule for f in tuned.findings if "tuned" in f.rule] == ["tuned"]
    assert [c.method for c in tuned.candidates if c.chosen] == [tuned.method]


def test_it_starts_from_the_equalised_form_where_that_is_better() -> None:
    spread, even = (
        quantize(cnn(spread=factor), images(24), TUNED, refiner=_Fake(0.0)).method for factor in (1000.0, 1.0)
    )
    assert spread == "minmax+equalize0.5+tune"
    assert even in ("minmax+tune", "minmax+equalize0.5+tune")


def test_a_model_without_weights_has_nothing_to_learn() -> None:
    from qedge.testing.opmodels import single_op
    from tests.unit.quantize_models import f32

    assert not learnable(Graph.from_bytes(single_op("RELU", [f32(1, 4)], [f32(1, 4)])))
    assert learnable(Graph.from_bytes(cnn()))


def test_settings_come_from_the_options() -> None:
    assert tuner_of(QuantizeOptions()) is None
    tuner = tuner_of(QuantizeOptions(tune="on", seed=7, tuning={"minutes": 2, "steps": 50}))
    assert tuner is not None
    assert (tuner.settings.seconds, tuner.settings.steps, tuner.settings.seed) == (120, 50, 7)
    with pytest.raises(UsageError, match="setting of tuning"):
        tuner_of(QuantizeOptions(tune="on", tuning={"epochs": 3}))
    with pytest.raises(UsageError, match="more than 0"):
        tuner_of(QuantizeOptions(tune="on", tuning={"steps": 0}))
    with pytest.raises(UsageError, match="way to tune"):
        QuantizeOptions(tune="maybe")


def test_a_flag_that_stands_alone_means_on() -> None:
    assert completed(["build", "m.tflite", "--tune"]) == ["build", "m.tflite", "--tune", "on"]
    assert completed(["build", "--tune", "auto", "m.tflite"]) == ["build", "--tune", "auto", "m.tflite"]
    assert completed(["build", "--tune", "--json"]) == ["build", "--tune", "on", "--json"]


@pytest.mark.parametrize("rule", ["tuned", "not-tuned", "lifted", "advised"])
def test_a_person_reads_what_came_of_it(capsys: pytest.CaptureFixture[str], rule: str) -> None:
    findings = (Finding("info", rule, "31.2 dB, 28.4 before"), Finding("info", "input-step", "in float"))
    chosen = {"method": "minmax+tune", "io": "int8"}
    graph = Graph.from_bytes(cnn())
    report = BuildReport("m", "m.tflite", "", 10, 5, None, None, 0, 24, chosen, findings, {}, graph)
    _figures(Ui(), report, "")
    said = capsys.readouterr().out
    assert f"{rule}: 31.2 dB, 28.4 before" in said
    assert "in float" not in said


@pytest.mark.long
def test_a_child_learns_and_repeats_itself() -> None:
    pytest.importorskip("tensorflow", reason="tuning is TensorFlow's")
    model, data = cnn(spread=300.0), images(48)
    settings = Settings(steps=120, seconds=1800, threads=1)
    plain = quantize(model, data, QuantizeOptions(method="minmax"))
    looks: list[str] = []
    first, again = (
        quantize(model, data, TUNED, lambda stage, done, total: looks.append(stage), refiner=Tuner(settings))
        for _ in range(2)
    )
    assert first.method.endswith("+tune"), first.findings
    assert first.sqnr_db > plain.sqnr_db + 1
    assert first.data == again.data
    assert any(stage.startswith("tune (") for stage in looks)


def test_a_child_that_does_not_mind_its_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow", reason="tuning is TensorFlow's")
    monkeypatch.setattr(child, "STARTING", 0.05)  # it cannot even have imported TensorFlow by then
    tuned = quantize(cnn(spread=300.0), images(24), TUNED, refiner=Tuner(Settings(seconds=0.01)))
    (said,) = [f for f in tuned.findings if f.rule == "not-tuned"]
    assert said.severity == "warning"
    assert "took longer than 0 s: allow more with --tune-minutes" in said.message
