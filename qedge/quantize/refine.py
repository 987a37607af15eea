"""The last step of a search: a refiner learns from the best candidate on; held-out samples say whether it helped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from qedge.findings import Finding
from qedge.quantize.build import Builder
from qedge.quantize.calibrate import Progress
from qedge.quantize.judge import Judge, Verdict
from qedge.quantize.learned import Learned
from qedge.quantize.recipe import Recipe
from qedge.quantize.search import Tried, attempt, disagrees, perfect

EQUALISED = 0.5
"""Share of equalisation that a start is tried with."""


class Refiner(Protocol):
    """Learns weights, scales and ranges; :class:`qedge.tune.Tuner` is the one that there is."""

    def __call__(
        self, builder: Builder, recipe: Recipe, held: Sequence[int], progress: Progress | None
    ) -> tuple[Learned | None, str]:
        """Return what was learned from a recipe's model on, or None; and what a person should know of it.

        None and "" say that it could learn, and that nothing beat the start.

        Args:
            builder: has the model and the samples.
            held: samples among the builder's that may judge, and not teach.
        """


class Refinement:
    """Applies a refiner to candidates; none of them comes out worse than it went in.

    Args:
        whole: builds from all samples.
        judge: of the candidates.
        held: samples that the refiner does not learn from.
    """

    def __init__(
        self,
        refiner: Refiner,
        whole: Builder,
        judge: Judge,
        held: Sequence[int],
        progress: Progress | None = None,
    ) -> None:
        self._refiner, self._whole, self._judge, self._held = refiner, whole, judge, held
        self._progress = progress
        self.tried: list[Tried] = []
        self.findings: list[Finding] = []

    def of(self, chosen: Tried) -> Tried:
        """Return the candidate tuned, or as it is where held-out samples do not call that better."""
        if perfect(chosen):
            self._left("it leaves nothing to be gained", "info")
            return chosen
        started = time.perf_counter()
        judge = Judge(self._whole.model, self._whole.dataset, self._held, threads=self._whole.threads)
        start, before = self._start(chosen, judge)
        learned, why = self._refiner(self._whole, start.recipe, self._held, self._progress)
        if learned is None:
            self._left(why or "nothing beat the start", "warning" if why else "info")
            return start
        self._whole.learned[start.recipe.untuned] = learned
        found = attempt(self._whole, self._judge, replace(start.recipe, tuned=True))
        found = replace(found, seconds=time.perf_counter() - started)
        after = judge.judge(found.data)
        self.tried.append(found)
        gained = f"{after.score:.1f} dB on {len(self._held)} held-out samples, {before.score:.1f} before"
        noisier = _noisier(found, start)
        if noisier or after.score < before.score or disagrees(after.comparison, before.comparison):
            self._left(f"it gave {noisier or gained}", "info")
            return start
        self.findings.append(
            Finding("info", "tuned", f"learned from the float model's answers: {gained}{_also(why)}")
        )
        return found

    def _start(self, chosen: Tried, judge: Judge) -> tuple[Tried, Verdict]:
        """Return the candidate, or its equalised form where held-out samples call that better, and what they say.

        Gradients do not even out channels of unlike size well.
        """
        before = judge.judge(chosen.data)
        if chosen.recipe.equalize is None and self._whole.links:
            equalised = attempt(self._whole, self._judge, replace(chosen.recipe, equalize=EQUALISED))
            verdict = judge.judge(equalised.data)
            better = verdict.score > before.score
            same = not disagrees(verdict.comparison, before.comparison)
            if better and same and not _noisier(equalised, chosen):
                self.tried.append(equalised)
                return equalised, verdict
        return chosen, before

    def _left(self, why: str, severity: str) -> None:
        hint = None if severity == "info" else "build without --tune, or see docs/tuning.md"
        self.findings.append(
            Finding(severity, "not-tuned", f"the calibrated form stays: {why}", hint)  # type: ignore[arg-type]
        )


def _noisier(found: Tried, than: Tried) -> str:
    """Return by how much a candidate's outputs are noisier on all samples, or "": a score looks ahead of a softmax."""
    after, before = found.result.sqnr_db, than.result.sqnr_db
    return f"outputs of {after:.1f} dB on all samples, {before:.1f} before" if after < before else ""


def _also(why: str) -> str:
    return f" ({why})" if why else ""
