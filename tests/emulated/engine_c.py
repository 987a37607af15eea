"""The C engine in emulated systems that have numpy and no TFLite binding: armv6, armhf, aarch64 and riscv64.

Run: python tests/emulated/engine_c.py [--json] [--only SYSTEM]. On Debian 12, as root (installs qemu-user). The golden
vectors of every bundle must come out to the last bit, on several threads too; a bundle is deployed and proves itself
there; on arm64 the way to the first inference must be shorter than by LiteRT behind the same API.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from run import (
    CACHE,
    MODELS,
    PROJECT,
    deployed,
    entry_points_folder,
    plugin,
    samples,
    shared_folder,
    site_of,
    with_qedge,
)
from systems import SYSTEMS, call, guest, interpreter, qemu

from qedge.bundle import golden_files, read_bundle, write_bundle
from qedge.oracle.golden import reference_outputs
from qedge.target import resolve

LIBRARIES = {"arm64": "aarch64", "armhf": "armhf", "armel": "armv6", "riscv64": "riscv64"}
WANTED = ("kws01", "ic01")
LITERT = "ai-edge-litert"
BYTECODE = "bytecode-c"


def bundles() -> dict[str, Path]:
    """Return the bundles to run, by name, with a library for every architecture."""
    place = CACHE / "bundles-c"
    build = (sys.executable, "-m", "qedge", "build", "-t", "rpi", "--engine", "c", "-q", "-o", str(place))
    call(*build, cwd=PROJECT / "examples" / "digits", env=with_qedge())
    found = {"digits": place / "digits" / "rpi"}
    shared = shared_folder()
    for name in WANTED if shared else ():
        call(*build, str(shared / "models" / MODELS[name]), "--name", name, env=with_qedge())
        found[name] = place / name / "rpi"
        real_golden(found[name], name, shared)
    return found


def real_golden(bundle: Path, name: str, shared: Path) -> None:
    """Replace a bundle's golden vectors, which are random for want of data, by those of real samples."""
    with read_bundle(bundle) as opened:
        model = opened.read("model.tflite")
        inputs = [[sample] for sample in samples(name, model, shared)]
        further = {"micro": resolve("mcu").golden_outputs(model, inputs)}
        files = {n: opened.read(n) for n in opened.manifest.files if not n.startswith("golden/")}
        files.update(golden_files(inputs, reference_outputs(model, inputs), further))
        write_bundle(bundle, opened.manifest, files)


def path_of(system: str, binding: str = "c") -> list[object]:
    """Return what the emulated Python imports from: qedge as it is here, numpy, and the binding where one is named."""
    # The others have Debian's numpy among their packages.
    site = [site_of(system, binding)] if system == "arm64" else []
    return [*site, PROJECT, PROJECT / "targets", entry_points_folder()]


def cold_start(bundle: Path) -> dict[str, int]:
    """Return the instructions from the start of the process to the first inference on arm64: by LiteRT, bare and by
    qedge, and by the C library; each from behind the import of numpy, which differs from time to time."""
    found = {}
    for kind, binding in (("bare", LITERT), ("qedge", LITERT), ("c", "c")):
        command = interpreter("arm64", path_of("arm64", binding), plugin())
        for _ in range(2):  # the first one compiles the modules
            numpy, total = guest(
                command, BYTECODE, "start.py", kind, "ai_edge_litert.interpreter", str(bundle)
            )[1]
        found[kind] = total - numpy
    return found


def run(systems: Sequence[str]) -> dict[str, list[dict]]:
    """Return {golden, deploy, cold_start}: one entry a system and bundle."""
    wanted = bundles()
    found: dict[str, list[dict]] = {"golden": [], "deploy": [], "cold_start": []}
    for system in systems:
        qemu(SYSTEMS[system].emulator)
        command = interpreter(system, path_of(system))
        reports, _ = guest(command, BYTECODE, "guest_c.py", *map(str, wanted.values()))
        for name, report in zip(wanted, reports, strict=True):
            found["golden"].append({"system": system, "bundle": name, **report})
        alone = interpreter(system, [site_of(system, "c")] if system == "arm64" else [])
        found["deploy"].append({"system": system, **deployed(alone, wanted["digits"])})
    if "arm64" in systems:
        found["cold_start"] = [{"bundle": name, **cold_start(path)} for name, path in wanted.items()]
    return found


def failures(found: Mapping[str, Sequence[dict]]) -> list[dict]:
    """Return the entries that must not be so."""
    failed = [
        g for g in found["golden"]
        if not (g["bit_exact"] and g["threads"] and LIBRARIES[g["system"]] in g["library"])
    ]  # fmt: skip
    failed += [d for d in found["deploy"] if not d["verify"]["bit_exact"]]
    return failed + [s for s in found["cold_start"] if s["c"] >= s["qedge"]]


def main() -> int:
    """Print the tables; 1 when anything fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=sorted(LIBRARIES))
    options = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    found = run([options.only] if options.only else list(LIBRARIES))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for g in found["golden"]:
            verdict = "bit-exact" if g["bit_exact"] else "FAIL"
            print(f"{g['system']:8} {g['library']:20} {g['bundle']:8} {verdict}, {g['samples']} samples, "
                  f"several threads: {'the same' if g['threads'] else 'DIFFERENT'}")  # fmt: skip
        for d in found["deploy"]:
            device = d["device"]
            print(f"{d['system']:8} digits deployed to {device['arch']}, Python "
                  f"{'.'.join(map(str, device['python']))}: {d['verify']['core']}")  # fmt: skip
        for s in found["cold_start"]:
            print(f"arm64    {s['bundle']:8} to the first result behind numpy: {s['c']:,} instructions by the C "
                  f"library, {s['bare']:,} by bare LiteRT, {s['qedge']:,} by qedge with LiteRT")  # fmt: skip
    failed = failures(found)
    for entry in failed:
        print("FAILED:", json.dumps(entry))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
