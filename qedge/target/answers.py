"""Whether what a target returns keeps the contract: each function gives the faults in words, [] for none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from qedge.bundle.manifest import MANIFEST, MODEL, check_name
from qedge.errors import IntegrityError
from qedge.findings import Finding
from qedge.graph import Graph
from qedge.target.reports import CheckReport, Compiled, Placement, VerifyReport

UNSUPPORTED = "unsupported"
CORE_FILES = (MANIFEST, MODEL, "report.json", "report.html")
CORE_FOLDERS = ("golden/",)


def faults_of_check(report: object, graph: Graph) -> list[str]:
    """Hold a check's answer to the contract: one placement an operator, JSON figures, estimates labelled.

    The operators are those of ``graph``, or of the model that ships where the target says that it rewrites it.
    """
    if not isinstance(report, CheckReport):
        return [f"{type(report).__name__}, expected a CheckReport"]
    found = [*_faults_of_findings(report.findings), *faults_of_metrics(report.metrics)]
    if not all(isinstance(p, Placement) for p in report.operators):
        return [*found, "operators that are no Placement"]
    indices = [p.index for p in report.operators]
    count = len(indices) if report.rewritten else len(graph.operators)
    if indices != list(range(count)):
        found.append(f"placements of operators {_short(indices)}, expected one for each of {count}, in order")
    if not all(isinstance(w, str) for pair in report.figures for w in pair):
        found.append("figures that are no text")
    found += [f"no reason for operator #{p.index}" for p in report.operators if not p.reason]
    refused = [p for p in report.operators if p.placement == UNSUPPORTED]
    if refused and not any(f.severity == "error" for f in report.findings if isinstance(f, Finding)):
        found.append(f"operator #{refused[0].index} as unsupported, and no finding of severity error")
    return found


def faults_of_compiled(compiled: object) -> list[str]:
    """Hold what was compiled to the contract: files of the target's own inside the bundle, JSON beside them."""
    if not isinstance(compiled, Compiled):
        return [f"{type(compiled).__name__}, expected a Compiled"]
    found = [*_faults_of_findings(compiled.findings), *faults_of_metrics(compiled.metrics)]
    contents: Mapping[str, object] = compiled.files
    for name, data in contents.items():
        try:
            check_name(name)
        except IntegrityError as problem:
            found.append(f"a file outside the bundle: {problem.message}")
        if name in CORE_FILES or name.startswith(CORE_FOLDERS):
            found.append(f"a file that is not its own: {name}")
        if not isinstance(data, bytes):
            found.append(f"{type(data).__name__} as the contents of {name}, expected bytes")
    if not all(isinstance(p, Placement) and p.reason for p in compiled.operators or ()):
        found.append("operators that are no Placement with a reason")
    model: object = compiled.model
    if model is not None and not isinstance(model, bytes):
        found.append(f"{type(model).__name__} as the model, expected bytes or None")
    return found + [f"extra that is no JSON: {fault}" for fault in _json_faults(compiled.extra)]


def faults_of_verify(report: object) -> list[str]:
    """Hold a verification to the contract: something ran, was compared, and the verdict fits."""
    if not isinstance(report, VerifyReport):
        return [f"{type(report).__name__}, expected a VerifyReport"]
    found = [*_faults_of_findings(report.findings), *faults_of_metrics(report.metrics)]
    if not (report.oracle and report.core):
        found.append("no word on what ran, or what it was compared with")
    if report.passed and (report.samples < 1 or report.mismatches):
        found.append(f"passed, with {report.samples} samples and {len(report.mismatches)} mismatches")
    if not report.passed and not report.mismatches:
        found.append("failed, and no mismatch in words")
    return found


def faults_of_metrics(metrics: object) -> list[str]:
    """Hold figures to the contract: JSON without NaN, and every estimate says what estimated it."""
    if not isinstance(metrics, Mapping):
        return [f"{type(metrics).__name__} as metrics, expected a mapping"]
    found = [f"metrics that are no JSON: {fault}" for fault in _json_faults(metrics)]
    for path, value in _objects(metrics, "metrics"):
        if "estimate" in value and not (value["estimate"] is True and isinstance(value.get("model"), str)):
            found.append(f"{path}: an estimate without the model that it is from")
    return found


def _faults_of_findings(findings: object) -> list[str]:
    if not isinstance(findings, (list, tuple)) or not all(isinstance(f, Finding) for f in findings):
        return ["findings that are no Finding"]
    return []


def _objects(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield path, value
        for key, inner in value.items():
            yield from _objects(inner, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for k, inner in enumerate(value):
            yield from _objects(inner, f"{path}[{k}]")


def _json_faults(value: Any) -> list[str]:
    try:
        json.dumps(value, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        return [str(problem)]
    return []


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        plain = value.tolist()
        if isinstance(plain, float) and not math.isfinite(plain):
            raise ValueError(f"{plain} is no number of JSON")
        return plain
    raise TypeError(f"{type(value).__name__} does not go into JSON")


def _short(values: list[int]) -> str:
    return f"{values[:6]}..." if len(values) > 6 else str(values)
