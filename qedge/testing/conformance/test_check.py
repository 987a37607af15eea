"""What ``check`` promises: a place and a reason for every operator, all findings, no exception for a model."""

from __future__ import annotations

import pytest

from qedge.target import CheckReport
from qedge.target.answers import UNSUPPORTED, faults_of_check
from qedge.testing.subject import Subject


def allowed(subject: Subject) -> set[str]:
    info = subject.target.info
    return {"cpu", UNSUPPORTED, info.name, *([info.accelerator] if info.accelerator else [])}


def test_a_plain_classifier_is_placed_without_an_error(subject: Subject) -> None:
    report = subject.target.check(subject.request(subject.graph, "plain"))
    assert faults_of_check(report, subject.graph) == []
    places = {p.placement for p in report.operators}
    assert places <= allowed(subject), f"placements {places}, expected some of {allowed(subject)}"
    errors = [f.message for f in report.findings if f.severity == "error"]
    assert not errors, f"a small int8 classifier is refused: {errors}"


def test_an_accelerator_says_its_share(subject: Subject) -> None:
    if subject.target.info.accelerator is None:
        pytest.skip("the target has no accelerator")
    metrics = subject.target.check(subject.request(subject.graph, "share")).metrics
    assert isinstance(metrics.get("mapped_percent"), (int, float)), "no figure mapped_percent"
    assert 0 <= metrics["mapped_percent"] <= 100


def test_an_unknown_operator_is_refused_in_words_not_by_an_exception(subject: Subject) -> None:
    report = subject.target.check(subject.request(subject.unknown, "unknown"))
    assert isinstance(report, CheckReport)
    assert faults_of_check(report, subject.unknown) == []
    refusals = [f for f in report.findings if f.severity in ("error", "warning")]
    assert refusals, "an operator that no device has is taken without a word"
    place = report.operators[1].placement
    assert place in ("cpu", UNSUPPORTED), f"an operator that no device has is placed on {place}"


def test_every_refusal_says_what_to_do(subject: Subject) -> None:
    report = subject.target.check(subject.request(subject.unknown, "hints"))
    silent = [f.message for f in report.findings if f.severity == "error" and not f.hint]
    assert not silent, f"errors without a hint: {silent}"


def test_the_same_question_has_the_same_answer(subject: Subject) -> None:
    before = subject.graph.data
    one, two = (subject.target.check(subject.request(subject.graph, f"again{k}")) for k in range(2))
    assert (one.findings, one.operators, one.metrics) == (two.findings, two.operators, two.metrics)
    assert subject.graph.data == before, "check changed the model"


@pytest.mark.parametrize("limit", ["ram", "flash"])
def test_a_budget_that_nothing_fits_is_missed(subject: Subject, limit: str) -> None:
    declared = {o.name: o for o in subject.target.info.options}
    if limit not in declared or declared[limit].kind != "bytes":
        pytest.skip(f"the target has no option {limit} in bytes")
    report = subject.target.check(subject.request(subject.graph, f"tight-{limit}", **{limit: 16}))
    rules = [f.rule for f in report.findings if f.severity == "error"]
    assert rules, f"16 bytes of {limit} are enough"
    assert set(rules) == {"capacity"}, f"over the budget by the rules {rules}, expected capacity (exit 5)"
