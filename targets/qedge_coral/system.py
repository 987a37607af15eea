"""Facts about this system that decide whether an Edge TPU can run: library, binding, groups, page size."""

from __future__ import annotations

import ctypes.util
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

LIBRARY = {"darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}.get(sys.platform, "libedgetpu.so.1")
VARIABLE = "QEDGE_LIBEDGETPU"
FOLDERS = ("usr/lib/{arch}-linux-gnu", "usr/local/lib", "usr/lib", "lib", "opt/edgetpu/lib")

INSTALL_LIBRARY = (
    "download libedgetpu1-std for your system from https://github.com/feranick/libedgetpu/releases,"
    " then: sudo apt install ./libedgetpu1-std_*.deb, and plug the device in again"
)
APT_SOURCE = (
    "curl -fsSL https://packages.cloud.google.com/apt/doc/apt-key.gpg"
    " | sudo gpg --dearmor -o /usr/share/keyrings/coral.gpg"
    ' && echo "deb [signed-by=/usr/share/keyrings/coral.gpg] https://packages.cloud.google.com/apt'
    ' coral-edgetpu-stable main" | sudo tee /etc/apt/sources.list.d/coral.list && sudo apt update'
)
"""Google's repository, which has the compiler and the PCIe driver: no distribution has either."""
INSTALL_COMPILER = f"{APT_SOURCE} && sudo apt install edgetpu-compiler"
INSTALL_DRIVER = (
    f"{APT_SOURCE} && sudo apt install gasket-dkms && sudo modprobe apex; from Linux 6.4 on gasket-dkms 1.0-18 does"
    " not build (raspberrypi/linux#6799), from 6.12 on neither does the newest source: build it with the patch of"
    " google/gasket-driver#35"
)
JOIN_APEX = "sudo groupadd -f apex && sudo usermod -aG apex $USER, then log in again"
ADD_UDEV_RULE = (
    'echo \'SUBSYSTEM=="usb", ATTRS{idVendor}=="1a6e", GROUP="plugdev"\nSUBSYSTEM=="usb",'
    ' ATTRS{idVendor}=="18d1", GROUP="plugdev"\' | sudo tee /etc/udev/rules.d/60-edgetpu.rules'
    " && sudo udevadm control --reload && sudo udevadm trigger, and plug the device in again"
)
JOIN_GROUP = "sudo usermod -aG plugdev $USER, then log in again and plug the device in again"
SMALL_PAGES = "add the line kernel=kernel8.img to /boot/firmware/config.txt and reboot (4 KiB pages)"

BINDINGS = ("ai-edge-litert", "tflite-runtime", "tensorflow")
KNOWN_GOOD_TEXT = (
    "libedgetpu 16.0TF2.17.1 with tflite-runtime 2.17.1 (wheels beside the library, not on the index)",
    "libedgetpu 16.0TF2.19.1 with ai-edge-litert 2.1 or newer (expected: built from one generation)",
)
FIRST_NEW_TFLITE = (2, 6)
"""Google's build 16.0 is of TensorFlow 2.5. With 2.10 and 2.11.1 it worked for some (google-coral/edgetpu#812, #666)
and crashed for others (#731), so that a later interpreter counts as a mismatch."""


def find_library(base: Path = Path("/")) -> str | None:
    """Return the path of libedgetpu: the environment's, then the library folders'; None without it."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if folder and Path(folder, LIBRARY).exists():
            return str(Path(folder, LIBRARY))
    for folder in FOLDERS:
        path = base / folder.format(arch=platform.machine()) / LIBRARY
        if path.exists():
            return str(path)
    return ctypes.util.find_library("edgetpu") if base == Path("/") else None


def package_version(base: Path = Path("/")) -> str | None:
    """Return the version of the Debian package of libedgetpu, for instance ``16.0tf2.17.1-1``, or None."""
    try:
        text = (base / "var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for block in text.split("\n\n"):
        if re.search(r"^Package: libedgetpu1-(std|max)$", block, re.M) and "ok installed" in block:
            found = re.search(r"^Version: (\S+)$", block, re.M)
            return found[1] if found else None
    return None


def binding() -> tuple[str, str] | None:
    """Return the TFLite binding that would be used, name and version; None when none is installed."""
    for name in BINDINGS:
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def tensorflow_of(version: str | None) -> tuple[int, ...] | None:
    """Return the TensorFlow version that a libedgetpu package was built with, or None where it is unknown.

    >>> tensorflow_of("16.0tf2.17.1-1"), tensorflow_of("16.0")
    ((2, 17, 1), (2, 5))
    """
    if version is None:
        return None
    found = re.search(r"tf(\d+)\.(\d+)(?:\.(\d+))?", version, re.IGNORECASE)
    if found:
        return tuple(int(part) for part in found.groups() if part)
    return (2, 5) if re.match(r"^1[3-6]\.", version) else None


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``(2, 17, 1)`` for ``2.17.1.post1``."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def mismatch(found: tuple[str, str], version: str | None) -> str | None:
    """Return why this binding and this libedgetpu crash together; None where nothing says they do."""
    built = tensorflow_of(version)
    name, of = found[0], numbers(found[1])
    if (
        built is not None
        and built < FIRST_NEW_TFLITE
        and (name == "ai-edge-litert" or of >= FIRST_NEW_TFLITE)
    ):
        return "Google's build of 2021 crashed for many with interpreters newer than TensorFlow 2.5"
    return None


def is_known_good(found: tuple[str, str], version: str | None) -> bool:
    """Return whether the two are known to run together."""
    built = tensorflow_of(version)
    if built is None:
        return False
    name, of = found[0], numbers(found[1])
    if name == "ai-edge-litert":
        return built >= (2, 19) and of[:2] >= (2, 1)
    return built[:2] == of[:2]


def udev_rule(base: Path = Path("/")) -> Path | None:
    """Return the udev rule that lets a group use the USB Accelerator, or None."""
    for folder in ("etc/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d"):
        try:
            rules = sorted((base / folder).glob("*.rules"))
        except OSError:
            continue
        for rule in rules:
            try:
                text = rule.read_text(encoding="utf-8", errors="replace").lower()
            except OSError:
                continue
            if "1a6e" in text and "18d1" in text:
                return rule
    return None


def in_group(name: str, base: Path = Path("/")) -> bool:
    """Return whether this process is in a group of the system at ``base``, or is root."""
    if os.geteuid() == 0:
        return True
    try:
        lines = (base / "etc/group").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    identities = {int(f[2]) for f in (line.split(":") for line in lines) if f[0] == name and f[2].isdigit()}
    return bool(identities & {*os.getgroups(), os.getegid()})


def page_bytes() -> int:
    """Return the size of a memory page of the running kernel in bytes."""
    return int(os.sysconf("SC_PAGE_SIZE"))
