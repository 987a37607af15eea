"""Figures of each output against what a reader computes by hand, and the floor on both sides."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantize_models import ArrayDataset, f32

from qedge.datasets.outputs import OutputInfo, output_infos
from qedge.errors import DataError
from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.quantize import QuantizeOptions, compare, quantize
from qedge.quantize.boxes import ObjectTally
from qedge.quantize.budget import missed, unusable_gate
from qedge.quantize.columns import groups_of
from qedge.quantize.compare import Comparison, tasks_of
from qedge.quantize.figures import OutputFigures, OutputTally
from qedge.quantize.floor import below_floor, loss_findings
from qedge.quantize.intervals import f1, f1_drop_interval, f1_interval, paired_drop, wilson
from qedge.quantize.layers import LayerError
from qedge.quantize.tasks import task_of
from qedge.testing.opmodels import ModelBuilder, Spec, constant

SCORES = OutputInfo("scores", (1, 3), "softmax")
PROBABILITY = OutputInfo("p", (1, 1), "sigmoid")
NUMBER = OutputInfo("age", (1, 1), "linear")
LABELS = OutputInfo("tags", (1, 4), "sigmoid")


def _tally(
    info: OutputInfo, real: np.ndarray, found: np.ndarray, truth: np.ndarray | None = None
) -> OutputFigures:
    tally = OutputTally(info, task_of(info, truth))
    for i, (a, b) in enumerate(zip(real, found)):
        tally.add(a.reshape(info.shape), b.reshape(info.shape), None if truth is None else truth[i])
    return tally.result()


def test_noise_is_measured_raw_and_about_the_mean() -> None:
    rng = np.random.default_rng(0)
    real = 300 + rng.normal(size=(500, 1))  # kelvins: int8 steps of 1.2
    figures = _tally(NUMBER, real, np.rint(real / 1.2) * 1.2)
    noise = 1.2**2 / 12
    assert figures.sqnr_db == pytest.approx(10 * math.log10(300**2 / noise), abs=0.5)
    assert figures.centred_db == pytest.approx(10 * math.log10(1 / noise), abs=0.7)
    (miss,) = below_floor(Comparison(500, (figures,)))
    assert "about the mean" in miss.why
    assert miss.name == "age"


def test_accuracy_agreement_and_the_drop_have_intervals() -> None:
    labels = np.arange(90) % 3
    real = np.eye(3)[labels]
    found = real.copy()
    found[:9] = np.roll(found[:9], 1, axis=1)
    figures = _tally(SCORES, real, found, labels)
    assert (figures.metric, figures.float_metric, figures.quantized_metric) == ("accuracy", 1.0, 0.9)
    assert figures.agreement == 0.9
    assert figures.quantized_interval == wilson(81, 90)
    assert figures.drop_interval == paired_drop(9, 0, 90)
    assert figures.drop_interval[0] < figures.drop < figures.drop_interval[1]
    assert below_floor(Comparison(90, (figures,)))


@pytest.mark.parametrize(
    ("info", "truth", "real", "right"),
    [
        (PROBABILITY, [0, 1, 1], [0.2, 0.6, 0.45], 2 / 3),  # at 0.5
        (NUMBER, [0, 1, 1], [-0.2, 0.3, -0.1], 2 / 3),  # a logit: at 0
        (SCORES, [2, 0, 1], np.eye(3), 0.0),
    ],
)
def test_each_task_has_its_threshold(info: OutputInfo, truth: list[int], real: object, right: float) -> None:
    values = np.asarray(real, float)
    figures = _tally(info, values, values, np.array(truth, np.int64))
    assert figures.float_metric == pytest.approx(right)
    assert figures.agreement == 1.0


def test_many_labels_are_scored_by_f1_and_not_by_the_top_class() -> None:
    truth = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]], bool)
    real = np.where(truth, 0.9, 0.1)
    found = real.copy()
    found[2, 3] = 0.2  # one of four labels missed; the top class stays the same
    figures = _tally(LABELS, real, found, truth)
    assert (figures.metric, figures.float_metric) == ("f1", 1.0)
    assert figures.quantized_metric == pytest.approx(2 * 3 / (2 * 3 + 1))
    assert figures.agreement == figures.quantized_metric
    silent = _tally(LABELS, np.full((5, 4), 0.1), np.full((5, 4), 0.1))
    assert silent.agreement is None  # no label is ever given: nothing to agree on


def test_a_regression_is_scored_by_its_error_in_its_own_units() -> None:
    truth = np.array([[10.0], [20.0], [30.0], [40.0]])
    figures = _tally(NUMBER, truth + 1, truth + np.array([[3.0], [-3], [3], [-3]]), truth)
    assert (figures.metric, figures.float_metric, figures.quantized_metric) == ("mae", 1.0, 3.0)
    assert figures.drop == 2.0
    assert figures.float_r2 == pytest.approx(1 - 4 / 500)
    assert Comparison(4, (figures,)).quantized_metric is None  # an error is no accuracy


def test_columns_of_unlike_size_count_apart() -> None:
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.uniform(100, 640, (20, 4, 50)), rng.uniform(0, 1, (20, 6, 50))], axis=1)
    found = np.rint(real / 2.5) * 2.5
    figures = _tally(OutputInfo("boxes", (1, 10, 50), "linear"), real, found)
    assert [p.columns for p in figures.parts] == ["0-3", "4-9"]
    assert figures.sqnr_db > 50
    assert figures.worst_db < 5
    assert Comparison(20, (figures,)).sqnr_db == figures.worst_db
    (miss,) = below_floor(Comparison(20, (figures,)))
    assert "columns 4-9" in miss.why


def test_a_ladder_of_sizes_without_a_gap_counts_apart() -> None:
    rng = np.random.default_rng(0)
    sizes = 5.0 ** np.arange(6)
    real = rng.normal(size=(40, 6)) * sizes
    figures = _tally(OutputInfo("numbers", (1, 6), "linear"), real, np.rint(real / 40) * 40)
    assert [p.columns for p in figures.parts] == ["0-1", "2-3", "4-5"]
    assert figures.sqnr_db > 40
    assert figures.worst_db < 5
    (miss,) = below_floor(Comparison(40, (figures,)))
    assert "columns 0-1" in miss.why
    maps = np.square(np.repeat(sizes[:, None], 9, axis=1))
    assert groups_of(maps[None])[1] == []  # the columns of a map have sizes between


def test_columns_of_like_size_and_long_vectors_stay_together() -> None:
    rng = np.random.default_rng(0)
    assert groups_of(rng.uniform(1, 50, (1, 10, 50)))[1] == []
    embedding = np.where(np.arange(64) < 4, 1e6, 1.0)[None]
    assert groups_of(embedding)[1] == []
    assert len(groups_of(embedding[:, :32])[1]) == 2
    assert groups_of(np.zeros((1, 4)))[1] == []


def test_the_worst_output_is_the_headline() -> None:
    good = _tally(SCORES, np.eye(3), np.eye(3) + 1e-3)
    bad = _tally(NUMBER, np.array([[1.0], [2.0]]), np.array([[1.2], [1.8]]))
    result = Comparison(3, (good, bad))
    assert result.worst is bad
    assert result.sqnr_db == bad.sqnr_db < good.sqnr_db
    assert "'age'" in str(missed(result, QuantizeOptions(min_sqnr=30.0)))


def test_an_index_has_agreement_and_no_noise() -> None:
    info = OutputInfo("map", (1, 2, 2), "index")
    real = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    found = np.array([[0, 1, 2, 0], [3, 2, 1, 0]])
    figures = _tally(info, real, found)
    assert figures.agreement == pytest.approx(7 / 8)
    assert (figures.sqnr_db, figures.centred_db) == (math.inf, None)
    assert figures.to_json()["sqnr_db"] is None


def test_a_constant_output_is_seen() -> None:
    assert _tally(PROBABILITY, np.ones((9, 1)), np.ones((9, 1))).constant
    assert not _tally(PROBABILITY, np.linspace(0, 1, 9)[:, None], np.ones((9, 1))).constant


# --- the floor and the gates -----------------------------------------------------------------------------------


def _agreeing(hits: int, count: int) -> Comparison:
    base = _tally(SCORES, np.eye(3), np.eye(3))
    figures = replace(base, samples=count, agreement=hits / count, agreement_interval=wilson(hits, count))
    return Comparison(count, (figures,))


def test_the_floor_lets_pass_what_may_be_chance_and_no_more() -> None:
    assert not below_floor(_agreeing(50, 50))
    assert not below_floor(_agreeing(49, 50))  # one of fifty: it may be 0.4 %
    assert below_floor(_agreeing(45, 50))
    assert below_floor(_agreeing(980, 1000))
    assert not below_floor(_agreeing(991, 1000))


def test_a_loss_names_the_layer_and_the_way_out() -> None:
    graph = _two_branches()
    layers = [
        LayerError(k, op, op.lower(), 20.0, 9.0 + k, 0, 1, 0, 1, 0.0, 0, 8, ())
        for k, op in enumerate(("TANH", "RELU", "LOGISTIC"))
    ]
    (finding,) = loss_findings(below_floor(_agreeing(45, 50)), layers, ["keep it in 16 bit"], graph)
    assert finding.severity == "warning"
    assert "#1 RELU" in finding.message  # the TANH is worse, and no part of what gives the scores
    assert "'scores'" in finding.message
    assert finding.hint == "keep it in 16 bit"
    (alone,) = loss_findings(below_floor(_agreeing(45, 50)), layers[:1], ["-"], graph)
    assert (alone.op, "most noise" in alone.message) == (None, False)
    # Where its own columns share a scale, no layer ahead is to blame.
    (shared,) = loss_findings(below_floor(_agreeing(45, 50)), layers, ["-"], graph, {"scores"})
    assert shared.op is None
    assert "share one scale" in shared.message


def _two_branches() -> Graph:
    """A TANH of an input is one output; the scores are a LOGISTIC of a RELU of it."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 3), "float32", name="x"))
    other, relu, scores = (g.tensor(Spec((1, 3), "float32", name=n)) for n in ("other", "relu", "scores"))
    for op, read, made in (("TANH", x, other), ("RELU", x, relu), ("LOGISTIC", relu, scores)):
        g.operator(op, [read], [made])
    g.output(other)
    g.output(scores)
    return Graph.from_bytes(builder.pack())


