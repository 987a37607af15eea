"""HTTP on a connection: uvicorn's protocol, with patience that ends, and a direct way for inferences.

An ASGI call costs a task, a scope and half a dozen dictionaries: as much CPU as a small model. An inference whose
length is stated is collected here and handed to the application whole; every other request takes uvicorn's own way.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterable
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from qedge.serve.app import Answer, Server
from qedge.serve.models import Served

IDLE_S = 20
"""A connection that says nothing for so long, before its first request or after one, is closed."""
SWEEP_S = 1.0
MOST_HEADERS, MOST_BYTES_BESIDE = 256, 64 << 10
"""Headers of a request, and bytes that are not its body: nothing else bounds them, and they are kept meanwhile."""
_CONTENT_TYPE, _CONTENT_LENGTH = b"content-type", b"content-length"
_OFFER = (b"upgrade", b"http2-settings")
_JSON = b"content-type: application/json\r\n"


class _Silent:
    """Stands for the event that tells an ASGI call of more input."""

    def set(self) -> None:
        """Tell nobody."""


class _Inference:
    """One request on the direct way, in the place of uvicorn's cycle of a request: the same five attributes."""

    __slots__ = ("began", "disconnected", "headers", "keep_alive", "pieces", "response_complete", "served")
    message_event = _Silent()

    def __init__(self, served: Served, headers: dict[bytes, bytes]) -> None:
        self.served, self.headers, self.began = served, headers, time.perf_counter()
        self.pieces: list[bytes] = []
        self.keep_alive, self.disconnected, self.response_complete = True, False, False


class Turn:
    """Inferences of small models that came in one turn of the event loop: run one after the other, then answered.

    Reading, running and answering each find their code and data in the processor's caches that way.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._due: list[tuple[Protocol, _Inference, bytes]] = []

    def add(self, connection: Protocol, work: _Inference, body: bytes) -> None:
        """Have an inference answered at the end of the turn."""
        if not self._due:
            connection.loop.call_soon(self._end)
        self._due.append((connection, work, body))

    def _end(self) -> None:
        due, self._due = self._due, []
        answers = [self._answer(work, body) for _, work, body in due]
        for (connection, work, _), answer in zip(due, answers):
            connection.answer(work, answer)

    def _answer(self, work: _Inference, body: bytes) -> Answer:
        try:
            return self._server.infer_now(work.served, work.headers, body, work.began)
        except Exception as problem:
            return _fault(problem)


class _Parser:
    """httptools' parser, which goes on in HTTP/1.1 where a client offers another protocol, as it may be declined.

    httptools itself ends there, and without the body: ``curl --http2`` offers h2c with each first request.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._renew()

    def _renew(self) -> None:
        parser = HttpRequestParser(self._protocol)
        with contextlib.suppress(AttributeError):  # httptools before 0.6.3; as uvicorn does
            parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._feed, self.get_method = parser.feed_data, parser.get_method
        self.get_http_version, self.should_upgrade = parser.get_http_version, parser.should_upgrade
        self.should_keep_alive = parser.should_keep_alive

    def feed_data(self, data: bytes | memoryview) -> None:
        """Parse what has come.

        Raises:
            httptools.HttpParserError: it is no HTTP.
            httptools.HttpParserUpgrade: it is a CONNECT.
        """
        while True:
            try:
                self._feed(data)
                return
            except HttpParserUpgrade as offer:
                head = self._protocol.declined()
                if head is None:
                    raise
                data = memoryview(data)[offer.args[0] :]
                self._renew()
                self._feed(head)


