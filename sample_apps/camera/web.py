"""The live page: one HTML file, the newest frame for every viewer as fast as that viewer takes it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http
import ipaddress
import json
import logging
import re
import socket
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, quote

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.sync.server import ServerConnection, serve

from qedge.errors import UsageError

MAX_VIEWERS = 16
_PING_S, _SILENCE_S = 3, 5  # between two questions whether a viewer is there, and for its answer
_NEWS_S = 2  # a viewer hears from the app so often: a camera that is gone is no network that is gone
_FRESH_S = 2  # a new viewer is shown a picture of this age; an older one would be taken for the present
_LEAVE_S = 1  # how long viewers have to say goodbye when the app ends
_LOG = logging.getLogger("camera.page")
_LOG.addFilter(lambda record: record.msg != "opening handshake failed")  # noise on the port is no news
_PAGE = Path(__file__).with_name("page.html")


class Page:
    """Serve the page, its stream and ``/snapshot.jpg`` in threads until ``close``.

    Args:
        host: the address to listen on; "127.0.0.1" is this computer alone.
        port: 0 takes any that is free.
        token: what a viewer must know (``?token=``); needed on every other host than this computer.
        about: what the page says about the app: model, target, task, engine, source, input, edges.

    Raises:
        UsageError: the port cannot be had, or the page would be open to the network without a token.
    """

    def __init__(self, host: str, port: int, token: str | None, about: dict[str, object]) -> None:
        self._local = _is_loopback(host)
        if not (self._local or token):
            raise UsageError(
                f"a page on {host} is open to the network and needs a token",
                hint="give it one, as in secrets.token_urlsafe(12), or listen on 127.0.0.1",
            )
        if not 0 <= port <= 65535:
            raise UsageError(
                f"{port} is no port", hint="choose one from 1024 to 65535, or 0 for any that is free"
            )
        self._token = token
        self._about = json.dumps(about)
        self._page = _PAGE.read_text(encoding="utf-8")
        self._policy = _content_policy(self._page)
        self._changed = threading.Condition()
        self._viewers: set[ServerConnection] = set()
        self._asking = 0  # requests that wait for a snapshot
        self._sockets: dict[threading.Thread, socket.socket] = {}
        self._number = 0  # of the newest frame
        self._shown = 0.0
        self._jpeg = self._message = b""
        self._closing = False
        try:
            self._server = serve(
                self._stream,
                host,
                port,
                family=socket.AF_INET6 if ":" in host else socket.AF_INET,
                process_request=self._answer,
                create_connection=self._accept,
                compression=None,  # a JPEG is compressed
                open_timeout=5,
                ping_interval=_PING_S,
                ping_timeout=_SILENCE_S,
                close_timeout=_LEAVE_S,
                max_size=1024,  # a viewer only says that it is ready
                logger=_LOG,
            )
        except OSError as problem:
            raise UsageError(
                f"cannot serve the page on {host} port {port}: {problem}",
                hint="another program may have the port: choose another one, or 0 for any that is free",
            ) from problem
        port = self._server.socket.getsockname()[1]
        shown = _reachable(host)
        shown = f"[{shown}]" if ":" in shown else shown
        self.url = f"http://{shown}:{port}/" + (f"?token={quote(token)}" if token else "")
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)
        self._thread.start()

    def watched(self) -> bool:
        """Return whether somebody looks: a viewer, or a request for a snapshot."""
        with self._changed:
            return bool(self._viewers or self._asking)

    def wait(self, seconds: float) -> bool:
        """Block until somebody looks, at most ``seconds``; return whether somebody does."""
        with self._changed:
            self._changed.wait_for(lambda: self._viewers or self._asking or self._closing, seconds)
            return bool(self._viewers or self._asking)

    def show(self, jpeg: bytes, seen: dict[str, object]) -> None:
        """Make this the newest frame; viewers that are still busy with an older one never get what lay between.

        Args:
            jpeg: the bare frame.
            seen: what the model saw in it, as one JSON object.
        """
        header = json.dumps(seen, allow_nan=False).encode()
        message = len(header).to_bytes(4, "big") + header + jpeg
        with self._changed:
            self._number += 1
            self._jpeg, self._message, self._shown = jpeg, message, time.monotonic()
            self._changed.notify_all()

    def close(self) -> None:
        """Take leave of the viewers and end every thread; a second call does nothing."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        stop = threading.Thread(target=self._server.shutdown)
        stop.start()
        deadline = time.monotonic() + _LEAVE_S
        while stop.is_alive() or any(t.is_alive() for t in list(self._sockets)):
            if time.monotonic() > deadline:  # whoever does not answer is hung up on
                with self._changed:
                    _hang_up(self._sockets)
            time.sleep(0.01)
        stop.join()
        self._thread.join()

    def _accept(self, sock: socket.socket, *args: object, **options: object) -> ServerConnection:
        """Remember whom to hang up on, in the thread that serves this connection."""
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # a network that is gone ends a write that waits for it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * (_PING_S + _SILENCE_S)))
        with self._changed:
            self._sockets = {t: s for t, s in self._sockets.items() if t.is_alive()}
            self._sockets[threading.current_thread()] = sock
        return ServerConnection(sock, *args, **options)  # type: ignore[arg-type]

    def _stream(self, connection: ServerConnection) -> None:
        """Send one viewer what the app is, then the newest frame every time the viewer says that it is ready."""
        with self._changed:
            room = len(self._viewers) < MAX_VIEWERS
            if room:
                self._viewers.add(connection)
                self._changed.notify_all()
            fresh = time.monotonic() - self._shown < _FRESH_S
            last = self._number - 1 if fresh else self._number
        try:
            if not room:
                connection.close(1013, f"{MAX_VIEWERS} viewers already")
                return
            connection.send(self._about)
            while self._open(connection):
                if message := self._newer(connection, last):
                    last, data = message
                    connection.send(data)
                    self._ready(connection)
                else:
                    connection.send(self._about)  # no news of the camera, but the connection lives
        except ConnectionClosed:
            pass
        finally:
            with self._changed:
                self._viewers.discard(connection)

    def _open(self, connection: ServerConnection) -> bool:
        return not self._closing and connection.state is State.OPEN

    def _newer(self, connection: ServerConnection, last: int) -> tuple[int, bytes] | None:
        """Return number and message of the first frame after ``last``; None when there is none for a while."""
        deadline = time.monotonic() + _NEWS_S
        with self._changed:
            while self._open(connection) and time.monotonic() < deadline:
                if self._number > last and self._message:
                    return self._number, self._message
                self._changed.wait(0.25)  # short: a viewer may leave meanwhile
        return None

    def _ready(self, connection: ServerConnection) -> None:
        """Return once the viewer has drawn what it got, or the app ends; ConnectionClosed when the viewer left."""
        while not self._closing:
            try:
                connection.recv(timeout=0.25)
                return
            except TimeoutError:
                continue

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the response to a plain request or a refusal; None for a viewer that may have the stream."""
        host = _only(request, "Host")
        if host is None or (self._local and not _is_loopback(_name(host))):
            return self._say(403, "This page is served to this computer alone: open it as localhost.")
        if getattr(request, "method", "GET") != "GET":  # websockets before 17 hangs up on others itself
            return self._say(405, "Only GET is understood here.")
        path, _, query = request.path.partition("?")
        if path == "/health":
            state = {"viewers": len(self._viewers), "frame": self._number}
            return self._respond(200, json.dumps(state).encode(), "application/json")
        if self._token and (refusal := self._check(parse_qs(query).get("token", [""])[-1])):
            return refusal
        if path == "/":
            return self._respond(200, self._page.encode(), "text/html; charset=utf-8", self._policy)
        if path not in ("/snapshot.jpg", "/stream"):
            return self._say(404, "There is nothing here: the page is at /.")
        foreign = "Origin" in request.headers and (_only(request, "Origin") or "").partition("://")[2] != host
        if foreign or "-site" in (_only(request, "Sec-Fetch-Site") or ""):  # same-site is another one, too
            return self._say(403, "Another site's page may not look through this camera.")
        return self._snapshot() if path == "/snapshot.jpg" else None

    def _check(self, token: str) -> Response | None:
        """Return None for the right token, in a time that tells nothing about it."""
        if hmac.compare_digest(token.encode("utf-8", "replace"), str(self._token).encode()):
            return None
        advice = "open the whole address that the app printed, which ends in ?token=..."
        if token:
            return self._say(403, f"This is not the token of this camera: {advice}")
        return self._say(401, f"This camera asks for its token: {advice}")

    def _snapshot(self) -> Response:
        """Wait for the next frame, which wakes an app that rests, and return it."""
        with self._changed:
            before = self._number
            self._asking += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._number > before or self._closing, timeout=3)
            self._asking -= 1
            number, jpeg = self._number, self._jpeg
            stale = time.monotonic() - self._shown > 10
        if not jpeg or stale:
            return self._say(503, "The camera gives no picture at the moment.")
        extra = {"Content-Disposition": f'inline; filename="camera_{number:06d}.jpg"'}
        return self._respond(200, jpeg, "image/jpeg", **extra)

    def _say(self, status: int, line: str) -> Response:
        text = (
            '<!doctype html><meta name="viewport" content="width=device-width">'
            f'<meta name="color-scheme" content="light dark"><title>{status}</title><p>{line}</p>\n'
        )
        return self._respond(status, text.encode(), "text/html; charset=utf-8")

    def _respond(
        self, status: int, body: bytes, kind: str, policy: str = "default-src 'none'", **more: str
    ) -> Response:
        headers = Headers(
            {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                "Content-Security-Policy": f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
                "Connection": "close",
                **more,
            }
        )
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(status, http.HTTPStatus(status).phrase, headers, body)


def _hang_up(sockets: dict[threading.Thread, socket.socket]) -> None:
    for sock in sockets.values():
        with contextlib.suppress(OSError):  # is gone already
            sock.shutdown(socket.SHUT_RDWR)


def _only(request: Request, name: str) -> str | None:
    """Return the header, in lower case, where there is exactly one of that name."""
    values = request.headers.get_all(name)
    return values[0].lower() if len(values) == 1 else None


def _name(host: str) -> str:
    """Return a Host header without its port.

    >>> [_name(host) for host in ("localhost:8000", "[::1]:8000", "camera")]
    ['localhost', '::1', 'camera']
    """
    return re.sub(r":\d*$", "", host).strip("[]")


def _content_policy(page: str) -> str:
    """Allow the page's own script and style, by their SHA-256, and its own stream; nothing else runs or loads."""

    def hashes(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in found
        )

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; "
        "connect-src 'self'; img-src data:"
    )


def _is_loopback(host: str) -> bool:
    """Tell whether only this computer can reach ``host``.

    >>> [_is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "192.168.1.7")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reachable(host: str) -> str:
    """Return an address that a person can open from elsewhere where ``host`` means all addresses."""
    if host not in ("", "0.0.0.0", "::"):
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; only asks which way it would go
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
