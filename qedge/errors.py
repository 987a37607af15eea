"""Everything that qedge raises on purpose, one exit code a class.

::

    QedgeError            1   never raised itself; any exception that is none of these ends with 1 too: a bug in qedge
    ├── PluginError       1   a bug in a plug-in, which the message names
    ├── UsageError        2   a wrong argument, option or configuration file
    ├── ModelError        3   a model that cannot be read, or is not what it must be
    ├── DataError         3   a dataset, sample or label that cannot be used
    ├── UnsupportedError  4   operators that a target cannot run, all of them named
    ├── CapacityError     5   a model that does not fit the RAM or flash it was given
    ├── AccuracyError     6   an accuracy budget that int8 misses
    ├── VerificationError 7   a device's output that differs from its oracle
    ├── ToolError         8   a tool, library or device that is missing or fails
    └── IntegrityError    9   a bundle that is damaged, altered or from another version

A message says what was found and what was expected; ``hint`` is what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qedge.findings import Finding


class QedgeError(Exception):
    """Base of all errors that a user can act on.

    Args:
        message: what was found and what was expected; no full stop when it is one sentence.
        hint: what to do; printed on a line of its own after ``hint:``.
        findings: everything that a check found, where the error sums up a list.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, findings: Iterable[Finding] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.findings: tuple[Finding, ...] = tuple(findings)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.findings)


def _rebuild(
    kind: type[QedgeError], message: str, hint: str | None, findings: tuple[Finding, ...]
) -> QedgeError:
    return kind(message, hint=hint, findings=findings)


class PluginError(QedgeError):
    """A fault in the code of a plug-in (a target, a runtime half), which the message names."""


class UsageError(QedgeError):
    """A wrong argument, option or configuration file."""

    exit_code = 2


class ModelError(QedgeError):
    """A model that cannot be read, or is not what it must be."""

    exit_code = 3


class DataError(QedgeError):
    """A dataset, sample or label that cannot be used."""

    exit_code = 3


class UnsupportedError(QedgeError):
    """Operators that a target cannot run; ``findings`` names all of them."""

    exit_code = 4


class CapacityError(QedgeError):
    """A model that does not fit the RAM or flash it was given."""

    exit_code = 5


class AccuracyError(QedgeError):
    """An accuracy budget that the quantised model misses."""

    exit_code = 6


class VerificationError(QedgeError):
    """A device's output that differs from its oracle."""

    exit_code = 7


class ToolError(QedgeError):
    """A tool, library or device that is missing or fails."""

    exit_code = 8


class IntegrityError(QedgeError):
    """A bundle that is damaged, altered or from another version."""

    exit_code = 9


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name most like ``word``, or None when none is close.

    >>> nearest("corl", ["rpi", "coral", "mcu"])
    'coral'
    """
    import difflib

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown(kind: str, word: str, known: Sequence[str]) -> UsageError:
    """Return the error for a name that does not exist, with the nearest one that does.

    >>> unknown("target", "corl", ["rpi", "coral"]).hint
    "did you mean 'coral'? known: rpi, coral"
    """
    close = nearest(word, known)
    lead = f"did you mean {close!r}? " if close else ""
    return UsageError(f"unknown {kind} {word!r}", hint=f"{lead}known: {', '.join(known) or 'none'}")
