"""Whose code a plug-in is: how to install it again, and errors that name it instead of qedge."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from qedge.errors import PluginError, QedgeError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint, EntryPoints

OURS = "qedge"


class Origin(NamedTuple):
    """The distribution that brought a plug-in.

    Args:
        distribution: its name, ``acme-qedge``; empty where no metadata says it.
        version: of the distribution.
        extra: the extra that installs what the plug-in needs, or empty.
    """

    distribution: str
    version: str = ""
    extra: str = ""

    @property
    def requirement(self) -> str:
        """What ``pip install`` takes: ``acme-qedge``, or ``qedge[extra]``."""
        return f"{self.distribution}[{self.extra}]" if self.extra else self.distribution

    def install_hint(self) -> str:
        """Return the command that installs what the plug-in needs."""
        if not self.distribution:
            return "install the package that brought it again"
        again = "" if self.extra else "--force-reinstall "
        return f'pip install {again}"{self.requirement}"'

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip() or "a package without a name"


def registered(group: str) -> dict[str, EntryPoint]:
    """Return the entry point of every name in a group; where two packages claim one, qedge's own comes first."""
    return {e.name: e for e in sorted(_entries(group), key=rank, reverse=True)}


def _entries(group: str) -> EntryPoints:
    found: EntryPoints = _installed(tuple(sys.path)).select(group=group)
    return found


@cache
def _installed(path: tuple[str, ...]) -> Any:
    """Return every entry point found on ``path``, the interpreter's own: reading them all takes tenths of a second."""
    from importlib.metadata import entry_points

    return entry_points()


def rank(entry: EntryPoint) -> tuple[bool, str]:
    """Return what entry points are sorted by: qedge's own first, then by their distribution's name."""
    owner = entry.dist.name if entry.dist is not None else ""
    return owner != OURS, owner


def origin_of(group: str, name: str) -> Origin:
    """Return who registered ``name`` in an entry-point group; qedge's own distribution before others."""
    owners = [e.dist for e in _entries(group) if e.name == name and e.dist is not None]
    if not owners:
        return Origin("")
    owner = min(owners, key=lambda d: (d.name != OURS, d.name))
    return Origin(owner.name, owner.version, name if name in _extras(owner) else "")


@cache
def _extras(owner: Distribution) -> tuple[str, ...]:
    """Return the extras of a distribution; reading what it states takes milliseconds."""
    return tuple(owner.metadata.get_all("Provides-Extra") or [])


@contextmanager
def blaming(kind: str, name: str, origin: Origin, act: str) -> Iterator[None]:
    """Turn what a plug-in did not mean to raise into an error that names it; qedge's own errors pass.

    Args:
        kind: ``target``, ``runtime``.
        act: what it was asked to do, for the message: ``check``.

    Raises:
        PluginError: in place of any other exception.
    """
    try:
        yield
    except QedgeError:
        raise
    except (Exception, SystemExit) as problem:
        said = f"{type(problem).__name__}: {problem}"
        raise PluginError(f"{kind} {name!r} failed in {act}: {said}", hint=bug_hint(origin)) from problem


def bug_hint(origin: Origin) -> str:
    """Return what to do about a fault in a plug-in's own code."""
    if origin.distribution == OURS:
        return "this is a bug in qedge; run again with --debug and report the traceback"
    return f"this is a fault of {origin}, not of qedge; run again with --debug and tell its authors"
