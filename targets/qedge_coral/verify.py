"""Compare a bundle's outputs with its golden vectors: on the CPU twin, and on an Edge TPU that is here."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qedge.bundle import read_bundle
from qedge.errors import ToolError
from qedge.findings import Finding
from qedge.runtime.engine import Engine
from qedge.runtime.golden import golden_pairs
from qedge.target import VerifyReport
from qedge.target.reports import Arrays, Options
from qedge_coral.runtime import cpu_twin, open_runtime

Pairs = Sequence[tuple[Sequence[Any], Sequence[Any]]]

SHOWN = 5


def verify_bundle(
    bundle: Path, samples: Sequence[Arrays] | None, options: Options, *, within: int
) -> VerifyReport:
    """Run the bundle and compare: with the golden vectors, or for other samples with the CPU twin.

    Args:
        within: largest difference that passes, in steps of an integer output; float outputs may differ by
            ``within`` hundredths of their largest value.

    Raises:
        ToolError: ``device`` was named and does not open.
        UsageError: no samples and no golden vectors.
    """
    with read_bundle(bundle) as opened:
        twin = cpu_twin(opened, None, {})
        try:
            if samples is None:
                pairs: Pairs = opened.golden()
                own = golden_pairs(opened, twin.describe())
                oracle = "golden vectors of the bundle"
            else:
                own = pairs = [(list(x), twin.run(list(x))) for x in samples]
                oracle = f"CPU twin, {twin.describe()['binding']}"
            results = [_compare("CPU twin", twin, own, within)]
            core = f"{platform.machine()} {twin.describe()['binding']} (CPU twin)"
            finding, device = None, options.get("device")
            try:
                engine = open_runtime(opened, strict=True, device=device)
            except ToolError as problem:
                if device:
                    raise
                message = f"checked on the CPU twin only: {problem.message}"
                finding = Finding("info", "not-on-edgetpu", message, problem.hint)
            else:
                try:
                    results.append(_compare("Edge TPU", engine, pairs, within))
                    core += f" and {engine.describe()['device']}"
                finally:
                    engine.close()
        finally:
            twin.close()
    mismatches = tuple(line for _, lines in results for line in lines)
    worst = max(difference for difference, _ in results)
    return VerifyReport(
        bit_exact=worst == 0,
        passed=not mismatches,
        oracle=oracle,
        core=core,
        samples=len(pairs),
        mismatches=mismatches[:SHOWN],
        metrics={"max_difference": worst, "edgetpu": len(results) > 1},
        findings=() if finding is None else (finding,),
    )


def _compare(what: str, engine: Engine, pairs: Pairs, within: int) -> tuple[float, list[str]]:
    """Return the largest difference, and one line for each output that is further off than allowed."""
    worst, lines = 0.0, []
    for k, (inputs, expected) in enumerate(pairs):
        for i, (found, wanted) in enumerate(zip(engine.run(inputs), expected)):
            one, other = found.astype(np.float64), wanted.astype(np.float64)
            difference = float(np.abs(one - other).max(initial=0.0))
            worst = max(worst, difference)
            whole = wanted.dtype.kind in "iu"
            allowed = within if whole else within * 0.01 * float(np.abs(other).max(initial=1.0))
            if difference > allowed:
                lines.append(
                    f"{what}, sample {k}, output {i}: differs by {difference:g}, allowed {allowed:g}"
                )
    return worst, lines
