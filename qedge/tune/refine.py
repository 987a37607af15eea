"""Tuning as the quantiser's last step: from its best candidate on, and only what held-out samples call better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.errors import UsageError, unknown
from qedge.quantize.build import Builder
from qedge.quantize.calibrate import Progress
from qedge.quantize.interpreter import Runner
from qedge.quantize.learned import Learned
from qedge.quantize.model import FloatModel
from qedge.quantize.options import QuantizeOptions
from qedge.quantize.plan import Plan, Range
from qedge.quantize.recipe import Recipe
from qedge.tune.child import class_labels, learn
from qedge.tune.job import Job, Settings, Start, bounds, job_of, learnable, start_of

Array = npt.NDArray[Any]
MOST_VALUES = 50_000_000
"""Values of samples that are held in memory."""
BATCH_VALUES = 40_000_000
"""Values of activations that one step may keep for its gradients."""


@dataclass(frozen=True)
class Tuner:
    """Learns from a candidate on; see :class:`qedge.quantize.refine.Refiner`.

    Args:
        settings: how long and how fast.
    """

    settings: Settings = field(default_factory=Settings)

    def __call__(
        self, builder: Builder, recipe: Recipe, held: Sequence[int], progress: Progress | None
    ) -> tuple[Learned | None, str]:
        """Return what was learned from a recipe's model on, or None and why; "" where nothing was better.

        Args:
            builder: has the samples; ``held`` of them only judge.
        """
        model, plan = builder.plan(recipe)
        if not learnable(model.graph):
            return None, "no layer has weights to learn"
        indices = _some(model, builder.indices, held)
        settings = replace(self.settings, threads=builder.threads, batch=_batch(model, self.settings.batch))
        job = job_of(model.graph, plan, settings)
        job = _hold(job, builder.pinned(model))
        codes, biases = builder.rounded(recipe, model, plan)
        runner = Runner(model.data, threads=1)
        samples = [runner.stepped(builder.dataset[i]) for i in indices]
        labels = class_labels(builder.dataset.labels, indices)

        def look(step: int, total: int, left: float) -> None:
            if progress is not None:
                progress(f"tune ({_clock(left)} left)", step, total)

        if progress is not None:
            progress("tune (starting)", 0, settings.steps)
        apart = set(held)
        where = [k for k, i in enumerate(indices) if i in apart]
        where = [] if len(where) == len(indices) else where  # too few to hold any out
        start = start_of(model.graph, plan, job, codes, biases)
        lesson = learn(model.data, job, start, samples, where, labels, look)
        if lesson.best is None:
            return None, lesson.why
        return learned_of(plan, job, lesson.best), "ended early" if lesson.stopped else ""


def tuner_of(options: QuantizeOptions) -> Tuner | None:
    """Return the tuner that the options ask for, or None.

    Raises:
        UsageError: a setting that there is not, or a value out of its range.
    """
    if options.tune == "off":
        return None
    stated = dict(options.tuning)
    minutes = stated.pop("minutes", None)
    if minutes is not None:
        stated["seconds"] = 60 * minutes
    known = {name: type(value) for name, value in asdict(Settings()).items()}
    for key, value in stated.items():
        if key not in known or key == "threads":
            raise unknown("setting of tuning", key, ("minutes", *known))
        if value <= 0 and key not in ("seed", "labels", "layers"):
            raise UsageError(f"tuning: found {key} = {value:g}, expected more than 0")
    return Tuner(Settings(**{"seed": options.seed, **{k: known[k](v) for k, v in stated.items()}}))


def learned_of(plan: Plan, job: Job, found: Start) -> Learned:
    """Return what was learned in the quantiser's terms; the ranges of what was not learned stay."""
    ranges: dict[int, Range] = {}
    for t, affine in plan.tensors.items():
        if len(affine.scale) == 1 and t not in job.weights:
            wide = affine.dtype == "int16"
            ranges[t] = (-32767 * affine.scale[0], 32767 * affine.scale[0]) if wide else bounds(affine)
    for t, grid in job.written.items():
        ranges[t] = float(found.ranges[grid][0]), float(found.ranges[grid][1])
    limits = {t: found.scales[t].astype(np.float64) * grid.steps for t, grid in job.weights.items()}
    return Learned(ranges, limits, found.weights, found.biases)


def _hold(job: Job, pinned: set[int]) -> Job:
    """Return the job that leaves the grids of these tensors as they are."""
    held = {g for t, g in job.written.items() if t in pinned}
    grids = tuple(replace(g, learned=g.learned and k not in held) for k, g in enumerate(job.grids))
    return replace(job, grids=grids)


def _some(model: FloatModel, indices: Sequence[int], held: Sequence[int]) -> list[int]:
    """Return the samples that are learned from and judged with: as many as memory takes, the held ones all."""
    each = max(sum(model.graph.tensors[t].elements for t in model.graph.inputs), 1)
    most = max(MOST_VALUES // each, 8)
    apart = set(held)
    others = [i for i in indices if i not in apart][: max(most - len(held), 4)]
    return sorted([*others, *held])


def _batch(model: FloatModel, wanted: int) -> int:
    values = sum(model.graph.tensors[t].elements for t in model.activations)
    return int(np.clip(BATCH_VALUES // max(values, 1), 4, wanted))


def _clock(seconds: float) -> str:
    """Return a time for a person.

    >>> _clock(75)
    '1:15'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
