"""What compiling for and running on an Edge TPU need, whether it is here, and the command that mends it."""

from __future__ import annotations

import os
from pathlib import Path

from qedge.errors import ToolError
from qedge.installing import install_command
from qedge.target import Requirement
from qedge_coral import compile as driver
from qedge_coral import devices, system


def requirements(root: str | os.PathLike[str] = "/") -> list[Requirement]:
    """Return all requirements; ``root`` is the folder that holds ``sys``, ``dev``, ``proc`` and ``etc``."""
    base = Path(root)
    found = devices.scan(base)
    return [
        _compiler(),
        _library(base),
        _combination(base),
        *_devices(found),
        *_usb(base, found),
        *_pcie(base, found),
    ]


def _compiler() -> Requirement:
    try:
        program = driver.find({})
    except ToolError as problem:
        return Requirement("edgetpu_compiler", False, problem.message, problem.hint)
    if program is not None:
        return Requirement("edgetpu_compiler", True, str(program))
    detail = "not here: bundles carry COMPILE.md with the command to run elsewhere"
    if os.uname().machine != "x86_64":
        # there is no package for other machines: COMPILE.md has a container that does it
        return Requirement("edgetpu_compiler", None, f"{detail} (it is a program for x86-64 Linux)")
    return Requirement("edgetpu_compiler", None, detail, system.INSTALL_COMPILER)


def _library(base: Path) -> Requirement:
    path = system.find_library(base)
    if path is None:
        detail = f"{system.LIBRARY} is in none of the library folders"
        return Requirement("libedgetpu", None, detail, system.INSTALL_LIBRARY)
    version = system.package_version(base)
    return Requirement("libedgetpu", True, f"{path}, {version or 'installed by hand'}")


def _combination(base: Path) -> Requirement:
    binding = system.binding()
    if binding is None:
        return Requirement("TFLite binding", False, "none is installed", install_command("coral"))
    version = system.package_version(base)
    problem = system.mismatch(binding, version)
    here = f"{binding[0]} {binding[1]} with libedgetpu {version or 'of unknown version'}"
    if problem is not None:
        return Requirement("versions together", False, f"{here}: {problem}", system.INSTALL_LIBRARY)
    known = system.is_known_good(binding, version)
    detail = here if known else f"{here}; known good: {'; '.join(system.KNOWN_GOOD_TEXT)}"
    return Requirement("versions together", True if known else None, detail)


def _devices(found: list[devices.Device]) -> list[Requirement]:
    if not found:
        return [Requirement("Edge TPU", None, "none is plugged in: bundles run on the CPU")]
    lines = []
    for d in found:
        facts = [d.name, d.node or "no driver"]
        if d.kind == "usb":
            facts.append(
                "firmware loaded" if d.ready else "firmware not loaded yet (normal before first use)"
            )
            if d.usb_mbit is not None:
                facts.append(f"{d.usb_mbit} Mbit/s")
        if d.temperature_c is not None:
            facts.append(f"{d.temperature_c:.1f} degrees Celsius")
        lines.append(Requirement(f"Edge TPU {d.name}", d.node is not None, ", ".join(facts)))
    return lines


def _usb(base: Path, found: list[devices.Device]) -> list[Requirement]:
    attached = [d for d in found if d.kind == "usb"]
    if not attached:
        return []
    rule = system.udev_rule(base)
    rows = [
        Requirement(
            "udev rule", rule is not None, str(rule or "none for the USB Accelerator"), system.ADD_UDEV_RULE
        ),
        Requirement(
            "group plugdev",
            system.in_group("plugdev", base) or all(d.accessible for d in attached),
            "the device file is accessible" if all(d.accessible for d in attached) else "no access",
            system.JOIN_GROUP,
        ),
    ]
    slow = [d for d in attached if d.usb_mbit is not None and d.usb_mbit < 5000]
    if slow:
        detail = f"{slow[0].name} runs at {slow[0].usb_mbit} Mbit/s: streamed parameters are slow"
        rows.append(
            Requirement("USB 3", None, detail, "use a blue USB 3 port and the cable that came with it")
        )
    return rows


def _pcie(base: Path, found: list[devices.Device]) -> list[Requirement]:
    attached = [d for d in found if d.kind == "pci"]
    if not attached:
        return []
    loaded = (base / "sys/module/apex").is_dir()
    rows = [
        Requirement(
            "kernel module apex", loaded, "loaded" if loaded else "not loaded", system.INSTALL_DRIVER
        ),
        Requirement(
            "group apex",
            all(d.accessible for d in attached),
            "the device file is accessible" if all(d.accessible for d in attached) else "no access",
            system.JOIN_APEX,
        ),
    ]
    size = system.page_bytes()
    if size != 4096:
        detail = f"{size} bytes: the driver of PCIe modules needs 4096"
        rows.append(Requirement("page size", False, detail, system.SMALL_PAGES))
    return rows
