"""Room beyond what the samples have shown: the next ones may go further, and what is clipped is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qedge.quantize.build import Builder
from qedge.quantize.judge import Judge
from qedge.quantize.recipe import HEADROOM, Recipe

FEW = 100  # samples; more of them show the ends of what there is
FOLDS = 4
WORTH = 1.0  # dB that room must gain on samples that its ranges have not seen
GOOD = 35.0  # dB on those that need no room, which costs some on all others


def with_headroom(
    recipe: Recipe, samples: list[int], seed: int, builder: Callable[[list[int]], Builder], judge: Judge
) -> Recipe:
    """Return the recipe with wider ranges where samples gain by that which the ranges have not seen, else as it is.

    Every sample is judged once by ranges of the three quarters that it is not part of.

    Args:
        samples: all of them.
        builder: makes a builder from some of them.
        judge: knows all of them.
    """
    if len(samples) < 2 * FOLDS:
        return recipe
    tried = [replace(recipe, rounding=False, headroom=room) for room in (0.0, HEADROOM)]
    order = np.random.default_rng(seed).permutation(len(samples))
    noise = np.zeros(len(tried))
    for fold in range(FOLDS):
        held = sorted(samples[int(k)] for k in order[fold::FOLDS])
        fitted = builder([i for i in samples if i not in held])
        by = judge.of(held)
        noise += [len(held) * 10 ** (-by.judge(fitted.build(r)).score / 10) for r in tried]
    tight, roomy = 10 * np.log10(len(samples) / np.maximum(noise, 1e-30))
    return replace(recipe, headroom=HEADROOM) if tight < min(GOOD, roomy - WORTH) else recipe
