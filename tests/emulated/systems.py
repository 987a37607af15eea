"""Debian's own Python of another architecture, unpacked into a folder for qemu-user: no chroot, no image, no binfmt."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CACHE = Path(os.environ.get("QEDGE_EMULATED", Path.home() / ".cache" / "qedge" / "emulated"))
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = (
    "libc6", "libgcc-s1", "libstdc++6", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib",
    "zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libuuid1", "libcrypt1", "libgomp1",
)  # fmt: skip
TRIXIE = tuple(p.replace("3.11", "3.13").replace("libssl3", "libssl3t64") for p in PACKAGES)
# Debian's own numpy, where the index has no wheel below 2, or none at all.
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


class System(NamedTuple):
    """One emulated system.

    Args:
        emulator, cpu: program of qemu-user, and the core that it is to be.
        python: the interpreter's version.
        packages: of Debian, for the architecture that names the system.
        suite: other than the one that runs here.
    """

    emulator: str
    cpu: str
    python: str = "3.11"
    packages: tuple[str, ...] = PACKAGES
    suite: str | None = None


SYSTEMS = {
    "arm64": System("qemu-aarch64", "cortex-a72"),
    "armhf": System("qemu-arm", "cortex-a7", packages=PACKAGES + NUMPY_DEBS),
    # The first Raspberry Pi. Debian's armhf is for a newer core, so that its Python cannot run there; armel's can.
    "armel": System("qemu-arm", "arm1176", packages=PACKAGES + NUMPY_DEBS),
    "riscv64": System("qemu-riscv64", "rv64", "3.13", TRIXIE + NUMPY_DEBS, "trixie"),
}


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
    """Return a folder with the system: Debian's packages unpacked, and what /proc says on a Pi 4."""
    root, system = CACHE / f"root-{arch}", SYSTEMS[arch]
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
    if system.suite is not None:
        line = f"deb [signed-by={KEYRING}] http://deb.debian.org/debian {system.suite} main\n"
        (apt / "sources.list").write_text(line)
        options += [f"-oDir::Etc::sourcelist={apt}/sources.list", "-oDir::Etc::sourceparts=-"]
    # A repository of the host that lacks this architecture is no reason to stop: the download says what is missing.
    subprocess.run(["apt-get", *options, "update"], capture_output=True)
    call("apt-get", *options, "download", *system.packages, cwd=apt / "debs")
    for deb in sorted((apt / "debs").glob("*.deb")):
        call("dpkg", "-x", str(deb), str(root))
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")  # in trixie the packages have all of it below /usr
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/cpuinfo").write_text(CPUINFO)
    (root / "proc/device-tree/model").write_text("Raspberry Pi 4 Model B Rev 1.5\0")
    for library in ("blas/libblas.so.3", "lapack/liblapack.so.3"):
        for found in root.glob(f"usr/lib/*/{library}"):
            (found.parent.parent / found.name).symlink_to(Path(*found.parts[-2:]))
    (root / "complete").touch()
    return root


def interpreter(arch: str, path: Sequence[object], plugin: Path | None = None) -> list[str]:
    """Return the command that is the emulated system's Python, with ``path`` to import from."""
    system, root = SYSTEMS[arch], root_of(arch)
    counting = ["-plugin", str(plugin)] if plugin else []
    return [
        system.emulator, "-cpu", system.cpu, *counting, "-L", str(root),
        "-E", f"PYTHONPATH={':'.join(map(str, path))}", str(root / f"usr/bin/python{system.python}"),
    ]  # fmt: skip


def guest(
    command: Sequence[str], bytecode: str, script: str, *arguments: str
) -> tuple[list[dict], list[int]]:
    """Return the lines of JSON that a script of this folder prints under ``command``, and the plug-in's marks.

    Byte code is cached under the name ``bytecode``, as pip leaves it.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(CACHE / bytecode)
    done = subprocess.run(
        [*command, str(Path(__file__).resolve().parent / script), *arguments],
        capture_output=True, text=True, timeout=1200, env=environment,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{command[0]}: {script} failed in the emulator, {bytecode}\n{done.stderr[-3000:]}")
    marks = [int(line.split()[1]) for line in done.stderr.splitlines() if line.startswith("INSN ")]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], marks
