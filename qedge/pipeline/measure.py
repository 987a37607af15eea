"""What a person must know of the figures: losses with their layer, constants, labels that do not fit; and the gates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qedge.datasets import Dataset
from qedge.datasets.outputs import OutputInfo
from qedge.errors import AccuracyError
from qedge.findings import Finding
from qedge.graph import Graph
from qedge.processing.affine import OUTPUTS_KEY, OutputStep, finishes_in
from qedge.quantize import Comparison, LayerError, QuantizeOptions, layer_errors
from qedge.quantize.budget import CANNOT_APPLY, accuracy_error, missed, unusable_gate
from qedge.quantize.compare import tasks_of
from qedge.quantize.figures import OutputFigures
from qedge.quantize.floor import LOSS_RULE, below_floor, loss_findings
from qedge.quantize.inputs import coarse_features

BLAMED_SAMPLES = 16
# Warnings that are no loss: what a rescue took is told, and --strict asks for no loss.
HARMLESS = ("mixed-precision",)
ANY_CLASS = 20.0  # percent; an mAP50 by which boxes are where the labels are
FEWEST_ANSWERS = 20  # samples; fewer may be alike by chance
WAY_OUT = (
    "keep the layer in 16 bit (a recipe, see docs/models_and_data.md), give more and better calibration samples,"
    " or accept the loss; --strict makes it exit 6"
)


WAY_OUT_COLUMNS = (
    "give columns of unlike size as outputs of their own, or let the model end"
    " in standardised values and turn them back behind it; --strict makes it exit 6"
)


def require_usable_gate(
    outputs: Sequence[OutputInfo], dataset: Dataset, findings: Sequence[Finding], options: QuantizeOptions
) -> None:
    """Raise when the largest drop cannot be applied, before anything is calibrated.

    Raises:
        AccuracyError: the outputs are numbers, or the labels are not used.
    """
    if options.max_drop is None:
        return
    why = unusable_gate(tasks_of(outputs, dataset), [o.name for o in outputs], options)
    if why is not None:
        hint = "bound the noise instead: --min-sqnr 30; the mean error is told beside the float model's"
        raise AccuracyError(why, hint=hint)
    unused = next((f for f in findings if f.rule == "labels" and f.severity == "warning"), None)
    if unused is not None:
        raise AccuracyError(f"{CANNOT_APPLY}: {unused.message}", hint=unused.hint)


def assess(
    float_model: bytes,
    quantized: bytes,
    comparison: Comparison,
    calibration: Dataset,
    options: QuantizeOptions,
) -> list[Finding]:
    """Return what a person should know of the figures: losses with the layer to blame, constants, unrelated labels.

    Raises:
        AccuracyError: the budget is missed on the samples that were measured.
    """
    findings = figure_findings(comparison)
    unrelated = next((f for f in findings if f.rule == "labels"), None)
    if options.max_drop is not None and unrelated is not None:
        raise AccuracyError(f"{CANNOT_APPLY}: {unrelated.message}", hint=unrelated.hint)
    why, misses = missed(comparison, options), below_floor(comparison)
    if why is None and not misses:
        return findings
    layers = _blamed(float_model, quantized, calibration)
    if why is not None:
        raise accuracy_error(why, layers, options.mixed)
    graph = Graph.from_bytes(quantized, "the quantised model")
    coarse = coarse_features(graph, calibration)
    shared = {m.name for m in misses if comparison.outputs[m.output].worst_part is not None} - _stepped(graph)
    ways = [WAY_OUT_COLUMNS if m.name in shared else WAY_OUT for m in misses]
    return findings + coarse + loss_findings(misses, layers, ways, graph, shared)


def _stepped(graph: Graph) -> set[str]:
    """Return the outputs each of whose columns has a scale of its own."""
    left = finishes_in(graph.metadata.get(OUTPUTS_KEY, b""))
    return {graph.output_names[k] for k, step in left.items() if isinstance(step, OutputStep)}


def figure_findings(comparison: Comparison) -> list[Finding]:
    """Return outputs that never change and labels that the float model knows no better than a guess."""
    checks = (_constant, _one_answer, _unrelated, _found_little)
    return [f for output in comparison.outputs for check in checks if (f := check(output))]


def without_losses(findings: Sequence[Finding], names: Sequence[str]) -> list[Finding]:
    """Return findings without the losses that were told of these outputs on other samples."""
    return [f for f in findings if f.rule != LOSS_RULE or f.tensor not in names]


def require_strict(findings: Sequence[Finding]) -> None:
    """Raise for the first warning about the model, the data or the figures, the others attached.

    Raises:
        AccuracyError: there is one.
    """
    warnings = [f for f in findings if f.severity == "warning" and f.rule not in HARMLESS]
    if warnings:
        first = warnings[0]
        more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
        raise AccuracyError(
            f"--strict: {first.message}{more}",
            hint=first.hint or "build without --strict",
            findings=warnings[1:],
        )


def _blamed(float_model: bytes, quantized: bytes, calibration: Dataset) -> list[LayerError]:
    some = range(min(len(calibration), BLAMED_SAMPLES))
    found = layer_errors(float_model, quantized, calibration, indices=some)
    return sorted((e for e in found if math.isfinite(e.isolated_db)), key=lambda e: e.isolated_db)


def _constant(output: OutputFigures) -> Finding | None:
    if not output.constant:
        return None
    return Finding(
        "warning",
        "constant-output",
        f"the output {output.name!r} is the same for all {output.samples} samples: it says nothing of its input",
        "a softmax over one class is always 1 (one class wants a sigmoid); else look for dead layers, or samples in"
        " other units than those of the training",
        tensor=output.name,
    )


def _one_answer(output: OutputFigures) -> Finding | None:
    """Return the warning that the float model answers all samples alike, so that agreement says nothing."""
    if output.answers != 1 or output.constant or output.samples < FEWEST_ANSWERS:
        return None
    return Finding(
        "warning",
        "one-answer",
        f"the float model gives one and the same answer for all {output.samples} samples (output {output.name!r}):"
        " that int8 gives it too says nothing",
        "samples of every class; and is the pre-processing that of the training (--range, --mean, --color)?",
        tensor=output.name,
    )


def _unrelated(output: OutputFigures) -> Finding | None:
    """Return the warning that the float model knows no more of the labels than a guess does."""
    recall, classes = output.float_recall, output.classes_seen
    if recall is None or classes < 2 or output.constant:
        return None
    chance = 1 / classes
    if recall > chance + math.sqrt(chance * (1 - chance) / output.samples):
        return None
    return Finding(
        "warning",
        "labels",
        f"the float model has {100 * recall:.1f} % of each class right in {output.name!r}, no more than a guess among"
        f" {classes} classes: the labels seem to be in another order, or of another model",
        "name the classes in the model's output order with --labels FILE, or number them so",
        tensor=output.name,
    )


def _found_little(output: OutputFigures) -> Finding | None:
    """Return the warning that the float model finds hardly any labelled object, or calls what it finds otherwise."""
    found = (output.boxes or {}).get("float", {})
    if "map50_any_class" not in found:
        return None
    known, any_class = 100 * (found["map50"] or 0.0), 100 * (found["map50_any_class"] or 0.0)
    if any_class > max(2 * known, ANY_CLASS):
        return Finding(
            "warning",
            "labels",
            f"the float model finds the labelled objects and calls them otherwise (mAP50 {known:.1f} %, of any class"
            f" {any_class:.1f} %): its classes are in another order than those that are named",
            "name the classes in the model's output order: --labels FILE, one a line",
            tensor=output.name,
        )
    return Finding(
        "warning",
        "few-found",
        f"the float model finds hardly any of the labelled objects (mAP50 {known:.1f} %): what int8 loses of that says"
        " little",
        "is the pre-processing that of the training (--fit, --range, --color), and did it learn to find these?",
        tensor=output.name,
    )
