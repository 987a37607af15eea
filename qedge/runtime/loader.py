"""``load``: the runtime for a bundle, chosen by the manifest's target among the installed ones."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from qedge._version import __version__
from qedge.bundle.read import Bundle, read_bundle
from qedge.errors import PluginError, QedgeError, ToolError, UsageError
from qedge.runtime.model import Model

if TYPE_CHECKING:
    from qedge.runtime.engine import Engine

    OpenRuntime = Callable[..., Engine]

GROUP = "qedge.runtimes"


def load(
    bundle: str | os.PathLike[str] | Bundle,
    *,
    strict: bool = False,
    threads: int | None = None,
    device: str | None = None,
    trusted: str | os.PathLike[str] | None = None,
    least_serial: int | None = None,
    **options: Any,
) -> Model:
    """Return the model of ``bundle``, ready to run.

    Args:
        bundle: a folder or ``.zip`` that ``qedge build`` wrote.
        strict: raise where an accelerator is missing, rather than running on the CPU with a warning.
        threads: of one inference; None chooses by the cores that exist, -1 likewise but leaves one core free.
        device: which accelerator, where there are several.
        trusted: file of public keys (``.pub``, ``allowed_signers``), or a public key: refuse a bundle that none
            of them signed. Needs ``ssh-keygen``.
        least_serial: with ``trusted``: refuse a release below this number.
        options: of the target's runtime; everywhere ``streams`` (calls that may run at the same time)
            and ``binding``.

    Raises:
        DataError: no bundle.
        IntegrityError: a bundle that is damaged, altered or of another version, or not signed as ``trusted`` asks.
            All its files are looked at but for models and libraries that this machine does not run
            (``read_bundle`` looks at those too).
        UsageError: a bundle for a target that does not run in Python here, or an unknown option.
        ToolError: no TFLite binding, or with ``strict`` no accelerator.
    """
    collecting = gc.isenabled()
    gc.disable()  # what comes is modules and records, and stays
    try:
        opened = bundle if isinstance(bundle, Bundle) else read_bundle(bundle, verify=False)
        return _opened(
            opened, trusted, least_serial, strict=strict, threads=threads, device=device, **options
        )
    finally:
        if collecting:
            gc.enable()


def _opened(
    opened: Bundle, trusted: str | os.PathLike[str] | None, least_serial: int | None, **options: Any
) -> Model:
    signature = None
    if trusted is not None:
        from qedge.trust.signature import check_signature

        signature = check_signature(opened, trusted, least_serial=least_serial)
    elif least_serial is not None:
        from qedge.trust.signature import check_asked

        check_asked(trusted, least_serial)
    target = opened.manifest.target
    home = _home(target)
    if home is None:
        others = ", ".join(sorted(runtimes())) or "none"
        raise UsageError(
            f"{opened.root}: a bundle for {target!r}, which qedge.load cannot run; runtimes here: {others}",
            hint="qedge verify and qedge run run it emulated; on the device use the files in the bundle",
        )
    open_runtime = _import(target, home)
    try:
        engine = open_runtime(opened, **options)
    except QedgeError:
        raise
    except Exception as problem:
        raise _blame(target, "failed to open the bundle", problem, PluginError) from problem
    try:
        opened.check()
    except QedgeError:
        engine.close()
        raise
    model = Model(opened, engine)
    if signature is not None:
        model._provenance = {**model.provenance, **signature.to_json()}
    return model


def runtimes() -> dict[str, str]:
    """Return ``module:function`` of every installed runtime half, by target: entry points ``qedge.runtimes``.

    Reads the entry points itself: ``importlib.metadata`` takes as long to import as a model to load.
    """
    found: dict[str, str] = {}
    for folder, names in _distributions():
        for name in names:
            for target, home in _entry_points(os.path.join(folder, name, "entry_points.txt")):
                found.setdefault(target, home)
    return found


def _home(target: str) -> str | None:
    """Return where the runtime of ``target`` lives, looking first into qedge's own distribution.

    To open a file that may not be there is quicker than to list a folder of packages.
    """
    own = os.path.join(f"qedge-{__version__}.dist-info", "entry_points.txt")
    for folder in sys.path:
        for known, home in _entry_points(os.path.join(folder, own)):
            if known == target:
                return home
    for folder, names in _distributions():
        for name in names:
            if name.startswith("qedge-"):
                for known, home in _entry_points(os.path.join(folder, name, "entry_points.txt")):
                    if known == target:
                        return home
    return runtimes().get(target)


def _distributions() -> Iterator[tuple[str, list[str]]]:
    """Yield every folder of the import path with the names of its ``.dist-info`` and ``.egg-info``."""
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        yield folder, sorted(n for n in names if n.endswith((".dist-info", ".egg-info")))


def _entry_points(path: str) -> Iterator[tuple[str, str]]:
    """Yield (name, ``module:attribute``) of our group in one ``entry_points.txt``."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    inside = False
    for line in lines:
        if line.startswith("["):
            inside = line.strip() == f"[{GROUP}]"
        elif inside and "=" in line:
            name, _, home = line.partition("=")
            yield name.strip(), home.strip()


def _import(target: str, home: str) -> OpenRuntime:
    module, _, attribute = home.partition(":")
    try:
        found: OpenRuntime = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as problem:
        raise _blame(target, f"({home}) cannot be loaded", problem, ToolError) from problem
    return found


def _blame(target: str, what: str, problem: BaseException, kind: type[QedgeError]) -> QedgeError:
    """Return the error for a runtime half that did not load or open, with whose it is as the hint."""
    from qedge.runtime.plugins import bug_hint, origin_of

    origin = origin_of(GROUP, target)
    if isinstance(problem, ImportError):
        return kind(f"the runtime of target {target!r} {what}: {problem}", hint=origin.install_hint())
    said = f"{type(problem).__name__}: {problem}"
    return kind(f"the runtime of target {target!r} {what}: {said}", hint=bug_hint(origin))
