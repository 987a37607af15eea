"""Requests to a registry: tokens, redirects and sizes kept on a short leash."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from qedge.errors import DataError, IntegrityError, ToolError
from qedge.ship.credentials import credentials
from qedge.ship.reference import Reference, is_loopback

TIMEOUT_S = 60
"""For a connection, for the head of an answer whole, and from one piece of a body to the next."""
SLOWEST_BYTES_S = 4096
"""What an answer must keep up on the whole: one that drips is given up."""
MAX_REDIRECTS = 5
MAX_TOKEN_BYTES = 1 << 20
PIECE = 1 << 16


class Registry:
    """One repository of one registry; remembers its token."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._authorization: str | None = None
        self._opener = urllib.request.build_opener(_NoRedirect, _Plain, _Secure)

    def get(self, path: str, limit: int, accept: str | None = None) -> tuple[bytes, Mapping[str, str]] | None:
        """Return the body, of at most ``limit`` bytes, and the headers; None where there is nothing.

        Raises:
            IntegrityError: more bytes than ``limit``.
            ToolError: no connection, or the registry refuses.
        """
        headers = {"Accept": accept} if accept else {}
        answer = self.request("GET", path, headers=headers, missing_ok=True)
        if answer is None:
            return None
        with answer:
            return self._read(answer, limit, path), dict(answer.headers.items())

    def exists(self, path: str) -> bool:
        """Whether the registry has it."""
        answer = self.request("HEAD", path, missing_ok=True)
        if answer is None:
            return False
        answer.close()
        return True

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, str]:
        """Send a body and return the headers of the answer, in lower case."""
        answer = self.request(method, path, body=body, headers=headers)
        assert answer is not None
        with answer:
            self._read(answer, MAX_TOKEN_BYTES, path)
            return {key.lower(): value for key, value in answer.headers.items()}

    def absolute(self, place: str) -> str:
        """Return the URL of a place that the registry gave, which may be relative."""
        return self._joined(f"{self._reference.base}/", place)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        missing_ok: bool = False,
    ) -> Any:
        """Return the open answer, or None for a 404 where that is allowed.

        ``path`` is below the repository, or a whole URL that the registry gave.
        """
        url = path if "://" in path else f"{self._reference.base}/{path.lstrip('/')}"
        if "://" in path:
            self._same_place(url)
        for _ in range(2):
            answer = self._follow(method, url, body, dict(headers or {}))
            status = answer.status
            if status == 401 and self._authorization is None:
                challenge = answer.headers.get("WWW-Authenticate", "")
                answer.close()
                self._authorization = self._authorize(challenge)
                continue
            break
        if status == 404 and missing_ok:
            answer.close()
            return None
        if status >= 400:
            with answer:
                said = _said(answer)
            hint = "docker login, or QEDGE_REGISTRY_AUTH=user:secret" if status in (401, 403) else None
            error = DataError if status == 404 else ToolError
            raise error(f"{self._reference}: the registry answered {status} to {method}{said}", hint=hint)
        return answer

    def _follow(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Any:
        """Return the answer after redirects, which never get the token and never leave TLS."""
        for _ in range(MAX_REDIRECTS + 1):
            request = urllib.request.Request(url, data=body, method=method, headers=headers)
            if self._authorization and self._is_ours(url):
                request.add_unredirected_header("Authorization", self._authorization)
            try:
                answer: Any = self._opener.open(request, timeout=TIMEOUT_S)
            except urllib.error.HTTPError as problem:
                answer = problem
            except (OSError, http.client.HTTPException, ValueError) as problem:
                reason = getattr(problem, "reason", problem)
                raise ToolError(
                    f"{self._reference.host}: no answer from the registry: {reason}",
                    hint="is it there, and is it oci:// (TLS) or oci+http://?",
                ) from None
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            answer.close()
            target = self._joined(url, answer.headers.get("Location") or "")
            if method not in ("GET", "HEAD"):
                raise ToolError(
                    f"{self._reference.host}: the registry redirects an upload to {_host(target)}"
                )
            self._allowed(target)
            url = target
        raise ToolError(f"{self._reference.host}: more than {MAX_REDIRECTS} redirects")

    def _joined(self, base: str, place: str) -> str:
        """Return the URL of a place that the registry named."""
        try:
            url = urllib.parse.urljoin(base, place)
            urllib.parse.urlsplit(url)
        except ValueError:
            raise IntegrityError(
                f"{self._reference.host}: the registry names {place[:100]!r}, which is no address"
            ) from None
        return url

    def _allowed(self, url: str) -> None:
        """Refuse a redirect off TLS, to this machine from elsewhere, or to something that is no web address."""
        parts = urllib.parse.urlsplit(url)
        bad = (
            parts.scheme not in ("http", "https")
            or (parts.scheme == "http" and not self._reference.plain)
            or (is_loopback(parts.netloc) and not self._reference.loopback)
            or "@" in parts.netloc
        )
        if bad:
            raise IntegrityError(
                f"{self._reference.host}: the registry redirects to {parts.scheme}://{parts.hostname}",
                hint="a registry may redirect to another https host only",
            )

    def _same_place(self, url: str) -> None:
        if not self._is_ours(url):
            raise IntegrityError(f"{self._reference.host}: the registry asks to send to {_host(url)}")

    def _is_ours(self, url: str) -> bool:
        parts = urllib.parse.urlsplit(url)
        scheme = "http" if self._reference.plain else "https"
        return (parts.scheme, parts.netloc) == (scheme, self._reference.host)

    def _authorize(self, challenge: str) -> str | None:
        """Return the Authorization header that a challenge asks for, see the token specification of docker."""
        known = credentials(self._reference.host)
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return _basic(*known) if known else None
        if scheme.lower() != "bearer":
            return None
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = urllib.parse.urlsplit(self._joined("", fields.get("realm", "")))
        if realm.scheme != "https" and not (self._reference.loopback and is_loopback(realm.netloc)):
            raise IntegrityError(
                f"{self._reference.host}: the registry wants the password sent to {realm.scheme}://{realm.netloc}",
                hint="a token service needs https",
            )
        query = {key: fields[key] for key in ("service", "scope") if key in fields}
        request = urllib.request.Request(f"{fields['realm']}?{urllib.parse.urlencode(query)}")
        if known:
            request.add_unredirected_header("Authorization", _basic(*known))
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                document = json.loads(self._read(answer, MAX_TOKEN_BYTES, "token"))
            token = document.get("token") or document["access_token"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, http.client.HTTPException):
            raise ToolError(
                f"{self._reference.host}: no token from {realm.netloc}",
                hint="docker login, or QEDGE_REGISTRY_AUTH=user:secret",
            ) from None
        return f"Bearer {token}"

    def _read(self, answer: Any, limit: int, what: str) -> bytes:
        pieces, left = [], limit
        until = time.monotonic() + TIMEOUT_S + limit / SLOWEST_BYTES_S
        try:
            while piece := answer.read1(min(PIECE, left + 1)):
                left -= len(piece)
                if time.monotonic() > until:
                    raise ToolError(
                        f"{self._reference.host}: {what} comes with less than {SLOWEST_BYTES_S:,} bytes a second"
                    )
                if left < 0:
                    raise IntegrityError(
                        f"{self._reference.host}: {what} has more than the {limit:,} bytes that it should"
                    )
                pieces.append(piece)
        except (OSError, http.client.HTTPException) as problem:
            raise ToolError(f"{self._reference.host}: the connection broke: {problem}") from None
        stated = answer.headers.get("Content-Length", "")
        if stated.isdecimal() and limit - left < int(stated):
            raise ToolError(f"{self._reference.host}: the connection broke after {limit - left:,} bytes")
        return b"".join(pieces)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def http_error_302(self, *_: Any, **__: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Impatient(http.client.HTTPConnection):
    """A connection whose answer has a head after TIMEOUT_S, or none: it may not come byte by byte, or after 100s."""

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the answer, or raise as where the connection breaks."""
        late = threading.Event()
        timer = threading.Timer(TIMEOUT_S, self._cut, [late])
        timer.daemon = True
        timer.start()
        try:
            answer = super().getresponse()
        finally:
            timer.cancel()
        if late.is_set():  # what was cut reads as a head that ends
            answer.close()
            raise TimeoutError(f"no whole head in {TIMEOUT_S} s")
        return answer

    def _cut(self, late: threading.Event) -> None:
        late.set()
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _ImpatientSecure(_Impatient, http.client.HTTPSConnection):
    """The same over TLS."""


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Impatient, req)


class _Secure(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_ImpatientSecure, req)


def _basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def _host(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"


def _said(answer: Any) -> str:
    """Return the registry's own words, where it has any."""
    try:
        first = json.loads(answer.read1(4096))["errors"][0]
        return f": {first.get('code')}: {str(first.get('message'))[:200]}"
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, http.client.HTTPException):
        return ""
