"""An emulated Raspberry Pi: arm64 and armhf Python from Debian's packages, no chroot, no image, no binfmt.

Run: python tests/emulated/run.py [--json] [--only arm64|armhf]. On Debian 12, as root (installs qemu-user).
Every bundle's golden vectors must pass (qedge.runtime.golden says what passes) with every binding; where the
models beside the project are there, instructions per inference must be within 2 % of the bare binding.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "targets"), str(PROJECT / "tests" / "unit")]

from tiny_bundles import make_bundle  # noqa: E402

from qedge.processing.image import ImagePreprocess  # noqa: E402
from qedge.runtime.litert import BINDINGS, tensor_specs  # noqa: E402

CACHE = Path(os.environ.get("QEDGE_EMULATED", Path.home() / ".cache" / "qedge" / "emulated"))
ALLOWED_PERCENT = 2.0
ALLOWED_START_PERCENT = 10.0
PACKAGES = (
    "libc6", "libgcc-s1", "libstdc++6", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib",
    "zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libuuid1", "libcrypt1", "libgomp1",
)  # fmt: skip
# No numpy below 2 has an armv7l wheel, but Debian's own does.
NUMPY_DEBS = ("python3-numpy", "libblas3", "liblapack3", "libgfortran5", "libatomic1")
CPUINFO = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

Revision\t: c03115
Model\t\t: Raspberry Pi 4 Model B Rev 1.5
"""
ARCHES = {
    "arm64": ("qemu-aarch64", "cortex-a72", {
        "ai-edge-litert": ("aarch64", ("numpy", "ai-edge-litert>=2.1.2")),
        "tflite-runtime": ("aarch64", ("numpy<2", "tflite-runtime==2.14.0")),
    }),
    "armhf": ("qemu-arm", "cortex-a7", {
        "tflite-runtime": ("armv7l", ("tflite-runtime==2.14.0",)),
    }),
}  # fmt: skip
MODELS = {
    "kws01": "mlperf_tiny/kws01_dscnn_int8.tflite",
    "ic01": "mlperf_tiny/ic01_resnet8_int8.tflite",
    "ad01": "mlperf_tiny/ad01_int8.tflite",
    "vww01": "mlperf_tiny/vww01_mobilenet_int8.tflite",
    "sww01": "mlperf_tiny/sww01_int8.tflite",
    "mobilenet_v2": "coral/tf2_mobilenet_v2_1.0_224_ptq.tflite",
}
COUNTED = {"kws01": 20, "ic01": 10, "mobilenet_v2": 2}


def call(*command: str, **options: object) -> str:
    """Return what a command prints; stop with its last lines when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"{' '.join(command[:6])} ...:\n{(done.stderr or done.stdout)[-2000:]}")
    return str(done.stdout)


def qemu(program: str) -> None:
    """Make sure that the emulator is there."""
    if shutil.which(program) is None:
        if os.geteuid() != 0:
            sys.exit(f"needs {program}: sudo apt install qemu-user")
        call("apt-get", "update")
        call("apt-get", "install", "-y", "--no-install-recommends", "qemu-user")


def root_of(arch: str) -> Path:
    """Return a folder with the Pi's system: Debian's packages unpacked, and what /proc says on a Pi 4."""
    root = CACHE / f"root-{arch}"
    if (root / "complete").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    apt = CACHE / f"apt-{arch}"
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    options = [
        f"-oDir::State={apt}", f"-oDir::State::lists={apt}/lists", f"-oDir::State::status={apt}/status",
        f"-oDir::Cache={apt}/cache", f"-oAPT::Architecture={arch}", f"-oAPT::Architectures={arch}",
        "-oAPT::Sandbox::User=root",
    ]  # fmt: skip
    # A repository of the host that lacks this architecture is no reason to stop: the download says what is missing.
    subprocess.run(["apt-get", *options, "update"], capture_output=True)
    wanted = PACKAGES + (NUMPY_DEBS if arch == "armhf" else ())
    call("apt-get", *options, "download", *wanted, cwd=apt / "debs")
    for deb in sorted((apt / "debs").glob("*.deb")):
        call("dpkg", "-x", str(deb), str(root))
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/cpuinfo").write_text(CPUINFO)
    (root / "proc/device-tree/model").write_text("Raspberry Pi 4 Model B Rev 1.5\0")
    for library in ("blas/libblas.so.3", "lapack/liblapack.so.3"):
        for found in root.glob(f"usr/lib/*/{library}"):
            (found.parent.parent / found.name).symlink_to(Path(*found.parts[-2:]))
    (root / "complete").touch()
    return root


def site_of(arch: str, binding: str) -> Path:
    """Return a folder with the wheels that a Pi of this architecture installs."""
    wheel_arch, packages = ARCHES[arch][2][binding]
    site = CACHE / f"site-{arch}-{binding}"
    if not (site / "complete").exists():
        shutil.rmtree(site, ignore_errors=True)
        tags = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux2014")
        platforms = [word for tag in tags for word in ("--platform", f"{tag}_{wheel_arch}")]
        dependencies = ["--no-deps"] if arch == "armhf" else []
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
            sys.exit("needs pip in this environment")
        call(*pip, *dependencies, "--target", str(site), *platforms, "--python-version", "311",
             "--only-binary=:all:", *packages)  # fmt: skip
        (site / "complete").touch()
    return site


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
    """Return the bundles to run: a tiny one, and those of the models beside the project."""
    place = CACHE / "bundles"
    shutil.rmtree(place, ignore_errors=True)
    found = {"tiny": make_bundle(place / "tiny")}
    shared = shared_folder()
    for name, path in MODELS.items() if shared else ():
        data = (shared / "models" / path).read_bytes()
        found[name] = make_bundle(place / name, data, golden=samples(name, data, shared), name=name)
    for built in sorted((PROJECT / "build").glob("*/rpi/manifest.json")):
        found[built.parent.parent.name] = built.parent
    return found


def guest(
    arch: str, binding: str, *arguments: str, script: str = "guest.py", count: bool = False
) -> tuple[list[dict], list[int]]:
    """Return what a script prints in the emulated Pi, and the plug-in's marks."""
    program, cpu, _ = ARCHES[arch]
    root = root_of(arch)
    paths = [site_of(arch, binding), PROJECT, PROJECT / "targets", entry_points_folder()]
    counting = ["-plugin", str(plugin())] if count else []
    # Byte code is cached, as pip leaves it.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(CACHE / f"bytecode-{arch}")
    done = subprocess.run(
        [program, "-cpu", cpu, *counting, "-L", str(root), "-E", f"PYTHONPATH={':'.join(map(str, paths))}",
         str(root / "usr/bin/python3.11"), str(HERE / script), *arguments],
        capture_output=True, text=True, timeout=1200, env=environment,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{arch} {binding}: failed in the emulator\n{done.stderr[-3000:]}")
    marks = [int(line.split()[1]) for line in done.stderr.splitlines() if line.startswith("INSN ")]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], marks


