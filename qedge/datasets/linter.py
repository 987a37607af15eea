"""Look at a representative dataset before time is spent on it."""

from __future__ import annotations

from collections.abc import Sequence

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
    copies = list(values.duplicates(seen))
    findings += [
        *copies,
        *(values.one_class(dataset) if not copies else ()),
        *values.constant(seen),
        *values.quantized(seen),
        *values.planar(seen),
        *values.uncovered(seen),
    ]
    broken = {f.rule for f in findings}
    if float_model is not None and not broken & {"duplicate-samples", "constant-input", "planar-layout"}:
        findings += behaviour.check(seen, float_model)
    return findings
