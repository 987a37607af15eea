"""Whether a candidate is within the accuracy budget: calibration samples foretell, those measured on have a say."""

from __future__ import annotations

import pytest

from qedge.quantize import QuantizeOptions
from qedge.quantize.build import Builder
from qedge.quantize.holds import Holds
from qedge.quantize.judge import Judge
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import narrow_operators
from qedge.quantize.recipe import Recipe
from qedge.quantize.search import Tried, attempt
from tests.unit.quantize_models import cnn, images

STRICT, LOOSE = QuantizeOptions(min_sqnr=90.0), QuantizeOptions(min_sqnr=5.0)


@pytest.fixture(scope="module")
def candidates() -> tuple[Judge, Tried, Tried]:
    """Return the judge, plain int8, and int4 weights everywhere."""
    model, data = FloatModel.from_bytes(cnn()), images(24)
    builder, judge = Builder(model, data, range(24), threads=1), Judge(model, data, range(24), threads=1)
    layers = narrow_operators(model.graph)
    return judge, attempt(builder, judge, Recipe()), attempt(builder, judge, Recipe(narrow=layers))


def test_samples_that_are_measured_on_may_veto(candidates: tuple[Judge, Tried, Tried]) -> None:
    judge, plain, narrow = candidates
    asked: list[bytes] = []
    holds = Holds(judge, range(6), LOOSE, plain, lambda data: bool(asked.append(data)))
    assert holds.likely(narrow)
    assert not holds(narrow)
    assert asked == [narrow.data]
    assert [f.rule for f in holds.findings] == ["vetoed"]


def test_what_calibration_refuses_is_not_measured_at_first_and_may_be_let_pass(
    candidates: tuple[Judge, Tried, Tried],
) -> None:
    judge, plain, narrow = candidates
    asked: list[bytes] = []
    holds = Holds(judge, range(6), STRICT, plain, lambda data: not asked.append(data))
    assert not holds(narrow)
    assert asked == []
    assert holds.findings == []
    assert holds.passes is not None
    assert holds.passes(narrow)
    assert [(f.rule, f.severity) for f in holds.findings] == [("let-pass", "warning")]


def test_without_other_samples_nothing_is_let_pass(candidates: tuple[Judge, Tried, Tried]) -> None:
    judge, plain, narrow = candidates
    holds = Holds(judge, range(6), LOOSE, plain)
    assert holds.passes is None
    assert holds(narrow)
