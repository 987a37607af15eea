"""What ``compile`` promises, and the bundle that ``qedge build`` makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from qedge.bundle import read_bundle
from qedge.errors import QedgeError
from qedge.fields import Field
from qedge.target import target_of
from qedge.target.answers import faults_of_compiled
from qedge.testing.subject import Subject


class Refused(QedgeError):
    """What a validator is to raise."""


def refusal_of(subject: Subject, data: Field) -> str | None:
    try:
        subject.target.validate_target_data(data)
    except Refused as refusal:
        return refusal.message
    return None


def test_what_it_compiles_keeps_the_contract(subject: Subject) -> None:
    assert faults_of_compiled(subject.compile("once")) == []


def test_compiling_twice_gives_the_same_bytes(subject: Subject) -> None:
    """Wherever it works: the second time the folder has another name."""
    one, two = subject.compile("here"), subject.compile("somewhere-else/and-deeper")
    assert sorted(one.files) == sorted(two.files), "other files the second time"
    differing = [name for name in one.files if one.files[name] != two.files[name]]
    assert not differing, f"files that differ from run to run: {differing}"
    assert one.extra == two.extra, "target_data differs from run to run"
    assert one.model == two.model, "the rewritten model differs from run to run"


def test_nothing_tells_where_it_was_made(subject: Subject) -> None:
    compiled = subject.compile("marked-place")
    place = str(subject.folder).encode()
    telling = [name for name, data in compiled.files.items() if place in data]
    assert not telling, f"paths of this machine in {telling}"
    assert place.decode() not in repr(compiled.extra), "paths of this machine in target_data"


def test_an_unknown_operator_ends_the_build_with_an_error_of_qedge(subject: Subject) -> None:
    report = subject.target.check(subject.request(subject.unknown, "refused"))
    if not any(f.severity == "error" for f in report.findings):
        pytest.skip("the target leaves unknown operators to the CPU")
    with pytest.raises(QedgeError) as caught:
        subject.build(subject.unknown, "refused-build")
    assert caught.value.exit_code == 4, f"{type(caught.value).__name__}: {caught.value}"
    assert not list((subject.folder / "refused-build").glob("*/*")), "something was written"


def test_it_prints_nothing(subject: Subject, capfd: pytest.CaptureFixture[str]) -> None:
    subject.compile("silent")
    assert capfd.readouterr().out == "", "standard output belongs to qedge"


def test_the_bundle_is_intact_and_its_data_are_the_targets(subject: Subject) -> None:
    with read_bundle(subject.bundle) as opened:
        assert opened.manifest.target == subject.target.info.name
        assert opened.golden(), "no golden vectors"
        assert target_of(opened).info.name == subject.target.info.name


@pytest.mark.parametrize("wrong", [None, 3, [], "text", {}, -1.5, [[]], {"": None}])
def test_foreign_target_data_never_end_in_an_exception_of_python(subject: Subject, wrong: Any) -> None:
    """The manifest is from outside: its validator takes it or raises the field's error."""
    with read_bundle(subject.bundle) as opened:
        good = dict(opened.manifest.target_data)
    for key in [*good, "a key that nobody knows"]:
        data = Field({**good, key: wrong}, "$.target_data", Refused)
        refusal = refusal_of(subject, data)
        assert refusal is None or refusal.startswith("$.target_data"), f"no path in {refusal!r}"
