"""How a registry is asked: over few connections that are kept, through proxies and TLS, with tokens that expire."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qedge.errors import DataError, ToolError
from qedge.ship import pull, push
from qedge.ship.artefacts import MAX_ALL_INSIDE_BYTES, MAX_INSIDE_BYTES, chosen_inside
from qedge.ship.connections import Connections
from qedge.ship.http import Registry
from qedge.ship.oci import AT_ONCE, resolve
from qedge.ship.reference import Reference
from tests.ship.registries import Liar, digest
from tests.unit.tiny_bundles import make_bundle


def test_a_pull_asks_once_over_few_connections(tmp_path: Path) -> None:
    liar = Liar()
    bundle = make_bundle(tmp_path / "bundle")
    sizes = {p.relative_to(bundle).as_posix(): p.stat().st_size for p in bundle.rglob("*") if p.is_file()}
    with liar.serve() as host:
        push(bundle, f"oci://{host}/tiny:1")
        assert liar.connections <= AT_ONCE
        liar.seen, liar.connections = [], 0
        pull(f"oci://{host}/tiny:1", tmp_path / "got")
    assert liar.connections <= AT_ONCE
    asked = [path for _, path, _ in liar.seen]
    assert len(asked) == len(set(asked))
    document = json.loads(liar.manifests["1"])
    held = {name for name, entry in entries(document).items() if "data" in entry}
    assert held == chosen_inside(sizes)
    assert {entry["digest"] for name, entry in entries(document).items() if name not in held} == {
        path.rpartition("/")[2] for path in asked if "/blobs/" in path
    }
    # whoever does not read what a manifest holds finds every file as a blob
    assert {entry["digest"] for entry in entries(document).values()} <= set(liar.blobs)


def entries(document: dict) -> dict[str, dict]:
    """Return the descriptors of a bundle's manifest by file."""
    titles = {layer["annotations"]["org.opencontainers.image.title"]: layer for layer in document["layers"]}
    return {"manifest.json": document["config"], **titles}


def test_a_manifest_holds_small_files_only_and_few() -> None:
    assert chosen_inside({"a": MAX_INSIDE_BYTES, "b": MAX_INSIDE_BYTES + 1, "c": 0}) == {"a", "c"}
    many = chosen_inside({str(k): 1000 for k in range(1000)})
    assert len(many) == MAX_ALL_INSIDE_BYTES // 1000


