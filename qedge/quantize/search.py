"""Tries combinations of methods, and chooses the best one that holds on samples that its ranges have not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from qedge.quantize.build import Builder
from qedge.quantize.calibrate import Progress
from qedge.quantize.compare import Comparison
from qedge.quantize.judge import Judge, Verdict
from qedge.quantize.options import Candidate
from qedge.quantize.recipe import Recipe
from qedge.quantize.samples import values_of

HELD_OUT_TRIES = 3
SHORTFALL = 3.0  # dB that held-out samples may lose before the ranges are doubted
HELD_OUT_LUCK = 2.0  # dB that the score of some dozen held-out samples moves by luck
SMALL_MODEL = 1_000_000
# Held-out samples that a fit of the last layers takes: fewer tell two near candidates apart by luck.
FEWEST_TO_FIT = 16
# What per-channel dense weights must gain, in dB, for the runtimes that they leave out.
WORTH_PER_CHANNEL = 1.0
# A candidate this good on held-out samples, with every answer the float model's, ends the search.
ENOUGH_DB = 45.0


@dataclass(frozen=True)
class Effort:
    """How much a search tries: range methods, shares of equalisation, how many of the best are refined how, and
    whether the last layers of what is chosen are fitted."""

    ranges: tuple[str, ...]
    shares: tuple[float, ...]
    equalised: int
    rounded: int
    dense: int
    last_layer: bool = True


_EVERY = ("minmax", "percentile", "mse", "entropy")
EFFORTS = {
    "fast": Effort(("minmax", "mse"), (), 0, 1, 0, last_layer=False),
    "normal": Effort(_EVERY, (0.5, 0.8), 3, 3, 1),
    "thorough": Effort(_EVERY, (0.5, 0.8), 4, 3, 2),
}


@dataclass(frozen=True)
class Tried:
    """A recipe that was built and judged, and the seconds that this took."""

    recipe: Recipe
    data: bytes
    verdict: Verdict
    seconds: float

    @property
    def result(self) -> Comparison:
        """What it does on the judge's samples."""
        return self.verdict.comparison

    @property
    def score(self) -> float:
        """What it is ranked by, in dB."""
        return self.verdict.score

    def candidate(self, chosen: bool) -> Candidate:
        """Return it for a report."""
        found = self.result
        return Candidate(
            self.recipe.name,
            found.sqnr_db,
            found.agreement,
            found.quantized_metric,
            len(self.data),
            self.seconds,
            chosen,
        )


class Search:
    """Tries range methods on the model and its equalised forms, then refines the best ones.

    Args:
        effort: see :data:`EFFORTS`.
        enough: says whether a candidate leaves nothing to be gained, which ends the search.
    """

    def __init__(
        self,
        builder: Builder,
        judge: Judge,
        progress: Progress | None,
        effort: str,
        enough: Callable[[Tried], bool],
    ) -> None:
        self.builder, self.judge, self.progress = builder, judge, progress
        self.effort, self.enough = EFFORTS[effort], enough
        self.small = values_of(builder.model) <= SMALL_MODEL
        self.tried: list[Tried] = []
        self.ended: Tried | None = None
        self.skipped: list[str] = []

    def run(self) -> None:
        """Fill :attr:`tried`, plain min-max first, and :attr:`skipped` with what the search did not come to."""
        effort = self.effort
        names = effort.ranges if self.small else tuple(n for n in effort.ranges if n != "entropy")
        self.builder.statistics.distributions(moments=True)
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

    def _end(self, found: Tried, left: list[str]) -> None:
        """Stop at a candidate that is good enough, once its weights are rounded jointly: that costs little."""
        self.ended, self.skipped = found, [name for name in left if name != "joint rounding"]
        if not found.recipe.rounding:
            rounded = self._add(replace(found.recipe, rounding=True))
            if rounded.score > found.score and self.enough(rounded):
                self.ended = rounded

    def _equalised(self, shares: Sequence[float], names: Sequence[str]) -> list[Recipe]:
        self.builder.statistics.equalised(shares)
        count = self.effort.equalised if self.small else 1
        best = [t.recipe.ranges for t in self.ranked[:count]]
        if count > 1 and "minmax" not in best:  # what ruins it may be what equalisation mends
            best[-1] = "minmax"
        again = [name for name in names if name in best]
        return [Recipe(name, share) for share in shares for name in again]

    def _best(self, count: int) -> list[Recipe]:
        return [t.recipe for t in self.ranked[:count]]

    @property
    def ranked(self) -> list[Tried]:
        """What was tried, best first; last whatever agrees with float less often than min-max, by two samples."""
        plain = self.tried[0]

        def key(t: Tried) -> tuple[bool, float]:
            penalty = WORTH_PER_CHANNEL if t.recipe.dense_per_channel else 0.0
            return not disagrees(t.result, plain.result), t.score - penalty

        return sorted(self.tried, key=key, reverse=True)

    def _add(self, recipe: Recipe) -> Tried:
        best = self.ranked[0].verdict if self.tried else None
        # Few samples leave the methods nothing to differ by: what is there already is not judged again.
        known = {t.data: t.verdict for t in self.tried}
        self.tried.append(attempt(self.builder, self.judge, recipe, best, known))
        if self.progress is not None:
            self.progress("search", len(self.tried), 0)
        return self.tried[-1]

    def _has_dense(self) -> bool:
        return any(op.op == "FULLY_CONNECTED" for op in self.builder.model.graph.operators)


