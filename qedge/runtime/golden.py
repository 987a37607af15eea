"""Running a bundle's golden vectors with whatever binding is here."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qedge.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.runtime.model import Model

    Array = npt.NDArray[Any]

TOLERANCE = 1
# The golden outputs are LiteRT's, whose kernels (XNNPACK) agree within 1 on every machine. Those of
# tflite-runtime round elsewhere, and so differently on each architecture: there the outputs as a whole count.
OTHER_KERNELS = ("tflite-runtime",)
LEAST_SQNR_DB = 20.0


class GoldenReport(NamedTuple):
    """What a comparison found.

    Args:
        rule: what passes: ``within 1``, or ``20 dB`` with a binding whose kernels are others.
        max_difference: largest difference of two values.
        differing_values: how many values are not the same.
        sqnr_db: power of the expected outputs over that of the differences, None where there are none.
        mismatches: the first five that are not allowed, in words.
    """

    bit_exact: bool
    passed: bool
    core: str
    samples: int
    rule: str
    max_difference: float
    differing_values: int
    sqnr_db: float | None
    mismatches: tuple[str, ...]


def run_golden(
    model: Model, pairs: Sequence[tuple[Sequence[Array], Sequence[Array]]] | None = None
) -> GoldenReport:
    """Run the model on (inputs, expected outputs); None takes the golden vectors of its bundle.

    Passes where every integer is within 1 of the expected one (floats: within 1e-4 of the largest), and a
    vector's largest value stays where it was. With a binding of ``OTHER_KERNELS`` it passes where the outputs
    of all samples together reach 20 dB and no vector's largest value moved that led by more than they differ.

    Raises:
        UsageError: the bundle has no golden vectors.
    """
    if pairs is None:
        pairs = model.bundle.golden()
        if not pairs:
            raise UsageError(
                f"{model.bundle.root}: has no golden vectors",
                hint="build it again with --data, or give samples",
            )
    binding = str(model.engine.describe()["binding"])
    others = binding.startswith(OTHER_KERNELS)
    differing, worst, signal, noise, mismatches = 0, 0.0, 0.0, 0.0, []
    for k, (inputs, expected) in enumerate(pairs):
        for i, (raw, wanted_raw) in enumerate(zip(model.engine.run(inputs), expected)):
            found, wanted = raw.astype(np.float64), wanted_raw.astype(np.float64)
            differing += int(np.count_nonzero(found != wanted))
            distance = float(np.abs(found - wanted).max(initial=0.0))
            worst = max(worst, distance)
            zero = model.outputs[i].zero_point or 0
            signal, noise = (
                signal + float(np.sum((wanted - zero) ** 2)),
                noise + float(np.sum((found - wanted) ** 2)),
            )
            whole = wanted_raw.dtype.kind in "iu"
            allowed = TOLERANCE if whole else 1e-4 * float(np.abs(wanted).max(initial=1.0))
            problem = _moved(found, wanted, distance if others else 0.0)
            if distance > allowed and not others:
                problem = f"differs by up to {distance:g}, allowed {allowed:g}"
            if problem:
                mismatches.append(f"sample {k}, output {i}: {problem}")
    sqnr = 10 * math.log10(signal / noise) if noise and signal else None
    if others and sqnr is not None and sqnr < LEAST_SQNR_DB:
        mismatches.insert(0, f"SQNR {sqnr:.1f} dB, expected at least {LEAST_SQNR_DB:g}")
    return GoldenReport(
        bit_exact=differing == 0,
        passed=not mismatches,
        core=f"{platform.machine()} {binding}",
        samples=len(pairs),
        rule=f"{LEAST_SQNR_DB:g} dB" if others else f"within {TOLERANCE}",
        max_difference=worst,
        differing_values=differing,
        sqnr_db=sqnr,
        mismatches=tuple(mismatches[:5]),
    )


def _moved(found: Array, wanted: Array, margin: float) -> str | None:
    """Return in words that a vector's largest value moved to one that was less by more than ``margin``.

    A vector holds one score a class; in maps and boxes the place of the largest value means nothing.
    """
    if wanted.ndim > 2 or wanted.size < 2:
        return None
    best = int(found.argmax())
    if found.flat[int(wanted.argmax())] == found.flat[best] or wanted.flat[best] >= wanted.max() - margin:
        return None
    return f"its largest value moved from {int(wanted.argmax())} to {best}"
