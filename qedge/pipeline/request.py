"""What goes into a journey and what comes out of it: the request, the model at the waist, the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qedge.datasets import Dataset
from qedge.findings import Finding
from qedge.frontends import SourceModel
from qedge.graph import Graph
from qedge.processing.spec import Postprocess, Preprocess
from qedge.quantize import Comparison, Quantized, QuantizeOptions
from qedge.report import BuildReport
from qedge.target import Request, Target


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
    input_shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Prepared:
    """A model that has passed through the waist: ``model`` is full-integer and static.

    Args:
        source: what the front end made of the user's file.
        quantized: the quantiser's result, or None for a model that was full-integer already.
        comparison: float against int8 on ``dataset``, or None without data or float model.
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


@dataclass(frozen=True)
class BuildResult:
    """What a build made; ``report`` is what the bundles carry, ``seconds`` stays out of them."""

    prepared: Prepared
    report: BuildReport
    bundles: Mapping[str, Path]
    seconds: float


def target_request(
    prepared: Prepared,
    options: Mapping[str, Any],
    workdir: Path,
    golden_inputs: Sequence[Sequence[npt.NDArray[Any]]] = (),
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
        golden_inputs=golden_inputs,
    )
