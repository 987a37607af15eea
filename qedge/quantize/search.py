"""Chooses a recipe, or applies the one that was asked for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qedge.datasets.protocol import Dataset
from qedge.errors import DataError, UsageError
from qedge.findings import Finding
from qedge.processing.affine import INPUTS_KEY, steps_in
from qedge.quantize.budget import accuracy_error, missed, mixed_precision, worst_layers
from qedge.quantize.build import Builder
from qedge.quantize.calibrate import Progress
from qedge.quantize.compare import Comparison
from qedge.quantize.floor import below_floor, lifted_finding
from qedge.quantize.judge import Judge
from qedge.quantize.model import FloatModel
from qedge.quantize.options import Candidate, Quantized, QuantizeOptions
from qedge.quantize.pins import RecipeFile, read_recipe, unmatched
from qedge.quantize.plan import default_modes, derived
from qedge.quantize.recipe import Recipe
from qedge.quantize.rewrites import rewrite
from qedge.quantize.rewrites.final_softmax import leave_softmax
from qedge.quantize.rewrites.input_step import take_steps

JUDGED_SAMPLES = 64
SEARCH_SAMPLES = 128
HELD_OUT_TRIES = 3
HELD_OUT_LUCK = 2.0  # dB that the score of some dozen held-out samples moves by luck
FEWEST_HELD_OUT = 4
# Values of activations that the search may read and judge with; larger models search on fewer samples.
SEARCH_VALUES = 100_000_000
JUDGED_VALUES = 30_000_000
SMALL_MODEL = 1_000_000
# What per-channel dense weights must gain, in dB, for the runtimes that they leave out.
WORTH_PER_CHANNEL = 1.0
# A candidate this good on held-out samples, with every answer the float model's, ends the search.
ENOUGH_DB = 45.0


@dataclass(frozen=True)
class _Effort:
    """How much a search tries: range methods, shares of equalisation, and how many of the best are refined how."""

    ranges: tuple[str, ...]
    shares: tuple[float, ...]
    equalised: int
    rounded: int
    dense: int


_EVERY = ("minmax", "percentile", "mse", "entropy")
_EFFORTS = {
    "fast": _Effort(("minmax", "mse"), (), 0, 1, 0),
    "normal": _Effort(_EVERY, (0.5, 0.8), 4, 3, 1),
    "thorough": _Effort(_EVERY, (0.5, 0.8), 4, 3, 2),
}


@dataclass(frozen=True)
class _Tried:
    recipe: Recipe
    data: bytes
    result: Comparison
    score: float
    seconds: float


def quantize(
    float_model: bytes,
    dataset: Dataset,
    options: QuantizeOptions | None = None,
    progress: Progress | None = None,
) -> Quantized:
    """Return the full-integer form of a float ``.tflite``.

    Args:
        progress: called with a stage, what is done and what there is in all.

    Raises:
        ModelError: the model is no float model, or has control flow.
        DataError: no samples, or samples of another shape than the model's inputs.
        UsageError: an unknown method.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        return _quantize(float_model, dataset, options or QuantizeOptions(), progress)