def test_a_device_that_asks_for_news_fetches_nothing(tmp_path: Path) -> None:
    liar = Liar()
    with liar.serve() as host:
        pushed = push(make_bundle(tmp_path / "bundle"), f"oci://{host}/tiny:1")
        liar.digests = {"1": pushed.digest}
        liar.seen = []
        assert resolve(f"oci://{host}/tiny:1") == pushed.digest
        assert [(method, path) for method, path, _ in liar.seen] == [("HEAD", "/v2/tiny/manifests/1")]
        liar.digests = {"1": "sha256:short"}
        assert resolve(f"oci://{host}/tiny:1") == pushed.digest


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_registry_that_answers_no_head_is_asked_for_the_whole(status: int, tmp_path: Path) -> None:
    liar = Liar()
    with liar.serve() as host:
        real = liar.answer

        def answer(method: str, path: str, full: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
            return (status, {}, b"") if method == "HEAD" else real(method, path, full, body)

        liar.answer = answer  # type: ignore[method-assign]
        pushed = push(make_bundle(tmp_path / "bundle"), f"oci://{host}/tiny:1")
        assert resolve(f"oci://{host}/tiny:1") == pushed.digest
        with pytest.raises(DataError, match="no such bundle"):
            resolve(f"oci://{host}/tiny:2")


@contextmanager
def serving(*talks: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve one connection after the other, each as its function does; yield host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for talk in talks:
                with contextlib.suppress(OSError), listener.accept()[0] as connection:
                    talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive()


def answers(*bodies: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        for body in bodies:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    return talk


def hears_and_closes(*bodies: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        answers(*bodies)(connection)
        connection.recv(1 << 16)

    return talk


@contextmanager
def kept() -> Iterator[Connections]:
    connections = Connections()
    try:
        yield connections
    finally:
        connections.close()


def asked(connections: Connections, host: str, method: str = "GET") -> bytes:
    body = b"x" if method == "PUT" else None
    with connections.ask(method, f"http://{host}/", body, {}) as answer:
        return answer.read1(100)


def test_a_connection_is_used_again() -> None:
    with kept() as connections, serving(answers(b"one", b"", b"three")) as host:
        assert [asked(connections, host) for _ in range(3)] == [b"one", b"", b"three"]
        connections.close()


@pytest.mark.parametrize("close", [answers, hears_and_closes])
def test_a_server_may_close_what_is_kept(close: Callable[[bytes], Callable[[socket.socket], None]]) -> None:
    with kept() as connections, serving(close(b"one"), answers(b"two")) as host:
        assert [asked(connections, host) for _ in range(2)] == [b"one", b"two"]
        connections.close()


def test_what_writes_is_not_sent_twice() -> None:
    with kept() as connections, serving(hears_and_closes(b"one")) as host:
        assert asked(connections, host) == b"one"
        with pytest.raises(ConnectionError):
            asked(connections, host, "PUT")


def test_what_a_server_says_unasked_is_no_answer() -> None:
    spoken = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
        connection.sendall(forged)
        spoken.set()
        connection.recv(1)

    with kept() as connections, serving(talk, answers(b"two")) as host:
        with connections.ask("GET", f"http://{host}/", None, {}) as answer:
            assert answer.read1(100) == b"one"
            answer.read1(100)
            assert spoken.wait(60)
        assert asked(connections, host) == b"two"
        connections.close()


def guarded(liar: Liar, host: str, allowed: Callable[[str, str], bool]) -> None:
    """Have a registry want a token that ``allowed(method, token)`` allows; each token is of the scope asked for."""
    real = liar.answer

    def answer(method: str, path: str, full: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path == "/token":
            scope = full.partition("scope=")[2]
            return 200, {}, json.dumps({"token": f"{scope}-{len(liar.seen)}"}).encode()
        token = liar.authorization
        if not token.startswith("Bearer ") or not allowed(method, token[7:]):
            scope = "read" if method in ("GET", "HEAD") else "read.write"
            return 401, {"WWW-Authenticate": f'Bearer realm="http://{host}/token",scope="{scope}"'}, b"{}"
        return real(method, path, full, body)

    liar.answer = answer  # type: ignore[method-assign]


def test_a_token_for_reading_gives_way_to_one_for_writing(tmp_path: Path) -> None:
    liar = Liar()
    with liar.serve() as host:
        guarded(liar, host, lambda method, token: method in ("GET", "HEAD") or "write" in token)
        pushed = push(make_bundle(tmp_path / "bundle"), f"oci://{host}/tiny:1")
        assert pull(f"oci://{host}/tiny:1", tmp_path / "got").digest == pushed.digest


def test_a_token_whose_time_is_over_gives_way_to_a_new_one() -> None:
    liar = Liar()
    data = [bytes([k]) * 9000 for k in range(6)]
    liar.blobs = {digest(each): each for each in data}
    used: dict[str, int] = {}

    def allowed(method: str, token: str) -> bool:
        used[token] = used.get(token, 0) + 1
        return used[token] <= 2

    with liar.serve() as host, Registry(Reference.parse(f"oci://{host}/tiny:1")) as registry:
        guarded(liar, host, allowed)
        found = [registry.get(f"blobs/{digest(each)}", 9000) for each in data]
        assert [each and each[0] for each in found] == data
        assert len(used) == 3
        guarded(liar, host, lambda method, token: False)
        with pytest.raises(ToolError, match="answered 401"):
            registry.get(f"blobs/{digest(data[0])}", 9000)


def test_an_identity_token_is_given_to_the_token_service_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar, asked_for = Liar(), []
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("QEDGE_REGISTRY_AUTH", raising=False)
    with liar.serve() as host:
        auths = {host: {"auth": "MDAwOg==", "identitytoken": "a+b/c="}}
        (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
        guarded(liar, host, lambda method, token: token == "access")
        inner = liar.answer

        def answer(method: str, path: str, full: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
            if path != "/token":
                return inner(method, path, full, body)
            asked_for.append((method, dict(urllib.parse.parse_qsl(body.decode()))))
            return 200, {}, b'{"access_token": "access"}'

        liar.answer = answer  # type: ignore[method-assign]
        push(make_bundle(tmp_path / "bundle"), f"oci://{host}/tiny:1")
        assert pull(f"oci://{host}/tiny:1", tmp_path / "got").files > 2
    form = {"grant_type": "refresh_token", "refresh_token": "a+b/c=", "client_id": "qedge", "scope": "read"}
    assert ("POST", form) in asked_for
    assert {method for method, _ in asked_for} == {"POST"}
    assert {h.get("Authorization") for _, path, h in liar.seen if path != "/token"} == {None, "Bearer access"}
    assert {h.get("Authorization") for _, path, h in liar.seen if path == "/token"} == {None}


class Proxy(http.server.BaseHTTPRequestHandler):
    """A proxy that answers for every host itself, or has a tunnel end at ``behind``."""

    behind: tuple[str, int] = ("127.0.0.1", 9)
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, str | None]]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.seen.append((self.command, self.path, self.headers.get("Proxy-Authorization")))
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"proxy")

    def do_CONNECT(self) -> None:
        self.seen.append((self.command, self.path, self.headers.get("Proxy-Authorization")))
        self.send_response(200)
        self.end_headers()
        with socket.create_connection(self.behind) as far:
            back = threading.Thread(target=pour, args=(far, self.connection), daemon=True)
            back.start()
            pour(self.connection, far)
            back.join(10)
        self.close_connection = True


def pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def threaded(server: http.server.ThreadingHTTPServer) -> Iterator[tuple[str, int]]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[0], server.server_address[1]  # type: ignore[misc]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def proxy(behind: tuple[str, int] = ("127.0.0.1", 9)) -> Iterator[tuple[str, list]]:
    handler = type("Handler", (Proxy,), {"behind": behind, "seen": []})
    with threaded(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as (host, port):
        yield f"{host}:{port}", handler.seen  # type: ignore[attr-defined]


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy() as (place, seen), kept() as connections, serving(answers(b"near")) as host:
        monkeypatch.setenv("http_proxy", f"http://anna:se%3Acret@{place}")
        monkeypatch.setenv("no_proxy", "near.example")
        token = "Basic " + base64.b64encode(b"anna:se:cret").decode()
        for _ in range(2):
            assert asked(connections, "far.example") == b"proxy"
        assert seen == [("GET", "http://far.example/", token)] * 2
        assert asked(connections, host) == b"near"  # this machine is behind no proxy
        with pytest.raises(OSError):
            asked(connections, "near.example:1")
        assert len(seen) == 2
        connections.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_tls_goes_through_a_proxy_and_only_to_whom_one_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = ["-subj", "/CN=far.example", "-addext", "subjectAltName=DNS:far.example"]
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = type("Handler", (Proxy,), {"seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with threaded(server) as far, proxy(far) as (place, seen):
        monkeypatch.setenv("https_proxy", place)
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with kept() as connections, pytest.raises(ssl.SSLCertVerificationError):
            connections.ask("GET", "https://far.example/x", None, {})
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with kept() as connections:
            for path in ("x", "y"):
                with connections.ask("GET", f"https://far.example/{path}", None, {}) as answer:
                    assert answer.read1(100) == b"proxy"
            with pytest.raises(ssl.SSLCertVerificationError):
                connections.ask("GET", "https://other.example/x", None, {})
        assert [path for _, path, _ in handler.seen] == ["/x", "/y"]  # type: ignore[attr-defined]
        assert [path for _, path, _ in seen] == ["far.example:443"] * 2 + ["other.example:443"]
