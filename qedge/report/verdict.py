"""What a build comes to, in a sentence: whether a target's bundle is ready, and what int8 lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from qedge.findings import Finding
from qedge.report.model import BuildReport, TargetReport


class Verdict(NamedTuple):
    """``level`` is ``ready``, ``warnings`` or ``blocked``; ``head`` says it in words, ``lost`` what int8 lost."""

    level: str
    head: str
    lost: str

    def __str__(self) -> str:
        return f"{self.head}: {self.lost}" if self.lost else self.head


IN_INT8 = "uint8-in-int8"
"""The rule of the finding that a uint8 model was written in int8."""
METRICS: Mapping[str, str] = {"accuracy": "accuracy", "f1": "F1", "map": "mAP50-95", "mae": "mean error"}
"""What metrics are called for a person."""
SHARES = ("accuracy", "f1", "map")
"""Those that are shares and fall when a model gets worse."""


def verdict(report: BuildReport, part: TargetReport | None = None) -> Verdict:
    """Return the verdict on one target's bundle, or on the model alone."""
    findings = (*report.findings, *(part.findings if part else ()))
    warnings = sum(1 for f in distinct(findings) if f.severity == "warning")
    nowhere = sum(1 for p in part.operators if p.placement == "unsupported") if part else 0
    if nowhere:
        return Verdict("blocked", f"Not ready, {_count(nowhere, 'operator')} runs nowhere", _lost(report))
    if warnings:
        return Verdict("warnings", f"Ready, with {_count(warnings, 'warning')}", _lost(report))
    return Verdict("ready", "Ready", _lost(report))


def distinct(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings without those that say the same again, errors and warnings first."""
    order = {"error": 0, "warning": 1}
    return sorted(dict.fromkeys(findings), key=lambda f: order.get(f.severity, 2))


def _lost(report: BuildReport) -> str:
    if report.float_bytes is None:
        if any(f.rule == IN_INT8 for f in report.findings):
            return "the model came in uint8, and is written in int8"
        return "the model came full-integer, and is taken as it is"
    sqnr = report.quantization.get("sqnr_db")
    noise = "no difference from the float model" if sqnr is None else f"SQNR {sqnr:.1f} dB"
    scored = [o for o in report.outputs if o["metric"] in SHARES and o["drop"] is not None]
    if not scored:
        return f"{_agreeing(report)}{noise}"
    worst = max(scored, key=lambda o: float(o["drop"]))
    what = METRICS[worst["metric"]]
    before, after = (100 * float(worst[k]) for k in ("float_metric", "quantized_metric"))
    if round(after, 1) >= round(before, 1):
        return f"int8 loses no {what} ({after:.1f} %, the float model {before:.1f} %), {noise}"
    return f"int8 loses {before - after:.1f} points of {what} ({before:.1f} % to {after:.1f} %), {noise}"


def _agreeing(report: BuildReport) -> str:
    """Return on how many samples the answer is the float model's; a vector may be no classification at all."""
    shares: dict[str, list[float]] = {"answers": [], "vector": [], "boxes": []}
    for o in report.outputs:
        if o["agreement"] is not None:
            shares[o["task"] if o["task"] in shares else "answers"].append(float(o["agreement"]))
    for kind, said in (
        ("boxes", "the float model's boxes (F1 {:.1f} %, overlapping by half), "),
        ("answers", "the float model's answer on {:.1f} % of the samples, "),
        ("vector", "the largest value in the same place on {:.1f} % of the samples, "),
    ):
        if shares[kind]:
            return said.format(100 * min(shares[kind]))
    return ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
