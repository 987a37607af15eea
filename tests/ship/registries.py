"""Registries to test against: Debian's docker-registry, and one of ours that lies as a real one cannot be told to."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REGISTRY = shutil.which("docker-registry")


@contextmanager
def docker_registry(folder: Path, *, htpasswd: str | None = None) -> Iterator[str]:
    """Run Debian's docker-registry on a free port; yield host and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    auth = ""
    if htpasswd is not None:
        (folder / "htpasswd").write_text(htpasswd)
        auth = f"auth:\n  htpasswd:\n    realm: qedge\n    path: {folder}/htpasswd\n"
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\n"
        f"http:\n  addr: 127.0.0.1:{port}\n{auth}"
    )
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [str(REGISTRY), "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
        try:
            _wait(f"http://127.0.0.1:{port}/v2/", server)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("docker-registry ended")


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Liar:
    """A registry in memory whose answers a test replaces: ``answers[path] = (status, headers, body)``.

    ``digests`` are those that it says tags have, ``connections`` counts those that were opened.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.digests: dict[str, str] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.connections = 0
        self._asked = threading.local()

    @property
    def authorization(self) -> str:
        """The header of the request that this thread answers; "" without one."""
        return self._asked.authorization

    @contextmanager
    def serve(self) -> Iterator[str]:
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                liar.connections += 1

            def log_message(self, *_: Any) -> None:
                pass

            def do(self) -> None:
                path = self.path.partition("?")[0]
                liar.seen.append((self.command, self.path, dict(self.headers)))
                liar._asked.authorization = self.headers.get("Authorization", "")
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                status, headers, data = liar.answer(self.command, path, self.path, body)
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.close_connection = "Content-Length" in headers
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    try:
                        self.wfile.write(data)
                    except OSError:
                        self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_POST = do

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, method: str, path: str, full: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        name = re.sub(r"^/v2/.*?/(?=blobs|manifests|referrers)", "", path)
        if (chosen := self.answers.get(name) or self.answers.get("*")) is not None:
            return chosen
        kind, _, key = name.partition("/")
        if method == "POST":
            return 202, {"Location": f"{path}up"}, b""
        if method == "PUT" and kind == "blobs":
            self.blobs[digest(body)] = body
            return 201, {}, b""
        if method == "PUT":
            self.manifests[key] = self.manifests[digest(body)] = body
            return 201, {}, b""
        held = self.blobs if kind == "blobs" else self.manifests if kind == "manifests" else {}
        if key in held:
            named = {"Docker-Content-Digest": self.digests[key]} if key in self.digests else {}
            return 200, named, held[key]
        return 404, {}, json.dumps({"errors": [{"code": "UNKNOWN", "message": key}]}).encode()
