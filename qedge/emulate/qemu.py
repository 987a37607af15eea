"""Run functions of an image in QEMU: for the cores that unicorn lacks, and as a second opinion.

QEMU is driven through its debugger port, so that an image needs nothing but the code under test. A plug-in
counts instructions where a host compiler can build it and QEMU can load it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from qedge.emulate.cores import find_core
from qedge.emulate.elf import Elf
from qedge.emulate.machine import EmulationFault, Run
from qedge.emulate.toolchain import SUPPORT
from qedge.errors import ToolError, UsageError

_PROGRAMS = {"arm": "qemu-system-arm", "riscv": "qemu-system-riscv32"}
_PACKAGES = {"arm": "qemu-system-arm", "riscv": "qemu-system-misc"}
_FILL = 0xA5
_CHUNK = 1024


@dataclass(frozen=True)
class _Registers:
    """The debugger's numbers of the registers that a call needs; the first argument's also holds the value."""

    argument: int
    stack: int
    link: int
    counter: int


_REGISTERS = {"arm": _Registers(0, 13, 14, 15), "riscv": _Registers(10, 2, 1, 32)}


def qemu_available(core: str = "cortex-m55") -> bool:
    """Whether the QEMU that has ``core`` is installed."""
    return shutil.which(_PROGRAMS[find_core(core).arch]) is not None


@lru_cache(maxsize=2)
def qemu_version(arch: str = "arm") -> str:
    """Return QEMU's version line, for reports."""
    done = subprocess.run([_qemu(arch), "--version"], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.splitlines()[0] if done.stdout else "unknown"


class QemuMachine:
    """As `qedge.emulate.machine.Machine`, for a core that has a machine in QEMU; ends with its last use.

    Args:
        elf: an image linked by `qedge.emulate.toolchain.compile_c` for the same core.
        core: a name in `qedge.emulate.cores.CORES` with a QEMU machine.
        stack_bytes: part of the RAM that is watched for the deepest stack.
        count: whether to count instructions; the counts are 0 where that is not possible.
    """

    def __init__(
        self, elf: Elf, core: str = "cortex-m55", *, stack_bytes: int = 16 << 10, count: bool = True
    ) -> None:
        self.elf = elf
        self.core = find_core(core)
        if self.core.qemu is None:
            raise ToolError(f"QEMU has no machine for {core}", hint="emulate another core")
        self._stack_bytes = stack_bytes
        self._top = self.core.ram + self.core.ram_bytes
        used = [s.address + s.memory_bytes for s in elf.segments if s.address >= self.core.ram]
        self._next = max([self.core.ram, *used])
        self._big = self.core.big_ram
        self._folder = tempfile.TemporaryDirectory(prefix="qedge-")
        folder = Path(self._folder.name)
        (folder / "image.elf").write_bytes(elf.data)
        self._counts = folder / "counts"
        self._stop = elf.symbol("qe_returned").address
        self._registers = _REGISTERS[self.core.arch]
        program = _qemu(self.core.arch)
        command = [program, "-M", self.core.qemu, "-display", "none", "-monitor", "none", "-serial", "none"]
        command += ["-chardev", f"socket,id=gdb,path={folder}/gdb,server=on,wait=off", "-gdb", "chardev:gdb"]
        command += ["-kernel", str(folder / "image.elf"), "-S"]
        if self.core.arch == "riscv":
            command += ["-bios", "none"]
        plugin = _build_plugin(folder) if count else None
        if plugin is not None:
            command += ["-plugin", f"{plugin},marker={self._stop:#x},out={self._counts}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._end = weakref.finalize(self, _end, self._process, self._folder, link)
        try:
            self._port = _Debugger(link, folder / "gdb", self._process, program)
            # Single registers can only be written once the description of the target has been read.
            self._port.ask("qXfer:features:read:target.xml:0,ffb")
            self._port.ask(f"Z0,{self._stop + 2:x},2")
            self._resume("start-up", 30.0)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> QemuMachine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End QEMU and remove its files."""
        self._end()

    def allocate(self, size: int, align: int = 16) -> int:
        """Return the address of ``size`` bytes of RAM beyond the image's own data, zero at the start."""
        address = -(-self._next // align) * align
        if address + size <= self._top - self._stack_bytes:
            self._next = address + size
            return address
        if self._big is None:
            raise UsageError(f"{size} bytes do not fit the RAM of {self.core.qemu}")
        address = self._big
        self._big += -(-size // 4096) * 4096
        return address

    def address(self, where: str | int) -> int:
        """Return the address of a symbol, or ``where`` itself when it is a number."""
        return self.elf.symbol(where).address if isinstance(where, str) else where

    def write(self, where: str | int, data: bytes) -> None:
        """Write bytes at a symbol or an address."""
        address = self.address(where)
        for at in range(0, len(data), _CHUNK):
            part = bytes(data[at : at + _CHUNK])
            said = self._port.ask(f"M{address + at:x},{len(part):x}:{part.hex()}")
            if said != "OK":
                raise EmulationFault(f"cannot write {len(part)} bytes at {address + at:#x}: {said}")

    def read(self, where: str | int, size: int) -> bytes:
        """Read bytes at a symbol or an address."""
        address = self.address(where)
        found = bytearray()
        while len(found) < size:
            part = min(_CHUNK, size - len(found))
            said = self._port.ask(f"m{address + len(found):x},{part:x}")
            if len(said) != 2 * part:
                raise EmulationFault(f"cannot read {part} bytes at {address + len(found):#x}: {said}")
            found += bytes.fromhex(said)
        return bytes(found)

    def call(
        self, function: str, *arguments: int, trace: Collection[str] = (), seconds: float = 120.0
    ) -> Run:
        """Call ``function`` with up to four 32-bit arguments; nothing is traced or profiled."""
        if len(arguments) > 4:
            raise UsageError(f"{function} was given {len(arguments)} arguments, at most 4 go in registers")
        self.write(self._top - self._stack_bytes, bytes([_FILL]) * self._stack_bytes)
        r = self._registers
        registers = {r.argument + i: value for i, value in enumerate(arguments)}
        thumb = 1 if self.core.arch == "arm" else 0
        registers |= {r.stack: self._top, r.link: self._stop | thumb}
        registers[r.counter] = self.elf.symbol(function).address
        for number, value in registers.items():
            self._port.ask(f"P{number:x}={(value & 0xFFFFFFFF).to_bytes(4, 'little').hex()}")
        self._resume(function, seconds)
        value = self._register(r.argument)
        stack = self.read(self._top - self._stack_bytes, self._stack_bytes)
        deepest = self._stack_bytes - (len(stack) - len(stack.lstrip(bytes([_FILL]))))
        counts = self._counts.read_text().split() if self._counts.is_file() else ["0"]
        return Run(value, int(counts[-1]), deepest, (), {}, {})

    def _register(self, number: int) -> int:
        values = self._port.ask("g")
        return int.from_bytes(bytes.fromhex(values[8 * number : 8 * number + 8]), "little")

    def _resume(self, what: str, seconds: float) -> None:
        try:
            self._port.ask("c", seconds)
        except TimeoutError:
            raise EmulationFault(f"{self.core.name}: {what} did not return within {seconds:g} s") from None
        at = self._register(self._registers.counter)
        if at != self._stop + 2:
            symbol = self.elf.function_at(at)
            place = f"{symbol.name}+{at - symbol.address:#x}" if symbol else f"{at:#010x}"
            raise EmulationFault(f"{self.core.name}: {what} stopped at {place}")


def _end(
    process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str], link: socket.socket
) -> None:
    link.close()
    process.kill()
    process.communicate()
    folder.cleanup()


class _Debugger:
    """The part of GDB's remote protocol that is needed, over a Unix socket."""

    def __init__(
        self, link: socket.socket, path: Path, process: subprocess.Popen[bytes], program: str
    ) -> None:
        end = time.monotonic() + 30
        self._program = program
        self._socket = link
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    said = process.communicate()[1].decode(errors="replace").strip()
                    raise ToolError(f"{program} does not start: {said[-500:]}") from None
                time.sleep(0.02)
        self._buffer = b""

    def ask(self, command: str, seconds: float = 30.0) -> str:
        """Send a packet and return the answer."""
        data = command.encode()
        self._socket.settimeout(seconds)
        self._socket.sendall(b"$" + data + b"#" + f"{sum(data) & 255:02x}".encode())
        while True:
            start, end = self._buffer.find(b"$"), self._buffer.find(b"#")
            if 0 <= start < end and len(self._buffer) >= end + 3:
                answer = self._buffer[start + 1 : end]
                self._buffer = self._buffer[end + 3 :]
                self._socket.sendall(b"+")
                return answer.decode()
            try:
                received = self._socket.recv(65536)
            except ConnectionError:
                received = b""
            if not received:
                raise ToolError(f"{self._program} ended unexpectedly")
            self._buffer += received


def _qemu(arch: str) -> str:
    found = shutil.which(_PROGRAMS[arch])
    if found is None:
        raise ToolError(
            f"{_PROGRAMS[arch]} is not installed",
            hint=f"install it, on Debian: apt install {_PACKAGES[arch]}",
        )
    return found


def _build_plugin(folder: Path) -> Path | None:
    """Return the counting plug-in, or None where no compiler builds it."""
    compiler = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
    if compiler is None:
        return None
    plugin = folder / "count.so"
    command = [compiler, "-O2", "-shared", "-fPIC", str(SUPPORT / "count.c"), "-o", str(plugin)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    return plugin if done.returncode == 0 else None
