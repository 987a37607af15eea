"""Every way in which an Edge TPU does not start or stops, as one error with its cause and its fix.

The findings of an error hold its rule: ``no-library``, ``no-device``, ``no-permission`` ...
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path

from qedge.errors import ToolError, UsageError
from qedge.findings import Finding
from qedge_coral import devices, system

_ELF_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_SAME = {"amd64": "x86_64", "arm64": "aarch64", "armv6l": "armv7l", "i386": "i686"}
_DEVICE = re.compile(r"^(?:(usb|pci)?(?::(\d+))?)$")
REPLUG = "plug the device in again, into a USB 3 port or a powered hub, with the cable that came with it"
_OTHER_PROCESS = "end that program, or use another Edge TPU: only one process at a time can have one"


class EdgeTpuError(ToolError):
    """An Edge TPU that cannot be used; ``rule`` says which failure it is."""

    @property
    def rule(self) -> str:
        """Stable identifier of the failure, for instance ``no-permission``."""
        return self.findings[0].rule if self.findings else "edgetpu"


def failure(rule: str, message: str, hint: str) -> EdgeTpuError:
    """Return the error for one failure."""
    return EdgeTpuError(message, hint=hint, findings=(Finding("error", rule, message, hint),))


def parse_device(name: str | None) -> str:
    """Return the device as libedgetpu wants it: empty for any, ``usb``, ``pci``, ``:0``, ``usb:1``.

    Raises:
        UsageError: any other name.
    """
    wanted = "" if name in (None, "any", "edgetpu") else str(name)
    if not _DEVICE.match(wanted):
        raise UsageError(
            f"device: found {name!r}, expected usb, pci, usb:N, pci:N, :N, all or cpu",
            hint="qedge doctor lists the Edge TPUs that are here; leave the device away for any of them",
        )
    return wanted


def check_library(path: str, machine: str) -> None:
    """Raise unless ``path`` could be a library for this machine; a bare name is left to the loader."""
    if "/" not in path:
        return
    try:
        with open(path, "rb") as file:
            head = file.read(20)
    except OSError as problem:
        raise failure(
            "no-library", f"libedgetpu: {path} cannot be read: {problem.strerror}", system.INSTALL_LIBRARY
        ) from None
    if path.endswith((".dylib", ".dll")):
        return
    if head[:4] != b"\x7fELF" or len(head) < 20:
        raise failure("not-a-library", f"libedgetpu: {path} is no shared library", system.INSTALL_LIBRARY)
    found = _ELF_MACHINES.get(struct.unpack_from("<H", head, 18)[0], "another machine")
    here = _SAME.get(machine.lower(), machine)
    if found != here:
        raise failure(
            "wrong-architecture",
            f"libedgetpu: {path} is for {found}, this Python runs on {here}",
            f"install the package for {here}; " + system.INSTALL_LIBRARY,
        )


def from_loader(path: str, problem: BaseException) -> EdgeTpuError:
    """Return the error for a library that the system's loader refuses."""
    text = " ".join(str(problem).split())
    if "libusb" in text:
        return failure("no-libusb", f"libedgetpu needs libusb-1.0: {text}", "sudo apt install libusb-1.0-0")
    if re.search(r"GLIBC(XX)?_[\d.]+", text):
        return failure(
            "old-system",
            f"libedgetpu was built for a newer system: {text}",
            "install the package that was built for this release of your system; " + system.INSTALL_LIBRARY,
        )
    if "wrong ELF class" in text or "invalid ELF" in text:
        return failure("wrong-architecture", f"libedgetpu: {text}", system.INSTALL_LIBRARY)
    if isinstance(problem, AttributeError) or "undefined symbol" in text:
        return failure(
            "not-libedgetpu",
            f"{path} is no libedgetpu for TensorFlow Lite: {text}",
            f"unset {system.VARIABLE} or point it to libedgetpu; " + system.INSTALL_LIBRARY,
        )
    return failure("no-library", f"libedgetpu cannot be loaded: {text}", system.INSTALL_LIBRARY)


