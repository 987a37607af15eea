"""Running the application on uvicorn: sockets, limits on idle and slow connections, a graceful stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from qedge.errors import ToolError
from qedge.installing import install_command
from qedge.serve.app import Server

IDLE_S = 20
"""A connection that says nothing for so long, before its first request or after one, is closed."""


def serve(
    server: Server,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    timeout_s: float = 30.0,
    stop_s: float = 30.0,
    started: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve until SIGTERM or SIGINT; what is at work by then is answered, for ``stop_s`` at most.

    Args:
        port: 0 takes a free one.
        timeout_s: for a request to arrive whole, once it has begun.
        started: called with the port once connections are taken.

    Raises:
        ToolError: uvicorn is missing, or the address is taken.
    """
    try:
        import uvicorn
    except ImportError as problem:
        raise ToolError(
            f"serving needs {problem.name}, which is not installed", hint=install_command("serve")
        ) from None

    config = uvicorn.Config(
        server,
        host=host,
        port=port,
        http=_protocol(timeout_s),
        ws="none",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=int(stop_s),
        backlog=2048,
    )

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                found = [s for listener in self.servers for s in listener.sockets]
                started(found[0].getsockname()[1])

    try:
        Announcing(config).run()
    except SystemExit as problem:
        raise ToolError(f"{host}:{port}: the server did not start", hint="choose another --port") from problem


def _protocol(timeout_s: float) -> Any:
    """Return uvicorn's HTTP protocol with a limit on the time that a request may take to arrive."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Impatient(HttpToolsProtocol):
        """Closes connections that are opened and then say nothing, or say it byte by byte."""

        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._patience = self.loop.call_later(IDLE_S, transport.close)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._at_ease()
            self._patience = self.loop.call_later(timeout_s, self.transport.close)

        def on_message_complete(self) -> None:
            self._at_ease()
            super().on_message_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._at_ease()
            super().connection_lost(exc)

        def _at_ease(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

    return Impatient
