"""Applies the recipe that was asked for, or the one that a search chooses, and rescues what int8 alone would lose."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from qedge.datasets.protocol import Dataset
from qedge.errors import AccuracyError
from qedge.findings import Finding
from qedge.quantize.assignment import Assignment, Pricer, search_finding
from qedge.quantize.budget import missed, stricter
from qedge.quantize.build import Builder
from qedge.quantize.calibrate import Progress
from qedge.quantize.compare import Comparison
from qedge.quantize.floor import doubtful, lifted_finding
from qedge.quantize.headroom import FEW, with_headroom
from qedge.quantize.holds import Accepts, Holds
from qedge.quantize.judge import Judge, Verdict
from qedge.quantize.mixing import Bench, enough, lift, meet_budget, mixed_finding
from qedge.quantize.model import FloatModel
from qedge.quantize.narrowing import Narrowing, narrow_finding
from qedge.quantize.notes import few_samples, float_findings, roomy, search_ended, step_findings
from qedge.quantize.options import Candidate, Quantized, QuantizeOptions
from qedge.quantize.recipe import Recipe
from qedge.quantize.refine import Refinement, Refiner
from qedge.quantize.samples import split, thin
from qedge.quantize.search import HeldOut, Search, Tried, attempt, never, refit, with_last_layer
from qedge.quantize.setting import Setting


def quantize(
    float_model: bytes,
    dataset: Dataset,
    options: QuantizeOptions | None = None,
    progress: Progress | None = None,
    refiner: Refiner | None = None,
    pricer: Pricer | None = None,
    accepts: Accepts | None = None,
) -> Quantized:
    """Return the full-integer form of a float ``.tflite``.

    Args:
        progress: called with a stage, what is done and what there is in all.
        refiner: what tunes the best candidate where ``options.tune`` asks for it.
        pricer: what a model takes on its target, where the user stated limits: layers get other types to meet them.
        accepts: has the last word on candidates with int4 weights, by samples that calibrate nothing.

    Raises:
        ModelError: the model is no float model, or has control flow.
        DataError: no samples, or samples of another shape than the model's inputs.
        UsageError: an unknown method.
        AccuracyError, CapacityError: nothing meets the budget.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        return _quantize(
            float_model, dataset, options or QuantizeOptions(), progress, refiner, pricer, accepts
        )


@dataclass
class _Found:
    """The choice so far, and how it came about.

    Args:
        whole: makes models from all samples.
        unseen: what the choice does on samples that its ranges have not seen, where that is known.
        held: what a recipe does there, where there are such samples.
    """

    whole: Builder
    judge: Judge
    chosen: Tried
    tried: list[Tried]
    findings: list[Finding]
    held: Callable[[Recipe], Verdict] | None = None
    unseen: Comparison | None = None

    def take(self, other: Tried) -> None:
        """Put another one in place of the choice."""
        self.tried.append(other)
        self.chosen, self.unseen = other, None

    @property
    def shortfall(self) -> float:
        """How many dB the choice loses on samples that its ranges have not seen."""
        return 0.0 if self.unseen is None else max(0.0, self.chosen.result.sqnr_db - self.unseen.sqnr_db)

    def bench(self, modes: Sequence[str]) -> Bench:
        """Return what a rescue needs."""
        return Bench(self.whole, self.judge, self.held, modes)


def _quantize(
    float_model: bytes,
    dataset: Dataset,
    options: QuantizeOptions,
    progress: Progress | None,
    refiner: Refiner | None,
    pricer: Pricer | None,
    accepts: Accepts | None,
) -> Quantized:
    started = time.perf_counter()
    setting = Setting.of(float_model, dataset, options, progress)
    pinned = setting.pinned
    found = _searched(setting) if pinned is None else _as_asked(setting, pinned)
    found.findings += [*step_findings(setting.model), *float_findings(setting.model)]
    refinement = _refinement(setting, found, refiner)
    held = split(found.whole.indices, options.seed)[1]
    holds = Holds(found.judge, held, options, found.chosen, accepts)
    _narrow_or_tune(setting, found, refinement, holds)
    plain = _within_budget(setting, found, refinement, holds, started)
    search = None if pricer is None else _assigned(setting, found, refinement, holds, pricer)
    if refinement is not None:
        found.findings += refinement.findings
    found.findings += holds.findings
    # Training chose the grids of 8 bits that it simulated: real numbers between them are not what it was asked for.
    lifts = options.floor and not found.whole.trained
    if lifts and any(doubtful(r) for r in (found.chosen.result, found.unseen) if r is not None):
        fits = None if search is None else search.fits
        plain = _lifted(setting.model, found, options, started, fits) or plain
    front = () if search is None else search.front(found.chosen)
    return replace(_result(found, started), plain=plain, front=front)


