"""The forms of one model: for each target the most exact one that it runs, every figure of samples nothing has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qedge.datasets import Dataset
from qedge.errors import QedgeError
from qedge.findings import Finding, errors
from qedge.graph import Graph
from qedge.pipeline.detector import Brought, gain_findings
from qedge.pipeline.gate import stop
from qedge.pipeline.measure import assess, require_strict, without_losses
from qedge.pipeline.opinion import on_accelerator, what_it_says
from qedge.pipeline.pricing import pricer_of
from qedge.pipeline.request import BuildRequest, MeasuredOn, Prepared, steps
from qedge.price import Price
from qedge.processing.detect import Detect
from qedge.processing.spec import Preprocess
from qedge.quantize import (
    Comparison,
    Quantized,
    QuantizeOptions,
    compare,
    prove_full_integer,
    quantize,
    raise_precision,
)
from qedge.quantize.assignment import Pricer
from qedge.quantize.budget import missed
from qedge.quantize.floor import below_floor
from qedge.quantize.holds import Accepts
from qedge.quantize.notes import STAYS_FLOAT
from qedge.target import CheckReport, Target
from qedge.target.protocol import Progress
from qedge.tune import tuner_of

Targets = Sequence[tuple[Target, Mapping[str, Any]]]
FEWEST_ADVICE = 8


@dataclass(frozen=True)
class Waist:
    """All that a form of the model is told by, whichever it is."""

    request: BuildRequest
    brought: Brought
    options: QuantizeOptions
    name: str
    dataset: Dataset
    calibration: Dataset
    labels: tuple[str, ...] | None
    preprocess: Preprocess | None
    findings: tuple[Finding, ...]
    measured_on: MeasuredOn
    calibration_samples: int
    progress: Progress

    def compare(self, quantized: Quantized, measured: Dataset) -> Comparison:
        """Return what a form costs."""
        float_model, post = self.brought.source.data, self.brought.postprocess
        return compare(float_model, quantized.data, measured, steps(self.progress), postprocess=post)

    def leaves_floats(self, quantized: Quantized) -> bool:
        """Return whether a form computes in float: by a rescue, or where operators have no other form."""
        some = self.options.floats or all(t.info.float_operators for t, _ in self.request.targets)
        needed = some and any(f.rule == STAYS_FLOAT for f in quantized.findings)
        return needed or "xfloat" in quantized.method

    def form(
        self,
        quantized: Quantized,
        comparison: Comparison,
        measured: Dataset,
        targets: Targets,
        told: Sequence[Finding] = (),
        mixed: bool = True,
    ) -> Prepared:
        """Return the prepared model of one form.

        Args:
            targets: those that get it.
            told: what else is found of it.
            mixed: whether they run layers in higher precision.

        Raises:
            ModelError: it is not full-integer.
            AccuracyError: its figures are out of what was asked for.
        """
        request, source = self.request, self.brought.source
        graph = Graph.from_bytes(quantized.data, "the quantised model")
        outputs = [o.name for o in comparison.outputs]
        findings = [*self.findings, *without_losses(quantized.findings, outputs), *told]
        proof = prove_full_integer(graph, io=request.options.io)
        findings += on_purpose(proof) if self.leaves_floats(quantized) else proof
        stop(findings, "the quantised model is not full-integer")
        if request.judge:
            findings += gain_findings(self.brought, self.calibration, targets, self.name)
            options = replace(request.options, mixed=request.options.mixed and mixed)
            findings += assess(source.data, quantized.data, comparison, self.calibration, options)
        if request.strict:
            require_strict(findings)
        return Prepared(
            source, self.name, quantized.data, graph, self.dataset, self.labels, self.preprocess, quantized,
            comparison, tuple(findings), self.measured_on, self.calibration_samples, measured,
            self.brought.postprocess,
        )  # fmt: skip


def forms(waist: Waist, measured: Dataset) -> Prepared:
    """Return the most exact form that a target runs, and apart from it what the others get that do not run that one.

    Raises:
        QedgeError: no target gets a form; of single ones the error is told apart.
    """
    quantized, comparison, measured = _quantized(waist, measured)
    targets, plain = waist.request.targets, quantized.plain
    objecting = {} if plain is None else objections(quantized, targets, waist.name)
    if plain is None or not objecting:
        return waist.form(quantized, comparison, measured, targets)
    simple = waist.compare(plain, measured)
    told = {name: not_lifted(why) for name, why in objecting.items()}
    if len(objecting) == len(targets):
        return waist.form(plain, simple, measured, targets, [*told.values()], mixed=False)
    apart: dict[str, Prepared | QedgeError] = {}
    for pair in targets:
        name = pair[0].info.name
        if name not in objecting:
            continue
        try:
            apart[name] = waist.form(plain, simple, measured, [pair], [told[name]], mixed=False)
        except QedgeError as error:
            if waist.request.all_or_nothing:
                raise
            apart[name] = error
    running = [pair for pair in targets if pair[0].info.name not in objecting]
    return replace(waist.form(quantized, comparison, measured, running), apart=apart)


def _quantized(waist: Waist, measured: Dataset) -> tuple[Quantized, Comparison, Dataset]:
    """Return the most exact form, its figures, and the samples that they are of.

    Where it misses the budget or the floor on samples that nothing has seen, half of them say which layers take more,
    and the figures are those of the other half.
    """
    model, options, calibration = waist.brought.source.data, waist.options, waist.calibration
    progress = steps(waist.progress)
    pricer, known = _pricer(waist), dict[bytes, Comparison]()
    accepts = _accepting(waist, measured, known)
    found = quantize(model, calibration, options, progress, tuner_of(options), pricer, accepts)
    comparison = known[found.data] if found.data in known else waist.compare(found, measured)
    detector = isinstance(waist.brought.postprocess, Detect)
    if waist.measured_on == "calibration" or detector or len(measured) < 2 * FEWEST_ADVICE:
        return found, comparison, measured
    if missed(comparison, options) is None and not (options.floor and below_floor(comparison)):
        return found, comparison, measured
    advice, rest = (measured.subset(list(range(k, len(measured), 2))) for k in (0, 1))
    raised = raise_precision(model, calibration, options, found, advice, progress)
    if raised is None or (pricer is not None and not _fits(pricer(raised.data))):
        return found, comparison, measured
    said = Finding(
        "info",
        "advised",
        f"the first choice fell short on samples that it had not seen: {len(advice)} of them chose the layers that take"
        f" more than 8 bits, the figures are of the other {len(rest)}",
        "give more calibration samples like those that are measured on",
    )
    return replace(raised, findings=(*raised.findings, said)), waist.compare(raised, rest), rest


def _pricer(waist: Waist) -> Pricer | None:
    """Return what prices candidates, where limits are stated and a build is to meet them."""
    request = waist.request
    if not request.judge:
        return None
    return pricer_of(request.targets, waist.name, waist.calibration, request.options.pareto > 0)


def _fits(price: Price | None) -> bool:
    return price is None or not price.over


def _accepting(waist: Waist, measured: Dataset, known: dict[bytes, Comparison]) -> Accepts | None:
    """Return whether a candidate is within the budget on the samples that are measured on; None without either.

    Args:
        known: takes what was compared, by the model.
    """
    options = waist.options
    stated = options.max_drop is not None or options.min_sqnr is not None
    if waist.measured_on == "calibration" or not (waist.request.judge and stated):
        return None

    def accepts(model: bytes) -> bool:
        if model not in known:
            source, post = waist.brought.source.data, waist.brought.postprocess
            known[model] = compare(source, model, measured, postprocess=post)
        return missed(known[model], options) is None

    return accepts


def objections(quantized: Quantized, targets: Targets, name: str) -> dict[str, str]:
    """Return why targets do not run a form as well as its plain int8 one, by their names."""
    found = {}
    assert quantized.plain is not None
    for target, chosen in targets:
        if "xfloat" in quantized.method and not target.info.floats:
            found[target.info.name] = f"{target.info.name} runs no layer in float"
            continue
        wide, narrow = (
            what_it_says(target, chosen, name, form.data) for form in (quantized, quantized.plain)
        )
        if _runs(target, wide) < _runs(target, narrow):
            first = next((f.op for f in errors(wide.findings) if f.op), None)
            of = f" ({first})" if first else ""
            found[target.info.name] = f"{target.info.name}{of} does not run them as well"
    return found


def not_lifted(why: str) -> Finding:
    """Return what a target loses that gets the int8 form."""
    return Finding(
        "warning",
        "not-lifted",
        f"layers in higher precision would be more exact, but {why}: it gets the int8 form",
        "a target that runs them gets the better form",
    )


def on_purpose(proof: Sequence[Finding]) -> list[Finding]:
    """Return what the proof of full-integer form found, where floats that are left on purpose are no errors."""
    return [replace(f, severity="info") if f.rule in ("float-operator", "float-tensor") else f for f in proof]


def _runs(target: Target, report: CheckReport) -> tuple[bool, int]:
    """Return whether a target takes a model without an error, and how many operators its accelerator runs."""
    return not errors(report.findings), on_accelerator(target, report)
