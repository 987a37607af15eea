"""Everything that is printed; it and `_progress` alone import rich, and only for a terminal.

Data goes to stdout, the rest to stderr. Without a terminal there are plain lines and no colour.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from qedge.errors import QedgeError
from qedge.findings import Finding
from qedge.target.protocol import Progress

SCHEMA_VERSION = 1
ALWAYS_TOLD = ("detector-outputs",)
"""Rules whose infos a person must act on: what the bundle does not decode."""
_MARK = {"error": "error", "warning": "warning", "info": "note"}
_NUMBER = re.compile(r"[+-]?[\d,.]+( ?(%|dB|B|kB|MB|ms|us|s))?|-")
_STYLE = {"error": "bold red", "warning": "yellow", "info": "cyan"}


class Ui:
    """How one command talks: to a person, or as JSON to a program.

    The command and what reports its failure have one each; both share the one stdout.
    """

    _documented: ClassVar[bool] = False

    def __init__(
        self, *, as_json: bool = False, verbose: bool = False, quiet: bool = False, no_color: bool = False
    ) -> None:
        self.as_json, self.verbose, self.quiet = as_json, verbose, quiet
        Ui._documented = False
        self.color = not (no_color or os.environ.get("NO_COLOR"))

    def line(self, text: str = "") -> None:
        """Print a line of the result; nothing in JSON mode."""
        if not self.as_json:
            print(text)

    def note(self, text: str) -> None:
        """Print a line about what goes on, to stderr; nothing when quiet."""
        if not (self.as_json or self.quiet):
            print(text, file=sys.stderr)

    def json(self, command: str, document: dict[str, Any]) -> None:
        """Print the command's JSON document, in JSON mode only."""
        if self.as_json:
            head = {"schema_version": SCHEMA_VERSION, "command": command}
            print(json.dumps(head | document, indent=2, default=_plain, allow_nan=False))
            Ui._documented = True

    def error_json(
        self, kind: str, message: str, hint: str | None, code: int, findings: list[dict[str, Any]]
    ) -> None:
        """Print an error as JSON, in JSON mode only, and only where no document says already what was found."""
        if self._documented:
            return
        error = {"kind": kind, "message": message, "hint": hint, "exit_code": code, "findings": findings}
        self.json("error", {"error": error})

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table: boxed in a terminal, aligned columns elsewhere; numbers to the right."""
        if self.as_json:
            return
        cells = [["" if c is None else str(c) for c in row] for row in rows]
        right = [
            all(_numeric(row[i]) for row in cells) and any(row[i] for row in cells)
            for i in range(len(columns))
        ]
        if sys.stdout.isatty():
            self._rich_table(title, columns, cells, right)
            return
        widths = [
            max(len(columns[i]), *(len(r[i]) for r in cells)) if cells else 0 for i in range(len(columns))
        ]
        if title:
            print(title)
        for row in [list(columns), *cells]:
            parts = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)]
            print(("  " + "  ".join(parts)).rstrip())

    def _rich_table(
        self, title: str, columns: Sequence[str], cells: list[list[str]], right: list[bool]
    ) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
        for column, is_right in zip(columns, right):
            table.add_column(column, justify="right" if is_right else "left", overflow="fold")
        for row in cells:
            table.add_row(*(Text(c) for c in row))
        Console(no_color=not self.color).print(table)

    def figures(self, figures: Sequence[tuple[str, str]]) -> None:
        """Print pairs of a name and a value, one a line below each other."""
        width = max((len(name) for name, _ in figures), default=0)
        for name, value in figures:
            self.line(f"{name:<{width}}  {value}")

    def findings(self, findings: Iterable[Finding]) -> None:
        """Print findings, each with its hint on a line of its own, to stderr; most infos only when verbose."""
        if self.as_json:
            return
        for finding in findings:
            if finding.severity == "info" and not self.verbose and finding.rule not in ALWAYS_TOLD:
                continue
            if self.quiet and finding.severity != "error":
                continue
            place = " ".join(p for p in (finding.op, finding.tensor and f"({finding.tensor})") if p)
            text = f"{place}: {finding.message}" if place else finding.message
            self._styled(_MARK[finding.severity], _STYLE[finding.severity], f"{text} [{finding.rule}]")
            if finding.hint:
                print(f"hint: {finding.hint}", file=sys.stderr)

    def _styled(self, mark: str, style: str, text: str) -> None:
        if self.color and sys.stderr.isatty():
            from rich.console import Console
            from rich.text import Text

            Console(stderr=True).print(Text(mark, style=style) + Text(f": {text}"), soft_wrap=True)
        else:
            print(f"{mark}: {text}", file=sys.stderr)

    @contextmanager
    def progress(self, plan: Mapping[str, float] | None = None) -> Iterator[Progress]:
        """Give a ``progress(stage, fraction)`` function: a bar in a terminal, lines elsewhere, nothing when quiet.

        Args:
            plan: the stages in order with their shares, as `qedge.cli._progress.BUILD`; without it the bar only moves.
        """
        from qedge.cli import _progress

        if self.as_json or self.quiet:
            yield _silent
            return
        shown = _progress.bar(plan or {}, self.color) if sys.stderr.isatty() else _progress.lines()
        with shown as report:
            yield report


def _silent(stage: str, fraction: float) -> None:
    pass


def _numeric(text: str) -> bool:
    return not text or _NUMBER.fullmatch(text) is not None


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "__fspath__"):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")


def error_document(error: QedgeError) -> dict[str, Any]:
    """Return an error as JSON, all its findings in it."""
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
        "findings": [f.to_json() for f in error.findings],
    }


def print_error(message: str, hint: str | None) -> None:
    """Print one cause and one hint to stderr."""
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)


def size(count: int | float | None) -> str:
    """Return bytes for a person: ``52.7 kB`` (1 kB = 1000 bytes).

    >>> size(53936)
    '53.9 kB'
    """
    if count is None:
        return "-"
    if count < 1000:
        return f"{int(count)} B"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.2f} MB"
