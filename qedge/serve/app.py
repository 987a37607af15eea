"""The application: an ASGI callable that answers the Open Inference Protocol v2, and ``/metrics``.

Routes are few and fixed, so that no framework stands between uvicorn and a model: a small model takes less time than a
router does.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

from qedge._version import __version__
from qedge.drift.watch import Monitor, monitor
from qedge.errors import DataError, QedgeError, UsageError
from qedge.serve.metrics import Row, figures
from qedge.serve.models import Array, Busy, Models, Served, Unloaded
from qedge.serve.wire import Head

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
EXTENSIONS = ("binary_tensor_data", "model_repository")
SMALL_BODY = 64 << 10
_BINARY = (b"content-type", b"application/octet-stream")
_NAME = r"([A-Za-z0-9_.\-]{1,200})"
_MODEL = re.compile(rf"/v2/models/{_NAME}(?:/versions/{_NAME})?(/infer|/ready)?")
_REPOSITORY = re.compile(rf"/v2/repository/(?:index|models/{_NAME}/(load|unload))")


class Answer(NamedTuple):
    """Status, body and further headers; JSON unless they say otherwise."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _Refused(Exception):
    """An answer that is an error: its status and what is wrong."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.answer = Answer(status, _json({"error": message}), headers)


class Server:
    """The application.

    Args:
        timeout_s: for an inference, the wait for it included.
        drift: watch each model that has a sketch.
    """

    def __init__(self, models: Models, *, timeout_s: float = 30.0, drift: bool = False) -> None:
        self.models = models
        self._timeout_s = timeout_s
        self._drift = drift
        self._watches: dict[Served, Monitor] = {}
        self._ready = False
        self._changing = asyncio.Lock()  # loads and unloads come one after the other
        self._paths: dict[bytes, Served] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except _Refused as refused:
            answer = refused.answer
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer.body))]
        given = {name for name, _ in answer.headers}
        headers = [h for h in headers if h[0] not in given] + list(answer.headers)
        if answer.status == 413:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                self._ready = False
                await asyncio.get_running_loop().run_in_executor(None, self.models.close)
                await send({"type": "lifespan.shutdown.complete"})
                return

    def start(self) -> None:
        """Load what is not loaded, and be ready.

        Raises:
            QedgeError: a model cannot be loaded.
        """
        for served in self.models:
            self._load(served)
        self._map()
        self._ready = True

    def _map(self) -> None:
        """Note where a request for each model goes, as a client writes it."""
        found: dict[bytes, Served] = {}
        for name, versions in self.models.all.items():
            for version, served in versions.items():
                found[f"/v2/models/{name}/versions/{version}/infer".encode()] = served
            newest = self.models.find(name)
            if newest is not None:
                found[f"/v2/models/{name}/infer".encode()] = newest
        self._paths = found

    def direct(self, url: bytes) -> Served | None:
        """Return the loaded model that a POST to this URL infers on; None for any other URL."""
        served = self._paths.get(url)
        return served if served is not None and served.model is not None else None

    def infer_now(self, served: Served, headers: Mapping[bytes, bytes], body: bytes, began: float) -> Answer:
        """Return the answer to a request, worked out in this thread; see :meth:`infer`."""
        try:
            head, inputs = _read(served, headers, body)
            answer = _told(served, head, served.run_now(inputs))
        except (_Refused, QedgeError) as problem:
            answer = _refusal(problem)
        served.tally.add(answer.status, time.perf_counter() - began)
        return answer

    async def infer(
        self, served: Served, headers: Mapping[bytes, bytes], body: bytes, began: float
    ) -> Answer:
        """Return the answer to a request to infer.

        Args:
            headers: names in lower case.
            began: ``time.perf_counter()`` when they were there.
        """
        if served.inline:
            return self.infer_now(served, headers, body, began)
        try:
            head, inputs = _read(served, headers, body)
            answer = _told(served, head, await self._in_time(served.submit(inputs)))
        except (_Refused, QedgeError) as problem:
            answer = _refusal(problem)
        except asyncio.TimeoutError:
            answer = Answer(504, _json({"error": f"took more than {self._timeout_s:g} s"}))
        served.tally.add(answer.status, time.perf_counter() - began)
        return answer

    async def _in_time(self, work: asyncio.Future[list[Array]]) -> list[Array]:
        """Return the outputs; ``asyncio.wait_for`` takes as long again as the hand-over to a thread.

        Raises:
            TimeoutError: of asyncio, where it takes longer than it may.
        """
        limit = work.get_loop().call_later(self._timeout_s, _expire, work)
        try:
            return await work
        finally:
            limit.cancel()

    def _load(self, served: Served) -> None:
        served.load()
        if self._drift and served not in self._watches and served.model is not None:
            try:
                self._watches[served] = monitor(served.model)
            except UsageError:  # it was built without data
                return

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        method, path = scope["method"], scope["path"]
        if (match := _MODEL.fullmatch(path)) is not None:
            return await self._model(method, match, scope, receive)
        if (match := _REPOSITORY.fullmatch(path)) is not None:
            _require(method, "POST")
            return await self._repository(
                match, await self._body(dict(scope["headers"]), receive, SMALL_BODY)
            )
        _require(method, "GET")
        if path == "/v2":
            return Answer(200, _json({"name": "qedge", "version": __version__, "extensions": EXTENSIONS}))
        if path == "/v2/health/live":
            return Answer(200, b"{}")
        if path == "/v2/health/ready":
            ready = self._ready and all(served.model is not None for served in self.models)
            return Answer(200 if ready else 503, _json({"ready": ready}))
        if path == "/metrics":
            return self._figures()
        raise _Refused(404, "no such path: see the Open Inference Protocol v2")

    async def _model(self, method: str, match: re.Match[str], scope: Scope, receive: Receive) -> Answer:
        name, version, act = match.groups()
        _require(method, "POST" if act == "/infer" else "GET")
        served = self.models.find(name, version)
        if served is None:
            loaded = ", ".join(f"{row['name']}:{row['version']}" for row in self.models.index(ready=True))
            raise _Refused(404, f"no model {name}{f':{version}' if version else ''}; loaded: {loaded[:1000]}")
        if act == "/ready":
            return Answer(200, _json({"name": name, "ready": True}))
        if act is None:
            return Answer(200, _json(served.metadata(self.models.versions(name))))
        began, headers = time.perf_counter(), dict(scope["headers"])
        try:
            body = await self._body(headers, receive, served.body_limit)
        except _Refused as refused:
            served.tally.add(refused.answer.status, time.perf_counter() - began)
            raise
        return await self.infer(served, headers, body, began)

    async def _repository(self, match: re.Match[str], body: bytes) -> Answer:
        name, act = match.groups()
        try:
            document = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            raise _Refused(400, "not valid JSON") from None
        if not isinstance(document, dict):
            raise _Refused(400, "expected an object")
        if act is None:
            return Answer(200, _json(self.models.index(ready=document.get("ready") is True)))
        if name not in self.models.all:
            raise _Refused(400, f"no model {name}: it was not named when the server started")
        if act == "load" and document.get("parameters"):
            raise _Refused(400, "no parameters: a model is served as its bundle says")
        async with self._changing:
            try:
                for served in self.models.all[name].values():
                    await self._change(served, str(act))
            finally:
                self._map()
        return Answer(200, b"{}")

    async def _change(self, served: Served, act: str) -> None:
        """Load a model, or unload it with its watch."""
        watch = self._watches.pop(served, None) if act == "unload" else None
        if watch is not None:
            watch.close()
        work = (lambda: self._load(served)) if act == "load" else served.unload
        try:
            await asyncio.get_running_loop().run_in_executor(None, work)
        except QedgeError as problem:
            raise _Refused(400, problem.message) from None

    def _figures(self) -> Answer:
        rows = [
            Row(m.place.name, m.place.version, m.tally, m.waiting, self._watches.get(m)) for m in self.models
        ]
        kind = b"text/plain; version=0.0.4; charset=utf-8"
        return Answer(200, figures(rows), ((b"content-type", kind),))

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
        """Return the request's body, read no further than ``limit``; :mod:`~qedge.serve.run` ends slow ones."""
        stated = headers.get(b"content-length", b"0")
        if not stated.isdigit() or len(stated) > 18 or int(stated) > limit:
            raise _Refused(413, f"a body of {stated.decode('latin-1')[:20]} bytes, expected at most {limit}")
        pieces, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise _Refused(400, "the connection ended within the body")
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                raise _Refused(413, f"a body of more than {limit} bytes")
            if not message.get("more_body"):
                return b"".join(pieces)


