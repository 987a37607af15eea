"""What a check reports: a flat list of findings, never only the first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

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
