"""Runs on the device: sent there as text, or started by its timer (``follow.py``); imports the standard library only.

A request is one line of JSON on stdin, with the bytes of files after it; the answer is one line of JSON on
stdout after ``QEDGE:``. Everything is prepared beside what runs and made active by renaming one link, so that
a connection lost at any moment leaves the active version as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from typing import Any

MARK = "QEDGE:"
TRUSTED = (
    "trusted_keys"  # below the root: public keys, or allowed_signers of ssh-keygen; none: all is accepted
)
NAMESPACE = "qedge-bundle"
SPARE_BYTES = 8 << 20
FOLLOW, FOLLOWED = "follow.json", "followed.json"  # what to follow, and what that last did
KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-")
# LiteRT's interpreter needs none of what its wheel depends on (numpy is there), nor its library for GPUs.
ALONE, MODULE = ("ai-edge-litert",), "ai_edge_litert"
NEVER_LOADED = ("libLiteRtWebGpuAccelerator.so",)


class Refused(Exception):
    """Something that the person who deploys must know."""


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the device is and what lies on it."""
    root = _root(request)
    store = os.path.join(root, "store")
    interpreter = request.get("python") or sys.executable
    code = (
        "import sys, struct, json; print(json.dumps([list(sys.version_info[:3]), struct.calcsize('P') * 8]))"
    )
    version, bits = list(sys.version_info[:3]), struct.calcsize("P") * 8
    if request.get("python"):
        done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True)
        if done.returncode != 0:
            raise Refused(f"{interpreter} does not run on the device: {done.stderr.strip()[-200:]}")
        version, bits = json.loads(done.stdout)
    usage = shutil.disk_usage(_existing(root))
    return {
        "board": (_text("/proc/device-tree/model") or "").rstrip("\0\n ") or None,
        "os": _os_name(),
        "python": version,
        "bits": bits,
        "arch": platform.machine(),
        "free_mb": usage.free >> 20,
        "store": sorted(os.listdir(store)) if os.path.isdir(store) else [],
        "current": _version(root, "current"),
        "previous": _version(root, "previous"),
    }


def put(request: dict[str, Any]) -> dict[str, Any]:
    """Keep the files that follow the request, each under its SHA-256."""
    store = os.path.join(_root(request), "store")
    os.makedirs(store, exist_ok=True)
    for entry in request["files"]:
        data = sys.stdin.buffer.read(entry["bytes"])
        if len(data) != entry["bytes"] or hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise Refused("a file did not arrive whole")
        keep(store, entry["sha256"], data)
    return {"files": len(request["files"])}


