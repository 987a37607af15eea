"""An emulated Raspberry Pi: arm64 and armhf Python from Debian's packages, no chroot, no image, no binfmt.

Run: python tests/emulated/run.py [--json] [--only arm64|armhf]. On Debian 12, as root (installs qemu-user);
about one minute on two cores, and another the first time, to fetch packages and wheels.

With every binding: the golden vectors of every bundle pass; an inference takes at most 2 % more instructions than
by the bare binding, and on arm64 the way to the first one at most 10 %; a bundle is deployed, and proves itself there.
The bundles are those that ship, one of a tiny model, those under build/, and where the third-party models lie
beside the project, one of each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "targets"), str(PROJECT / "tests" / "unit")]

import systems  # noqa: E402
from pi import EmulatedPi, pip_install  # noqa: E402
from systems import CACHE, SYSTEMS, call, interpreter, qemu, root_of  # noqa: E402
from tiny_bundles import make_bundle  # noqa: E402

from qedge.deploy import deploy  # noqa: E402
from qedge.deploy.platforms import packages_for  # noqa: E402
from qedge.processing.image import ImagePreprocess  # noqa: E402
from qedge.runtime import cores  # noqa: E402
from qedge.runtime.litert import BINDINGS, tensor_specs  # noqa: E402
from qedge.ship.agent.environments import MODULE, NEVER_LOADED  # noqa: E402

ALLOWED_PERCENT = 2.0
ALLOWED_START_PERCENT = 10.0
ARCHES = {
    "arm64": {
        "ai-edge-litert": ("aarch64", ("numpy", "ai-edge-litert>=2.1.2")),
        "tflite-runtime": ("aarch64", ("numpy<2", "tflite-runtime==2.14.0")),
        "c": ("aarch64", ("numpy",)),
    },
    "armhf": {
        "tflite-runtime": ("armv7l", ("tflite-runtime==2.14.0",)),
    },
}  # fmt: skip
MODELS = {
    "kws01": "mlperf_tiny/kws01_dscnn_int8.tflite",
    "ic01": "mlperf_tiny/ic01_resnet8_int8.tflite",
    "ad01": "mlperf_tiny/ad01_int8.tflite",
    "vww01": "mlperf_tiny/vww01_mobilenet_int8.tflite",
    "sww01": "mlperf_tiny/sww01_int8.tflite",
    "mobilenet_v2": "coral/tf2_mobilenet_v2_1.0_224_ptq.tflite",
}
COUNTED = {"kws01": 20, "ic01": 10, "mobilenet_v2": 2, "voice": 20}
STARTED = ("kws01", "mobilenet_v2", "voice")


def site_of(arch: str, binding: str) -> Path:
    """Return a folder with what ``qedge deploy`` leaves of the wheels on a Pi of this architecture."""
    wheel_arch, packages = ARCHES[arch][binding]
    site = CACHE / f"packages-{arch}-{binding}"
    if not (site / "complete").exists():
        shutil.rmtree(site, ignore_errors=True)
        pip_install(wheel_arch, site, "--no-deps", *packages)
        for name in NEVER_LOADED:
            (site / MODULE / name).unlink(missing_ok=True)
        (site / "complete").touch()
    return site


def megabytes(site: Path) -> float:
    """Return the size of what lies beside numpy in a folder of :func:`site_of`, in MB (10^6 bytes)."""
    files = [p for p in site.rglob("*") if p.is_file() and p.parent.name != "__pycache__"]
    return sum(p.stat().st_size for p in files if not p.relative_to(site).parts[0].startswith("numpy")) / 1e6


def plugin() -> Path:
    """Return the instruction counter, compiled for this machine."""
    place = CACHE / "insn_count.so"
    source = HERE / "insn_count.c"
    if not place.exists() or place.stat().st_mtime < source.stat().st_mtime:
        compiler = ["cc"] if shutil.which("cc") else [sys.executable, "-m", "ziglang", "cc"]
        call(*compiler, "-O2", "-shared", "-fPIC", str(source), "-o", str(place))
    return place


def shared_folder() -> Path | None:
    """Return the third-party models and data beside the project, or None."""
    folders = (PROJECT.parent / "shared", PROJECT.parent.parent / "shared")
    return next((folder for folder in folders if (folder / "models").is_dir()), None)


def samples(name: str, data: bytes, shared: Path) -> list[np.ndarray]:
    """Return a few inputs in the model's own type: real ones where there are any."""
    spec = tensor_specs(data)[0][0]
    if name == "kws01":
        return list(np.load(shared / "data/kws01/kws01_1000.npz")["x_int8"][:6][:, None])
    if name == "ic01":
        pictures = sorted((shared / "data/cifar10/test").glob("*/*.jpg"))[::250]
        return [
            (ImagePreprocess.for_input(spec.shape).pixels(p)[None] ^ 0x80).view(np.int8) for p in pictures
        ]
    if len(spec.shape) == 4 and spec.shape[3] == 3:
        preprocess = ImagePreprocess.for_input(spec.shape)
        pictures = [p for p in sorted((shared / "data/images").iterdir()) if p.suffix in (".bmp", ".jpg")]
        levels = [preprocess.pixels(p)[None] for p in pictures[:4]]
        return [(x ^ 0x80).view(np.int8) if spec.dtype == "int8" else x for x in levels]
    rng = np.random.default_rng(1)
    return [np.clip(rng.normal(0, 40, spec.shape), -128, 127).astype(spec.dtype) for _ in range(4)]


