"""Targets by name, from the entry-point group ``qedge.targets``; core names none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import EntryPoint
from typing import Any

from qedge.bundle.read import Bundle
from qedge.errors import IntegrityError, QedgeError, ToolError, UsageError, unknown
from qedge.fields import Field
from qedge.runtime.plugins import Origin, bug_hint, origin_of, rank, registered
from qedge.target.answers import faults_of_info
from qedge.target.guard import Guarded
from qedge.target.info import TargetInfo
from qedge.target.protocol import Target

GROUP = "qedge.targets"


@lru_cache(maxsize=1)
def _found() -> dict[str, EntryPoint]:
    return registered(GROUP)


def names() -> list[str]:
    """Return the names of all installed targets, sorted."""
    return sorted(_found())


@cache
def resolve(name: str) -> Target:
    """Return the target called ``name``; a fault in it will name it and who brought it.

    Raises:
        UsageError: no such target; the hint has the nearest name.
        ToolError: the target is installed but cannot be imported, or is no target.
    """
    if name not in _found():
        raise unknown("target", name, names())
    entry, origin = _found()[name], origin_of(GROUP, name)
    try:
        target = entry.load()
    except ImportError as problem:
        raise ToolError(
            f"target {name!r} of {origin} cannot be loaded: {problem}", hint=origin.install_hint()
        ) from problem
    except (Exception, SystemExit) as problem:
        said = f"{type(problem).__name__}: {problem}"
        raise ToolError(
            f"target {name!r} of {origin} cannot be loaded: {said}", hint=bug_hint(origin)
        ) from problem
    return Guarded(_checked(name, entry.value, target, origin), origin)


def _checked(name: str, value: str, target: object, origin: Origin) -> Target:
    if not isinstance(target, Target):
        raise ToolError(f"target {name!r}: {value} is no qedge.target.Target", hint=bug_hint(origin))
    info = getattr(target, "info", None)
    if not isinstance(info, TargetInfo) or info.name != name:
        found = repr(info.name) if isinstance(info, TargetInfo) else type(info).__name__
        raise ToolError(
            f"target {name!r}: its info is {found}, expected a TargetInfo of that name", hint=bug_hint(origin)
        )
    faults = faults_of_info(info)
    if faults:
        raise ToolError(f"target {name!r}: its info has {faults[0]}", hint=bug_hint(origin))
    return target


def resolve_all(wanted: Sequence[str]) -> list[tuple[Target, Mapping[str, Any]]]:
    """Return the targets named, once each and in order, with the options that a name stands for.

    ``all`` is every installed one; ``pico2`` may be ``mcu`` with its board, where a target says so.

    Raises:
        UsageError: no such target, or two names for one target that stand for different things.
    """
    found: dict[str, tuple[str, Target, Mapping[str, Any]]] = {}
    for word in (n for w in wanted for n in (names() if w == "all" else [w])):
        target, options = _named(word)
        name = target.info.name
        if name in found and found[name][2] != options:
            raise UsageError(
                f"{found[name][0]!r} and {word!r} are both the target {name!r}, with other options",
                hint="build for one after the other, each with its own --out",
            )
        found[name] = word, target, options
    return [(target, options) for _, target, options in found.values()]


def _named(word: str) -> tuple[Target, Mapping[str, Any]]:
    """Return the target that a word names, by its name or one of its aliases."""
    known = names()
    if word in known:
        return resolve(word), {}
    aliases: dict[str, tuple[Target, Mapping[str, Any]]] = {}
    for name in known:
        try:
            target = resolve(name)
        except QedgeError:
            continue  # a target that cannot be loaded has no aliases; naming it says why
        aliases.update({alias: (target, options) for alias, options in target.info.aliases.items()})
    if word in aliases:
        return aliases[word]
    raise unknown("target", word, [*known, *sorted(aliases)])


def default_name() -> str:
    """Return the target that is built for where nobody names one: the first that says so, qedge's own before others.

    Raises:
        UsageError: no installed target is one.
    """
    for name, _ in sorted(_found().items(), key=lambda item: (rank(item[1]), item[0])):
        try:
            if resolve(name).info.is_default:
                return name
        except QedgeError:
            continue  # a target that cannot be loaded is no default; naming it says why
    raise UsageError(
        "no target was named", hint=f"--target, one of: {', '.join(names()) or 'none installed'}"
    )


def target_of(bundle: Bundle) -> Target:
    """Return the target of a bundle, once that has checked what it wrote into the manifest.

    Raises:
        IntegrityError: ``$.target_data`` is not what the target writes.
        UsageError, ToolError: the target is not installed, or cannot be loaded.
    """
    target = resolve(bundle.manifest.target)
    data = Field(dict(bundle.manifest.target_data), "$.target_data", IntegrityError)
    try:
        target.validate_target_data(data)
    except IntegrityError as problem:
        hint = problem.hint or "build the bundle again"
        raise IntegrityError(f"{bundle.root}: {problem.message}", hint=hint) from None
    return target
