"""``python -m qedge.ship.follow FOLDER``: bring what a reference in a registry names now, once; a timer repeats it.

On the device, with the code of the active version. What is new is pulled, laid out beside the active version, proven
there, and made active in one step, all by the agent that ``qedge deploy`` uses. The reference is a tag, or a signed
channel (:mod:`qedge.ship.channel`). Whatever ends this at whatever moment
leaves the version before, or the new one, whole; the next round goes on. A version that fails is not tried again before
a time that doubles with each failure, unless the reference names another one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from qedge.errors import DataError, QedgeError
from qedge.fields import Field
from qedge.ship.agent import versions
from qedge.ship.agent.common import FOLLOW, FOLLOWED, TRUSTED, Refused, json_of, lock, text_of, version_of

FIRST_WAIT_S, LONGEST_WAIT_S = 60, 24 * 3600
INCOMING = ".incoming"
# What a round did, as a label of the figures.
RESULTS = ("current", "updated", "waiting", "failed")


class Settings:
    """What ``follow.json`` says.

    Args:
        reference: ``oci://host/name:tag``.
        runs: of the benchmark that is part of the proof; 0: none.
        textfile: folder of node_exporter's textfile collector, or None: the figures are in the model's folder only.
        channel: whether the reference is of a channel; what is none is refused then.
    """

    def __init__(
        self, reference: str, runs: int = 20, textfile: str | None = None, channel: bool = False
    ) -> None:
        self.reference, self.runs, self.textfile, self.channel = reference, runs, textfile, channel

    @classmethod
    def read(cls, root: str) -> Settings:
        """Return the settings of a model's folder.

        Raises:
            DataError: none there, or a wrong field.
        """
        path = os.path.join(root, FOLLOW)
        document = json_of(path)
        if document is None:
            raise DataError(f"{path}: not there, or no JSON", hint="qedge agent install NAME HOST REFERENCE")
        entry = Field(document, f"{path}: $", DataError).object(
            ("reference",), ("runs", "textfile", "channel")
        )
        textfile = entry["textfile"]
        return cls(
            entry["reference"].string(),
            20 if entry["runs"].value is None else entry["runs"].integer(0, 10_000),
            None if textfile.value is None else textfile.string(),
            entry["channel"].value is not None and entry["channel"].boolean(),
        )


def follow(root: str) -> dict[str, Any]:
    """Do one round for the model's folder ``root``; return what it did, as ``followed.json`` keeps it.

    Raises:
        DataError: nothing to follow there.
    """
    settings = Settings.read(root)
    with open(os.path.join(root, ".lock"), "w") as file:
        lock(file)
        state = _remembered(root)
        try:
            state = _round(root, settings, state)
        except (QedgeError, Refused, OSError) as problem:
            state = _failed(state, str(problem))
        state |= {"time": int(time.time()), "reference": settings.reference}
        _write(os.path.join(root, FOLLOWED), json.dumps(state).encode())
        text = figures(root, state).encode()
        _write(os.path.join(root, "metrics.prom"), text)
        if settings.textfile is not None:
            _write(os.path.join(settings.textfile, f"qedge_{os.path.basename(root)}.prom"), text)
    return state


def _remembered(root: str) -> dict[str, Any]:
    """Return what the last round left in ``followed.json``, without what no round writes.

    A channel's entry stays whatever it is: a wrong one fails the round, where to forget it would lower the bound.
    """
    document = json_of(os.path.join(root, FOLLOWED))
    if not isinstance(document, dict):
        return {}
    found = {}
    for name, value in document.items():
        try:
            _REMEMBERED.get(name, Field.string)(Field(value, f"{FOLLOWED}: $.{name}", DataError))
        except DataError:
            continue
        found[name] = value
    return found


_REMEMBERED: dict[str, Callable[[Field], Any]] = {
    "failures": lambda entry: entry.integer(0),
    "not_before": lambda entry: entry.number(),
    "time": lambda entry: entry.integer(0),
    "latency_ms": lambda entry: entry.number(0),
    "channel": lambda entry: entry.value,
}
"""How each value of ``followed.json`` is read; all others are text."""


def _round(root: str, settings: Settings, state: dict[str, Any]) -> dict[str, Any]:
    active = os.path.realpath(os.path.join(root, "current"))
    digest, said = _wanted(root, settings, state)
    state = {**state, **said}
    if digest == state.get("digest") and os.path.basename(active) == state.get("version"):
        return {**state, "result": "current", "message": ""} | _calm()
    if digest == state.get("failed") and time.time() < state.get("not_before", 0):
        return {**state, "result": "waiting"}
    try:
        found = _install(root, settings, active, digest)
    except (QedgeError, Refused, OSError) as problem:
        return _failed({**state, "failed": digest}, str(problem))
    return {**state, **found, "digest": digest, "result": "updated", "message": ""} | _calm()


def _wanted(root: str, settings: Settings, state: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the digest of the version that is wanted now, and of a channel what it said, for the next round.

    Raises:
        QedgeError: the registry does not say, or a channel says what it must not.
    """
    if not settings.channel:
        from qedge.ship.oci import resolve

        return resolve(settings.reference), {}
    from qedge.ship.channel import Channel, read_channel

    trusted = _trusted(root)
    if trusted is None:
        raise DataError(f"a channel needs {TRUSTED} on the device", hint="whose signatures count?")
    known = state.get("channel")
    last = None
    if known is not None:
        entry = Field(known, f"{FOLLOWED}: $.channel", DataError).object(
            ("repository", "name", "number", "digest")
        )
        last = Channel(
            entry["repository"].string(),
            entry["name"].string(),
            entry["number"].integer(),
            entry["digest"].string(),
        )
    channel = read_channel(settings.reference, trusted, last=last)
    return channel.digest, {"channel": channel.to_json()}


