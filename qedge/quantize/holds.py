"""Whether a candidate is within the accuracy budget, as far as few samples tell.

A hundred samples cannot tell a drop of 1 % from one of 2 %: with labels, two samples more or less are luck. Where the
model ends in classes the errors that all samples show ahead of them are paired with every sample, which tells how often
an answer changes, and that is held to the budget beside what int8 changes. What learned from samples is judged by those
held out. Samples that calibrate nothing have the last word, where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from qedge.findings import Finding
from qedge.quantize.judge import Judge, Verdict
from qedge.quantize.mixing import enough
from qedge.quantize.options import QuantizeOptions
from qedge.quantize.search import Tried

Accepts = Callable[[bytes], bool]
LUCK = 2.001
"""Samples by which a metric of labels may be off."""
HURT = 0.4
"""Share of the answers changed that a metric of labels loses: some were wrong before, and some become right."""


class Holds:
    """Whether a candidate is within the budget, beside what plain int8 does.

    Args:
        judge: of the candidates.
        held: samples that nothing learned from.
        plain: the candidate that others are measured by.
        accepts: has the last word on a model, by samples that calibrate nothing.
    """

    def __init__(
        self,
        judge: Judge,
        held: Sequence[int],
        options: QuantizeOptions,
        plain: Tried,
        accepts: Accepts | None = None,
    ) -> None:
        self._options, self._plain, self._accepts = options, plain, accepts
        self.vetoed = self.let = 0
        self._held = judge.of([i for i in held if i in set(judge.indices)] or judge.indices)

    def likely(self, tried: Tried) -> bool:
        """Whether the candidate is within the budget by its calibration samples."""
        if tried.recipe.tuned:
            return self._within(self._held.judge(tried.data), self._plain_held)
        return self._within(tried.verdict, self._plain.verdict)

    def __call__(self, tried: Tried) -> bool:
        """Whether the candidate is within the budget."""
        within = self.likely(tried)
        if not within or self._accepts is None or self._accepts(tried.data):
            return within
        self.vetoed += 1
        return False

    @property
    def passes(self) -> Callable[[Tried], bool] | None:
        """Whether samples that calibrate nothing let a candidate pass, or None without such samples."""
        return None if self._accepts is None else self._pass

    def _pass(self, tried: Tried) -> bool:
        assert self._accepts is not None
        passed = self._accepts(tried.data)
        self.let += passed
        return passed

    @property
    def findings(self) -> list[Finding]:
        """Whether the samples that are measured on took part in the choice."""
        found = []
        again = "measure the result once more on samples of your own"
        if self.vetoed:
            said = f"{self.vetoed} candidates held the budget on calibration samples and missed it on those measured on"
            found.append(Finding("info", "vetoed", said, again))
        if self.let:
            said = "calibration samples foretell a larger loss than those measured on show, which let it pass"
            found.append(Finding("warning", "let-pass", said, again))
        return found

    @cached_property
    def _plain_held(self) -> Verdict:
        return self._held.judge(self._plain.data)

    def _within(self, found: Verdict, plain: Verdict) -> bool:
        result, most = found.comparison, self._options.max_drop
        if most is None or found.changed is None or plain.changed is None:
            return enough(result, self._options)
        labelled = result.metric is not None
        luck = LUCK / result.samples if labelled else 0.0
        changed = (found.changed - plain.changed) * (HURT if labelled else 1.0)
        return changed <= most and enough(result, replace(self._options, max_drop=min(most + luck, 0.999)))
