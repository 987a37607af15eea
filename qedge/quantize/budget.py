"""Accuracy budgets: what to do when int8 alone misses one.

The layers with the most noise of their own move to 16x8 (int16 activations, int8 weights; those without a 16-bit
kernel stay), else to float: as few of them as bring the model back inside the budget. Every candidate is compared
with the float model before it is trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from qedge.errors import AccuracyError
from qedge.findings import Finding
from qedge.quantize.build import Builder
from qedge.quantize.compare import Comparison
from qedge.quantize.judge import Judge
from qedge.quantize.layers import LayerError, layer_errors
from qedge.quantize.options import QuantizeOptions
from qedge.quantize.plan import default_modes
from qedge.quantize.recipe import Recipe
from qedge.quantize.rules import RULES
from qedge.quantize.tasks import Task

WORST_NAMED = 10
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
            return f"{what} by {100 * drop:.1f} points, expected at most {100 * options.max_drop:g}"
    return None if applied else f"{CANNOT_APPLY}: no output is a classification"


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


def mixed_precision(
    builder: Builder,
    judge: Judge,
    recipe: Recipe,
    layers: list[LayerError],
    meets: Callable[[Comparison], bool],
    *,
    modes: Sequence[str] = ("int16", "float"),
) -> tuple[Recipe, bytes, Comparison] | None:
    """Return the recipe with the fewest layers in 16x8 or float that meets a demand, or None.

    The number of layers doubles until the demand is met, then halves back; the worst layers go first. Float is
    tried where 16x8 misses too.

    Args:
        meets: whether a result is good enough.
        modes: what to try, in this order.
    """
    tried = (_fewest(builder, judge, recipe, layers, meets, mode) for mode in modes)
    return next((found for found in tried if found is not None), None)


def _fewest(
    builder: Builder,
    judge: Judge,
    recipe: Recipe,
    layers: list[LayerError],
    meets: Callable[[Comparison], bool],
    mode: str,
) -> tuple[Recipe, bytes, Comparison] | None:
    graph = builder.model.graph
    defaults = default_modes(graph)
    of_tensor = {graph.tensors[t].name: op for op in graph.operators for t in op.outputs}
    order = [of_tensor[e.tensor] for e in layers if e.tensor in of_tensor]
    order = [op for op in order if op.op in RULES and defaults[op.index] == "int8"]
    if mode == "int16":
        order = [op for op in order if RULES[op.op].version_int16]

    def attempt(count: int) -> tuple[Recipe, bytes, Comparison] | None:
        trial = replace(recipe, mixed=tuple(sorted((op.index, mode) for op in order[:count])))
        data = builder.build(trial)
        result = judge.judge(data).comparison
        return (trial, data, result) if meets(result) else None

    fails, count, best = 0, 1, None
    while best is None and fails < len(order):
        count = min(count, len(order))
        best = attempt(count)
        if best is None:
            fails, count = count, count * 2
    if best is None:
        return None
    enough = count
    while enough - fails > 1:
        middle = (enough + fails) // 2
        found = attempt(middle)
        if found is None:
            fails = middle
        else:
            enough, best = middle, found
    return best


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
        hint="give more and better calibration samples, allow mixed precision, or widen the budget",
        findings=findings,
    )