def test_a_gate_that_cannot_be_applied_is_missed() -> None:
    drop = QuantizeOptions(max_drop=0.01)
    numbers = Comparison(3, (_tally(NUMBER, np.ones((3, 1)), np.ones((3, 1))),))
    assert "cannot be applied" in str(missed(numbers, drop))
    assert "'age' is a number" in str(unusable_gate([task_of(NUMBER)], ["age"], drop))
    assert unusable_gate([task_of(NUMBER), task_of(SCORES)], ["age", "scores"], drop) is None
    assert unusable_gate([task_of(NUMBER)], ["age"], QuantizeOptions(min_sqnr=30.0)) is None


def test_a_gate_looks_at_every_classification() -> None:
    fine, worse = _agreeing(100, 100).outputs[0], _agreeing(95, 100).outputs[0]
    drop = QuantizeOptions(max_drop=0.01)
    assert missed(Comparison(100, (fine, fine)), drop) is None
    assert "5.0 points" in str(missed(Comparison(100, (fine, worse)), drop))
    finer = str(missed(Comparison(100, (fine, worse)), replace(drop, max_drop=0.004)))
    assert "one of 100 samples is 1.0 points: at least 250 tell such a drop" in finer


# --- intervals -------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 500), st.floats(0, 1))
def test_wilson_holds_the_share_and_stays_within_bounds(count: int, part: float) -> None:
    hits = round(part * count)
    low, high = wilson(hits, count)
    assert 0 <= low <= hits / count + 1e-12
    assert hits / count - 1e-12 <= high <= 1


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = sum(low <= 0.9 <= high for low, high in (wilson(rng.binomial(60, 0.9), 60) for _ in range(2000)))
    assert 0.92 < held / 2000 < 0.98
    drops = 0
    for _ in range(2000):
        lost, won, _ = rng.multinomial(150, [0.06, 0.02, 0.92])
        low, high = paired_drop(int(lost), int(won), 150)
        drops += low <= 0.04 <= high
    assert 0.92 < drops / 2000 < 0.99