def raise_precision(
    float_model: bytes,
    dataset: Dataset,
    options: QuantizeOptions,
    before: Quantized,
    advice: Dataset,
    progress: Progress | None = None,
) -> Quantized | None:
    """Return a result with layers in higher precision, judged by samples that nothing has seen; None without a way.

    For a result that misses its budget or the floor on other samples than those that it was chosen by.

    Args:
        dataset: what ``before`` was calibrated with.
        before: the result; what was learned by a refiner is left as it is.
        advice: the samples; what is said of the result must come from others.
    """
    from threadpoolctl import threadpool_limits

    plain = before.plain or before
    if plain.recipe.tuned or not options.mixed or options.weights == "mixed":
        return None
    started = time.perf_counter()
    with threadpool_limits(1, "blas"):
        setting = Setting.of(float_model, dataset, options, progress)
        whole = setting.builder(setting.samples)
        some = range(min(len(advice), setting.most_advice))
        judge = Judge(setting.model, advice, some, threads=setting.threads)
        chosen = attempt(whole, judge, plain.recipe)
        found = _Found(whole, judge, chosen, [chosen], list(plain.findings))
        # A region is tried on some of them; what holds there is judged by all: one sample may go further than most.
        found.held = lambda recipe: judge.judge(whole.build(recipe))
        if options.max_drop is None and options.min_sqnr is None:
            made = _lifted(setting.model, found, options, started)
        else:
            try:
                found.take(meet_budget(found.bench(options.modes), chosen, options))
            except AccuracyError:
                return None
            found.findings.append(mixed_finding(setting.model, found.chosen.recipe))
            made = plain
        if made is None:
            return None
        again = _result(found, started)
        return replace(again, candidates=(*_unchosen(plain), again.candidates[-1]), plain=plain)


def _unchosen(result: Quantized) -> list[Candidate]:
    return [replace(c, chosen=False) for c in result.candidates]


def _as_asked(setting: Setting, recipe: Recipe) -> _Found:
    """Return what the recipe that is asked for gives."""
    whole = setting.builder(setting.samples)
    judged = setting.samples[: setting.most_judged]
    judge = Judge(setting.model, setting.dataset, judged, threads=setting.threads, ranks=False)
    chosen = attempt(whole, judge, recipe)
    return _Found(whole, judge, chosen, [chosen], [])


def _searched(setting: Setting) -> _Found:
    """Return what the search chooses, its ranges those of all samples."""
    options, samples, findings = setting.options, setting.samples, []
    some = thin(setting.model, samples, options.seed)
    judge = Judge(setting.model, setting.dataset, some, threads=setting.threads)
    fit, held = split(some, options.seed)
    if fit is held:
        whole, held_out = setting.builder(some), None
    else:
        whole = setting.builder(some, held)
        held_out = HeldOut(whole.without_held(), judge.of(held))
    stop = never if held_out is None or options.effort == "thorough" else held_out.enough
    search = Search(whole, judge, setting.progress, options.effort, stop)
    search.run()
    if held_out is None:
        findings.append(few_samples(len(samples)))
        chosen = search.ranked[0]
    elif search.ended is not None:
        chosen = search.ended
        findings.append(search_ended(chosen, search.skipped))
    else:
        chosen = held_out.choose(search)
    if len(some) < len(samples):
        whole = setting.builder(samples)
        chosen = refit(whole, judge, chosen)
    tried = [chosen if t.recipe == chosen.recipe else t for t in search.tried]
    unsure = len(some) < FEW or (held_out is not None and held_out.falls_short(chosen))
    recipe = chosen.recipe
    wider = with_headroom(recipe, some, options.seed, setting.builder, judge) if unsure else recipe
    if wider != recipe:
        chosen = attempt(whole, judge, wider)
        tried.append(chosen)
        findings.append(roomy(len(some)))
    if held_out is None:
        return _Found(whole, judge, chosen, tried, findings)
    if search.effort.last_layer and search.ended is None:
        fitted = with_last_layer(whole, judge, held_out, chosen)
        if fitted is not None:
            chosen = fitted
            tried.append(chosen)
    known = held_out
    unseen = known.of(chosen.recipe).result
    return _Found(whole, judge, chosen, tried, findings, lambda r: known.of(r).verdict, unseen)


