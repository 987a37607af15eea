"""Edge TPUs that the kernel knows of, from sysfs alone: no library is loaded, nothing is opened.

A USB Accelerator shows up as ``1a6e:089a`` until its firmware is loaded (libedgetpu does that when it
first opens it) and as ``18d1:9302`` after that; PCIe and M.2 modules are ``1ac1:089a`` and, with the driver,
``/dev/apex_N``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USB_BEFORE_FIRMWARE = ("1a6e", "089a")
USB_READY = ("18d1", "9302")
PCI_ID = ("0x1ac1", "0x089a")


@dataclass(frozen=True)
class Device:
    """One Edge TPU.

    Args:
        name: as the library counts them: ``usb:0``, ``pci:1``.
        node: device file that must be readable and writable; None for a PCIe module without its driver.
        ready: False for a USB Accelerator whose firmware is not loaded yet, or a module without driver.
        accessible: whether this user may open the device file.
        usb_mbit: speed of the USB link: 480 is USB 2, 5000 USB 3; None for PCIe.
        temperature_c: degrees Celsius where sysfs has it (PCIe), or None.
    """

    name: str
    kind: str
    node: str | None
    ready: bool
    accessible: bool
    usb_mbit: int | None = None
    temperature_c: float | None = None
    power_ma: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return dict(vars(self))


def scan(root: str | os.PathLike[str] = "/") -> list[Device]:
    """Return all Edge TPUs, USB first; ``root`` is the folder that holds ``sys`` and ``dev``."""
    base = Path(root)
    return [*_usb(base), *_pci(base)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    digits = _text(path).removesuffix("mA")
    return int(digits) if digits.lstrip("-").isdigit() else None


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _usable(node: Path) -> bool:
    return os.access(node, os.R_OK | os.W_OK)


def _usb(root: Path) -> list[Device]:
    found: list[Device] = []
    for entry in _listed(root / "sys/bus/usb/devices"):
        identity = (_text(entry / "idVendor"), _text(entry / "idProduct"))
        if identity not in (USB_BEFORE_FIRMWARE, USB_READY):
            continue
        bus, address = _number(entry / "busnum") or 0, _number(entry / "devnum") or 0
        node = root / f"dev/bus/usb/{bus:03d}/{address:03d}"
        found.append(
            Device(
                name=f"usb:{len(found)}",
                kind="usb",
                node=str(node),
                ready=identity == USB_READY,
                accessible=_usable(node),
                usb_mbit=_number(entry / "speed"),
                power_ma=_number(entry / "bMaxPower"),
            )
        )
    return found


def _pci(root: Path) -> list[Device]:
    found: list[Device] = []
    for entry in _listed(root / "sys/class/apex"):
        node = root / "dev" / entry.name
        found.append(
            Device(
                name=f"pci:{len(found)}",
                kind="pci",
                node=str(node),
                ready=True,
                accessible=_usable(node),
                temperature_c=temperature_c(entry),
            )
        )
    modules = [
        entry
        for entry in _listed(root / "sys/bus/pci/devices")
        if (_text(entry / "vendor"), _text(entry / "device")) == PCI_ID
    ]
    for _ in modules[len(found) :]:
        found.append(Device(f"pci:{len(found)}", "pci", None, ready=False, accessible=False))
    return found


def temperature_c(apex: Path) -> float | None:
    """Return the temperature of a PCIe module in degrees Celsius (sysfs has thousandths), or None."""
    value = _number(apex / "temp")
    return None if value is None else value / 1000


def holders(node: str, root: str | os.PathLike[str] = "/") -> list[str]:
    """Return the processes that have the device file open, as ``name (pid)``, as far as this user may see."""
    found = []
    for process in _listed(Path(root) / "proc"):
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        for descriptor in _listed(process / "fd"):
            try:
                target = os.readlink(descriptor)
            except OSError:
                continue
            if target == node:
                found.append(f"{_text(process / 'comm') or 'process'} ({process.name})")
                break
    return found
