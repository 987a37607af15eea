"""What is measured of activations in one run: the same as in runs of their own, held-out samples kept apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from quantize_models import ArrayDataset, cnn, images

from qedge.quantize.build import Builder
from qedge.quantize.judge import FAR_BEHIND, FIRST, Judge
from qedge.quantize.model import FloatModel
from qedge.quantize.recipe import Recipe
from qedge.quantize.statistics import Statistics

HELD = (3, 7, 8, 21)


class _Counted(ArrayDataset):
    """Samples that count how often each was read."""

    @property
    def runs(self) -> float:
        return len(self.read) / len(self)


def _samples() -> _Counted:
    return _Counted(*images().arrays)


def _apart() -> tuple[Statistics, Statistics, Statistics]:
    model, samples = FloatModel.from_bytes(cnn(spread=30.0)), images()
    samples.arrays[0][list(HELD)] *= 2  # the extremes are among them
    everything = list(range(len(samples)))
    rest = [i for i in everything if i not in HELD]
    whole = Statistics(model, samples, everything)
    return Statistics(model, samples, everything, held=HELD), whole, Statistics(model, samples, rest)


def test_held_out_samples_are_in_the_whole_and_not_in_what_fits() -> None:
    both, whole, rest = _apart()
    for fit, alone in ((False, whole), (True, rest)):
        assert both.extremes(None, fit) == alone.extremes(None)
        ours, theirs = both.histograms(None, fit), alone.histograms(None)
        assert ours.ranges == theirs.ranges
        for t, histogram in theirs.of.items():
            assert ours.of[t].exponent == histogram.exponent
            np.testing.assert_array_equal(ours.of[t].counts, histogram.counts)
    assert both.extremes(None, True) != both.extremes(None, False)


def test_what_equalisation_scales_is_measured_apart_too() -> None:
    both, whole, _ = _apart()
    assert both.histograms(0.5).ranges == whole.histograms(0.5).ranges
    both, whole, _ = _apart()
    assert both.extremes(0.5) == whole.extremes(0.5)
    assert both.extremes(0.5) != both.extremes(None)


def test_moments_of_both_parts_add_up() -> None:
    both, whole, _ = _apart()
    for weight, moment in whole.moments(None).items():
        np.testing.assert_allclose(both.moments(None)[weight], moment, rtol=1e-11, atol=1e-9)
        # The last value counts the rows: those of held-out samples are missing.
        assert both.moments(None, True)[weight][..., -1, -1].max() < moment[..., -1, -1].max()


def test_one_run_measures_all_of_the_model_and_one_more_all_of_its_equalised_forms() -> None:
    samples = _samples()
    builder = Builder(FloatModel.from_bytes(cnn()), samples, range(len(samples)), held=HELD)
    builder.statistics.distributions(moments=True)
    for ranges in ("minmax", "mse", "entropy"):
        builder.build(Recipe(ranges, rounding=True))
        builder.without_held().build(Recipe(ranges, rounding=True))
    assert samples.runs == 1
    builder.statistics.equalised((0.5, 0.8))
    for share in (0.5, 0.8):
        builder.build(Recipe("percentile", share, rounding=True))
        builder.without_held().build(Recipe("minmax", share))
    assert samples.runs == 2


def test_a_builder_without_the_held_out_samples_builds_as_one_that_never_had_them() -> None:
    samples = images()
    rest = [i for i in range(len(samples)) if i not in HELD]
    model = FloatModel.from_bytes(cnn())
    apart = Builder(model, samples, range(len(samples)), held=HELD).without_held()
    alone = Builder(model, samples, rest)
    for recipe in (Recipe("minmax"), Recipe("mse"), Recipe("percentile")):
        assert apart.build(recipe) == alone.build(recipe)


def test_a_candidate_far_behind_is_given_up_after_the_first_samples() -> None:
    model, samples = FloatModel.from_bytes(cnn()), images(90)
    judge = Judge(model, samples, range(90))
    candidate = Builder(model, samples, range(90)).build(Recipe())
    whole = judge.judge(candidate)
    assert whole.comparison.samples == 90
    ahead = replace(whole, first=whole.first + FAR_BEHIND + 0.01)
    assert judge.judge(candidate, ahead).comparison.samples == FIRST
    assert judge.judge(candidate, ahead).score == whole.first
    near = replace(whole, first=whole.first + FAR_BEHIND - 0.01)
    assert judge.judge(candidate, near) == whole


def test_a_judge_by_some_of_the_samples_is_one_that_has_only_these() -> None:
    model, samples = FloatModel.from_bytes(cnn()), images(40)
    candidate = Builder(model, samples, range(40)).build(Recipe())
    some = [1, 4, 5, 30]
    assert Judge(model, samples, range(40)).of(some).judge(candidate) == Judge(model, samples, some).judge(
        candidate
    )
