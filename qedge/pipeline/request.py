"""What goes into a journey and what comes out of it: the request, the model at the waist, the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from qedge.datasets import Dataset
from qedge.drift.sketch import Sketch
from qedge.errors import QedgeError
from qedge.findings import Finding
from qedge.frontends import SourceModel
from qedge.graph import Graph
from qedge.processing.spec import Postprocess, Preprocess
from qedge.quantize import Comparison, Quantized, QuantizeOptions
from qedge.report import BuildReport
from qedge.target import Request, Target
from qedge.target.protocol import Progress

GOLDEN_SAMPLES = 4
"""Inputs that a bundle carries with their outputs."""
MeasuredOn = Literal["held-out", "eval-data", "calibration"]


@dataclass(frozen=True)
class BuildRequest:
    """What a user asks for.

    Args:
        model: the trained model, or an int8 ``.tflite``.
        data: representative dataset; None is allowed for a full-integer model only.
        targets: targets with their options.
        out: folder of the builds; bundles go to ``out/<name>/<target>/``.
        labels: names of the outputs, in the model's order; None takes the dataset's class folders.
        preprocess: the fields that the user stated; sizes come from the model's input.
        input_shapes: by input name, batch 1 included, for dynamic dimensions; ``""`` is the only input.
        input_values: by name, for inputs that become constants.
        trust_model: whether code in the model file may run.
        eval_data: samples to measure on, none of which calibrates; None holds some of ``data`` out.
        judge: whether the figures are judged: warned of, lifted, held to budgets. A check asks where operators run.
        strict: whether a warning about the model, the data or the figures fails the build.
        cut_head: whether a detector's decoding is taken off the model; None: where it is known.
        export: for whose application files go into the bundles beside the model: ``frigate``, or None.
        card: what only people know of the model, by the keys of :data:`qedge.trust.card.FIELDS`.
        all_or_nothing: whether one target's error leaves the others without a bundle too.
    """

    model: Path
    targets: Sequence[tuple[Target, Mapping[str, Any]]]
    out: Path
    data: Path | None = None
    name: str | None = None
    labels: tuple[str, ...] | None = None
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    postprocess: Postprocess | None = None
    options: QuantizeOptions = field(default_factory=QuantizeOptions)
    input_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    input_values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    trust_model: bool = False
    eval_data: Path | None = None
    judge: bool = True
    strict: bool = False
    all_or_nothing: bool = False
    cut_head: bool | None = None
    export: str | None = None
    card: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A model that has passed through the waist: ``model`` is full-integer and static.

    Args:
        source: what the front end made of the user's file.
        quantized: the quantiser's result, or None for a model that was full-integer already.
        comparison: float against int8, or None without data or float model.
        measured_on: which samples that is of: ``held-out`` (of ``dataset``), ``eval-data`` (the user's own) or
            ``calibration`` (too few to hold any out); None without a comparison.
        calibration_samples: how many samples of ``dataset`` calibrated.
        measured: the samples that ``comparison`` is of.
        postprocess: what the outputs become; None where nobody knows.
        apart: by name, what those targets get that do not run this form, or why they get none.
    """

    source: SourceModel
    name: str
    model: bytes
    graph: Graph
    dataset: Dataset | None
    labels: tuple[str, ...] | None
    preprocess: Preprocess | None
    quantized: Quantized | None
    comparison: Comparison | None
    findings: tuple[Finding, ...]
    measured_on: MeasuredOn | None = None
    calibration_samples: int = 0
    measured: Dataset | None = None
    postprocess: Postprocess | None = None
    apart: Mapping[str, Prepared | QedgeError] = field(default_factory=dict)

    @property
    def forms(self) -> list[Prepared]:
        """This form, then the other ones that targets get, each once."""
        others = {id(f): f for f in self.apart.values() if isinstance(f, Prepared)}
        return [self, *others.values()]

    def of(self, target: str) -> Prepared:
        """Return the form of the model that a target gets.

        Raises:
            QedgeError: there is none within what was asked for.
        """
        found = self.apart.get(target, self)
        if isinstance(found, QedgeError):
            raise found
        return found


@dataclass(frozen=True)
class BuildResult:
    """What a build made; ``report`` is what the bundles carry, ``seconds`` stays out of them.

    Args:
        failures: what stopped the targets that have no bundle.
        offers: further bundles: of other assignments of types to layers, least noise first.
        others: the report of those targets that got another form of the model than ``report`` is of.
    """

    prepared: Prepared
    report: BuildReport
    bundles: Mapping[str, Path]
    seconds: float
    failures: Mapping[str, QedgeError] = field(default_factory=dict)
    others: Mapping[str, BuildReport] = field(default_factory=dict)
    offers: tuple[Path, ...] = ()

    def report_of(self, target: str) -> BuildReport:
        """Return the report of the form that a target got."""
        return self.others.get(target, self.report)


def target_request(
    prepared: Prepared,
    options: Mapping[str, Any],
    workdir: Path,
    golden_inputs: Sequence[Sequence[npt.NDArray[Any]]] = (),
    sketch: Sketch | None = None,
) -> Request:
    """Return what a target is asked about a prepared model; makes the folder that it may write to."""
    workdir.mkdir()
    return Request(
        graph=prepared.graph,
        name=prepared.name,
        workdir=workdir,
        options=options,
        labels=prepared.labels or (),
        preprocess=prepared.preprocess,
        postprocess=prepared.postprocess,
        golden_inputs=golden_inputs,
        sketch=sketch,
    )


def steps(progress: Progress) -> Callable[[str, int, int], None]:
    """Return the progress function that counts steps, for the parts that report ``(stage, done, total)``."""
    return lambda stage, done, total: progress(stage, done / max(1, total))
