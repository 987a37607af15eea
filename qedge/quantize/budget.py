"""Accuracy budgets: what to do when int8 alone misses one.

The layers with the most noise of their own move to 16x8 (int16 activations, int8 weights), or to float where an
operator has no 16-bit kernel: as few of them as bring the model back inside the budget. Every candidate is
compared with the float model before it is trusted.
"""

from __future__ import annotations

import math
from dataclasses import replace

from qedge.errors import AccuracyError
from qedge.findings import Finding
from qedge.quantize.build import Builder
from qedge.quantize.compare import Comparison
from qedge.quantize.judge import Judge
from qedge.quantize.layers import LayerError, layer_errors
from qedge.quantize.options import QuantizeOptions
from qedge.quantize.recipe import Recipe
from qedge.quantize.rules import RULES

WORST_NAMED = 10


def missed(result: Comparison, options: QuantizeOptions) -> str | None:
    """Return how a result misses the budget, or None.

    The drop is that of the accuracy where there are labels, else the share of samples with another top class.
    """
    if options.min_sqnr is not None and result.sqnr_db < options.min_sqnr:
        return f"SQNR {result.sqnr_db:.1f} dB, expected at least {options.min_sqnr:g} dB"
    if options.max_drop is None:
        return None
    if result.float_metric is not None and result.quantized_metric is not None:
        drop, what = result.float_metric - result.quantized_metric, "accuracy drops"
    elif result.agreement is not None:
        drop, what = 1.0 - result.agreement, "the top class changes"
    else:
        return None
    if drop > options.max_drop + 1e-9:
        return f"{what} by {100 * drop:.1f} points, expected at most {100 * options.max_drop:g}"
    return None


def worst_layers(builder: Builder, data: bytes) -> list[LayerError]:
    """Return the layers by the noise that they add themselves, worst first."""
    some = builder.indices[:16]
    found = layer_errors(builder.model.data, data, builder.dataset, indices=some, threads=builder.threads)
    measured = [e for e in found if math.isfinite(e.isolated_db)]
    return sorted(measured, key=lambda e: e.isolated_db)


def mixed_precision(
    builder: Builder, judge: Judge, recipe: Recipe, layers: list[LayerError], options: QuantizeOptions
) -> tuple[Recipe, bytes, Comparison] | None:
    """Return the recipe with the fewest layers in 16x8 or float that meets the budget, or None.

    The number of layers doubles until the budget is met, then halves back; the worst layers go first. Float is
    tried where 16x8 misses too.
    """
    return _fewest(builder, judge, recipe, layers, options, "int16") or _fewest(
        builder, judge, recipe, layers, options, "float"
    )


def _fewest(
    builder: Builder,
    judge: Judge,
    recipe: Recipe,
    layers: list[LayerError],
    options: QuantizeOptions,
    mode: str,
) -> tuple[Recipe, bytes, Comparison] | None:
    graph = builder.model.graph
    of_tensor = {graph.tensors[t].name: op for op in graph.operators for t in op.outputs}
    order = [of_tensor[e.tensor] for e in layers if e.tensor in of_tensor]

    def attempt(count: int) -> tuple[Recipe, bytes, Comparison] | None:
        mixed = tuple(
            sorted((op.index, mode if RULES[op.op].version_int16 else "float") for op in order[:count])
        )
        trial = replace(recipe, mixed=mixed)
        data = builder.build(trial)
        result = judge.judge(data).comparison
        return (trial, data, result) if missed(result, options) is None else None

    fails, count, best = 0, 1, None
    while best is None and fails < len(order):
        count = min(count, len(order))
        best = attempt(count)
        if best is None:
            fails, count = count, count * 2
    if best is None:
        return None
    meets = count
    while meets - fails > 1:
        middle = (meets + fails) // 2
        found = attempt(middle)
        if found is None:
            fails = middle
        else:
            meets, best = middle, found
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
