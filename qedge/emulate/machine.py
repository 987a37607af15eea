"""Run functions of an image on an emulated core (Cortex-M, RV32), counting every instruction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from qedge.emulate.cores import Core, find_core
from qedge.emulate.elf import Elf
from qedge.errors import QedgeError, ToolError, UsageError, VerificationError

_MORE = 0x4000_0000
_STACK = 0x6000_0000
_RETURN = 0x7000_0000
_PAGE = 0x1000
_FILL = b"\xa5"
_LIMIT = 2_000_000_000


class EmulationFault(VerificationError):
    """Code that reads or writes where it must not, runs an unknown instruction, or does not return."""


@dataclass(frozen=True)
class Call:
    """One traced function call: its instructions include those of what it called."""

    symbol: str
    instructions: int


@dataclass(frozen=True)
class Run:
    """What one call of a function did.

    Args:
        value: r0 (a0) at the return, as an unsigned 32-bit number.
        instructions: from the function's first one up to its return; one that an IT block skips counts.
        stack_bytes: deepest byte of stack written, below the caller's.
        calls: of the traced functions, in the order in which they returned.
        by_function: instructions of each function itself, without what it called; the largest first.
        by_address: how often the instruction at each address ran.
    """

    value: int
    instructions: int
    stack_bytes: int
    calls: tuple[Call, ...]
    by_function: dict[str, int]
    by_address: dict[int, int]


class Machine:
    """An image loaded on a core, with RAM that a caller can allocate, write and read.

    Args:
        elf: an image linked by `qedge.emulate.toolchain.compile_c` for the same core.
        core: a name in `qedge.emulate.cores.CORES` that unicorn knows.
        stack_bytes: size of the stack; running over its end is a fault.
        strict_alignment: fault on unaligned accesses that the real core refuses (slower).
        count: count instructions; without it calls run many times faster and report none.
    """

    def __init__(
        self,
        elf: Elf,
        core: str = "cortex-m4",
        *,
        stack_bytes: int = 64 << 10,
        strict_alignment: bool = False,
        count: bool = True,
    ) -> None:
        self.elf = elf
        self.core = find_core(core)
        if self.core.unicorn is None:
            raise ToolError(
                f"the emulator has no {core}", hint="use QEMU for this core, or another core to emulate"
            )
        self._stack_bytes = -(-stack_bytes // _PAGE) * _PAGE
        self._unicorn = _import_unicorn()
        self._registers = _registers(self._unicorn, self.core)
        self._uc = self._start()
        self._next = max(
            [self.core.ram, *(s.address + s.memory_bytes for s in elf.segments if s.address >= self.core.ram)]
        )
        self._more = _MORE
        self._blocks: dict[int, list[int]] = {}
        self._watched: dict[int, str] = {}
        self._open: list[tuple[int, int, str, int]] = []
        self._calls: list[Call] = []
        self._total = 0
        self._limit = _LIMIT
        self._problem: QedgeError | None = None
        if count:
            self._uc.hook_add(self._unicorn.UC_HOOK_BLOCK, self._on_block)
        self._uc.hook_add(self._unicorn.UC_HOOK_MEM_INVALID, self._on_invalid)
        if strict_alignment:
            self._uc.hook_add(
                self._unicorn.UC_HOOK_MEM_READ | self._unicorn.UC_HOOK_MEM_WRITE, self._on_access
            )

    def _start(self) -> Any:
        u = self._unicorn
        if self.core.arch == "arm":
            uc = u.Uc(u.UC_ARCH_ARM, u.UC_MODE_THUMB | u.UC_MODE_MCLASS)
            model = getattr(u.arm_const, str(self.core.unicorn))
        else:
            uc = u.Uc(u.UC_ARCH_RISCV, u.UC_MODE_RISCV32)
            model = getattr(u.riscv_const, str(self.core.unicorn))
        uc.ctl_set_cpu_model(model)
        uc.mem_map(self.core.flash, self.core.flash_bytes, u.UC_PROT_READ | u.UC_PROT_EXEC)
        uc.mem_map(self.core.ram, self.core.ram_bytes, u.UC_PROT_READ | u.UC_PROT_WRITE)
        uc.mem_map(_STACK, self._stack_bytes, u.UC_PROT_READ | u.UC_PROT_WRITE)
        uc.mem_map(_RETURN, _PAGE, u.UC_PROT_READ | u.UC_PROT_EXEC)
        for segment in self.elf.segments:
            uc.mem_write(segment.address, segment.data)
        return uc

    def allocate(self, size: int, align: int = 16) -> int:
        """Return the address of ``size`` zeroed bytes in RAM beyond the image's own data."""
        address = -(-self._next // align) * align
        if address + size <= self.core.ram + self.core.ram_bytes:
            self._next = address + size
            return address
        # What a real chip of the core would have outside: mapped as it is asked for, each piece for itself.
        address = self._more
        pages = -(-size // _PAGE) * _PAGE
        if address + pages > _STACK:
            raise UsageError(f"{size} bytes do not fit the emulated memory", hint="make the buffers smaller")
        self._uc.mem_map(address, pages, self._unicorn.UC_PROT_READ | self._unicorn.UC_PROT_WRITE)
        self._more = address + pages
        return address

    def address(self, where: str | int) -> int:
        """Return the address of a symbol, or ``where`` itself when it is a number."""
        return self.elf.symbol(where).address if isinstance(where, str) else where

    def write(self, where: str | int, data: bytes) -> None:
        """Write bytes at a symbol or an address."""
        address = self.address(where)
        try:
            self._uc.mem_write(address, bytes(data))
        except self._unicorn.UcError as error:
            raise EmulationFault(f"cannot write {len(data)} bytes at {address:#x}: {error}") from error

    def read(self, where: str | int, size: int) -> bytes:
        """Read bytes at a symbol or an address."""
        address = self.address(where)
        try:
            return bytes(self._uc.mem_read(address, size))
        except self._unicorn.UcError as error:
            raise EmulationFault(f"cannot read {size} bytes at {address:#x}: {error}") from error

    def call(
        self,
        function: str,
        *arguments: int,
        trace: Collection[str] = (),
        limit: int = _LIMIT,
        seconds: float = 600.0,
    ) -> Run:
        """Call ``function`` with up to four 32-bit arguments and return what it did.

        Args:
            function: a symbol of the image.
            arguments: for r0 to r3 (a0 to a3).
            trace: functions whose calls are recorded one by one, such as the operators of a plan.
            limit: instructions after which the call counts as endless.
            seconds: time after which the call is stopped.
        """
        if len(arguments) > 4:
            raise UsageError(f"{function} was given {len(arguments)} arguments, at most 4 go in registers")
        uc, registers = self._uc, self._registers
        top = _STACK + self._stack_bytes
        uc.mem_write(_STACK, _FILL * self._stack_bytes)
        thumb = 1 if self.core.arch == "arm" else 0
        for register, argument in zip(registers.arguments, arguments):
            uc.reg_write(register, argument & 0xFFFFFFFF)
        uc.reg_write(registers.stack, top)
        uc.reg_write(registers.link, _RETURN | thumb)
        self._blocks, self._calls, self._open = {}, [], []
        self._total, self._limit, self._problem = 0, limit, None
        self._watched = {self.elf.symbol(name).address: name for name in trace}
        start = self.elf.symbol(function).address
        try:
            uc.emu_start(start | thumb, _RETURN, timeout=int(seconds * 1e6))
        except self._unicorn.UcError as error:
            raise self._problem or self._fault(str(error)) from error
        if self._problem is not None:
            raise self._problem
        if uc.reg_read(registers.counter) & 0xFFFFFFFF != _RETURN:
            raise self._fault(f"{function} did not return within {seconds:g} s")
        self._close(_RETURN, top)
        return Run(
            value=uc.reg_read(registers.arguments[0]) & 0xFFFFFFFF,
            instructions=self._total,
            stack_bytes=self._deepest(),
            calls=tuple(self._calls),
            by_function=self._by_function(),
            by_address=self._by_address(),
        )

    def _on_block(self, uc: Any, address: int, size: int, _: object) -> None:
        if address == _RETURN:
            return
        block = self._blocks.get(address << 16 | size)
        if block is None:
            block = self._blocks[address << 16 | size] = [len(self._instructions_of(address, size)), 0]
        if self._watched and (address in self._watched or (self._open and address == self._open[-1][0])):
            self._trace(address)
        block[1] += 1
        self._total += block[0]
        if self._total > self._limit:
            self._problem = self._fault(f"the call did not return within {self._limit:,} instructions")
            uc.emu_stop()

    def _instructions_of(self, address: int, size: int) -> list[int]:
        """Return the addresses of the instructions in a block; all of them run when the block does."""
        code = self._uc.mem_read(address, size)
        found = []
        at = 0
        while at < size:
            found.append(address + at)
            # Thumb: a first halfword of 0b11101, 0b11110 or 0b11111 starts a 32-bit instruction; RISC-V: one that
            # ends in 0b11.
            long = code[at + 1] >= 0xE8 if self.core.arch == "arm" else code[at] & 3 == 3
            at += 4 if long else 2
        return found

    def _trace(self, address: int) -> None:
        """Close the calls that return to ``address``, and open one when a watched function starts there."""
        stack = self._uc.reg_read(self._registers.stack) & 0xFFFFFFFF
        self._close(address, stack)
        name = self._watched.get(address)
        if name is not None:
            back = self._uc.reg_read(self._registers.link) & 0xFFFFFFFE
            self._open.append((back, stack, name, self._total))

    def _close(self, address: int, stack: int) -> None:
        while self._open and self._open[-1][:2] == (address, stack):
            _, _, name, before = self._open.pop()
            self._calls.append(Call(name, self._total - before))

    def _on_invalid(self, uc: Any, access: int, address: int, size: int, value: int, _: object) -> bool:
        kinds = {
            self._unicorn.UC_MEM_WRITE_UNMAPPED: "write to unmapped",
            self._unicorn.UC_MEM_READ_UNMAPPED: "read of unmapped",
            self._unicorn.UC_MEM_FETCH_UNMAPPED: "jump to unmapped",
            self._unicorn.UC_MEM_WRITE_PROT: "write to read-only",
            self._unicorn.UC_MEM_FETCH_PROT: "jump to non-executable",
        }
        where = "stack overflow: " if _STACK - (1 << 20) <= address < _STACK else ""
        kind = kinds.get(access, "invalid access to")
        self._problem = self._fault(f"{where}{kind} address {address:#010x} ({size} bytes)")
        return False

    def _on_access(self, uc: Any, access: int, address: int, size: int, value: int, _: object) -> None:
        if address & (size - 1) and not self._may_be_unaligned(address, size):
            self._problem = self._fault(f"unaligned access of {size} bytes at address {address:#010x}")
            uc.emu_stop()

    def _may_be_unaligned(self, address: int, size: int) -> bool:
        """Whether the core allows it: Armv6-M and RV32 nothing, Armv7-M and Armv8-M single loads and stores only."""
        if self.core.name == "cortex-m0plus" or self.core.arch == "riscv":
            return False
        if size == 8:
            return address & 3 == 0
        first = int.from_bytes(self._uc.mem_read(self._uc.reg_read(self._registers.counter), 2), "little")
        is_pair_or_multiple = first >> 9 == 0b1110100 or first >> 12 == 0b1100 or first >> 9 == 0b1110110
        return not is_pair_or_multiple

    def _fault(self, what: str) -> EmulationFault:
        pc = self._uc.reg_read(self._registers.counter) & 0xFFFFFFFF
        return EmulationFault(f"{self.core.name} at {self._place(pc)}: {what}")

    def _place(self, address: int) -> str:
        symbol = self.elf.function_at(address)
        return f"{symbol.name}+{address - symbol.address:#x}" if symbol else f"{address:#010x}"

    def _deepest(self) -> int:
        stack = bytes(self._uc.mem_read(_STACK, self._stack_bytes))
        return self._stack_bytes - (len(stack) - len(stack.lstrip(_FILL)))

    def _by_address(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for key, (_, times) in self._blocks.items():
            for address in self._instructions_of(key >> 16, key & 0xFFFF):
                found[address] = found.get(address, 0) + times
        return dict(sorted(found.items()))

    def _by_function(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for key, (length, times) in self._blocks.items():
            symbol = self.elf.function_at(key >> 16)
            name = symbol.name if symbol else "?"
            found[name] = found.get(name, 0) + length * times
        return dict(sorted(found.items(), key=lambda item: -item[1]))


@dataclass(frozen=True)
class _Registers:
    """Unicorn's numbers of the registers that a call needs; the first argument's also holds the value."""

    arguments: tuple[int, ...]
    stack: int
    link: int
    counter: int


def _registers(u: Any, core: Core) -> _Registers:
    if core.arch == "arm":
        a = u.arm_const
        arguments = (a.UC_ARM_REG_R0, a.UC_ARM_REG_R1, a.UC_ARM_REG_R2, a.UC_ARM_REG_R3)
        return _Registers(arguments, a.UC_ARM_REG_SP, a.UC_ARM_REG_LR, a.UC_ARM_REG_PC)
    r = u.riscv_const
    arguments = (r.UC_RISCV_REG_A0, r.UC_RISCV_REG_A1, r.UC_RISCV_REG_A2, r.UC_RISCV_REG_A3)
    return _Registers(arguments, r.UC_RISCV_REG_SP, r.UC_RISCV_REG_RA, r.UC_RISCV_REG_PC)


def _import_unicorn() -> Any:
    if find_spec("unicorn") is None:
        raise ToolError("the emulator is not installed: no module unicorn", hint="pip install unicorn")
    import unicorn
    import unicorn.arm_const
    import unicorn.riscv_const

    return unicorn
