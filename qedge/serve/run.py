"""Running the application on uvicorn: sockets, limits on idle and slow connections, a graceful stop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from qedge.errors import ToolError
from qedge.installing import install_command
from qedge.serve.app import Server


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

        from qedge.serve.protocol import IDLE_S, SWEEP_S, Protocol, Turn, close_overdue
    except ImportError as problem:
        raise ToolError(
            f"serving needs {problem.name}, which is not installed", hint=install_command("serve")
        ) from None

    protocol: Any = functools.partial(Protocol, server, Turn(server), timeout_s)
    config = uvicorn.Config(
        server,
        host=host,
        port=port,
        http=protocol,
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
                self._sweep(asyncio.get_running_loop())
                found = [s for listener in self.servers for s in listener.sockets]
                started(found[0].getsockname()[1])

        def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
            close_overdue(self.server_state.connections, loop.time())
            loop.call_later(min(SWEEP_S, timeout_s / 4), self._sweep, loop)

    try:
        Announcing(config).run()
    except SystemExit as problem:
        raise ToolError(f"{host}:{port}: the server did not start", hint="choose another --port") from problem