def _read(served: Served, headers: Mapping[bytes, bytes], body: bytes) -> tuple[Head, list[Array]]:
    """Return what a request asks for, and the inputs."""
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding != b"identity":
        raise _Refused(415, f"content-encoding {encoding.decode('latin-1')[:40]!r}: send it unpacked")
    return served.wire.read(body, _length(headers))


def _told(served: Served, head: Head, arrays: Sequence[Array]) -> Answer:
    """Return the answer that tells a client the outputs."""
    data, text_bytes = served.wire.write(head, arrays)
    if text_bytes is None:
        return Answer(200, data)
    return Answer(200, data, (_BINARY, (b"inference-header-content-length", b"%d" % text_bytes)))


def _expire(work: asyncio.Future[list[Array]]) -> None:
    if not work.done():
        work.set_exception(asyncio.TimeoutError())


def _refusal(problem: _Refused | QedgeError) -> Answer:
    """Return the answer that tells a client what is wrong."""
    if isinstance(problem, _Refused):
        return problem.answer
    body = _json({"error": problem.message})
    if isinstance(problem, Busy):
        return Answer(503, body, ((b"retry-after", b"1"),))
    return Answer(
        400 if isinstance(problem, DataError) else 404 if isinstance(problem, Unloaded) else 500, body
    )


def _length(headers: Mapping[bytes, bytes]) -> int | None:
    text = headers.get(b"inference-header-content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 12:
        raise _Refused(400, "Inference-Header-Content-Length: expected an integer")
    return int(text)


def _require(method: str, wanted: str) -> None:
    """Refuse another method; HEAD is a GET whose body the server leaves out, as probes of load balancers ask."""
    allowed = ("GET", "HEAD") if wanted == "GET" else (wanted,)
    if method not in allowed:
        allow = (b"allow", ", ".join(allowed).encode())
        raise _Refused(405, f"found {method[:10]}, expected {' or '.join(allowed)}", allow)


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