def _trusted(root: str) -> str | None:
    """Return the file of the keys that this device trusts, where it has one."""
    path = os.path.join(os.path.dirname(root), TRUSTED)
    return path if os.path.exists(path) else None


def _install(root: str, settings: Settings, active: str, digest: str) -> dict[str, Any]:
    """Bring one bundle, prove it and make it active; return its version and how fast it is.

    Raises:
        QedgeError, Refused, OSError: it cannot be had, is not signed as the device asks, or fails its proof.
    """
    from qedge.ship.oci import pull
    from qedge.ship.reference import Reference

    incoming = os.path.join(root, INCOMING)
    shutil.rmtree(incoming, ignore_errors=True)
    exactly = str(Reference.parse(settings.reference).at(digest))
    bundle = os.path.join(active, "bundle")
    pull(exactly, incoming, trusted=_trusted(root), have=[bundle])
    if _target(incoming) != _target(bundle):
        raise DataError(
            f"the bundle is for {_target(incoming)!r}, and the device runs one for {_target(bundle)!r}"
        )
    files = {f"bundle/{path}": place for path, place in _files(incoming)}
    files |= {
        f"{part}/{path}": p for part in ("lib", "app") for path, p in _files(os.path.join(active, part))
    }
    layout, store = {}, os.path.join(root, "store")
    os.makedirs(store, exist_ok=True)
    for path, place in files.items():
        with open(place, "rb") as file:
            data = file.read()
        layout[path] = hashlib.sha256(data).hexdigest()
        if not os.path.exists(os.path.join(store, layout[path])):
            versions.keep(store, layout[path], data)
    shutil.rmtree(incoming, ignore_errors=True)
    version = hashlib.sha256(json.dumps(sorted(layout.items())).encode()).hexdigest()[:12]
    request = {
        "root": os.path.dirname(root),
        "name": os.path.basename(root),
        "version": version,
        "layout": layout,
        "python": _interpreter(active),
        "runs": settings.runs,
    }
    versions.prepare(request)
    proof = versions.check(request)
    if not proof["verify"]["passed"]:
        raise Refused(f"the golden vectors give other results: {'; '.join(proof['verify']['mismatches'])}")
    versions.activate(request)
    return {"version": version, "latency_ms": proof.get("bench", {}).get("latency_ms", {}).get("median")}


def _failed(state: dict[str, Any], message: str) -> dict[str, Any]:
    failures = int(state.get("failures", 0)) + 1
    wait = min(FIRST_WAIT_S << min(failures - 1, 20), LONGEST_WAIT_S)
    return {
        **state,
        "result": "failed",
        "message": message[:500],
        "failures": failures,
        "not_before": time.time() + wait,
    }


def _calm() -> dict[str, Any]:
    return {"failures": 0, "failed": None, "not_before": 0}


def figures(root: str, state: dict[str, Any]) -> str:
    """Return the figures of one model on this device in Prometheus' text format."""
    name = label_text(os.path.basename(root))
    version = version_of(root, "current") or "none"
    rows = [
        ("qedge_version_info", f'version="{version}"', 1),
        ("qedge_update_seconds", "", state["time"]),
        ("qedge_update_failures", "", state.get("failures", 0)),
    ]
    rows += [("qedge_update_result", f'result="{word}"', int(word == state["result"])) for word in RESULTS]
    channel = state.get("channel")
    if isinstance(channel, dict) and isinstance(channel.get("number"), int):
        rows.append(("qedge_channel_number", "", channel["number"]))
    if state.get("latency_ms") is not None:
        rows.append(("qedge_latency_seconds", "", state["latency_ms"] / 1000))
    lines: list[str] = []
    for metric, label, value in rows:
        if not any(line.startswith(f"# TYPE {metric} ") for line in lines):
            lines.append(f"# TYPE {metric} gauge")
        lines.append(f'{metric}{{model="{name}"{"," + label if label else ""}}} {value}')
    return "\n".join(lines) + "\n"


def label_text(value: str) -> str:
    """Return a value as Prometheus' text format holds it between quotes."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _interpreter(place: str) -> str:
    """Return the interpreter that a version's launcher starts."""
    text = text_of(os.path.join(place, "python")) or ""
    words = [shlex.split(line)[1] for line in text.splitlines() if line.startswith("exec ")]
    if not words:
        raise DataError(f"{place}/python: no launcher of a version", hint="qedge deploy it again")
    return words[0]


def _target(bundle: str) -> Any:
    manifest = json_of(os.path.join(bundle, "manifest.json"))
    return manifest.get("target") if isinstance(manifest, dict) else None


def _files(folder: str) -> list[tuple[str, str]]:
    """Return (relative path, path) of every file below a folder; compiled Python is none of them."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        paths = [os.path.join(place, name) for name in sorted(names)]
        found += [(os.path.relpath(path, folder), path) for path in paths]
    return found


def _write(place: str, data: bytes) -> None:
    with open(place + ".part", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(place + ".part", place)


def main(arguments: list[str]) -> int:
    """Do one round; 0 where the device has what the reference names, else 1, with the reason on stderr."""
    try:
        state = follow(os.path.realpath(arguments[0]))
    except (QedgeError, Refused) as problem:
        print(problem, file=sys.stderr)
        return getattr(problem, "exit_code", 1)
    print(json.dumps(state))
    if state["result"] in ("failed", "waiting"):
        print(state.get("message", ""), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
