"""Where findings stop a build: each stage's errors become one exception, all of them attached."""

from __future__ import annotations

from collections.abc import Sequence

from qedge.errors import CapacityError, ModelError, QedgeError, UnsupportedError
from qedge.findings import Finding, errors
from qedge.target import CheckReport


def raise_for(target: str, report: CheckReport) -> None:
    """Raise what stops a build for a target, all findings attached.

    Raises:
        UnsupportedError, CapacityError, ModelError: by the rule of the first error.
    """
    stopping = errors(report.findings)
    if not stopping:
        return
    first = stopping[0]
    kinds: dict[str, type[QedgeError]] = {"capacity": CapacityError, "model": ModelError}
    kind = kinds.get(first.rule, UnsupportedError)
    more = f" (and {len(stopping) - 1} more)" if len(stopping) > 1 else ""
    place = f"{first.op}: " if first.op else ""
    raise kind(f"target {target}: {place}{first.message}{more}", hint=first.hint, findings=stopping[1:])


def stop(findings: Sequence[Finding], what: str) -> None:
    """Raise ModelError for the first error among ``findings``, the others attached; nothing without one."""
    stopping = errors(findings)
    if stopping:
        first = stopping[0]
        raise ModelError(f"{what}: {first.message}", hint=first.hint, findings=stopping[1:])
