"""Where findings stop a build: each stage's errors become one exception, all of them attached."""

from __future__ import annotations

from collections.abc import Sequence

from qedge.errors import CapacityError, ModelError, QedgeError, ToolError, UnsupportedError
from qedge.findings import Finding, condensed, errors
from qedge.target import CheckReport

CAUSES = ("float-operator",)


def raise_for(target: str, report: CheckReport) -> None:
    """Raise what stops a build for a target, all findings attached.

    Raises:
        UnsupportedError, CapacityError, ModelError, ToolError: by the rule of the first error.
    """
    stopping = condensed(errors(report.findings))
    if not stopping:
        return
    first = stopping[0]
    kinds: dict[str, type[QedgeError]] = {
        "capacity": CapacityError,
        "model": ModelError,
        "tool": ToolError,
    }
    kind = kinds.get(first.rule, UnsupportedError)
    more = f" (and {len(stopping) - 1} more)" if len(stopping) > 1 else ""
    place = f"{first.op}: " if first.op else ""
    raise kind(f"target {target}: {place}{first.message}{more}", hint=first.hint, findings=stopping[1:])


def _order(finding: Finding) -> tuple[bool, bool]:
    """Sort causes first, and among them what is not a conversion to or from float of another one's account."""
    return finding.rule not in CAUSES, (finding.op or "").endswith("QUANTIZE")


def stop(findings: Sequence[Finding], what: str) -> None:
    """Raise ModelError for the first error among ``findings``, the others attached; nothing without one."""
    # An operator that computes in float is why its tensors are float: the cause goes first, once.
    stopping = condensed(sorted(errors(findings), key=_order))
    if stopping:
        first = stopping[0]
        others = [f for f in stopping[1:] if first.rule != "float-operator" or f.rule != "float-tensor"]
        raise ModelError(f"{what}: {first.message}", hint=first.hint, findings=others)