def _quantize(
    float_model: bytes, dataset: Dataset, options: QuantizeOptions, progress: Progress | None
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

    def builder(indices: list[int]) -> Builder:
        return Builder(
            model,
            dataset,
            indices,
            io=options.io,
            per_channel=options.per_channel,
            pins=file.pins,
            threads=threads,
            progress=progress,
        )

    findings = []
    if pinned is not None:
        full = builder(samples)
        few = max(JUDGED_VALUES // values_of(model), 2 * FEWEST_HELD_OUT)
        judged = samples[: min(few, JUDGED_SAMPLES)]
        judge = Judge(model, dataset, judged, threads=threads, ranks=False)
        chosen = _try(full, judge, pinned)
        tried = [chosen]
    else:
        some = thin(model, samples, options.seed)
        judge = Judge(model, dataset, some, threads=threads)
        fit, held = split(some, options.seed)
        held_out = None if fit is held else _HeldOut(builder(fit), model, dataset, held)
        thorough = options.effort == "thorough"
        enough = _never if held_out is None or thorough else held_out.enough
        search = _Search(builder(some), judge, progress, options.effort, enough)
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
            chosen = _refit(builder(samples), judge, chosen)
        tried = [chosen if t.recipe == chosen.recipe else t for t in search.tried]
    findings += [*step_findings(model), *float_findings(model)]
    why = missed(chosen.result, options)
    if why is not None:
        found = _rescue(builder(samples), judge, chosen, options, why)
        tried.append(found)
        findings.append(_mixed_finding(model, found.recipe))
        chosen = found
    plain = None
    if options.floor and below_floor(chosen.result):
        lifted = _lift(builder(samples), judge, chosen)
        if lifted is not None:
            plain = _result(chosen, tried, findings, started)
            tried.append(lifted)
            findings.append(lifted_finding(model.graph, lifted.recipe, chosen.data, lifted.data))
            chosen = lifted
    return replace(_result(chosen, tried, findings, started), plain=plain)


def _result(chosen: _Tried, tried: list[_Tried], findings: list[Finding], started: float) -> Quantized:
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


class _Search:
    """Tries range methods on the model and its equalised forms, then refines the best ones.

    Args:
        effort: see :data:`_EFFORTS`.
        enough: says whether a candidate leaves nothing to be gained, which ends the search.
    """

    def __init__(
        self,
        builder: Builder,
        judge: Judge,
        progress: Progress | None,
        effort: str,
        enough: Callable[[_Tried], bool],
    ) -> None:
        self.builder, self.judge, self.progress = builder, judge, progress
        self.effort, self.enough = _EFFORTS[effort], enough
        self.small = values_of(builder.model) <= SMALL_MODEL
        self.tried: list[_Tried] = []
        self.ended: _Tried | None = None
        self.skipped: list[str] = []

    def run(self) -> None:
        """Fill :attr:`tried`, plain min-max first, and :attr:`skipped` with what the search did not come to."""
        effort = self.effort
        names = effort.ranges if self.small else tuple(n for n in effort.ranges if n != "entropy")
        if names != ("minmax",):
            self.builder.histograms(None)
        steps: list[tuple[str, Callable[[], list[Recipe]]]] = [
            ("other ranges", lambda: [Recipe(name) for name in names]),
        ]
        if self.builder.links and effort.shares:
            shares = effort.shares if self.small else effort.shares[:1]
            steps.append(("equalisation", lambda: self._equalised(shares, names)))
        count = effort.rounded if self.small else 1
        steps.append(("joint rounding", lambda: [replace(r, rounding=True) for r in self._best(count)]))
        if self.builder.per_channel is None and self._has_dense() and effort.dense:
            dense = effort.dense if self.small else 1
            again = [
                ("per-channel dense", lambda: [replace(r, dense_per_channel=True) for r in self._best(dense)])
            ]
            steps += again
        for k, (_, recipes) in enumerate(steps):
            for recipe in recipes():
                found = self._add(recipe)
                if self.enough(found):
                    self._end(found, [name for name, _ in steps[k + 1 :]])
                    return

    def _end(self, found: _Tried, left: list[str]) -> None:
        """Stop at a candidate that is good enough, once its weights are rounded jointly: that costs little."""
        self.ended, self.skipped = found, [name for name in left if name != "joint rounding"]
        if not found.recipe.rounding:
            rounded = self._add(replace(found.recipe, rounding=True))
            if rounded.score > found.score and self.enough(rounded):
                self.ended = rounded

    def _equalised(self, shares: Sequence[float], names: Sequence[str]) -> list[Recipe]:
        best = [t.recipe.ranges for t in self.ranked[: self.effort.equalised if self.small else 1]]
        again = [name for name in names if name in best]
        return [Recipe(name, share) for share in shares for name in again]

    def _best(self, count: int) -> list[Recipe]:
        return [t.recipe for t in self.ranked[:count]]

    @property
    def ranked(self) -> list[_Tried]:
        """What was tried, best first; last whatever agrees with float less often than min-max, by two samples."""
        plain = self.tried[0]

        def key(t: _Tried) -> tuple[bool, float]:
            penalty = WORTH_PER_CHANNEL if t.recipe.dense_per_channel else 0.0
            return not _disagrees(t.result, plain.result), t.score - penalty

        return sorted(self.tried, key=key, reverse=True)

    def _add(self, recipe: Recipe) -> _Tried:
        self.tried.append(_try(self.builder, self.judge, recipe))
        if self.progress is not None:
            self.progress("search", len(self.tried), 0)
        return self.tried[-1]

    def _has_dense(self) -> bool:
        return any(op.op == "FULLY_CONNECTED" for op in self.builder.model.graph.operators)


def _disagrees(found: Comparison, plain: Comparison) -> bool:
    """Whether a model has the float model's top class, or the right one, less often than another; two are luck."""
    slack = 2.001 / plain.samples
    pairs = ((found.agreement, plain.agreement), (found.quantized_metric, plain.quantized_metric))
    return any(a is not None and b is not None and a < b - slack for a, b in pairs)


class _HeldOut:
    """Judges recipes on samples that their ranges have not seen; each is built and run once."""

    def __init__(self, fit: Builder, model: FloatModel, dataset: Dataset, held: list[int]) -> None:
        self.fit, self.model, self.dataset, self.held = fit, model, dataset, held
        self._judge: Judge | None = None
        self._known: dict[Recipe, _Tried] = {}

    def of(self, recipe: Recipe) -> _Tried:
        """Return what the recipe does there."""
        if recipe not in self._known:
            self._judge = self._judge or Judge(self.model, self.dataset, self.held, threads=self.fit.threads)
            self._known[recipe] = _try(self.fit, self._judge, recipe)
        return self._known[recipe]

    def enough(self, tried: _Tried) -> bool:
        """Whether a candidate holds ENOUGH_DB and every answer, on its own samples and on held-out ones."""
        return _perfect(tried) and _perfect(self.of(tried.recipe))

    def choose(self, search: _Search) -> _Tried:
        """Return the best candidate that does as well on samples that its ranges have not seen.

        Candidates are ranked on all samples, as a few held-out ones order them by luck; what the held-out ones
        do show is a candidate that learned its own samples by heart. It is out when it then falls behind min-max.
        """
        plain = self.of(Recipe())
        for tried in search.ranked[:HELD_OUT_TRIES]:
            if tried.recipe == plain.recipe:
                break
            again = self.of(tried.recipe)
            if again.score >= plain.score - HELD_OUT_LUCK and not _disagrees(again.result, plain.result):
                return tried
        return search.tried[0]


def _never(tried: _Tried) -> bool:
    return False


def _perfect(tried: _Tried) -> bool:
    whole = tried.result.agreement in (None, 1.0)
    return whole and min(tried.score, tried.result.sqnr_db) >= ENOUGH_DB


def _try(builder: Builder, judge: Judge, recipe: Recipe) -> _Tried:
    started = time.perf_counter()
    data = builder.build(recipe)
    verdict = judge.judge(data)
    return _Tried(recipe, data, verdict.comparison, verdict.score, time.perf_counter() - started)


def _refit(full: Builder, judge: Judge, best: _Tried) -> _Tried:
    """Apply the best recipe to all samples; plain min-max where that turns out better after all."""
    if best.recipe.ranges != "minmax":
        full.histograms(None)
    again = _try(full, judge, best.recipe)
    plain = _try(full, judge, Recipe())
    return again if again.score >= plain.score else plain


def _rescue(builder: Builder, judge: Judge, chosen: _Tried, options: QuantizeOptions, why: str) -> _Tried:
    """Return the chosen recipe with some layers in higher precision.

    Raises:
        AccuracyError: the budget is still missed, or mixed precision is not allowed.
    """
    started = time.perf_counter()
    layers = worst_layers(builder, chosen.data)
    found = None
    if options.mixed:
        found = mixed_precision(builder, judge, chosen.recipe, layers, lambda r: missed(r, options) is None)
    if found is None:
        raise accuracy_error(why, layers, options.mixed)
    recipe, data, result = found
    return _Tried(recipe, data, result, math.nan, time.perf_counter() - started)


def _lift(builder: Builder, judge: Judge, chosen: _Tried) -> _Tried | None:
    """Return the chosen recipe with the fewest layers in 16x8 that lift every output over the floor, or None."""
    started = time.perf_counter()
    layers = worst_layers(builder, chosen.data)
    found = mixed_precision(
        builder, judge, chosen.recipe, layers, lambda r: not below_floor(r), modes=("int16",)
    )
    if found is None:
        return None
    recipe, data, result = found
    return _Tried(recipe, data, result, math.nan, time.perf_counter() - started)


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


def choose(count: int, wanted: int | None, seed: int) -> list[int]:
    """Return which of ``count`` samples are used, in order; the same seed chooses the same ones."""
    if count == 0:
        raise DataError("the calibration set is empty", hint="pass a folder or file with samples")
    if wanted is None or wanted >= count:
        return list(range(count))
    return sorted(int(i) for i in np.random.default_rng(seed).choice(count, wanted, replace=False))


def thin(model: FloatModel, samples: list[int], seed: int) -> list[int]:
    """Return the samples that the search works with: fewer where the model has much to read."""
    most = max(SEARCH_VALUES // values_of(model), 4 * FEWEST_HELD_OUT)
    if len(samples) <= min(most, SEARCH_SAMPLES):
        return samples
    order = np.random.default_rng(seed).permutation(len(samples))[: min(most, SEARCH_SAMPLES)]
    return sorted(samples[int(i)] for i in order)


def split(samples: list[int], seed: int) -> tuple[list[int], list[int]]:
    """Return three quarters to calibrate with and one held out; the same list twice where there are hardly any."""
    if len(samples) < 2 * FEWEST_HELD_OUT:
        return samples, samples
    order = [samples[int(i)] for i in np.random.default_rng(seed + 1).permutation(len(samples))]
    held = max(len(order) // 4, FEWEST_HELD_OUT)
    return sorted(order[held:]), sorted(order[:held])


def values_of(model: FloatModel) -> int:
    """Return how many values the activations of one sample have that calibration reads."""
    known = derived(model.graph)
    return sum(model.graph.tensors[t].elements for t in model.activations if t not in known)


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


def _ended(chosen: _Tried, skipped: Sequence[str]) -> Finding:
    return Finding(
        "info",
        "search-ended",
        f"{chosen.recipe.name} holds {chosen.result.sqnr_db:.1f} dB and every answer on held-out samples too;"
        f" not tried: {', '.join(skipped) or 'nothing'}",
        "--effort thorough tries them all",
    )
