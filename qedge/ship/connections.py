"""Connections to web servers, kept open from one request to the next, on none of which an answer takes for ever."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import select
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from email.message import Message
from types import TracebackType
from typing import Any

from qedge._version import __version__
from qedge.ship.reference import is_loopback

TIMEOUT_S = 60
"""For a connection, for the head of an answer whole, and from one piece of a body to the next."""
SLOWEST_BYTES_S = 4096
"""What either side must keep up on the whole: one that drips is given up."""
MAX_LEFT_BYTES, LEFT_S = 1 << 14, 1
"""What is read of an answer that nobody wants, and how long, to use its connection again."""
CLOSED = (BrokenPipeError, ConnectionAbortedError, ConnectionResetError, http.client.RemoteDisconnected)


class Answer:
    """The head of an answer, and its body to be read. Close it, or use it in a ``with``: that frees its connection."""

    def __init__(self, pool: Connections, key: tuple[str, str], connection: Any, response: Any) -> None:
        self._pool, self._key = pool, key
        self._connection, self._response = connection, response
        self.status: int = response.status
        self.headers: Message = response.headers

    def pace(self, size: int) -> None:
        """Give the next ``size`` bytes of the body the time that they may take."""
        self._response.paced.until = time.monotonic() + TIMEOUT_S + size / SLOWEST_BYTES_S

    @property
    def late(self) -> bool:
        """Whether the time that was given is over."""
        return bool(time.monotonic() >= self._response.paced.until)

    def read1(self, size: int) -> bytes:
        """Return what there is of the body, at most ``size`` bytes; nothing at its end.

        Raises:
            OSError, http.client.HTTPException: the connection broke, or was too slow.
        """
        data: bytes = self._response.read1(size)
        return data

    def close(self) -> None:
        """Keep the connection for the next request where little is left to read, else close it."""
        paced = self._response.paced
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            if (self._response.length or 0) <= MAX_LEFT_BYTES:
                paced.until = min(paced.until, time.monotonic() + LEFT_S)
                self._response.read(MAX_LEFT_BYTES)
        done = self._response.isclosed() and self._connection.sock is not None
        self._response.close()
        self._pool.give_back(self._key, self._connection, done)

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._response.close()
            self._connection.close()


class Connections:
    """Connections that wait for their next request, by server; for any number of threads. Close it in the end.

    Proxies are those of the environment (``https_proxy``, ``no_proxy``), but none to this machine itself; TLS trusts
    what the system does, or ``SSL_CERT_FILE``.
    """

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str], list[Any]] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._context: ssl.SSLContext | None = None

    def ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send a request and return the answer, whatever it is; redirects are the caller's.

        A GET or HEAD that meets a kept connection which the server just closed is sent again on a new one.

        Raises:
            OSError, http.client.HTTPException, ValueError: no connection, no answer in time, or no web address.
        """
        parts = urllib.parse.urlsplit(url)
        key = (parts.scheme, parts.netloc)
        path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        kept = self._kept(key)
        if kept is not None:
            try:
                return self._ask(kept, key, method, path, body, headers)
            except CLOSED:
                if method not in ("GET", "HEAD"):
                    raise
        return self._ask(self._connected(*key), key, method, path, body, headers)

    def _ask(
        self,
        connection: Any,
        key: tuple[str, str],
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        if connection.forward:
            path = f"{key[0]}://{key[1]}{path}"
            headers = {**connection.forward, **headers}
        try:
            connection.sock.settimeout(TIMEOUT_S + len(body or b"") / SLOWEST_BYTES_S)
            connection.request(method, path, body, {"User-Agent": f"qedge/{__version__}", **headers})
            return Answer(self, key, connection, connection.getresponse())
        except BaseException:
            connection.close()
            raise

    def give_back(self, key: tuple[str, str], connection: Any, usable: bool) -> None:
        """Take a connection back whose answer was read."""
        with self._lock:
            if usable and not self._closed:
                self._idle.setdefault(key, []).append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what waits now, and what comes back later."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _kept(self, key: tuple[str, str]) -> Any:
        """Return a connection that waits and that its server has neither closed nor sent to unasked, or None."""
        while True:
            with self._lock:
                waiting = self._idle.get(key)
                connection = waiting.pop() if waiting else None
            if connection is None or not _readable(connection.sock):
                return connection
            connection.close()

    def _connected(self, scheme: str, netloc: str) -> Any:
        """Return a new connection to a server, through a proxy where the environment names one."""
        if scheme not in ("http", "https"):
            raise ValueError(f"{scheme}:// is no web address")
        proxy, credentials = _proxy(scheme, netloc)
        connection: _Plain | _Secure
        if scheme == "https":
            with self._lock:
                self._context = self._context or _context()
            connection = _Secure(proxy or netloc, timeout=TIMEOUT_S, context=self._context)
            if proxy:
                connection.set_tunnel(netloc, headers=credentials)
        else:
            connection = _Plain(proxy or netloc, timeout=TIMEOUT_S)
            if proxy:
                connection.forward = {"Proxy-Connection": "keep-alive", **credentials}
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection


class _Paced(io.RawIOBase):
    """What a socket receives: each piece within TIMEOUT_S, and all of it before ``until``, else TimeoutError."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._raw: Any = connected.makefile("rb", buffering=0)
        self.until = time.monotonic() + TIMEOUT_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(min(TIMEOUT_S, left))
        count: int = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose head is there TIMEOUT_S after it was asked for: not byte by byte, nor after 100s for ever."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp.close()
        self.paced = _Paced(sock)
        self.fp = io.BufferedReader(self.paced)


class _Plain(http.client.HTTPConnection):
    response_class = _Response
    forward: Mapping[str, str] = {}
    """What a proxy wants with each request that it forwards; empty without one."""


class _Secure(http.client.HTTPSConnection):
    response_class = _Response
    forward: Mapping[str, str] = {}


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _readable(connected: socket.socket) -> bool:
    if hasattr(select, "poll"):  # which, unlike select, knows files beyond the 1,024th
        poll = select.poll()
        poll.register(connected, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([connected], [], [], 0)[0])


def _proxy(scheme: str, netloc: str) -> tuple[str | None, dict[str, str]]:
    """Return host and port of the proxy to a server, and the header that says who one is to it; (None, {}): none."""
    host = urllib.parse.urlsplit(f"//{netloc}").hostname or ""
    named = urllib.request.getproxies().get(scheme)
    if not named or is_loopback(netloc) or urllib.request.proxy_bypass(host):
        return None, {}
    parts = urllib.parse.urlsplit(named if "://" in named else f"//{named}")
    who, _, place = parts.netloc.rpartition("@")
    if not who:
        return place, {}
    token = base64.b64encode(urllib.parse.unquote(who).encode()).decode()
    return place, {"Proxy-Authorization": f"Basic {token}"}