def bundles() -> dict[str, Path]:
    """Return the bundles to run, by name."""
    place = CACHE / "bundles"
    shutil.rmtree(place, ignore_errors=True)
    found = {"tiny": make_bundle(place / "tiny")}
    shared = shared_folder()
    for name, path in MODELS.items() if shared else ():
        data = (shared / "models" / path).read_bytes()
        golden = samples(name, data, shared)
        pictures = np.shape(golden[0])[1:] == (224, 224, 3)
        fields = {"preprocess": ImagePreprocess(224, 224, range=(-1, 1))} if pictures else {}
        found[name] = make_bundle(place / name, data, golden=golden, name=name, **fields)
    for shipped in sorted((PROJECT / "sample_apps").glob("*/bundle/manifest.json")):
        found[shipped.parent.parent.name] = shipped.parent
    digits = PROJECT / "examples" / "digits"
    for built in sorted(
        [*PROJECT.glob("build/*/rpi/manifest.json"), *digits.glob("build/*/rpi/manifest.json")]
    ):
        found[built.parent.parent.name] = built.parent
    if "digits" not in found:
        call(
            sys.executable,
            "-m",
            "qedge",
            "build",
            "-t",
            "rpi",
            "-o",
            str(place),
            cwd=digits,
            env=with_qedge(),
        )
        found["digits"] = place / "digits" / "rpi"
    return found


def with_qedge() -> dict[str, str]:
    """Return the environment in which this project's qedge is the one that Python finds."""
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "targets"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path.strip(os.pathsep), "PYTHONWARNINGS": "ignore"}


def emulator(arch: str, binding: str, *, count: bool = False, path: Sequence[object] = ()) -> list[str]:
    """Return the command that is the emulated Pi's Python, with the binding and ``path`` to import from."""
    return interpreter(arch, [site_of(arch, binding), *path], plugin() if count else None)


def guest(arch: str, binding: str, script: str, *arguments: str) -> tuple[list[dict], list[int]]:
    """Return what a script prints in the emulated Pi, and the plug-in's marks."""
    command = emulator(arch, binding, count=True, path=[PROJECT, PROJECT / "targets", entry_points_folder()])
    return systems.guest(command, f"bytecode-{arch}-{binding}", script, *arguments)


def cold_start(arch: str, binding: str, bundle: Path) -> dict[str, float]:
    """Return the instructions from the start of the process to the first inference, bare and by qedge."""
    totals, after = {}, {}
    for kind in ("bare", "qedge"):
        numpy, totals[kind] = guest(arch, binding, "start.py", kind, BINDINGS[binding][1], str(bundle))[1]
        after[kind] = totals[kind] - numpy
    return {**totals, "more_percent": 100 * (after["qedge"] - after["bare"]) / totals["bare"]}


def deployed(words: Sequence[str], bundle: Path) -> dict[str, object]:
    """Return what ``qedge deploy`` says of the emulated system whose Python ``words`` start; only the network is
    missing in between."""
    scratch = Path(tempfile.mkdtemp(prefix="qedge-deploy-"))
    try:
        pi = EmulatedPi(words, scratch / "pi")
        disk = str(scratch / "disk")
        return deploy(bundle, "pi", ssh=(str(pi.ssh),), root=disk, python=str(pi.python), runs=0)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def entry_points_folder() -> Path:
    """Return a folder with qedge's entry points, as an installed wheel has them."""
    info = CACHE / "installed" / "qedge-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "entry_points.txt").write_text("[qedge.runtimes]\nrpi = qedge_rpi.runtime:open_runtime\n")
    return info.parent


