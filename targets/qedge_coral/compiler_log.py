"""What ``edgetpu_compiler`` says, as data: sizes, one status an operator type, failures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from qedge.findings import Finding
from qedge_coral import statuses

_UNITS = {"B": 1, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3}
_SIZE = re.compile(r"^([\d.]+)\s*(B|KiB|MiB|GiB)$", re.IGNORECASE)
_FIELDS = {
    "Input size": "input_bytes",
    "Output size": "output_bytes",
    "On-chip memory used for caching model parameters": "cached_bytes",
    "On-chip memory remaining for caching model parameters": "remaining_bytes",
    "Off-chip memory used for streaming uncached model parameters": "streamed_bytes",
    "Number of Edge TPU subgraphs": "subgraphs",
    "Total number of operations": "operations",
    "Number of operations that will run on Edge TPU": "edgetpu_operations",
    "Number of operations that will run on CPU": "cpu_operations",
}
_FAILURES = (
    (statuses.NOT_QUANTIZED, "dtype"),
    (statuses.NOT_PARSED, "operator-version"),
    (statuses.LARGE_ACTIVATIONS, "large-activations"),
    (statuses.INTERNAL, "compiler-crash"),
    (statuses.DYNAMIC, "dynamic-shape"),
)


@dataclass(frozen=True)
class OperatorLine:
    """One line of the operator table."""

    op: str
    count: int
    status: str


@dataclass(frozen=True)
class CompilerLog:
    """The parsed output of one run.

    Args:
        figures: those of ``input_bytes``, ``output_bytes``, ``cached_bytes``, ``remaining_bytes``,
            ``streamed_bytes``, ``subgraphs``, ``operations``, ``edgetpu_operations`` and ``cpu_operations``
            that the log has; sizes are rounded by the compiler to two decimals of their unit.
        findings: failures of the whole model.
    """

    version: str | None
    succeeded: bool
    figures: dict[str, int]
    operators: tuple[OperatorLine, ...]
    findings: tuple[Finding, ...]

    def counts(self) -> dict[str, int]:
        """Return the number of operators with each status."""
        found: dict[str, int] = {}
        for line in self.operators:
            found[line.status] = found.get(line.status, 0) + line.count
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the log as JSON."""
        table = [{"op": o.op, "count": o.count, "status": o.status} for o in self.operators]
        return {"version": self.version, **self.figures, "operators": table}


def size_bytes(text: str) -> int | None:
    """Return a size as the compiler prints it in bytes, or None.

    >>> size_bytes("604.50KiB")
    619008
    """
    match = _SIZE.match(text.strip())
    return round(float(match[1]) * _UNITS[match[2].upper()]) if match else None


def parse(text: str) -> CompilerLog:
    """Return the log as data; unknown lines are passed over."""
    version = re.search(r"Edge TPU Compiler version (\S+)", text)
    figures: dict[str, int] = {}
    operators: list[OperatorLine] = []
    in_table = False
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in _FIELDS and value.strip():
            number = size_bytes(value)
            if number is None and value.strip().isdigit():
                number = int(value)
            if number is not None:
                figures[_FIELDS[key.strip()]] = number
        elif re.match(r"^Operator\s+Count\s+Status\s*$", line):
            in_table = True
        elif in_table and (row := re.match(r"^(\S+)\s+(\d+)\s+(\S.*?)\s*$", line)):
            operators.append(OperatorLine(row[1], int(row[2]), row[3]))
    if operators:
        mapped = sum(o.count for o in operators if o.status == statuses.MAPPED)
        figures.setdefault("edgetpu_operations", mapped)
        figures.setdefault("cpu_operations", sum(o.count for o in operators) - mapped)
    succeeded = "Model compiled successfully" in text
    return CompilerLog(
        version[1] if version else None, succeeded, figures, tuple(operators), tuple(_failures(text))
    )


def _failures(text: str) -> list[Finding]:
    found = []
    for phrase, rule in _FAILURES:
        if phrase.rstrip(".") in text:
            detail = re.search(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'", text)
            fact = f": {detail[1]} version {detail[2]}" if rule == "operator-version" and detail else ""
            message = f"the compiler refuses the model: {phrase.rstrip('.!')}{fact}"
            op = detail[1] if fact and detail else None
            found.append(Finding("error", rule, message, statuses.FAILURE_HINTS[phrase], op))
    return found
