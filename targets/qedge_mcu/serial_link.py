"""The host's end of the protocol that ``examples/serial`` speaks: framed questions and answers over a serial port."""

from __future__ import annotations

import importlib
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from qedge.errors import ToolError

SYNC = b"\xa5\x5a"
VERSION = 1
HAS_STEPS, HAS_CYCLES = 1, 2
BAUD = 115200
_ERROR = ord("E")
_REMEMBERED = 2000
"""Bytes of what arrives that are kept, to say what it was."""


@dataclass(frozen=True)
class BoardInfo:
    """What a board says about itself.

    Args:
        name: of the model that it runs.
        model: the first digits of the model's SHA-256.
        context_bytes: ``sizeof`` its context.
        chunk: the most bytes of a payload.
        hertz: of its counter, 0 where it does not know.
        has_steps: whether the library was compiled with the observer.
        has_cycles: whether its counter counts.
    """

    name: str
    model: str
    context_bytes: int
    chunk: int
    hertz: int
    has_steps: bool
    has_cycles: bool


def frame(kind: str, number: int, payload: bytes = b"") -> bytes:
    """Return one frame.

    >>> frame("I", 7).hex()
    'a55a490700002ede17c2'
    """
    body = struct.pack("<BBH", ord(kind), number, len(payload)) + payload
    return SYNC + body + crc32(body).to_bytes(4, "little")


class Frames:
    """Finds whole frames in what arrives; what is damaged is passed over."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Return (type, number, payload) of every frame that is complete now."""
        self._buffer += data
        found: list[tuple[int, int, bytes]] = []
        while True:
            start = self._buffer.find(SYNC)
            if start < 0:
                # A sync may be cut in two.
                del self._buffer[: max(len(self._buffer) - 1, 0)]
                return found
            del self._buffer[:start]
            if len(self._buffer) < 6:
                return found
            kind, number, count = struct.unpack_from("<BBH", self._buffer, 2)
            if len(self._buffer) < 10 + count:
                return found
            body, check = bytes(self._buffer[2 : 6 + count]), self._buffer[6 + count : 10 + count]
            if crc32(body) == int.from_bytes(check, "little"):
                found.append((kind, number, body[4:]))
                del self._buffer[: 10 + count]
            else:
                del self._buffer[:2]  # a frame may begin inside the damaged one

    def forget(self) -> None:
        """Drop what has arrived of a frame."""
        self._buffer.clear()