def one(arch: str, binding: str, wanted: dict[str, Path]) -> dict[str, list[dict]]:
    """Return what :func:`run` returns, for one architecture and binding."""
    here = {"arch": arch, "binding": binding}
    arguments = [f"{path}={COUNTED[name]}" if name in COUNTED else str(path) for name, path in wanted.items()]
    reports, marks = guest(arch, binding, "guest.py", binding, *arguments)
    golden = [{**here, **report, "bundle": name} for name, report in zip(wanted, reports, strict=True)]
    instructions = []
    for k, name in enumerate(n for n in wanted if n in COUNTED):
        first, second, third, fourth = (m / COUNTED[name] for m in marks[4 * k : 4 * k + 4])
        bare, ours = second - first, fourth - third
        figures = {"bundle": name, "bare": bare, "qedge": ours, "more_percent": 100 * (ours - bare) / bare}
        instructions.append({**here, **figures})
    starts = [
        {**here, "bundle": name, **cold_start(arch, binding, wanted[name])}
        for name in STARTED
        if name in wanted
    ]
    deployment = deployed(emulator(arch, binding), wanted["digits"])
    deployment["needs"] = list(packages_for(deployment["device"]))
    deployment["megabytes"] = megabytes(site_of(arch, binding))
    return {
        "golden": golden,
        "instructions": instructions,
        "cold_start": starts,
        "deploy": [{**here, "bundle": "digits", **deployment}],
    }


def run(arches: Sequence[str]) -> dict[str, list[dict]]:
    """Return {golden, instructions, cold_start, deploy}: one entry a bundle, binding and architecture."""
    if platform.system() != "Linux" or "bookworm" not in Path("/etc/os-release").read_text():
        sys.exit("needs Debian 12 (bookworm), whose packages make the emulated system")
    wanted = bundles()
    pairs = [(arch, binding) for arch in arches for binding in ARCHES[arch] if binding in BINDINGS]
    plugin()
    for arch, binding in pairs:
        qemu(SYSTEMS[arch].emulator)
        root_of(arch), site_of(arch, binding)
    # The slowest first, so that none is left over at the end.
    with ThreadPoolExecutor(max_workers=cores.available()) as pool:
        results = list(pool.map(lambda pair: one(*pair, wanted), reversed(pairs)))
    return {key: [entry for result in reversed(results) for entry in result[key]] for key in results[0]}


def main() -> int:
    """Print the tables; 1 when anything fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=sorted(ARCHES))
    options = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    found = run([options.only] if options.only else sorted(ARCHES))
    failed = [g for g in found["golden"] if not g["passed"]]
    failed += [i for i in found["instructions"] if i["more_percent"] > ALLOWED_PERCENT]
    # A 32-bit core hashes without SHA instructions, which a model of megabytes takes a fifth of its start.
    failed += [
        s for s in found["cold_start"] if s["arch"] == "arm64" and s["more_percent"] > ALLOWED_START_PERCENT
    ]
    failed += [d for d in found["deploy"] if not d["verify"]["passed"] or not d["device"]["board"]]
    if options.json:
        print(json.dumps(found, indent=2))
        return 1 if failed else 0
    for g in found["golden"]:
        verdict = "pass" if g["passed"] else "FAIL"
        print(f"{g['arch']:6} {g['binding']:15} {g['bundle']:14} {verdict}  {g['samples']} samples, "
              f"{g['differing_values']} values differ, by at most {g['max_difference']:g}"
              + (f", {g['sqnr_db']:.1f} dB" if g["sqnr_db"] else ""))  # fmt: skip
    for i in found["instructions"]:
        print(f"{i['arch']:6} {i['binding']:15} {i['bundle']:14} {i['bare']:14,.0f} instructions bare, "
              f"{i['qedge']:14,.0f} by qedge: {i['more_percent']:+.2f} %")  # fmt: skip
    for s in found["cold_start"]:
        print(f"{s['arch']:6} {s['binding']:15} {s['bundle']:14} {s['bare']:14,.0f} instructions to the first result, "
              f"{s['qedge']:14,.0f} by qedge: {s['more_percent']:+.2f} %")  # fmt: skip
    for d in found["deploy"]:
        device = d["device"]
        system = f"{device['board']}, {device['arch']}, Python {'.'.join(map(str, device['python']))}"
        print(f"{d['arch']:6} {d['binding']:15} {d['bundle']:14} deployed to {system}: "
              f"{d['verify']['samples']} samples pass, binding {d['megabytes']:.0f} MB beside numpy")  # fmt: skip
    for entry in failed:
        print("FAILED:", json.dumps(entry))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
