"""Applies the recipe that was asked for, or the one that a search chooses, and rescues what int8 alone would lose."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from qedge.datasets.protocol import Dataset
from qedge.errors import AccuracyError, UsageError
from qedge.findings import Finding
from qedge.processing.affine import INPUTS_KEY, steps_in
from qedge.quantize.budget import MARGIN_DB, accuracy_error, missed, stricter, worst_layers
from qedge.quantize.build import Builder
from qedge.quantize.calibrate import Progress
from qedge.quantize.compare import Comparison
from qedge.quantize.floor import LEAST_DB, below_floor, doubtful, lifted_finding
from qedge.quantize.headroom import FEW, with_headroom
from qedge.quantize.judge import Judge
from qedge.quantize.model import FloatModel
from qedge.quantize.narrowing import Narrowing, narrow_finding
from qedge.quantize.options import Candidate, Quantized, QuantizeOptions
from qedge.quantize.pins import RecipeFile, read_recipe, unmatched
from qedge.quantize.plan import default_modes
from qedge.quantize.recipe import HEADROOM, Recipe
from qedge.quantize.refine import Refinement, Refiner
from qedge.quantize.rescue import rescue
from qedge.quantize.rewrites import rewrite
from qedge.quantize.rewrites.final_softmax import leave_softmax
from qedge.quantize.rewrites.input_step import take_steps
from qedge.quantize.samples import FEWEST_HELD_OUT, choose, split, thin, values_of
from qedge.quantize.search import SMALL_MODEL, HeldOut, Search, Tried, attempt, never, refit

JUDGED_SAMPLES = 64
RESCUE_SAMPLES = 48  # that each region is judged by, where the budget is in dB
JUDGED_VALUES = 30_000_000


def quantize(
    float_model: bytes,
    dataset: Dataset,
    options: QuantizeOptions | None = None,
    progress: Progress | None = None,
    refiner: Refiner | None = None,
) -> Quantized:
    """Return the full-integer form of a float ``.tflite``.

    Args:
        progress: called with a stage, what is done and what there is in all.
        refiner: what tunes the best candidate where ``options.tune`` asks for it.

    Raises:
        ModelError: the model is no float model, or has control flow.
        DataError: no samples, or samples of another shape than the model's inputs.
        UsageError: an unknown method.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        return _quantize(float_model, dataset, options or QuantizeOptions(), progress, refiner)