class Link:
    """A board on a serial port; use it in a ``with``.

    Args:
        port: ``/dev/ttyACM0``, ``COM3``.
        baud: of a UART; USB does not mind.
        wait_s: for one answer, before the question is sent again.
        patience_s: for an answer in all, the model's run included.

    Raises:
        ToolError: pyserial is missing, the port cannot be opened, or nothing answers.
    """

    def __init__(self, port: str, baud: int = BAUD, *, wait_s: float = 1.0, patience_s: float = 60.0) -> None:
        try:
            serial: Any = importlib.import_module("serial")
        except ImportError:
            raise ToolError("no module serial (pyserial)", hint='pip install "qedge[mcu]"') from None
        self.port = port
        self._failures: tuple[type[Exception], ...] = (serial.SerialException, OSError)
        self._wait_s, self._patience_s = wait_s, patience_s
        # What a line of this speed takes for the longest frame there and back, and time to think.
        self._frame_s = 2 * 10 * 1100 / baud
        self._frames, self._heard, self._echoed = Frames(), bytearray(), False
        self._number = int(time.monotonic() * 1000) & 0xFF
        try:
            self._serial = serial.Serial(port, baud, timeout=0.02, write_timeout=5)
        except (*self._failures, ValueError) as problem:
            raise ToolError(
                f"{port}: {problem}", hint="is the board plugged in, and is no monitor program open?"
            ) from None

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self._serial.close()

    def info(self) -> BoardInfo:
        """Return what the board is."""
        answer = self.ask("I", patience_s=8.0)  # opening the port starts many boards anew
        if len(answer) < 28 or answer[0] != VERSION:
            raise ToolError(
                f"{self.port}: the board speaks version {answer[:1].hex()} of the protocol, expected {VERSION}",
                hint="flash examples/serial of this bundle",
            )
        flags, chunk, context, hertz = struct.unpack_from("<BHII", answer, 1)
        return BoardInfo(
            answer[28:].decode("utf-8", "replace"),
            answer[12:28].decode("ascii", "replace"),
            context,
            chunk,
            hertz,
            bool(flags & HAS_STEPS),
            bool(flags & HAS_CYCLES),
        )

    def ask(self, kind: str, payload: bytes = b"", *, patience_s: float | None = None) -> bytes:
        """Return the answer's payload; the question is sent again until it comes.

        Raises:
            ToolError: no answer, the line was cut, or the board refuses the question.
        """
        self._number = (self._number + 1) & 0xFF
        question = frame(kind, self._number, payload)
        until = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        try:
            while time.monotonic() < until:
                self._serial.write(question)
                answer = self._answer(ord(kind), payload)
                if answer is not None:
                    return answer
                self._frames.forget()
        except self._failures as problem:
            raise ToolError(
                f"{self.port}: the line was cut: {problem}", hint="plug the board in again"
            ) from None
        raise self._silence()

    def _silence(self) -> ToolError:
        """Return what is to be said where no answer came: it depends on what came instead."""
        flash = "flash examples/serial of this bundle (c/examples/serial)"
        lines = _lines(bytes(self._heard))
        if self._echoed:
            said, hint = ", only an echo of what is sent", f"undo a bridge from TX to RX, and {flash}"
        elif lines:
            said, hint = f", which says {lines[-1][:60]!r}", f"another program runs there: {flash}"
        elif self._heard:
            said = f", only {len(self._heard)} bytes that are no words and no frames"
            hint = f"give the speed that the firmware sets with --baud, or {flash}"
        else:
            said, hint = ": nothing arrives", f"{flash}, and give its speed with --baud"
        return ToolError(f"{self.port}: no answer from the board{said}", hint=hint)

    def _answer(self, kind: int, asked: bytes) -> bytes | None:
        until = time.monotonic() + self._wait_s + self._frame_s
        while time.monotonic() < until:
            arrived = self._serial.read(self._serial.in_waiting or 1)
            self._heard = (self._heard + arrived)[-_REMEMBERED:]
            for found, number, payload in self._frames.feed(arrived):
                if number != self._number:
                    continue
                if found == kind and payload == asked:
                    self._echoed = True  # no question has an answer of its own bytes
                    continue
                if found == _ERROR:
                    raise ToolError(
                        f"{self.port}: the board refuses question {chr(kind)!r}",
                        hint="flash examples/serial of this bundle",
                    )
                if found == kind:
                    return payload
        return None

    def initialise(self) -> None:
        """Begin anew, as after a reset: states are empty."""
        self._status(self.ask("Z"))

    def write(self, offset: int, data: bytes, chunk: int) -> None:
        """Write bytes into the context."""
        step = chunk - 4
        for at in range(0, len(data), step):
            self.ask("W", struct.pack("<I", offset + at) + data[at : at + step])

    def read(self, offset: int, count: int, chunk: int) -> bytes:
        """Return bytes of the context."""
        parts = [
            self.ask("G", struct.pack("<IH", offset + at, min(chunk, count - at)))
            for at in range(0, count, chunk)
        ]
        return b"".join(parts)

    def run(self) -> int:
        """Run the model once; return the cycles."""
        answer = self.ask("R")
        self._status(answer)
        return int.from_bytes(answer[4:8], "little")

    def trace(self, entries: Sequence[tuple[int, int, int]]) -> list[int]:
        """Run the model once; return the CRC-32 of (step, offset, count) behind each step."""
        answer = self.ask("T", b"".join(struct.pack("<III", *entry) for entry in entries))
        self._status(answer)
        return [int.from_bytes(answer[4 + 4 * k : 8 + 4 * k], "little") for k in range(len(entries))]

    def profile(self, first: int) -> list[int]:
        """Run the model once; return the cycles of step ``first`` and of as many behind it as an answer holds."""
        answer = self.ask("P", struct.pack("<I", first))
        self._status(answer)
        return list(struct.unpack(f"<{len(answer) // 4 - 1}I", answer[4:]))

    def _status(self, answer: bytes) -> None:
        status = int.from_bytes(answer[:4], "little", signed=True)
        if len(answer) < 4 or status != 0:
            raise ToolError(f"{self.port}: the model returned {status} on the board")


def _lines(heard: bytes) -> list[str]:
    """Return the whole lines of words in what was heard; none where it is no text.

    >>> _lines(b"ple 0: one\\r\\nsample 1: two\\r\\nsam")
    ['sample 1: two']
    """
    words = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in heard)
    if words < 0.9 * len(heard):
        return []
    whole = heard.decode("ascii", "replace").splitlines()[1:-1]
    return [line for line in whole if line.strip()]