def disagrees(found: Comparison, plain: Comparison) -> bool:
    """Whether a model has the float model's top class, or the right one, less often than another; two are luck."""
    slack = 2.001 / plain.samples
    pairs = ((found.agreement, plain.agreement), (found.quantized_metric, plain.quantized_metric))
    return any(a is not None and b is not None and a < b - slack for a, b in pairs)


class HeldOut:
    """Judges recipes on samples that their ranges have not seen; each is built and run once."""

    def __init__(self, fit: Builder, judge: Judge) -> None:
        self.fit, self.judge = fit, judge
        self._known: dict[Recipe, Tried] = {}

    def of(self, recipe: Recipe) -> Tried:
        """Return what the recipe does there."""
        if recipe not in self._known:
            self._known[recipe] = attempt(self.fit, self.judge, recipe)
        return self._known[recipe]

    def enough(self, tried: Tried) -> bool:
        """Whether a candidate holds ENOUGH_DB and every answer, on its own samples and on held-out ones."""
        return perfect(tried) and perfect(self.of(tried.recipe))

    def falls_short(self, tried: Tried) -> bool:
        """Whether a candidate does far worse on the held-out samples than on all: their ranges are not its own."""
        return self.of(tried.recipe).score < tried.score - SHORTFALL

    def choose(self, search: Search) -> Tried:
        """Return the best candidate that does as well on samples that its ranges have not seen.

        Candidates are ranked on all samples, as a few held-out ones order them by luck; what the held-out ones
        do show is a candidate that learned its own samples by heart. It is out when it then falls behind min-max.
        """
        plain = self.of(Recipe())
        for tried in search.ranked[:HELD_OUT_TRIES]:
            if tried.recipe == plain.recipe:
                break
            again = self.of(tried.recipe)
            if again.score >= plain.score - HELD_OUT_LUCK and not disagrees(again.result, plain.result):
                return tried
        return search.tried[0]


def with_last_layer(builder: Builder, judge: Judge, held_out: HeldOut, chosen: Tried) -> Tried | None:
    """Return the candidate with its last layers fitted to what is ahead of them, or None where held-out samples do not
    call that better, or are too few to say."""
    if len(held_out.judge.indices) < FEWEST_TO_FIT:
        return None
    recipe = replace(chosen.recipe, last_layer=True)
    before = held_out.of(chosen.recipe)
    builder.built, held_out.fit.built = {chosen.recipe: chosen.data}, {chosen.recipe: before.data}
    after = held_out.of(recipe)
    if after.score <= before.score or disagrees(after.result, before.result):
        return None
    found = attempt(builder, judge, recipe)
    worse = found.score < chosen.score or disagrees(found.result, chosen.result)
    return None if worse else found


def never(tried: Tried) -> bool:
    """Say that a candidate is not enough, whatever it is."""
    return False


def perfect(tried: Tried) -> bool:
    """Whether a candidate holds ENOUGH_DB and every answer."""
    whole = tried.result.agreement in (None, 1.0)
    return whole and min(tried.score, tried.result.sqnr_db) >= ENOUGH_DB


def attempt(
    builder: Builder,
    judge: Judge,
    recipe: Recipe,
    best: Verdict | None = None,
    known: Mapping[bytes, Verdict] | None = None,
) -> Tried:
    """Return what a recipe makes and how it is judged.

    Args:
        best: the verdict on another one, which this one is given up beside when it is far behind.
        known: verdicts on models, which are not judged again.
    """
    started = time.perf_counter()
    data = builder.build(recipe)
    verdict = (known or {}).get(data) or judge.judge(data, best)
    return Tried(recipe, data, verdict, time.perf_counter() - started)


def refit(full: Builder, judge: Judge, best: Tried) -> Tried:
    """Apply the best recipe to all samples; plain min-max where that turns out better after all."""
    if best.recipe.ranges != "minmax":
        full.statistics.distributions(moments=best.recipe.rounding)
    again = attempt(full, judge, best.recipe)
    plain = attempt(full, judge, Recipe())
    return again if again.score >= plain.score else plain