def test_resampled_f1_brackets_the_score() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, (80, 3))
    worse = counts + np.array([0, 2, 0])
    low, high = f1_interval(counts)
    assert low < f1(counts) < high
    assert f1_drop_interval(counts, worse)[0] > 0
    assert f1_drop_interval(counts, counts) == (0.0, 0.0)


# --- whole models ----------------------------------------------------------------------------------------------


def _heads(rng: np.random.Generator) -> bytes:
    """Return a model of two heads: large numbers, and one probability that hardly moves behind a large weight."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 8), "float32", name="x"))

    def const(values: np.ndarray) -> int:
        return g.tensor(constant(values, "float32"))

    numbers = g.tensor(Spec((1, 6), "float32", name="numbers"))
    g.operator("FULLY_CONNECTED", [x, const(rng.normal(size=(6, 8)) * 100), const(np.zeros(6))], [numbers])
    logit, p = g.tensor(f32(1, 1)), g.tensor(Spec((1, 1), "float32", name="p"))
    g.operator("FULLY_CONNECTED", [x, const(rng.normal(size=(1, 8))), const(np.zeros(1))], [logit])
    g.operator("LOGISTIC", [logit], [p])
    g.output(numbers)
    g.output(p)
    return builder.pack()


def test_each_head_of_a_model_has_its_own_figures() -> None:
    rng = np.random.default_rng(0)
    model, data = _heads(rng), ArrayDataset(rng.normal(size=(100, 8)).astype(np.float32))
    result = compare(model, quantize(model, data, QuantizeOptions(method="minmax")).data, data)
    numbers, p = result.outputs
    assert (numbers.name, numbers.task, p.name, p.task) == ("numbers", "vector", "p", "yes_no")
    assert result.sqnr_db == min(numbers.sqnr_db, p.sqnr_db)
    assert p.agreement is not None


def test_labels_go_to_the_only_output_that_tells_classes_apart() -> None:
    rng = np.random.default_rng(0)
    infos = output_infos(Graph.from_bytes(_heads(rng)))
    data = ArrayDataset(rng.normal(size=(4, 8)), labels=np.array([0, 1, 1, 0]))
    # Both a row of numbers and a probability can be labelled: nothing says which is meant.
    assert [t.kind for t in tasks_of(infos, data)] == ["vector", "yes_no"]
    single = [infos[1]]
    assert tasks_of(single, data)[0].kind == "yes_no"
    with pytest.raises(DataError, match=r"row 2.*expected 0 or 1"):
        tasks_of(single, ArrayDataset(rng.normal(size=(4, 8)), labels=np.array([0, 1, 7, 0])))


def _ended(op: str, shape: tuple[int, ...], reshaped: tuple[int, ...] | None = None) -> OutputInfo:
    """Return what the output of one operator, reshaped or not, is taken for."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec(shape, "float32", name="x"))
    y = g.tensor(Spec(shape, "float32", name="y"))
    g.operator(op, [x], [y], {"beta": 1.0} if op == "SOFTMAX" else None)
    if reshaped is not None:
        z = g.tensor(Spec(reshaped, "float32", name="z"))
        g.operator("RESHAPE", [y, g.tensor(constant(list(reshaped)))], [z])
        y = z
    g.output(y)
    (info,) = output_infos(Graph.from_bytes(builder.pack()))
    return info