def _quantize(
    float_model: bytes,
    dataset: Dataset,
    options: QuantizeOptions,
    progress: Progress | None,
    refiner: Refiner | None,
) -> Quantized:
    started = time.perf_counter()
    file = read_recipe(options.recipe) if options.recipe is not None else RecipeFile()
    method = options.method if options.method != "auto" else file.method
    pinned = None if method == "auto" else Recipe.parse(method)
    model = FloatModel.from_bytes(float_model)
    samples = choose(len(dataset), options.samples, options.seed)
    model = take_steps(model, dataset, thin(model, samples, options.seed), options.input_steps)
    model = leave_softmax(rewrite(model), dataset, samples)
    check_pins(model, file)
    # Threads that wait for each other cost more than they do where a layer takes microseconds.
    threads = 1 if values_of(model) <= SMALL_MODEL else options.threads

    def builder(indices: list[int], held: Sequence[int] = ()) -> Builder:
        return Builder(
            model,
            dataset,
            indices,
            held=held,
            io=options.io,
            per_channel=options.per_channel,
            pins=file.pins,
            narrow=options.weights == "int4",
            loops=options.loops,
            threads=threads,
            progress=progress,
        )

    findings = []
    unseen: Comparison | None = None
    if pinned is not None:
        whole = builder(samples)
        few = max(JUDGED_VALUES // values_of(model), 2 * FEWEST_HELD_OUT)
        judged = samples[: min(few, JUDGED_SAMPLES)]
        judge = Judge(model, dataset, judged, threads=threads, ranks=False)
        chosen = attempt(whole, judge, pinned)
        tried = [chosen]
    else:
        some = thin(model, samples, options.seed)
        judge = Judge(model, dataset, some, threads=threads)
        fit, held = split(some, options.seed)
        if fit is held:
            whole, held_out = builder(some), None
        else:
            whole = builder(some, held)
            held_out = HeldOut(whole.without_held(), judge.of(held))
        thorough = options.effort == "thorough"
        enough = never if held_out is None or thorough else held_out.enough
        search = Search(whole, judge, progress, options.effort, enough)
        search.run()
        if held_out is None:
            findings.append(_few(len(samples)))
            chosen = search.ranked[0]
        elif search.ended is not None:
            chosen = search.ended
            findings.append(_ended(chosen, search.skipped))
        else:
            chosen = held_out.choose(search)
        if len(some) < len(samples):
            whole = builder(samples)
            chosen = refit(whole, judge, chosen)
        tried = [chosen if t.recipe == chosen.recipe else t for t in search.tried]
        unsure = len(some) < FEW or (held_out is not None and held_out.falls_short(chosen))
        roomy = with_headroom(chosen.recipe, some, options.seed, builder, judge) if unsure else chosen.recipe
        if roomy != chosen.recipe:
            chosen = attempt(whole, judge, roomy)
            tried.append(chosen)
            findings.append(_roomy(len(some)))
        if held_out is not None:
            unseen = held_out.of(chosen.recipe).result
    findings += [*step_findings(model), *float_findings(model)]
    refinement = None
    if refiner is not None:
        refinement = Refinement(refiner, whole, judge, split(whole.indices, options.seed)[1], progress)
    if options.weights == "mixed":
        tune = refinement.of if refinement is not None and options.tune == "on" else None
        narrowing = Narrowing(whole, judge, partial(_enough, options=options), tune, progress)
        narrowed = narrowing.of(chosen)
        tried += narrowing.tried
        findings.append(narrow_finding(model.graph, narrowed.recipe, chosen.data, narrowed.data))
        chosen, unseen = narrowed, None
    elif refinement is not None and options.tune == "on":
        chosen, unseen = refinement.of(chosen), None
        tried += refinement.tried
    shortfall = 0.0 if unseen is None else max(0.0, chosen.result.sqnr_db - unseen.sqnr_db)
    if missed(chosen.result, stricter(options, shortfall)) is not None:
        tunes = refinement is not None and options.tune == "auto"
        try:
            # Tuning comes before floats: it costs the device nothing.
            budget = replace(options, floats=options.floats and not tunes)
            found = _rescue(whole, judge, chosen, budget, shortfall)
            findings.append(_mixed_finding(model, found.recipe))
        except AccuracyError:
            if refinement is None or options.tune != "auto":
                raise
            found = refinement.of(chosen)
            if missed(found.result, options) is not None:
                raise
        tried.append(found)
        chosen, unseen = found, None
    if refinement is not None:
        findings += refinement.findings
    plain = None
    if options.floor and any(doubtful(found) for found in (chosen.result, unseen) if found is not None):
        lifted = _lift(whole, judge, chosen)
        if lifted is not None:
            plain = _result(chosen, tried, findings, started)
            tried.append(lifted)
            findings.append(lifted_finding(model.graph, lifted.recipe, chosen.data, lifted.data))
            chosen = lifted
    return replace(_result(chosen, tried, findings, started), plain=plain)


def _result(chosen: Tried, tried: list[Tried], findings: list[Finding], started: float) -> Quantized:
    candidates = tuple(
        Candidate(
            t.recipe.name,
            t.result.sqnr_db,
            t.result.agreement,
            t.result.quantized_metric,
            len(t.data),
            t.seconds,
            chosen=t.recipe == chosen.recipe,
        )
        for t in tried
    )
    return Quantized(
        chosen.data,
        chosen.recipe.name,
        chosen.result.sqnr_db,
        chosen.result.agreement,
        candidates,
        tuple(findings),
        time.perf_counter() - started,
    )


def _rescue(
    builder: Builder, judge: Judge, chosen: Tried, options: QuantizeOptions, shortfall: float
) -> Tried:
    """Return the chosen recipe with some layers in higher precision.

    Args:
        shortfall: dB that samples lose which the ranges have not seen.

    Raises:
        AccuracyError: the budget is still missed, or mixed precision is not allowed.
    """
    started = time.perf_counter()
    layers = worst_layers(builder, chosen.data)
    found = None
    if options.mixed:
        recipes = _recipes(chosen.recipe)
        demands = [stricter(options, more) for more in (max(shortfall, MARGIN_DB), 0.0)]
        if options.max_drop is None:
            judge = judge.of(judge.indices[:: max(1, len(judge.indices) // RESCUE_SAMPLES)])
        modes = ("int16", "float") if options.floats else ("int16",)
        tries = (
            rescue(builder, judge, recipes, layers, partial(_within, options=demand), modes=(mode,))
            for mode in modes
            for demand in demands
        )
        found = next((f for f in tries if f is not None), None)
    if found is None:
        why = missed(chosen.result, options) or missed(chosen.result, stricter(options, shortfall)) or ""
        raise accuracy_error(why, layers, options.mixed)
    return Tried(found.recipe, found.data, found.verdict, time.perf_counter() - started)


def _enough(result: Comparison, options: QuantizeOptions) -> bool:
    """Whether a result is within the budget, or above the floor where none is stated."""
    if options.max_drop is None and options.min_sqnr is None:
        return not below_floor(result)
    return _within(result, options)


def _within(result: Comparison, options: QuantizeOptions) -> bool:
    return missed(result, options) is None


def _lift(builder: Builder, judge: Judge, chosen: Tried) -> Tried | None:
    """Return the chosen recipe with the fewest layers in 16x8 that lift every output over the floor, or None."""
    started = time.perf_counter()
    layers, recipes = worst_layers(builder, chosen.data), _recipes(chosen.recipe)
    # The samples may be those that the model was trained with, whose answers hold out longest: noise is told first.
    tries = (
        rescue(builder, judge, recipes, layers, meets, modes=("int16",))
        for meets in (lambda r: not below_floor(r) and r.sqnr_db >= LEAST_DB, lambda r: not below_floor(r))
    )
    found = next((f for f in tries if f is not None), None)
    if found is None or found.verdict.score <= chosen.score:
        return None
    return Tried(found.recipe, found.data, found.verdict, time.perf_counter() - started)


def _recipes(chosen: Recipe) -> list[Recipe]:
    """Return what a rescue starts from: the chosen recipe with its weights rounded jointly, as it is, and others."""
    if chosen.tuned:  # what was learned holds for this one recipe
        return [chosen, *_recipes(chosen.untuned)]
    rounded = replace(chosen, rounding=True)
    plain = Recipe(equalize=chosen.equalize, rounding=True)
    per_channel = [replace(r, dense_per_channel=True) for r in (rounded, plain)]
    return list(dict.fromkeys([rounded, chosen, plain, *per_channel]))


def _mixed_finding(model: FloatModel, recipe: Recipe) -> Finding:
    names = [f"{model.graph.operators[i].label} ({mode})" for i, mode in recipe.mixed]
    return Finding(
        "warning",
        "mixed-precision",
        f"int8 alone misses the accuracy budget; in higher precision: {', '.join(names)}",
        "targets that run int8 only refuse the model; widen the budget for those",
    )


def check_pins(model: FloatModel, file: RecipeFile) -> None:
    """Raise when a pattern of a recipe file matches no operator.

    Raises:
        UsageError: naming the patterns.
    """
    lost = unmatched(model.graph, file.pins)
    if lost:
        raise UsageError(
            f"no operator matches {', '.join(map(repr, lost))} in the recipe",
            hint="qedge inspect --layers lists the names",
        )


def step_findings(model: FloatModel) -> list[Finding]:
    """Return a note for each input whose first step is done in front of the model."""
    return [
        Finding(
            "info",
            "input-step",
            f"the features of input {model.graph.input_names[k]!r} differ in size: they are brought to one in float,"
            " in front of the model",
            "pass the units that the model was trained with; raw int8 inputs stand behind that step",
            tensor=model.graph.input_names[k],
        )
        for k in steps_in(model.graph.metadata.get(INPUTS_KEY, b""))
    ]


def float_findings(model: FloatModel) -> list[Finding]:
    """Return one warning for each operator that stays float."""
    return [
        Finding(
            "warning",
            "float-operator",
            f"{op.label} has no int8 form and stays float",
            "targets that compute in integers only refuse the model; replace the operator",
            op=op.label,
        )
        for op, mode in zip(model.graph.operators, default_modes(model.graph))
        if mode == "float"
    ]


def _few(count: int) -> Finding:
    return Finding(
        "warning",
        "few-samples",
        f"{count} calibration samples are too few to hold some out; the choice is made on the same ones",
        "give at least 100 samples that look like what the device will see",
    )


def _roomy(count: int) -> Finding:
    return Finding(
        "info",
        "headroom",
        f"ranges of {count} samples do not hold the others': they were made {100 * HEADROOM:g} % wider",
        "give at least 100 samples that look like what the device will see",
    )


def _ended(chosen: Tried, skipped: Sequence[str]) -> Finding:
    return Finding(
        "info",
        "search-ended",
        f"{chosen.recipe.name} holds {chosen.result.sqnr_db:.1f} dB and every answer on held-out samples too;"
        f" not tried: {', '.join(skipped) or 'nothing'}",
        "--effort thorough tries them all",
    )