def keep(store: str, sha256: str, data: bytes) -> None:
    """Put a file into the store, whole or not at all."""
    place = os.path.join(store, sha256)
    with open(place + ".part", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(place + ".part", place)


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Lay the version out beside the active one, with an environment that has what it needs."""
    root = _root(request)
    place = os.path.join(root, "versions", request["version"])
    environment = _environment(request, root)
    if os.path.isdir(place):
        _launcher(environment, place)
        return {"environment": environment, "new": False}
    part = place + ".part"
    shutil.rmtree(part, ignore_errors=True)
    _refuse_unsigned(request, root)
    for path, sha256 in request["layout"].items():
        source = os.path.join(root, "store", sha256)
        target = os.path.join(part, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(source, "rb") as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != sha256:
            os.unlink(source)
            raise Refused(f"the device's copy of {path} was damaged and is removed: deploy again")
        _place(source, target)
    _launcher(environment, part)
    _sync(part)
    os.replace(part, place)
    _sync(os.path.dirname(place))
    return {"environment": environment, "new": True}


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Run the golden vectors and the benchmark with the version's own code; it need not be active."""
    place = os.path.join(_root(request), "versions", request["version"])
    command = [os.path.join(place, "python"), "-m", "qedge.runtime.selftest", os.path.join(place, "bundle")]
    done = subprocess.run(
        [*command, str(request["runs"])],
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "QEDGE_KEEP_COMPILED": ""},
    )
    if shutil.disk_usage(place).free < SPARE_BYTES:
        # A disk that fills up cuts compiled files short without a word, and a version with such does not start.
        for folder, names, _ in os.walk(os.path.join(place, "lib")):
            if "__pycache__" in names:
                shutil.rmtree(os.path.join(folder, "__pycache__"), ignore_errors=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not lines:
        raise Refused("the bundle does not run on the device: " + _last(done.stderr or done.stdout))
    found: dict[str, Any] = json.loads(lines[-1][len(MARK) :])
    return found


def activate(request: dict[str, Any]) -> dict[str, Any]:
    """Make a version the active one in one step; the one before is kept."""
    root = _root(request)
    version, before = request["version"], _version(root, "current")
    if not os.path.isdir(os.path.join(root, "versions", version)):
        raise Refused(f"version {version} is not on the device")
    if before is not None and before != version:
        _point(root, "previous", before)
    _point(root, "current", version)
    _service(request, root)
    _prune(root)
    return {"current": version, "previous": _version(root, "previous")}


def rollback(request: dict[str, Any]) -> dict[str, Any]:
    """Make the version before the active one again."""
    root = _root(request)
    previous, current = _version(root, "previous"), _version(root, "current")
    if previous is None or previous == current:
        raise Refused("there is no earlier version on the device to go back to")
    if not os.path.isdir(os.path.join(root, "versions", previous)):
        raise Refused(f"version {previous} is no longer on the device")
    _point(root, "current", previous)
    if current is not None:
        _point(root, "previous", current)
    _service(request, root)
    return {"current": previous, "previous": current}


def _refuse_unsigned(request: dict[str, Any], root: str) -> None:
    """Refuse a bundle that no key in ``trusted_keys`` signed, or with a lower serial than the active one's."""
    trusted = os.path.join(os.path.dirname(root), TRUSTED)
    if not os.path.exists(trusted):
        return
    layout, store = request["layout"], os.path.join(root, "store")

    def stored(path: str) -> Any:
        return _json(os.path.join(store, layout[path])) if path in layout else None

    manifest, signature = stored("bundle/manifest.json"), stored("bundle/signature.json")
    if not isinstance(manifest, dict) or not isinstance(signature, dict):
        raise Refused(f"the bundle is not signed, and {trusted} asks for it: qedge sign BUNDLE --key KEY")
    signed = {key: signature.get(key) for key in ("digest", "name", "serial", "target")}
    digest = _digest({key: value for key, value in manifest.items() if key != "digest"})
    of = {"digest": digest, "name": manifest["model"]["name"], "target": manifest["target"]}
    files = {f"bundle/{path}": entry["sha256"] for path, entry in manifest["files"].items()}
    given = {path: sha for path, sha in layout.items() if path.startswith("bundle/")}
    if not isinstance(signed["serial"], int) or any(signed[key] != value for key, value in of.items()):
        raise Refused("the signature is that of another bundle")
    if {
        p: s for p, s in given.items() if p not in ("bundle/manifest.json", "bundle/signature.json")
    } != files:
        raise Refused("the files are not those of the signed manifest")
    message = _canonical({**signed, "format": "qedge-signature", "version": 1})
    _verify(message, str(signature.get("signature")), trusted)
    active = _json(os.path.join(root, "current", "bundle", "signature.json"))
    if isinstance(active, dict) and signed["serial"] < active.get("serial", 0):
        raise Refused(f"serial {signed['serial']} is older than the active version's {active['serial']}")


def _verify(message: bytes, signature: str, trusted: str) -> None:
    """Refuse unless a key of ``trusted`` made the signature, as ``qedge.trust.keygen`` says."""
    lines = []
    for number, line in enumerate((_text(trusted) or "").splitlines(), 1):
        lines.append(f"key-{number} {line}" if line.startswith(KEY_TYPES) else line)
    with tempfile.TemporaryDirectory(prefix="qedge-verify-") as scratch:
        allowed, signed = os.path.join(scratch, "allowed"), os.path.join(scratch, "signature")
        for path, text in ((allowed, "\n".join(lines) + "\n"), (signed, signature)):
            with open(path, "w") as file:
                file.write(text)
        command = ["ssh-keygen", "-Y", "find-principals", "-s", signed, "-f", allowed]
        try:
            found = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            names = found.stdout.splitlines()
            if found.returncode != 0 or not names:
                raise Refused(f"the bundle is signed by no key in {trusted}")
            command = [
                "ssh-keygen",
                "-Y",
                "verify",
                "-n",
                NAMESPACE,
                "-f",
                allowed,
                "-I",
                names[0],
                "-s",
                signed,
            ]
            if subprocess.run(command, capture_output=True, input=message).returncode != 0:
                raise Refused("the signature does not fit: the bundle or its signature was altered")
        except FileNotFoundError:
            raise Refused("ssh-keygen is not installed there: sudo apt install openssh-client") from None


def _canonical(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(document)).hexdigest()


def _environment(request: dict[str, Any], root: str) -> str:
    """Return the interpreter to run with; makes a virtual environment and fills it where none has all packages."""
    if request.get("python"):
        return str(request["python"])
    interpreter, packages = sys.executable, request["packages"]
    made_from = [interpreter, list(sys.version_info[:2]), bool(request.get("system_packages"))]
    environments = os.path.join(root, "environments")
    for name in sorted(os.listdir(environments)) if os.path.isdir(environments) else []:
        found = _json(os.path.join(environments, name, "complete"))
        if found and found["from"] == made_from and set(packages) <= set(found["packages"]):
            return os.path.join(environments, name, "bin", "python")
    folder = os.path.join(
        environments, hashlib.sha256(json.dumps([packages, made_from]).encode()).hexdigest()[:12]
    )
    shutil.rmtree(folder, ignore_errors=True)
    system = ["--system-site-packages"] if request.get("system_packages") else []
    _run(
        [interpreter, "-m", "venv", *system, folder], "python3-venv is missing: sudo apt install python3-venv"
    )
    python = os.path.join(folder, "bin", "python")
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary=:all:",
    ]
    wheels = os.path.join(folder, "wheels")
    if request.get("wheels"):
        os.makedirs(wheels)
        for name, sha256 in request["wheels"].items():
            _place(os.path.join(root, "store", sha256), os.path.join(wheels, name))
        command += ["--no-index", "--find-links", wheels]
    if packages:
        hint = (
            "the folder of --wheels lacks something for this device"
            if request.get("wheels")
            else "is the device online? if not, give a folder of wheels with --wheels"
        )
        alone = [name for name in packages if name.startswith(ALONE)]
        rest = [name for name in packages if name not in alone]
        if rest:
            _run([*command, *rest], hint)
        if alone:
            _run([*command, "--no-deps", *alone], hint)
            _slim(python, [*command, *alone], hint)
    shutil.rmtree(wheels, ignore_errors=True)
    with open(os.path.join(folder, "complete"), "w") as file:
        json.dump({"packages": packages, "from": made_from}, file)
    return python


