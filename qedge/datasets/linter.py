"""Look at a representative dataset before time is spent on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qedge.datasets import behaviour, values
from qedge.datasets.choose import choose
from qedge.datasets.examine import examine
from qedge.datasets.protocol import Dataset, InputInfo
from qedge.findings import Finding

EXAMINED = 200


def lint(
    dataset: Dataset, inputs: Sequence[InputInfo], *, float_model: bytes | None = None, seed: int = 0
) -> list[Finding]:
    """Return what is wrong, or probably wrong, with a representative dataset; nothing for a good one.

    At most :data:`EXAMINED` samples are read. With the float model the linter also asks whether the model
    behaves as a trained one does on the inputs it knows: a forgotten normalisation and swapped colours show
    there, not in the values.

    Args:
        dataset: the samples that will calibrate.
        inputs: the model's inputs.
        float_model: a static float ``.tflite`` of batch 1, or None.
        seed: of the choice when there are more samples than are examined.
    """
    chosen = dataset.subset(choose(len(dataset), EXAMINED, dataset.labels, seed))
    seen = examine(chosen, inputs)
    findings = [
        *values.unreadable(seen),
        *values.few(seen, len(dataset)),
    ]
    if not seen.samples:
        return findings
    copies = _safely(values.duplicates, seen)
    findings += [
        *copies,
        *(_safely(values.one_class, dataset) if not copies else ()),
        *_safely(values.constant, seen),
        *_safely(values.quantized, seen),
        *_safely(values.planar, seen),
        *_safely(values.uncovered, seen),
    ]
    broken = {f.rule for f in findings}
    if float_model is not None and not broken & {"duplicate-samples", "constant-input", "planar-layout"}:
        findings += _safely(behaviour.check, seen, float_model)
    return findings


def _safely(check: Callable[..., Iterable[Finding]], *arguments: Any) -> list[Finding]:
    """Return what a check finds; where it fails itself, a note that says so: a linter never stops a build."""
    try:
        return list(check(*arguments))
    except Exception as error:
        name = f"{check.__module__.rsplit('.', 1)[-1]}.{check.__name__}"
        message = (
            f"the check {name} of the samples failed and was passed over: {type(error).__name__}: {error}"
        )
        return [
            Finding("info", "linter-failed", message, "this is a bug in qedge's linter, not in the samples")
        ]
