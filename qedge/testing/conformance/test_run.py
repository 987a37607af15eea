"""What running a bundle promises: the golden outputs, and that a wrong one is noticed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

import qedge
from qedge.bundle import read_bundle
from qedge.target.answers import faults_of_metrics, faults_of_verify
from qedge.testing.subject import Subject, moved


def run(subject: Subject, samples: list[list[Any]]) -> list[list[Any]]:
    if not subject.target.info.has_runtime:
        return subject.target.execute(subject.bundle, samples, subject.options)
    with qedge.load(subject.bundle, device="cpu") as model:
        return [model.engine.run(list(sample)) for sample in samples]


def test_the_bundle_verifies(subject: Subject) -> None:
    report = subject.target.verify(subject.bundle, None, subject.options)
    assert faults_of_verify(report) == []
    assert report.passed, f"its own golden vectors fail: {report.mismatches}"


def test_other_samples_verify(subject: Subject) -> None:
    report = subject.target.verify(subject.bundle, subject.samples, subject.options)
    assert faults_of_verify(report) == []
    assert report.passed, f"samples fail: {report.mismatches}"
    assert report.samples == len(subject.samples)


def test_a_wrong_output_is_noticed(subject: Subject) -> None:
    with read_bundle(subject.bundle) as opened:
        golden = [(inputs, [moved(o) for o in outputs]) for inputs, outputs in opened.golden()]
    report = subject.target.verify(subject.altered("wrong", golden=golden), None, subject.options)
    assert not report.passed, "golden outputs that no kernel gives are verified"
    assert not report.bit_exact
    assert report.mismatches, "no mismatch in words"


def test_it_gives_the_outputs_that_the_manifest_states(subject: Subject) -> None:
    with read_bundle(subject.bundle) as opened:
        specs, golden = opened.manifest.outputs, opened.golden()
    for outputs, (_, expected) in zip(run(subject, [list(i) for i, _ in golden]), golden):
        assert [(o.shape, o.dtype.name) for o in outputs] == [(s.shape, s.dtype) for s in specs]
        for found, wanted in zip(outputs, expected):
            steps = np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max(initial=0.0)
            assert steps <= 1, f"an output differs from its golden one by {steps:g} steps"


def test_a_benchmark_is_json_with_estimates_labelled(subject: Subject) -> None:
    found = subject.target.bench(subject.bundle, subject.options, runs=3, threads=1)
    if found is not None:
        assert faults_of_metrics(found) == []
        assert json.dumps(found, allow_nan=False, default=str)