def _slim(python: str, complete: list[str], hint: str) -> None:
    """Remove what the CPU never loads; where the binding does not work then, run ``complete`` after all."""
    code = f"import {MODULE}, os; print(os.path.dirname({MODULE}.__file__)); import {MODULE}.interpreter"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode == 0:
        for name in NEVER_LOADED:
            place = os.path.join(done.stdout.strip().splitlines()[-1], name)
            if os.path.exists(place):
                os.unlink(place)
        done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode != 0:
        _run([*complete, "--force-reinstall"], hint)


def follow(request: dict[str, Any]) -> dict[str, Any]:
    """Have a timer of the user's systemd bring what a reference names, or with none stop it."""
    root, name = _root(request), f"qedge-{request['name']}-follow"
    folder = os.path.expanduser("~/.config/systemd/user")
    timer = os.path.join(folder, f"{name}.timer")
    settings = os.path.join(root, FOLLOW)
    if not request.get("settings"):
        if os.path.exists(timer):
            _run(["systemctl", "--user", "disable", "--now", f"{name}.timer"], "see journalctl --user")
        for path in (timer, os.path.join(folder, f"{name}.service"), settings):
            if os.path.exists(path):
                os.unlink(path)
        return {"following": None}
    if _version(root, "current") is None:
        raise Refused("there is no version to start from: qedge deploy the first one")
    os.makedirs(folder, exist_ok=True)
    texts = {settings: json.dumps(request["settings"])}
    texts |= {os.path.join(folder, f"{name}.{kind}"): text for kind, text in request["units"].items()}
    for path, text in texts.items():
        with open(path + ".part", "w") as file:
            file.write(text.replace("@ROOT@", root.replace("%", "%%")))
        os.replace(path + ".part", path)
    _run(["systemctl", "--user", "daemon-reload"], "is systemd running for this user? see loginctl")
    _run(["systemctl", "--user", "enable", "--now", f"{name}.timer"], "see journalctl --user")
    subprocess.run(["loginctl", "enable-linger"], capture_output=True)
    return {"following": request["settings"]["reference"]}


def status(request: dict[str, Any]) -> dict[str, Any]:
    """Return which versions are there, and what following a reference last did."""
    root = _root(request)
    settings, last = _json(os.path.join(root, FOLLOW)), _json(os.path.join(root, FOLLOWED))
    return {
        "current": _version(root, "current"),
        "previous": _version(root, "previous"),
        "following": settings.get("reference") if isinstance(settings, dict) else None,
        "last": last if isinstance(last, dict) else None,
    }


def _service(request: dict[str, Any], root: str) -> None:
    """Write the systemd unit of the user, where one is wanted or there already, and start the active version."""
    unit = f"qedge-{request['name']}.service"
    folder = os.path.expanduser("~/.config/systemd/user")
    place = os.path.join(folder, unit)
    if request.get("unit"):
        os.makedirs(folder, exist_ok=True)
        with open(place + ".part", "w") as file:
            file.write(request["unit"].replace("@ROOT@", root.replace("%", "%%")))
        os.replace(place + ".part", place)
        _run(["systemctl", "--user", "daemon-reload"], "is systemd running for this user? see loginctl")
        _run(["systemctl", "--user", "enable", unit], "see journalctl --user")
        subprocess.run(["loginctl", "enable-linger"], capture_output=True)
    if os.path.exists(place):
        _run(["systemctl", "--user", "restart", unit], f"see journalctl --user -u {unit}")


