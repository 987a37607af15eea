"""Whether what a target returns keeps the contract: each function gives the faults in words, [] for none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from keyword import iskeyword
from typing import Any

import numpy.typing as npt

from qedge.bundle.manifest import MANIFEST, MODEL, check_name
from qedge.errors import IntegrityError
from qedge.graph import Graph
from qedge.price import Price
from qedge.target.info import TargetInfo
from qedge.target.kinds import misfits
from qedge.target.reports import CheckReport, Compiled, Requirement, VerifyReport

UNSUPPORTED = "unsupported"
CORE_FILES = (MANIFEST, MODEL, "report.json", "report.html")
CORE_FOLDERS = ("golden/",)


def faults_of_check(report: object, graph: Graph) -> list[str]:
    """Hold a check's answer to the contract: one placement an operator, JSON figures, estimates labelled.

    The operators are those of ``graph``, or of the model that ships where the target says that it rewrites it.
    """
    misfit = list(misfits(report, CheckReport))
    if misfit or not isinstance(report, CheckReport):
        return misfit
    found = faults_of_metrics(report.metrics)
    indices = [p.index for p in report.operators]
    count = len(indices) if report.rewritten else len(graph.operators)
    if indices != list(range(count)):
        found.append(f"placements of operators {_short(indices)}, expected one for each of {count}, in order")
    found += [f"no reason for operator #{p.index}" for p in report.operators if not p.reason]
    refused = [p for p in report.operators if p.placement == UNSUPPORTED]
    if refused and not any(f.severity == "error" for f in report.findings):
        found.append(f"operator #{refused[0].index} as unsupported, and no finding of severity error")
    return found


def faults_of_compiled(compiled: object) -> list[str]:
    """Hold what was compiled to the contract: files of the target's own inside the bundle, JSON beside them."""
    misfit = list(misfits(compiled, Compiled))
    if misfit or not isinstance(compiled, Compiled):
        return misfit
    found = faults_of_metrics(compiled.metrics)
    for name in compiled.files:
        try:
            check_name(name)
        except IntegrityError as problem:
            found.append(f"a file outside the bundle: {problem.message}")
        if name in CORE_FILES or name.startswith(CORE_FOLDERS):
            found.append(f"a file that is not its own: {name}")
    found += [f"no reason for operator #{p.index}" for p in compiled.operators or () if not p.reason]
    for kernels in compiled.golden:
        if not kernels.isidentifier() or kernels in ("input", "output"):
            found.append(f"golden outputs called {kernels!r}")
    return found + [f"extra that is no JSON: {fault}" for fault in _json_faults(compiled.extra)]


def faults_of_price(price: object) -> list[str]:
    """Hold a price to the contract: finite figures of at least 0, and limits of figures that there are."""
    misfit = list(misfits(price, Price))
    if misfit or not isinstance(price, Price):
        return misfit
    wrong = {k: v for k, v in price.figures.items() if not (math.isfinite(v) and v >= 0)}
    found = [f"the figure {name!r} as {value!r}" for name, value in wrong.items()]
    return found + [
        f"a limit of {name!r}, and no such figure" for name in price.limits if name not in price.figures
    ]


def faults_of_verify(report: object) -> list[str]:
    """Hold a verification to the contract: something ran, was compared, and the verdict fits."""
    misfit = list(misfits(report, VerifyReport))
    if misfit or not isinstance(report, VerifyReport):
        return misfit
    found = faults_of_metrics(report.metrics)
    if not (report.oracle and report.core):
        found.append("no word on what ran, or what it was compared with")
    if report.passed and (report.samples < 1 or report.mismatches):
        found.append(f"passed, with {report.samples} samples and {len(report.mismatches)} mismatches")
    if not report.passed and not report.mismatches:
        found.append("failed, and no mismatch in words")
    return found


def faults_of_info(info: object) -> list[str]:
    """Hold a description to the contract: of the declared types, options that a flag can be made of."""
    misfit = list(misfits(info, TargetInfo))
    if misfit or not isinstance(info, TargetInfo):
        return misfit
    bad = [o.name for o in info.options if not o.name.isidentifier() or iskeyword(o.name)]
    return [f"an option called {name!r}, expected snake case" for name in bad]


def faults_of_outputs(
    outputs: object, count: int, expected: Sequence[tuple[Sequence[int], str]]
) -> list[str]:
    """Hold raw outputs to the contract: for each of ``count`` samples, arrays of the expected shapes and dtypes."""
    misfit = list(misfits(outputs, list[list[npt.NDArray[Any]]]))
    if misfit or not isinstance(outputs, (list, tuple)):
        return misfit
    if len(outputs) != count:
        return [f"outputs of {len(outputs)} samples, expected {count}"]
    wanted = [(tuple(shape), dtype) for shape, dtype in expected]
    for k, arrays in enumerate(outputs):
        found = [(a.shape, a.dtype.name) for a in arrays]
        if found != wanted:
            return [f"outputs {found} for sample {k}, expected {wanted}"]
    return []


def faults_of_figures(figures: object) -> list[str]:
    """Hold figures in words to the contract: pairs of texts."""
    return list(misfits(figures, tuple[tuple[str, str], ...]))


def faults_of_doctor(requirements: object) -> list[str]:
    """Hold what is needed to the contract: requirements, each there, missing or optional."""
    return list(misfits(requirements, list[Requirement]))


def faults_of_bench(document: object) -> list[str]:
    """Hold a benchmark to the contract: None, or figures; ``layers``, a table, is a list of objects."""
    misfit = list(misfits(document, dict[str, Any] | None))
    if misfit or not isinstance(document, Mapping):
        return misfit
    layers = misfits(document.get("layers"), list[Mapping[str, Any]] | None, "layers")
    return [*faults_of_metrics(document), *layers]


def faults_of_metrics(metrics: object) -> list[str]:
    """Hold figures to the contract: JSON without NaN, and every estimate says what estimated it."""
    if not isinstance(metrics, Mapping):
        return [f"{type(metrics).__name__} as metrics, expected a mapping"]
    found = [f"metrics that are no JSON: {fault}" for fault in _json_faults(metrics)]
    for path, value in _objects(metrics, "metrics"):
        if "estimate" in value and not (value["estimate"] is True and isinstance(value.get("model"), str)):
            found.append(f"{path}: an estimate without the model that it is from")
    return found


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