def from_open(wanted: str, reason: str, root: str | Path = "/") -> EdgeTpuError:
    """Return why no Edge TPU could be opened, from what sysfs shows; the library itself says nothing."""
    found = devices.scan(root)
    kind = wanted.split(":")[0]
    matching = [d for d in found if not kind or d.kind == kind]
    if reason:
        return failure("refused", f"libedgetpu refuses the device: {reason}", REPLUG)
    if not found:
        return failure(
            "no-device",
            "no Edge TPU is plugged in: none on USB (1a6e:089a, 18d1:9302) and none on PCIe (1ac1:089a)",
            "plug one in; on a Raspberry Pi 5 enable PCIe for an M.2 module: dtparam=pciex1 in config.txt",
        )
    if not matching:
        here = ", ".join(d.name for d in found)
        return failure("no-such-device", f"no Edge TPU {wanted!r}; here: {here}", f"use one of: {here}")
    if ":" in wanted:
        index = int(wanted.split(":")[1])
        if index >= len(matching):
            here = ", ".join(d.name for d in matching)
            return failure("no-such-device", f"no Edge TPU {wanted!r}; here: {here}", f"use one of: {here}")
        matching = [matching[index]]
    return _from_devices(matching, root)


def _from_devices(matching: Sequence[devices.Device], root: str | Path) -> EdgeTpuError:
    first = matching[0]
    if all(d.node is None for d in matching):
        return failure(
            "no-driver",
            f"{first.name} is on the bus, but there is no /dev/apex: the driver is not loaded",
            system.INSTALL_DRIVER,
        )
    if first.kind == "pci" and system.page_bytes() != 4096:
        return failure(
            "page-size",
            f"the kernel has pages of {system.page_bytes()} bytes, the driver of {first.name} needs 4096",
            system.SMALL_PAGES,
        )
    if not any(d.accessible for d in matching):
        fix = system.JOIN_GROUP if first.kind == "usb" else system.JOIN_APEX
        if first.kind == "usb" and system.udev_rule(Path(root)) is None:
            return failure(
                "no-udev-rule",
                f"{first.name} is plugged in, but {first.node} is not open to this user and no udev rule is",
                f"{system.ADD_UDEV_RULE}; {fix}",
            )
        return failure(
            "no-permission", f"{first.name} is plugged in, but {first.node} is not open to this user", fix
        )
    users = [h for d in matching if d.node for h in devices.holders(d.node, root)]
    if users:
        return failure("busy", f"{first.name} is in use by {', '.join(users)}", _OTHER_PROCESS)
    if not any(d.ready for d in matching):
        return failure(
            "no-firmware", f"{first.name} does not take its firmware: it is still 1a6e:089a", REPLUG
        )
    return failure(
        "not-opened", f"{first.name} is plugged in and accessible, but does not open", f"{REPLUG}, or reboot"
    )


def from_prepare(problem: BaseException) -> EdgeTpuError:
    """Return why the interpreter did not take the compiled model with the delegate."""
    text = " ".join(str(problem).split())
    return failure(
        "not-prepared",
        f"libedgetpu does not take the compiled model: {text}",
        "interpreter and libedgetpu must be of one TensorFlow generation, and the model from compiler 16;"
        f" known good: {'; '.join(system.KNOWN_GOOD_TEXT)}",
    )


def from_run(name: str, present: Sequence[str], problem: BaseException) -> EdgeTpuError:
    """Return why an inference failed; ``present`` are the devices that sysfs shows now."""
    text = " ".join(str(problem).split())
    if name and name not in present:
        return failure("unplugged", f"{name} is gone in the middle of an inference: {text}", REPLUG)
    return failure("transfer-failed", f"the Edge TPU failed in the middle of an inference: {text}", REPLUG)


def from_crash(what: str, status: int, said: str) -> EdgeTpuError:
    """Return the error for a child process that the library took down."""
    how = f"signal {-status}" if status < 0 else f"status {status}"
    words = f"; its last words: {said}" if said else ""
    return failure("crashed", f"{what} ended with {how}{words}", REPLUG)


def incompatible(here: str, reason: str) -> EdgeTpuError:
    """Return the error for a binding and a library that crash together."""
    return failure(
        "versions",
        f"{here} do not fit together: {reason}",
        f"known good: {'; '.join(system.KNOWN_GOOD_TEXT)}; " + system.INSTALL_LIBRARY,
    )