def _place(source: str, target: str) -> None:
    """Put a file of the store somewhere else, as a link where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _prune(root: str) -> None:
    """Remove versions that are neither active nor the one before, and files that no version has."""
    versions = os.path.join(root, "versions")
    keep = {_version(root, "current"), _version(root, "previous")}
    for name in os.listdir(versions):
        if name not in keep:
            shutil.rmtree(os.path.join(versions, name), ignore_errors=True)
    used = "".join(_text(os.path.join(versions, name, "python")) or "" for name in os.listdir(versions))
    environments = os.path.join(root, "environments")
    for name in os.listdir(environments) if os.path.isdir(environments) else []:
        if os.path.join(environments, name, "") not in used:
            shutil.rmtree(os.path.join(environments, name), ignore_errors=True)
    store = os.path.join(root, "store")
    for name in os.listdir(store) if os.path.isdir(store) else []:
        if os.stat(os.path.join(store, name)).st_nlink == 1:
            os.unlink(os.path.join(store, name))


def _point(root: str, name: str, version: str) -> None:
    """Make the link ``name`` point at a version."""
    _link(os.path.join("versions", version), os.path.join(root, name))


def _link(target: str, place: str) -> None:
    """Make ``place`` a link to ``target``, in one step."""
    fresh = place + ".new"
    if os.path.lexists(fresh):
        os.unlink(fresh)
    os.symlink(target, fresh)
    os.replace(fresh, place)
    _sync(os.path.dirname(place))


def _sync(folder: str) -> None:
    """Wait until the disk has a folder's entries, so that a loss of power keeps their order."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _version(root: str, name: str) -> str | None:
    try:
        return os.path.basename(os.readlink(os.path.join(root, name)))
    except OSError:
        return None


def _launcher(environment: str, place: str) -> None:
    """Write ``place/python``: the environment's interpreter with the version's own qedge.

    A script, as a link to an interpreter outside of its environment would not see the packages in it.
    """
    path = os.path.join(place, "python")
    with open(path + ".part", "w") as file:
        file.write('#!/bin/sh\nexport PYTHONPATH="$(dirname "$0")/lib"\n')
        # Compiled files are written while a version is proven, and never once it is active.
        file.write('export PYTHONDONTWRITEBYTECODE="${QEDGE_KEEP_COMPILED-1}"\n')
        file.write(f'exec {shlex.quote(environment)} "$@"\n')
    os.chmod(path + ".part", 0o755)
    os.replace(path + ".part", path)


def _root(request: dict[str, Any]) -> str:
    return os.path.join(os.path.expanduser(str(request["root"])), str(request["name"]))


def _existing(path: str) -> str:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _run(command: list[str], hint: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as problem:
        raise Refused(f"{command[0]}: {problem.strerror}; {hint}") from None
    if done.returncode != 0:
        raise Refused(f"{' '.join(command[:4])} failed: {_last(done.stderr or done.stdout)}; {hint}")


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _json(path: str) -> Any:
    try:
        return json.loads(_text(path) or "null")
    except ValueError:
        return None


def _os_name() -> str | None:
    for line in (_text("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return None


def lock(file: Any, patience_s: float = 60) -> None:
    """Lock one model's folder, waiting for a deployment that is still at work; freed when the process ends."""
    import fcntl  # where it runs has it; the computer that sends it may be one without

    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > until:
                raise Refused("another deployment of this model is at work on the device") from None
            time.sleep(0.2)


OPERATIONS = {
    f.__name__: f for f in (probe, put, prepare, check, activate, rollback, follow, status)
}  # fmt: skip


def main() -> None:
    """Answer one request."""
    try:
        request = json.loads(sys.stdin.buffer.readline())
        operation = OPERATIONS[request["operation"]]
        if operation in (probe, check, status):
            answer = operation(request)
        else:
            os.makedirs(_root(request), exist_ok=True)
            with open(os.path.join(_root(request), ".lock"), "w") as file:
                lock(file)
                answer = operation(request)
        print(MARK + json.dumps(answer), flush=True)
    except Refused as problem:
        print(MARK + json.dumps({"refused": str(problem)}), flush=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        print(MARK + json.dumps({"refused": f"{type(problem).__name__}: {problem}"}), flush=True)


if __name__ == "__main__":
    main()
