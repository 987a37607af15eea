"""The whole journey: load, lint, quantise, prove, check, compile, package, report.

Everything is made in memory first and written last, one bundle after the other, each atomically: what fails leaves
the bundles of the last build as they were.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy.typing as npt

from qedge.bundle import Manifest, write_bundle
from qedge.bundle.write import write_whole
from qedge.drift.sketch import Sketch
from qedge.errors import QedgeError, ToolError
from qedge.oracle.golden import golden_samples
from qedge.pipeline.gate import raise_for
from qedge.pipeline.offers import write_front
from qedge.pipeline.package import bundle_contents
from qedge.pipeline.preflight import preflight
from qedge.pipeline.prepare import prepare
from qedge.pipeline.provenance import data_facts
from qedge.pipeline.request import (
    GOLDEN_SAMPLES,
    BuildRequest,
    BuildResult,
    Prepared,
    target_request,
)
from qedge.pipeline.sketch import drift_sketch
from qedge.pipeline.summary import build_reports, measure_layers
from qedge.target import CheckReport, Compiled, Request, Target
from qedge.target.protocol import Progress


def check(prepared: Prepared, targets: Sequence[tuple[Target, Mapping[str, Any]]]) -> dict[str, CheckReport]:
    """Return what every target says about the model, by target name."""
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        return {
            (name := target.info.name): target.check(
                target_request(prepared.of(name), options, Path(scratch) / name)
            )
            for target, options in targets
        }


def build(request: BuildRequest, progress: Progress) -> BuildResult:
    """Build one bundle a target under ``request.out/<name>/``.

    What stops one target leaves the others be: its error is in ``failures``, and the bundle of its last build stays
    as it was. With ``all_or_nothing``, or where no target is left, it is raised.

    Raises:
        QedgeError: with the exit code of the stage that failed; no bundle is touched then.
    """
    started = time.monotonic()
    preflight(request)
    warm = _warm_up(request)
    prepared = prepare(request, progress)
    given = {id(form): _Given.of(form) for form in prepared.forms}
    checks: dict[str, CheckReport] = {}
    compiled: dict[str, Compiled] = {}
    contents: dict[str, tuple[Manifest, dict[str, bytes]]] = {}
    failures: dict[str, QedgeError] = {}
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        asked: dict[str, tuple[Target, Request]] = {}
        progress("check targets", 0.0)
        for target, options in request.targets:
            name = target.info.name
            with _kept(name, failures, request):
                form = prepared.of(name)
                its = given[id(form)]
                question = target_request(form, options, Path(scratch) / name, its.samples, its.sketch)
                checks[name] = target.check(question)
                raise_for(name, checks[name])
                asked[name] = target, replace(question, found=checks[name])
        _raise_if_none(asked, failures)
        for thread in warm:
            thread.join()
        # Compilers are other programs: while they work, the layers are measured here.
        with ThreadPoolExecutor(max_workers=2) as workers:
            at_work = {name: workers.submit(t.compile, question) for name, (t, question) in asked.items()}
            layers = {id(form): measure_layers(form, progress) for form in prepared.forms}
            for name, work in at_work.items():
                progress(f"compile for {name}", 0.0)
                with _kept(name, failures, request):
                    compiled[name] = work.result()
        _raise_if_none(compiled, failures)
        progress("write bundles", 0.0)
        data = data_facts(request.data)
        reports = build_reports(prepared, checks, compiled, layers, request, data)
        for name in list(compiled):
            with _kept(name, failures, request):
                target, _ = asked[name]
                form = prepared.of(name)
                its = given[id(form)]
                contents[name] = bundle_contents(
                    request, form, target, compiled[name], its.samples, reports[id(form)], data, its.sketch
                )
    _raise_if_none(contents, failures)
    root = request.out / prepared.name
    bundles = {name: root / name for name in contents}
    try:
        for name, (manifest, files) in contents.items():
            write_bundle(bundles[name], manifest, files)
        if prepared.quantized is not None:
            write_whole(root / "float.tflite", prepared.source.data)
    except OSError as problem:
        raise ToolError(
            f"{root}: the bundles cannot be written: {problem.strerror or problem}",
            hint="is the disk full, or the folder closed to you? choose another --out",
        ) from problem
    report, seconds = reports[id(prepared)], time.monotonic() - started
    others = {n: reports[id(form)] for n in bundles if (form := prepared.of(n)) is not prepared}
    offers = write_front(request, prepared, root, progress)
    return BuildResult(prepared, report, bundles, seconds, failures, others, offers)


@dataclass(frozen=True)
class _Given:
    """What goes into the bundles of one form beside its model: samples for the proof, and what calibration was like."""

    samples: list[list[npt.NDArray[Any]]]
    sketch: Sketch | None

    @classmethod
    def of(cls, form: Prepared) -> _Given:
        """Return what belongs to a form; its inputs may be of another type than another one's."""
        return cls(golden_samples(form.graph, form.dataset, GOLDEN_SAMPLES), drift_sketch(form))


def _warm_up(request: BuildRequest) -> list[Thread]:
    """Let every target get its tools ready while the model is read; nobody waits for them where the build fails."""

    def work(target: Target, options: Mapping[str, Any]) -> None:
        with suppress(QedgeError):
            target.warm_up(options)

    threads = [Thread(target=work, args=pair, daemon=True) for pair in request.targets]
    for thread in threads:
        thread.start()
    return threads


@contextmanager
def _kept(name: str, failures: dict[str, QedgeError], request: BuildRequest) -> Iterator[None]:
    """Keep a target's error for the end; raise it where the build is to be all or nothing."""
    try:
        yield
    except QedgeError as problem:
        if request.all_or_nothing:
            raise
        failures[name] = problem


def _raise_if_none(left: Mapping[str, object], failures: Mapping[str, QedgeError]) -> None:
    if failures and not left:
        raise next(iter(failures.values()))