class Protocol(HttpToolsProtocol):
    """One connection.

    Args:
        server: the application.
        turn: of this server's connections.
        timeout_s: for a request to arrive whole, once it has begun.
        others: what uvicorn passes.
    """

    cycle: Any

    def __init__(self, server: Server, turn: Turn, timeout_s: float, **others: Any) -> None:
        super().__init__(**others)
        self._server, self._turn, self._timeout_s = server, turn, timeout_s
        self.deadline = self.loop.time() + IDLE_S
        self._beside = 0
        self._declined: bytes | None = None
        self.parser: Any = _Parser(self)

    def data_received(self, data: bytes) -> None:
        """Take what has come; a request that grows without its body growing ends the connection."""
        self._beside += len(data)
        super().data_received(data)
        if self._beside > MOST_BYTES_BESIDE and not self.transport.is_closing():
            self.send_400_response("Too much beside the body.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, or refuse the request: the parser says 400 then."""
        if len(self.headers) >= MOST_HEADERS:
            raise ValueError("too many headers")
        name = name.lower()
        self.headers.append((name, value))
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"

    def on_message_begin(self) -> None:
        """Begin a request; uvicorn's own beginning waits until the head says which way it goes."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self.deadline, self._beside = self.loop.time() + self._timeout_s, 0

    def on_headers_complete(self) -> None:
        """Choose the way."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._declined = self._head()
            return
        served = self._server.direct(self.url)
        if served is not None:
            headers = dict(self.headers)
            if self._is_plain(served, headers):
                self.cycle = _Inference(served, headers)
                return
        url, headers_read, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers_read  # into the list that the scope has
        super().on_headers_complete()

    def declined(self) -> bytes | None:
        """Return the head of the request that has just offered another protocol, without that offer; None: none has."""
        head, self._declined = self._declined, None
        return head

    def _head(self) -> bytes:
        lines = [
            b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        ]
        for name, value in self.headers:
            if name == b"connection":
                words = [word.strip() for word in value.split(b",")]
                value = b", ".join([word for word in words if word.lower() not in _OFFER])
            if name not in _OFFER:
                lines.append(b"%s: %s" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def _is_plain(self, served: Served, headers: dict[bytes, bytes]) -> bool:
        """Whether a request is a POST of a stated length, with nothing at work or unread ahead of it."""
        if self.flow.write_paused or (self.cycle is not None and not self.cycle.response_complete):
            return False
        length, parser = headers.get(_CONTENT_LENGTH, b""), self.parser
        if not length.isdigit() or len(length) > 12 or int(length) > served.body_limit:
            return False
        if self.expect_100_continue:
            return False
        return bool(parser.get_method() == b"POST" and parser.get_http_version() == "1.1")

    def on_body(self, body: bytes) -> None:
        """Keep what has come of a body; the parser holds it to the stated length."""
        self._beside -= len(body)
        if self.cycle.__class__ is _Inference:
            self.cycle.pieces.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer an inference in this turn of the event loop, or as soon as the model has."""
        if self._declined is not None:
            return  # the request comes again, without the offer
        work = self.cycle
        if work.__class__ is not _Inference:
            self.deadline = math.inf  # the application has limits of its own, and uvicorn closes idle ones
            super().on_message_complete()
            return
        work.keep_alive &= self.parser.should_keep_alive()
        pieces = work.pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not work.served.inline:
            self.deadline = math.inf
            task = self.loop.create_task(self._later(work, body))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            return
        self._turn.add(self, work, body)

    async def _later(self, work: _Inference, body: bytes) -> None:
        try:
            answer = await self._server.infer(work.served, work.headers, body, work.began)
        except Exception as problem:
            answer = _fault(problem)
        self.answer(work, answer)

    def answer(self, work: _Inference, answer: Answer) -> None:
        """Send the answer, where there is still somebody to take it, and go on to what was sent behind it."""
        work.response_complete = True
        if work.disconnected or self.transport.is_closing():
            return
        self.transport.write(rendered(answer, self.server_state.default_headers, work.keep_alive))
        self.deadline = self.loop.time() + IDLE_S
        if not work.keep_alive:
            self.transport.close()
        elif self.pipeline:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1


def _fault(problem: Exception) -> Answer:
    """Return the answer to a fault of ours, and write it to the log, as uvicorn does of an application."""
    logging.getLogger("uvicorn.error").error("Exception in an inference", exc_info=problem)
    return Answer(500, b'{"error":"internal error"}')


def rendered(answer: Answer, default: list[tuple[bytes, bytes]], keep_alive: bool) -> bytes:
    """Return an answer as the bytes of HTTP/1.1."""
    head = _known_head(answer.status, default)
    own = b"".join([b"%s: %s\r\n" % header for header in answer.headers])
    if not any(name == _CONTENT_TYPE for name, _ in answer.headers):
        own += _JSON
    end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
    return b"%scontent-length: %d\r\n%s%s%s" % (head, len(answer.body), own, end, answer.body)


_heads: dict[int, tuple[list[tuple[bytes, bytes]], bytes]] = {}


def _known_head(status: int, default: list[tuple[bytes, bytes]]) -> bytes:
    """Return status line and default headers; uvicorn has another list of them once a second, with the time."""
    known = _heads.get(status)
    if known is None or known[0] is not default:
        text = STATUS_LINE[status] + b"".join([b"%s: %s\r\n" % header for header in default])
        known = _heads[status] = default, text
    return known[1]


def close_overdue(connections: Iterable[Any], now: float) -> None:
    """Close connections that said nothing, or a request byte by byte, until their deadline."""
    for connection in list(connections):
        if connection.deadline < now:
            connection.transport.close()