def _refinement(setting: Setting, found: _Found, refiner: Refiner | None) -> Refinement | None:
    if refiner is None:
        return None
    whole = found.whole
    held = split(whole.indices, setting.options.seed)[1]
    return Refinement(refiner, whole, found.judge, held, setting.progress)


def _narrow_or_tune(setting: Setting, found: _Found, refinement: Refinement | None, holds: Holds) -> None:
    """Store weights in 4 bits where the budget allows that, or tune, where either is asked for."""
    options = setting.options
    if options.weights == "mixed":
        tune = refinement.of if refinement is not None and options.tune == "on" else None
        narrowing = Narrowing(found.whole, found.judge, holds, tune, setting.progress)
        before, narrowed = found.chosen, narrowing.of(found.chosen)
        found.tried += narrowing.tried
        found.chosen, found.unseen = narrowed, None
        found.findings.append(
            narrow_finding(setting.model.graph, narrowed.recipe, before.data, narrowed.data)
        )
    elif refinement is not None and options.tune == "on":
        found.chosen, found.unseen = refinement.of(found.chosen), None
        found.tried += refinement.tried


def _assigned(
    setting: Setting, found: _Found, refinement: Refinement | None, holds: Holds, pricer: Pricer
) -> Assignment:
    """Give layers other types until the choice meets everything that was stated; return the search.

    Raises:
        CapacityError, AccuracyError: nothing does.
    """
    options = setting.options
    search = Assignment(
        found.whole,
        found.judge,
        partial(enough, options=options),
        holds,
        pricer,
        likely=holds.likely,
        passes=holds.passes,
        narrow=options.weights != "int8",
        wide=options.mixed,
        tune=None if refinement is None else refinement.of,
        progress=setting.progress,
    )
    before, chosen = found.chosen, search.of(found.chosen)
    if options.pareto and search.known:
        search.explore(before, options.pareto)
    found.tried += [p.tried for p in search.known.values() if p.tried.recipe != before.recipe]
    if chosen.recipe != before.recipe:
        found.findings.append(search_finding(setting.model.graph, search.known[chosen.recipe]))
        found.chosen, found.unseen = chosen, None
    return search


def _within_budget(
    setting: Setting, found: _Found, refinement: Refinement | None, holds: Holds, started: float
) -> Quantized | None:
    """Bring the choice within the budget where it misses it, and return what it was before.

    Raises:
        AccuracyError: nothing does.
    """
    options = setting.options
    within = missed(found.chosen.result, stricter(options, found.shortfall)) is None
    if holds(found.chosen) if options.weights == "mixed" else within:
        return None
    tunes = refinement is not None and options.tune == "auto"
    before = _result(found, started)
    try:
        # Tuning comes before floats: it costs the device nothing.
        bench = found.bench([m for m in options.modes if not (tunes and m == "float")])
        rescued = meet_budget(bench, found.chosen, options, found.shortfall)
        found.findings.append(mixed_finding(setting.model, rescued.recipe))
    except AccuracyError:
        if refinement is None or options.tune != "auto":
            raise
        rescued = refinement.of(found.chosen)
        if missed(rescued.result, options) is not None:
            raise
    found.take(rescued)
    return before if rescued.recipe.mixed else None


def _lifted(
    model: FloatModel,
    found: _Found,
    options: QuantizeOptions,
    started: float,
    fits: Callable[[Tried], bool] | None = None,
) -> Quantized | None:
    """Lift the choice over the floor, and return what it was before; None where nothing does that fits."""
    lifted = lift(found.bench(options.modes), found.chosen)
    if lifted is None or (fits is not None and not fits(lifted)):
        return None
    before = _result(found, started)
    found.findings.append(lifted_finding(model.graph, lifted.recipe, found.chosen.data, lifted.data))
    found.take(lifted)
    return before


def _result(found: _Found, started: float) -> Quantized:
    chosen = found.chosen
    candidates = tuple(t.candidate(t.recipe == chosen.recipe) for t in found.tried)
    return Quantized(
        chosen.data,
        chosen.recipe.name,
        chosen.result.sqnr_db,
        chosen.result.agreement,
        candidates,
        tuple(found.findings),
        time.perf_counter() - started,
        chosen.recipe,
    )
