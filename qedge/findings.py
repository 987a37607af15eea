"""What a check reports: a flat list of findings, never only the first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

MOST_NAMED = 10  # further places of one cause that are named

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One fact that a check found.

    Args:
        severity: ``error`` stops a build, ``warning`` is shown, ``info`` is for reports.
        rule: stable identifier in kebab case, for instance ``dynamic-shape``.
        message: what was found and what was expected.
        hint: what to do about it, or None.
        op: operator it is about, as ``"#3 CONV_2D"``, or None.
        tensor: name of the tensor it is about, or None.
    """

    severity: Severity
    rule: str
    message: str
    hint: str | None = None
    op: str | None = None
    tensor: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the finding as a JSON object with all six keys."""
        return asdict(self)


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return those findings that stop a build."""
    return [f for f in findings if f.severity == "error"]


def condensed(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with one for each cause: what says the same of several places is said once, and of how many.

    Two say the same when they differ in names and numbers only.

    >>> tensor = [Finding("error", "float", f"tensor 't{k}' is float32") for k in range(3)]
    >>> [f.message for f in condensed(tensor)]
    ["tensor 't0' is float32 (and 2 more of the kind: 't1', 't2')"]
    """
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for f in findings:
        groups.setdefault(
            (f.severity, f.rule, _NAMES.sub("", f.message), _NAMES.sub("", f.hint or "")), []
        ).append(f)
    result = []
    for group in groups.values():
        first, others = group[0], group[1:]
        if others:
            places = [p for p in (_place(f) for f in others[:MOST_NAMED]) if p]
            some = f": {', '.join(places)}{' ...' if len(others) > MOST_NAMED else ''}" if places else ""
            first = replace(first, message=f"{first.message} (and {len(others)} more of the kind{some})")
        result.append(first)
    return result


_NAMES = re.compile(r"'[^']*'|#?\d+(\.\d+)?")


def _place(finding: Finding) -> str | None:
    names = re.findall(r"'[^']*'", finding.message)
    return finding.op or (names[0] if names else finding.tensor)
