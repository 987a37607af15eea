"""The floor that every result is held to without any option: what counts as a loss, and on which output.

Where an output is a classification, a loss is accuracy (or F1, or without labels agreement) that is down by more
than 1 point beyond its 95 % interval. Of a detector that finds anything, its objects alone are judged: 5 points of F1,
or where they are labelled 2 points of mAP50-95.
Where an output is neither, a loss is an SQNR under 25 dB, over all values or over the columns of one size, or noise
above a sixth of how much the values vary (15 dB about their mean).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from qedge.findings import Finding
from qedge.graph import Graph
from qedge.quantize.compare import Comparison
from qedge.quantize.figures import OutputFigures
from qedge.quantize.layers import LayerError
from qedge.quantize.recipe import Recipe

MOST_DROP = 0.01
MOST_BOXES = 0.05
MOST_MAP = 0.02
LEAST_DB = 25.0
LEAST_CENTRED_DB = 15.0
DOUBTFUL_DB = 18.0
LOSS_RULE = "accuracy-loss"


@dataclass(frozen=True)
class Miss:
    """An output that quantisation costs more than the floor allows.

    Args:
        output: its position among the model's outputs.
        name: its name.
        why: what is lost, for a person.
    """

    output: int
    name: str
    why: str


def below_floor(result: Comparison) -> tuple[Miss, ...]:
    """Return every output that loses more than the floor allows, the model's order; () when none does."""
    found = []
    objects = any(o.task == "boxes" and (o.metric or o.agreement is not None) for o in result.outputs)
    for k, output in enumerate(result.outputs):
        if objects and output.task != "boxes":
            continue  # what a detector's numbers are worth, its objects say
        why = _lost(output)
        if why is not None:
            found.append(Miss(k, output.name, why))
    return tuple(found)


def doubtful(result: Comparison) -> bool:
    """Whether a result is under the floor, or so noisy that its answers may not hold on other samples."""
    return bool(below_floor(result)) or result.sqnr_db < DOUBTFUL_DB


def _lost(output: OutputFigures) -> str | None:
    if output.metric == "map":
        if (output.drop or 0.0) <= MOST_MAP:
            return None
        before, after = output.float_metric or 0.0, output.quantized_metric or 0.0
        return f"mAP50-95 falls from {100 * before:.1f} to {100 * after:.1f} % ({output.samples} photos)"
    if (
        output.overlap is not None
        and output.overlap < 1 - MOST_DROP
        and (noise := _noise(output)) is not None
    ):
        return f"what is not the commonest answer of the map agrees to {100 * output.overlap:.1f} % (F1); {noise}"
    if output.is_share and output.drop is not None and output.drop_interval is not None:
        sure = output.drop_interval[0]
        before, after = output.float_metric or 0.0, output.quantized_metric or 0.0
        if sure <= MOST_DROP or output.drop <= MOST_DROP:
            return None
        return (
            f"{output.metric} falls from {100 * before:.1f} to {100 * after:.1f} %"
            f" (by at least {100 * sure:.1f} points, 95 % interval, {output.samples} samples)"
        )
    if output.metric is None and output.agreement is not None and output.task != "vector":
        most = (output.agreement_interval or (0.0, 1.0))[1]
        least = 1.0 - (MOST_BOXES if output.task == "boxes" else MOST_DROP)
        if most >= least or output.agreement >= least:
            return None
        if output.task == "boxes":
            return (
                f"the objects agree to {100 * output.agreement:.1f} % (F1 of boxes that overlap by half;"
                f" at most {100 * most:.1f} %, 95 % interval, {output.samples} samples)"
            )
        # Several sigmoids without labels may be coordinates: near the threshold those flip without any harm.
        if output.task == "many_labels" and _noise(output) is None:
            return None
        return (
            f"the answer is another one on {100 * (1 - output.agreement):.1f} % of {output.samples} samples"
            f" (at least {100 * (1 - most):.1f} %, 95 % interval)"
        )
    return None if output.task == "index" or output.constant else _noise(output)


def _noise(output: OutputFigures) -> str | None:
    """Return how an output's noise is above the floor, or None."""
    part = output.worst_part
    where = "" if part is None else f" in the columns {part.columns}"
    if output.worst_db < LEAST_DB:
        return f"SQNR {output.worst_db:.1f} dB{where}, under {LEAST_DB:g} dB"
    groups = [(p.centred_db, f" in the columns {p.columns}") for p in output.parts]
    for centred, place in groups or [(output.centred_db, "")]:
        if centred is not None and centred < LEAST_CENTRED_DB:
            return f"SQNR {centred:.1f} dB about the mean{place}, under {LEAST_CENTRED_DB:g} dB"
    return None


def lifted_finding(graph: Graph, recipe: Recipe, before: bytes, after: bytes) -> Finding:
    """Return what was done to lift a result over the floor, and what that costs.

    Args:
        graph: of the float model.
        recipe: names the layers that moved.
        before, after: the model without and with them.
    """
    names = [graph.operators[i].label for i, _ in recipe.mixed]
    some = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
    more = 100 * (len(after) / len(before) - 1)
    floats = any(mode == "float" for _, mode in recipe.mixed)
    most = sum(mode == "float" for _, mode in recipe.mixed) > len(graph.operators) / 2
    return Finding(
        "warning" if most else "info",
        "lifted",
        f"int8 alone is under the floor: {len(names)} of {len(graph.operators)} operators"
        f" {'stay float' if floats else 'have 16-bit activations'} ({some}), {more:.1f} % more bytes",
        "targets that compute in integers only get the int8 form; a recipe pins layers"
        if floats
        else "16-bit layers take more time (many times as much in LiteRT) and twice the memory for their activations:"
        " --lift float or --lift none, or a recipe that pins them",
    )


def loss_findings(
    misses: Sequence[Miss],
    layers: Sequence[LayerError],
    ways_out: Sequence[str],
    graph: Graph,
    shared: Collection[str] = (),
) -> list[Finding]:
    """Return one warning for each output that loses: what, the layer ahead of it that adds most noise, and the way out.

    Args:
        layers: by the noise that they add themselves, worst first.
        ways_out: what the user can do about each.
        graph: of the quantised model.
        shared: outputs whose columns are of unlike size and share one scale: no layer ahead is to blame.
    """
    found = []
    for miss, way_out in zip(misses, ways_out):
        ahead = set() if miss.name in shared else _ahead_of(graph, miss.name)
        worst = next((layer for layer in layers if layer.index in ahead), None)
        blamed = (
            "" if worst is None else f"; most noise comes from #{worst.index} {worst.op} ({worst.tensor})"
        )
        if miss.name in shared:
            blamed = "; its columns are of unlike size and share one scale"
        said = f"int8 loses on the output {miss.name!r}: {miss.why}{blamed}"
        op = None if worst is None else f"#{worst.index} {worst.op}"
        found.append(Finding("warning", LOSS_RULE, said, way_out, op=op, tensor=miss.name))
    return found


def _ahead_of(graph: Graph, output: str) -> set[int]:
    """Return the operators that an output depends on; all where what the user calls so is put together of several."""
    if output not in graph.output_names:
        return set(range(len(graph.operators)))
    found: set[int] = set()
    waiting = [graph.outputs[list(graph.output_names).index(output)]]
    while waiting:
        op = graph.producer.get(waiting.pop())
        if op is not None and op.index not in found:
            found.add(op.index)
            waiting += [t for t in op.inputs if t >= 0]
    return found
