"""Read a 32-bit little-endian ELF: symbols, what to load where, and how large each kind of section is."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from qedge.errors import ToolError

_SHT_SYMTAB, _SHT_NOBITS = 2, 8
_SHF_WRITE, _SHF_ALLOC, _SHF_EXECINSTR = 1, 2, 4
_PT_LOAD = 1
_STT_OBJECT, _STT_FUNC = 1, 2
_SUPPORT = (".vectors", ".support")


@dataclass(frozen=True)
class Symbol:
    """A function or an object: address without the Thumb bit, size in bytes."""

    name: str
    address: int
    size: int
    is_function: bool


@dataclass(frozen=True)
class Section:
    """An allocated section."""

    name: str
    address: int
    size: int
    is_code: bool
    is_writable: bool
    is_zero: bool


@dataclass(frozen=True)
class Segment:
    """Bytes to load at an address; ``memory_bytes`` beyond ``data`` are zero."""

    address: int
    data: bytes
    memory_bytes: int


@dataclass(frozen=True)
class Sizes:
    """Bytes of each kind of section, without vectors and start-up: flash is ``code + rodata + data``."""

    code: int
    rodata: int
    data: int
    bss: int


class Elf:
    """A linked image.

    Args:
        data: the file; an ELF32, little-endian, with a symbol table.
    """

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x01\x01":
            raise ToolError(
                f"expected a 32-bit little-endian ELF, found the first bytes {data[:6].hex() or 'none'}"
            )
        self.data = data
        try:
            self._read()
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise ToolError(f"the ELF of {len(data)} bytes is damaged: {error}") from error

    def _read(self) -> None:
        phoff, shoff = struct.unpack_from("<II", self.data, 28)
        phentsize, phnum, shentsize, shnum, shstrndx = struct.unpack_from("<HHHHH", self.data, 42)
        headers = [struct.unpack_from("<10I", self.data, shoff + i * shentsize) for i in range(shnum)]
        names = headers[shstrndx][4]
        self.sections: tuple[Section, ...] = tuple(
            Section(
                self._text(names + name),
                address,
                size,
                bool(flags & _SHF_EXECINSTR),
                bool(flags & _SHF_WRITE),
                kind == _SHT_NOBITS,
            )
            for name, kind, flags, address, _, size, *_ in headers
            if flags & _SHF_ALLOC and size
        )
        segments = []
        for i in range(phnum):
            kind, offset, virtual, _, file_bytes, memory_bytes = struct.unpack_from(
                "<6I", self.data, phoff + i * phentsize
            )
            if kind == _PT_LOAD and memory_bytes:
                segments.append(Segment(virtual, self.data[offset : offset + file_bytes], memory_bytes))
        self.segments: tuple[Segment, ...] = tuple(segments)
        self.symbols: dict[str, Symbol] = {}
        for header in headers:
            if header[1] == _SHT_SYMTAB:
                self._read_symbols(header[4], header[5], headers[header[6]][4])

    def _read_symbols(self, offset: int, size: int, names: int) -> None:
        for at in range(offset, offset + size, 16):
            name, value, length, info, _, index = struct.unpack_from("<IIIBBH", self.data, at)
            kind = info & 15
            if index == 0 or (kind not in (_STT_OBJECT, _STT_FUNC) and not info >> 4):
                continue
            text = self._text(names + name)
            if text and not text.startswith("$"):
                is_function = kind == _STT_FUNC
                self.symbols[text] = Symbol(text, value & ~1 if is_function else value, length, is_function)

    def _text(self, offset: int) -> str:
        return self.data[offset : self.data.index(b"\0", offset)].decode()

    def symbol(self, name: str) -> Symbol:
        """Return the symbol called ``name``, or raise `ToolError`."""
        try:
            return self.symbols[name]
        except KeyError:
            raise ToolError(
                f"the image has no symbol {name!r}", hint="name it in keep= when it is linked"
            ) from None

    def sizes(self) -> Sizes:
        """Return bytes of code, constants, initialised and zeroed data, without vectors and start-up."""
        mine = [s for s in self.sections if s.name not in _SUPPORT]
        return Sizes(
            code=sum(s.size for s in mine if s.is_code),
            rodata=sum(s.size for s in mine if not s.is_code and not s.is_writable),
            data=sum(s.size for s in mine if s.is_writable and not s.is_zero),
            bss=sum(s.size for s in mine if s.is_writable and s.is_zero),
        )

    def function_at(self, address: int) -> Symbol | None:
        """Return the function whose code holds ``address``, or None."""
        for symbol in self.symbols.values():
            if symbol.is_function and symbol.address <= address < symbol.address + max(symbol.size, 2):
                return symbol
        return None