@pytest.mark.parametrize(
    ("op", "shape", "reshaped", "ending", "kind"),
    [
        ("SOFTMAX", (1, 5), None, "softmax", "classes"),
        ("SOFTMAX", (1, 1, 1, 5), (1, 5), "softmax", "classes"),
        ("SOFTMAX", (1, 4, 4, 5), None, "softmax", "places"),
        ("SOFTMAX", (1, 4, 4, 5), (1, 16, 5), "softmax", "places"),
        ("SOFTMAX", (1, 4, 4, 5), (1, 80), "linear", "values"),
        ("LOGISTIC", (1, 1), None, "sigmoid", "yes_no"),
        ("LOGISTIC", (1, 5), None, "sigmoid", "many_labels"),
        ("LOGISTIC", (1, 8, 8, 1), None, "sigmoid", "places"),
        ("TANH", (1, 8, 8, 1), None, "linear", "values"),
    ],
)
def test_an_output_is_taken_for_what_its_operators_make_it(
    op: str, shape: tuple[int, ...], reshaped: tuple[int, ...] | None, ending: str, kind: str
) -> None:
    info = _ended(op, shape, reshaped)
    assert (info.ending, task_of(info).kind) == (ending, kind)


def test_a_map_agrees_by_places() -> None:
    info = OutputInfo("map", (1, 2, 2, 3), "softmax")
    real = np.eye(3)[[[[0, 1], [2, 0]]] * 4].reshape(4, 12)
    found = real.copy()
    found[0, :3] = [0, 1, 0]
    figures = _tally(info, real, found)
    assert figures.task == "places"
    assert figures.agreement == pytest.approx(15 / 16)


def _ssd(boxes: list[tuple[float, ...]], scores: list[float]) -> list[np.ndarray]:
    padded = np.zeros((1, 4, 4), np.float32)
    padded[0, : len(boxes)] = np.array(boxes).reshape(-1, 4)
    line = np.zeros((1, 4), np.float32)
    line[0, : len(scores)] = scores
    return [padded, np.zeros((1, 4), np.float32), line, np.array([len(boxes)], np.float32)]


def test_objects_of_a_detector_are_matched_box_by_box() -> None:
    left, right = (0.1, 0.1, 0.4, 0.4), (0.6, 0.6, 0.9, 0.9)
    moved, lost = (0.12, 0.1, 0.42, 0.4), (0.1, 0.4, 0.4, 0.7)
    tally = ObjectTally(Detect())
    tally.add(_ssd([left, right], [0.9, 0.8]), _ssd([moved, right], [0.8, 0.7]))
    assert tally.result().agreement == 1.0
    tally.add(
        _ssd([left, right], [0.9, 0.8]), _ssd([lost, right], [0.9, 0.3])
    )  # one elsewhere, one under 0.5
    assert tally.result().agreement == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    none = ObjectTally(Detect())
    none.add(_ssd([], []), _ssd([], []))
    assert none.result().agreement is None
    assert not below_floor(Comparison(1, (none.result(),)))
    for _ in range(40):
        tally.add(_ssd([left], [0.9]), _ssd([lost], [0.9]))
    (miss,) = below_floor(Comparison(42, (tally.result(),)))
    assert "objects" in miss.why
