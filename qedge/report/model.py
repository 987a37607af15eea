"""What a build found, without times or paths of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qedge._version import __version__
from qedge.findings import Finding
from qedge.graph import Graph
from qedge.target import Column, Placement


@dataclass(frozen=True)
class TargetReport:
    """One target's part; see :class:`qedge.target.CheckReport` and :class:`qedge.target.Compiled`.

    Args:
        form: the figures of the model that it got, where that is another one than the report's.
    """

    findings: tuple[Finding, ...]
    operators: tuple[Placement, ...]
    metrics: Mapping[str, Any]
    predicted: bool
    columns: tuple[Column, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()
    title: str = ""
    form: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the target's part of ``report.json`` and of ``qedge build --json``."""
        return {
            "findings": [f.to_json() for f in self.findings],
            "operators": [p.to_json() for p in self.operators],
            "predicted": self.predicted,
            "metrics": dict(self.metrics),
            "form": None if self.form is None else dict(self.form),
        }


@dataclass(frozen=True)
class BuildReport:
    """The facts of one build; accuracies are fractions in [0, 1] or None, sizes are bytes.

    Args:
        samples: how many were compared; ``measured_on`` says whether any choice had seen them: ``held-out``,
            ``eval-data`` or ``calibration``.
        outputs: the figures of each output, as ``OutputFigures.to_json`` gives them.
        examples: samples with what both models say of them, wrong ones first.
        classes: how each class fares and what is taken for what, or None without labels of classes.
        data: ``{"root", "files", "bytes"}`` of the calibration data, or None.
        data_date: of the data, as somebody stated it: a file's own date is that of its last copy.
    """

    name: str
    origin: str
    model_sha256: str
    float_bytes: int | None
    int8_bytes: int
    float_accuracy: float | None
    int8_accuracy: float | None
    samples: int
    calibration_samples: int
    quantization: Mapping[str, Any]
    findings: tuple[Finding, ...]
    targets: Mapping[str, TargetReport]
    graph: Graph = field(repr=False)
    measured_on: str | None = None
    outputs: tuple[Mapping[str, Any], ...] = ()
    layers: tuple[Mapping[str, Any], ...] = ()
    examples: tuple[Mapping[str, Any], ...] = ()
    classes: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    data_date: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON; no times, no paths."""
        return {
            "schema_version": 1,
            "qedge_version": __version__,
            "model": {"name": self.name, "sha256": self.model_sha256, "origin": self.origin},
            "float": {"bytes": self.float_bytes, "accuracy": self.float_accuracy},
            "int8": {"bytes": self.int8_bytes, "accuracy": self.int8_accuracy, "sha256": self.graph.sha256},
            "data": {
                "samples": self.samples,
                "measured_on": self.measured_on,
                "calibration_samples": self.calibration_samples,
                "root": self.data["root"] if self.data else None,
                "files": self.data["files"] if self.data else None,
                "bytes": self.data["bytes"] if self.data else None,
                "date": self.data_date,
            },
            "outputs": [dict(output) for output in self.outputs],
            "classes": None if self.classes is None else dict(self.classes),
            "quantization": dict(self.quantization),
            "findings": [f.to_json() for f in self.findings],
            "layers": [dict(layer) for layer in self.layers],
            "targets": {name: t.to_json() for name, t in self.targets.items()},
        }

    def to_json_bytes(self) -> bytes:
        """Return ``report.json``."""
        return (json.dumps(self.to_json(), indent=2, default=_plain, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
