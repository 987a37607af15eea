"""Accuracy budgets: whether a result misses one, and whom to blame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from qedge.errors import AccuracyError
from qedge.findings import Finding
from qedge.quantize.build import Builder
from qedge.quantize.compare import Comparison
from qedge.quantize.layers import LayerError, layer_errors
from qedge.quantize.options import QuantizeOptions
from qedge.quantize.tasks import Task

WORST_NAMED = 10
MARGIN_DB = 3.0  # that a rescue aims at: other samples will show a little more noise than those that chose
CANNOT_APPLY = "the largest drop cannot be applied"


def missed(result: Comparison, options: QuantizeOptions) -> str | None:
    """Return how a result misses the budget, or None.

    Each output counts by itself. The drop is that of the accuracy (or F1) where there are labels, else the share
    of samples with another answer. A budget that cannot be applied is missed.
    """
    if options.min_sqnr is not None and result.sqnr_db < options.min_sqnr:
        return f"SQNR {result.sqnr_db:.1f} dB{_where(result)}, expected at least {options.min_sqnr:g} dB"
    if options.max_drop is None:
        return None
    applied = False
    for output in result.outputs:
        of = f" of the output {output.name!r}" if len(result.outputs) > 1 else ""
        if output.is_share and output.drop is not None:
            drop, what = output.drop, f"{output.metric}{of} drops"
        elif output.agreement is not None:
            drop, what = 1.0 - output.agreement, f"the answer{of} changes"
        else:
            continue
        applied = True
        if drop > options.max_drop + 1e-9:
            said = f"{what} by {100 * drop:.1f} points, expected at most {100 * options.max_drop:g}"
            return said + _coarse(output.samples, options.max_drop)
    return None if applied else f"{CANNOT_APPLY}: no output is a classification"


def _coarse(samples: int, most: float) -> str:
    """Return that a single answer is more than the largest drop, or nothing."""
    if most == 0 or samples * most >= 1:
        return ""
    return f" (one of {samples} samples is {100 / samples:.1f} points: at least {math.ceil(1 / most)} tell such a drop)"


def stricter(options: QuantizeOptions, more: float) -> QuantizeOptions:
    """Return the same budget with an SQNR that is this many dB higher."""
    return replace(options, min_sqnr=None if options.min_sqnr is None else options.min_sqnr + more)


def unusable_gate(tasks: Sequence[Task], names: Sequence[str], options: QuantizeOptions) -> str | None:
    """Return why the budget cannot be applied to a model whose outputs have these tasks, or None.

    Told before anything is calibrated: a largest drop is in points of accuracy or agreement, which numbers have not.
    """
    if options.max_drop is None or any(task.kind != "values" for task in tasks):
        return None
    which = ", ".join(repr(name) for name in names)
    return f"{CANNOT_APPLY}: {which} {'is a number' if len(names) == 1 else 'are numbers'}, no classes"


def _where(result: Comparison) -> str:
    """Return which output a figure is of, where the model has several or one has columns of unlike size."""
    worst, part = result.worst, result.worst.worst_part
    if len(result.outputs) == 1 and part is None:
        return ""
    columns = "" if part is None else f", columns {part.columns}"
    return f" of the output {worst.name!r}{columns}"


def worst_layers(builder: Builder, data: bytes) -> list[LayerError]:
    """Return the layers by the noise that they add themselves, worst first."""
    some = builder.indices[:16]
    found = layer_errors(builder.model.data, data, builder.dataset, indices=some, threads=builder.threads)
    measured = [e for e in found if math.isfinite(e.isolated_db)]
    return sorted(measured, key=lambda e: e.isolated_db)


def accuracy_error(why: str, layers: list[LayerError], mixed: bool) -> AccuracyError:
    """Return the error for a budget that is missed, with the layers to blame, worst first."""
    findings = [
        Finding(
            "info",
            "layer-noise",
            f"#{e.index} {e.op} adds noise of its own at {e.isolated_db:.1f} dB,"
            f" {e.sqnr_db:.1f} dB with all before it",
            "pin it to int16 or another range in a recipe file",
            op=f"#{e.index} {e.op}",
            tensor=e.tensor,
        )
        for e in layers[:WORST_NAMED]
    ]
    blamed = ", ".join(f"#{e.index} {e.op} ({e.isolated_db:.1f} dB)" for e in layers[:3])
    tried = " even with layers in 16x8 or float" if mixed else ""
    return AccuracyError(
        f"the accuracy budget is missed{tried}: {why}; the worst layers: {blamed}",
        hint="give more and better calibration samples, tune it (--tune auto), or widen the budget"
        if mixed
        else "a target that runs layers in 16 bit may meet it; else tune it (--tune auto), or widen the budget",
        findings=findings,
    )
