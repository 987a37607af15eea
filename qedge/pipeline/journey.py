"""The whole journey: load, lint, quantise, prove, check, compile, package, report.

Everything is made in memory first and written last, one bundle after the other, each atomically: a build that
fails leaves the bundles of the last one as they were.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qedge.bundle import write_bundle
from qedge.oracle.golden import golden_samples
from qedge.pipeline.gate import raise_for
from qedge.pipeline.package import bundle_contents, write_atomically
from qedge.pipeline.prepare import prepare
from qedge.pipeline.request import BuildRequest, BuildResult, Prepared, target_request
from qedge.pipeline.summary import build_report, measure_layers
from qedge.target import CheckReport, Compiled, Target
from qedge.target.protocol import Progress

GOLDEN_SAMPLES = 4


def check(prepared: Prepared, targets: Sequence[tuple[Target, Mapping[str, Any]]]) -> dict[str, CheckReport]:
    """Return what every target says about the model, by target name."""
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        return {
            (name := target.info.name): target.check(target_request(prepared, options, Path(scratch) / name))
            for target, options in targets
        }


def build(request: BuildRequest, progress: Progress) -> BuildResult:
    """Build one bundle a target under ``request.out/<name>/``.

    Raises:
        QedgeError: with the exit code of the stage that failed; no bundle is touched then.
    """
    started = time.monotonic()
    prepared = prepare(request, progress)
    samples = golden_samples(prepared.graph, prepared.dataset, GOLDEN_SAMPLES)
    checks: dict[str, CheckReport] = {}
    compiled: dict[str, Compiled] = {}
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        asked = [
            (target, target_request(prepared, options, Path(scratch) / target.info.name, samples))
            for target, options in request.targets
        ]
        progress("check targets", 0.0)
        for target, question in asked:
            checks[target.info.name] = target.check(question)
        for name, found in checks.items():
            raise_for(name, found)
        for target, question in asked:
            name = target.info.name
            progress(f"compile for {name}", 0.0)
            compiled[name] = target.compile(replace(question, found=checks[name]))
    infos = [target.info for target, _ in request.targets]
    report = build_report(prepared, checks, compiled, measure_layers(prepared, progress), infos)
    progress("write bundles", 0.0)
    root = request.out / prepared.name
    bundles: dict[str, Path] = {}
    contents = {}
    for target, _ in request.targets:
        name = target.info.name
        contents[name] = bundle_contents(request, prepared, target, compiled[name], samples, report)
    for name, (manifest, files) in contents.items():
        bundles[name] = root / name
        write_bundle(bundles[name], manifest, files)
    if prepared.quantized is not None:
        write_atomically(root / "float.tflite", prepared.source.data)
    return BuildResult(prepared, report, bundles, time.monotonic() - started)
