"""Requests to a registry: tokens, redirects and sizes kept on a short leash."""

from __future__ import annotations

import base64
import http.client
import json
import re
import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from types import TracebackType

from qedge.errors import DataError, IntegrityError, ToolError
from qedge.ship.connections import SLOWEST_BYTES_S, Answer, Connections
from qedge.ship.credentials import IDENTITY, credentials
from qedge.ship.reference import Reference, is_loopback

MAX_REDIRECTS = 5
MAX_TOKEN_BYTES = 1 << 20
PIECE = 1 << 16
_BROKEN = (OSError, http.client.HTTPException)


class Registry:
    """One repository of one registry, for any number of threads; keeps its token and its connections until closed."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._authorization: str | None = None
        self._authorizing = threading.Lock()
        self._connections = Connections()

    def get(self, path: str, limit: int, accept: str | None = None) -> tuple[bytes, Mapping[str, str]] | None:
        """Return the body, of at most ``limit`` bytes, and the headers; None where there is nothing.

        Raises:
            IntegrityError: more bytes than ``limit``.
            ToolError: no connection, or the registry refuses.
        """
        headers = {"Accept": accept} if accept else {}
        answer = self.request("GET", path, headers=headers, missing=(404,))
        if answer is None:
            return None
        with answer:
            return self._read(answer, limit, path), dict(answer.headers.items())

    def head(self, path: str, accept: str | None = None) -> Mapping[str, str] | None:
        """Return the headers of what the registry has there, in lower case; None where there is nothing, or no HEAD."""
        headers = {"Accept": accept} if accept else {}
        answer = self.request("HEAD", path, headers=headers, missing=(404, 405, 501))
        if answer is None:
            return None
        answer.close()
        return {key.lower(): value for key, value in answer.headers.items()}

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

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        missing: Sequence[int] = (),
    ) -> Answer | None:
        """Return the open answer, or None where its status is one of ``missing``.

        ``path`` is below the repository, or a whole URL that the registry gave.
        """
        url = path if "://" in path else f"{self._reference.base}/{path.lstrip('/')}"
        if "://" in path:
            self._same_place(url)
        known = self._authorization
        answer = self._follow(method, url, body, headers or {}, known)
        if answer.status == 401:
            # Without a token yet, or its time is over, or it was for reading and this writes.
            challenge = answer.headers.get("WWW-Authenticate", "")
            try:
                authorization = self._authorized(challenge, known)
            except BaseException:
                answer.close()
                raise
            if authorization not in (None, known):
                answer.close()
                answer = self._follow(method, url, body, headers or {}, authorization)
        status = answer.status
        if status in missing:
            answer.close()
            return None
        if status >= 400:
            with answer:
                said = _said(answer)
            hint = "docker login, or QEDGE_REGISTRY_AUTH=user:secret" if status in (401, 403) else None
            error = DataError if status == 404 else ToolError
            raise error(f"{self._reference}: the registry answered {status} to {method}{said}", hint=hint)
        return answer

    def _follow(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        authorization: str | None,
    ) -> Answer:
        """Return the answer after redirects, which never get the token and never leave TLS."""
        for _ in range(MAX_REDIRECTS + 1):
            ours = {"Authorization": authorization} if authorization and self._is_ours(url) else {}
            try:
                answer = self._connections.ask(method, url, body, {**headers, **ours})
            except (*_BROKEN, ValueError) as problem:
                raise ToolError(
                    f"{self._reference.host}: no answer from the registry: {problem}",
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

    def _authorized(self, challenge: str, known: str | None) -> str | None:
        """Return the Authorization header to use after ``known`` was refused; many threads ask for one once."""
        with self._authorizing:
            if self._authorization == known:
                self._authorization = self._authorize(challenge)
            return self._authorization

    def _authorize(self, challenge: str) -> str | None:
        """Return the Authorization header that a challenge asks for, see the token specification of docker."""
        known = credentials(self._reference.host)
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return _basic(*known) if known and known[0] != IDENTITY else None
        if scheme.lower() != "bearer":
            return None
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        place = self._joined("", fields.get("realm", ""))
        realm = urllib.parse.urlsplit(place)
        if realm.scheme != "https" and not (self._reference.loopback and is_loopback(realm.netloc)):
            raise IntegrityError(
                f"{self._reference.host}: the registry wants the password sent to {realm.scheme}://{realm.netloc}",
                hint="a token service needs https",
            )
        query = {key: fields[key] for key in ("service", "scope") if key in fields}
        try:
            with self._asked(place, query, known) as answer:
                if answer.status != 200:
                    raise ValueError(f"the answer is {answer.status}")
                document = json.loads(self._read(answer, MAX_TOKEN_BYTES, "token"))
            token = document.get("token") or document["access_token"]
        except (*_BROKEN, ValueError, KeyError, TypeError, AttributeError):
            raise ToolError(
                f"{self._reference.host}: no token from {realm.netloc}",
                hint="docker login, or QEDGE_REGISTRY_AUTH=user:secret",
            ) from None
        return f"Bearer {token}"

    def _asked(self, service: str, query: Mapping[str, str], known: tuple[str, str] | None) -> Answer:
        """Return the answer of a token service: to a GET by user and password, or to OAuth 2's POST."""
        if known is not None and known[0] == IDENTITY:
            form = {"grant_type": "refresh_token", "refresh_token": known[1], "client_id": "qedge", **query}
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._connections.ask("POST", service, urllib.parse.urlencode(form).encode(), kind)
        separator = "&" if urllib.parse.urlsplit(service).query else "?"
        headers = {"Authorization": _basic(*known)} if known else {}
        return self._connections.ask(
            "GET", f"{service}{separator}{urllib.parse.urlencode(query)}", None, headers
        )

    def _read(self, answer: Answer, limit: int, what: str) -> bytes:
        pieces, left = [], limit
        answer.pace(limit)
        try:
            while piece := answer.read1(min(PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise IntegrityError(
                        f"{self._reference.host}: {what} has more than the {limit:,} bytes that it should"
                    )
                pieces.append(piece)
        except _BROKEN as problem:
            if answer.late:
                raise ToolError(
                    f"{self._reference.host}: {what} comes with less than {SLOWEST_BYTES_S:,} bytes a second"
                ) from None
            raise ToolError(f"{self._reference.host}: the connection broke: {problem}") from None
        stated = answer.headers.get("Content-Length", "")
        if stated.isdecimal() and limit - left < int(stated):
            raise ToolError(f"{self._reference.host}: the connection broke after {limit - left:,} bytes")
        return b"".join(pieces)


def _basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def _host(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"


def _said(answer: Answer) -> str:
    """Return the registry's own words, where it has any."""
    try:
        first = json.loads(answer.read1(4096))["errors"][0]
        return f": {first.get('code')}: {str(first.get('message'))[:200]}"
    except (*_BROKEN, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""
