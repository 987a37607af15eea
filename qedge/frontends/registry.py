"""Front ends by name, from the entry-point group ``qedge.frontends``; a third party's registers as ours do."""

from __future__ import annotations

import importlib.util
from functools import cache, lru_cache
from importlib.metadata import EntryPoint
from pathlib import Path

from qedge.errors import ModelError, QedgeError, ToolError, UsageError, unknown
from qedge.frontends.candidate import Candidate, look
from qedge.frontends.foreign import kind_of
from qedge.frontends.protocol import FrontEnd, Match, Need
from qedge.runtime.plugins import bug_hint, origin_of, registered

GROUP = "qedge.frontends"


@lru_cache(maxsize=1)
def _found() -> dict[str, EntryPoint]:
    return registered(GROUP)


def names() -> list[str]:
    """Return the names of all installed front ends, sorted."""
    return sorted(_found())


@cache
def resolve(name: str) -> FrontEnd:
    """Return the front end called ``name``.

    Raises:
        UsageError: no such front end; the hint has the nearest name.
        ToolError: it is installed but cannot be imported, or is none.
    """
    if name not in _found():
        raise unknown("front end", name, names())
    entry, origin = _found()[name], origin_of(GROUP, name)
    try:
        front_end = entry.load()
    except (Exception, SystemExit) as problem:  # a third party's module may raise anything
        said = f"{type(problem).__name__}: {problem}"
        raise ToolError(
            f"front end {name!r} of {origin} cannot be loaded: {said}", hint=bug_hint(origin)
        ) from problem
    if not isinstance(front_end, FrontEnd) or getattr(front_end, "info", None) is None:
        raise ToolError(
            f"front end {name!r} of {origin}: {entry.value} is no qedge.frontends.protocol.FrontEnd",
            hint=bug_hint(origin),
        )
    return front_end


def installed() -> list[FrontEnd]:
    """Return all front ends that can be loaded, by name; ``qedge doctor`` names the others."""
    found = []
    for name in names():
        try:
            found.append(resolve(name))
        except QedgeError:
            continue
    return found


def missing(front_end: FrontEnd) -> list[Need]:
    """Return the packages that a front end cannot do without and that are not installed."""
    return [need for need in front_end.info.needs if not need.optional and not is_installed(need.module)]


def is_installed(module: str) -> bool:
    """Return whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def recognise(candidate: Candidate) -> FrontEnd:
    """Return the front end that is surest of a model; of several, the first by name.

    Raises:
        ModelError: nothing is there, or nothing that any front end knows.
    """
    known = installed()
    matches = [(match_of(front_end, candidate), front_end) for front_end in known]
    best = max((match for match, _ in matches), default=Match.NO)
    foreign = kind_of(candidate) if best < Match.CONTENT else None
    if foreign is not None:
        raise ModelError(f"{candidate.given} is {foreign.what}, which qedge does not read", hint=foreign.hint)
    if best > Match.NO:
        return next(front_end for match, front_end in matches if match == best)
    if candidate.kind == "nothing":
        raise ModelError(f"there is no model at {candidate.given}", hint="check the path of the model")
    raise ModelError(
        f"{candidate.given} is no model that can be read: found {candidate.describe()}", hint=expected(known)
    )


def check_named(given: str | Path) -> None:
    """Refuse what is neither there nor named in a way that a front end knows.

    Raises:
        UsageError: there is no such model.
    """
    candidate = look(given)
    if candidate.kind == "nothing" and all(match_of(f, candidate) == Match.NO for f in installed()):
        raise UsageError(f"no model at {given}", hint=f"check the path; {expected()}")


def match_of(front_end: FrontEnd, candidate: Candidate) -> Match:
    """Return what a front end says to a model; one that fails over it does not know it."""
    try:
        return front_end.detect(candidate)
    except Exception:
        return Match.NO


def expected(known: list[FrontEnd] | None = None) -> str:
    """Return what can be read, as a hint: one clause a front end."""
    return "expected " + ", ".join(f.info.takes for f in (installed() if known is None else known))
