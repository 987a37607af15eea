"""Targets by name, from the entry-point group ``qedge.targets``; core names none of them."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from qedge.errors import ToolError, unknown
from qedge.target.protocol import Target

GROUP = "qedge.targets"


@lru_cache(maxsize=1)
def _found() -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group=GROUP)}


def names() -> list[str]:
    """Return the names of all installed targets, sorted."""
    return sorted(_found())


def resolve(name: str) -> Target:
    """Return the target called ``name``.

    Raises:
        UsageError: no such target; the hint has the nearest name.
        ToolError: the target is installed but cannot be imported.
    """
    if name not in _found():
        raise unknown("target", name, names())
    entry = _found()[name]
    try:
        target = entry.load()
    except ImportError as error:
        raise ToolError(
            f"target {name!r} cannot be loaded: {error}", hint=f'pip install "qedge[{name}]"'
        ) from error
    if not isinstance(target, Target):
        raise ToolError(f"target {name!r}: {entry.value} is no qedge.target.Target")
    return target


def resolve_all(wanted: list[str]) -> list[Target]:
    """Return the targets named, once each and in order; ``all`` stands for every installed one."""
    expanded = [n for w in wanted for n in (names() if w == "all" else [w])]
    return [resolve(n) for n in dict.fromkeys(expanded)]