def cold_start(arch: str, binding: str, bundle: Path) -> dict[str, float]:
    """Return the instructions from the start of the process to the first inference, bare and by qedge."""
    totals = {}
    for kind in ("bare", "qedge"):
        arguments = (kind, BINDINGS[binding][1], str(bundle))
        guest(arch, binding, *arguments, script="start.py")
        totals[kind] = guest(arch, binding, *arguments, script="start.py", count=True)[1][-1]
    return {**totals, "more_percent": 100 * (totals["qedge"] / totals["bare"] - 1)}


def entry_points_folder() -> Path:
    """Return a folder with qedge's entry points, as an installed wheel has them."""
    info = CACHE / "installed" / "qedge-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "entry_points.txt").write_text("[qedge.runtimes]\nrpi = qedge_rpi.runtime:open_runtime\n")
    return info.parent


def run(arches: Sequence[str]) -> dict[str, list[dict]]:
    """Return {golden, instructions, cold_start}: one entry a bundle, binding and architecture."""
    if platform.system() != "Linux" or "bookworm" not in Path("/etc/os-release").read_text():
        sys.exit("needs Debian 12 (bookworm), whose packages make the emulated system")
    wanted = bundles()
    golden: list[dict] = []
    instructions: list[dict] = []
    starts: list[dict] = []
    for arch in arches:
        qemu(ARCHES[arch][0])
        for binding in ARCHES[arch][2]:
            reports, _ = guest(arch, binding, binding, "0", *map(str, wanted.values()))
            for name, report in zip(wanted, reports, strict=True):
                golden.append({"arch": arch, "binding": binding, **report, "bundle": name})
            for name, count in COUNTED.items():
                if name not in wanted:
                    continue
                _, marks = guest(arch, binding, binding, str(count), str(wanted[name]), count=True)
                bare, ours = (marks[1] - marks[0]) / count, (marks[3] - marks[2]) / count
                percent = 100 * (ours - bare) / bare
                entry = {"arch": arch, "binding": binding, "bundle": name, "bare": bare, "qedge": ours}
                instructions.append({**entry, "more_percent": percent})
            small = "kws01" if "kws01" in wanted else "tiny"
            entry = {"arch": arch, "binding": binding, "bundle": small}
            starts.append({**entry, **cold_start(arch, binding, wanted[small])})
    return {"golden": golden, "instructions": instructions, "cold_start": starts}


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
    failed += [s for s in found["cold_start"] if s["more_percent"] > ALLOWED_START_PERCENT]
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
    for entry in failed:
        print("FAILED:", json.dumps(entry))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
