"""Running a bundle's golden vectors with whatever binding is here."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qedge.errors import UsageError
from qedge.runtime.c_library import MICRO
from qedge.runtime.litert import BUILTIN, XNNPACK

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.bundle.read import Bundle
    from qedge.runtime.model import Model

    Array = npt.NDArray[Any]

TOLERANCE = 1
ARM = ("aarch64", "arm")


class GoldenReport(NamedTuple):
    """What a comparison found.

    Args:
        kernels: which ran, and so which golden outputs were compared: ``xnnpack``, ``builtin`` or ``micro``.
        max_difference: largest difference of two values.
        differing_values: how many values are not the same.
        sqnr_db: power of the expected outputs over that of the differences, None where there are none.
        mismatches: the first five that are not allowed, in words.
    """

    bit_exact: bool
    passed: bool
    core: str
    samples: int
    kernels: str
    max_difference: float
    differing_values: int
    sqnr_db: float | None
    mismatches: tuple[str, ...]


def run_golden(
    model: Model, pairs: Sequence[tuple[Sequence[Array], Sequence[Array]]] | None = None
) -> GoldenReport:
    """Run the model on (inputs, expected outputs); None takes the golden vectors of its bundle.

    Passes where every integer is within 1 of the expected one (floats: within 1e-4 of the largest), and a
    vector's largest value stays where it was. A bundle has two sets of golden outputs, as TFLite's built-in
    kernels, which tflite-runtime runs, round unlike XNNPACK's: the binding's own set is taken. A C library
    has a set of its own, and passes only where every byte is the same.

    Raises:
        UsageError: the bundle has no golden vectors for these kernels.
    """
    described = model.engine.describe()
    kernels = str(described.get("kernels", XNNPACK))
    pairs = golden_pairs(model.bundle, described) if pairs is None else pairs
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
            allowed = 0 if kernels == MICRO else allowed
            problem = _moved(found, wanted)
            if distance > allowed:
                problem = f"differs by up to {distance:g}, allowed {allowed:g}"
            if problem:
                mismatches.append(f"sample {k}, output {i}: {problem}")
    if mismatches and kernels == BUILTIN and not platform.machine().startswith(ARM):
        mismatches.append(f"its golden outputs are those of ARM: on {platform.machine()} it rounds otherwise")
    return GoldenReport(
        bit_exact=differing == 0,
        passed=not mismatches,
        core=f"{platform.machine()} {described['binding']}",
        samples=len(pairs),
        kernels=kernels,
        max_difference=worst,
        differing_values=differing,
        sqnr_db=10 * math.log10(signal / noise) if noise and signal else None,
        mismatches=tuple(mismatches[:5]),
    )


def golden_pairs(
    bundle: Bundle, described: Mapping[str, Any]
) -> Sequence[tuple[Sequence[Array], Sequence[Array]]]:
    """Return (inputs, outputs) of the golden samples for an engine that describes itself so.

    Raises:
        UsageError: the bundle has none for its kernels.
    """
    kernels = str(described.get("kernels", XNNPACK))
    pairs = bundle.golden(kernels if kernels in (BUILTIN, MICRO) else "output")
    if pairs:
        return pairs
    if bundle.golden():
        raise UsageError(
            f"{bundle.root}: has no golden vectors for {described['binding']}",
            hint="build it again with this version of qedge, or verify with ai-edge-litert",
        )
    raise UsageError(
        f"{bundle.root}: has no golden vectors", hint="build it again with --data, or give samples"
    )


def _moved(found: Array, wanted: Array) -> str | None:
    """Return in words that a vector's largest value moved to one that was less.

    A vector holds one score a class; in maps and boxes the place of the largest value means nothing.
    """
    if wanted.ndim > 2 or wanted.size < 2:
        return None
    best = int(found.argmax())
    if found.flat[int(wanted.argmax())] == found.flat[best] or wanted.flat[best] == wanted.max():
        return None
    return f"its largest value moved from {int(wanted.argmax())} to {best}"
