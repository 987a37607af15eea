"""Bundles in a registry: a real one, a second client, and registries that lie."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qedge.cli._app import run
from qedge.errors import DataError, IntegrityError, QedgeError, ToolError, UsageError
from qedge.ship import Reference, pull, push
from qedge.ship.credentials import credentials
from qedge.ship.oci import resolve
from qedge.trust import sign_bundle
from tests import json_page
from tests.bounds import bounded
from tests.ship.registries import REGISTRY, Liar, digest, docker_registry
from tests.unit.tiny_bundles import make_bundle, tiny_model

needs_registry = pytest.mark.skipif(REGISTRY is None, reason="needs Debian's docker-registry")
needs_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs openssh-client")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("keys") / "anna"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "anna", "-f", str(place)], check=True
    )
    return place


def contents(bundle: Path) -> dict[str, bytes]:
    return {p.relative_to(bundle).as_posix(): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}


@needs_registry
@needs_keygen
def test_push_and_pull_give_the_same_bundle(registry: str, key: Path, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    sign_bundle(bundle, key, serial=3)
    reference = f"oci://{registry}/team/tiny:1"
    first = push(bundle, reference)
    assert first.signed
    unlike = {data for name, data in contents(bundle).items() if name != "signature.json"}
    assert first.sent_bytes == sum(map(len, unlike))  # golden outputs that are equal are one blob
    assert push(bundle, reference)._replace(sent_bytes=0) == first._replace(sent_bytes=0)
    assert push(bundle, reference).sent_bytes == 0
    assert resolve(reference) == first.digest

    got = pull(reference, tmp_path / "got", trusted=key.with_suffix(".pub"), least_serial=3)
    assert contents(got.bundle) == contents(bundle)
    assert (got.signer, got.serial) == ("anna", 3)
    assert pull(first.reference, tmp_path / "got").received_bytes == 0  # all of it is here already
    with pytest.raises(IntegrityError, match="serial 3, expected at least 4"):
        pull(reference, tmp_path / "got", trusted=key.with_suffix(".pub"), least_serial=4)
    assert contents(tmp_path / "got") == contents(bundle)


@needs_registry
@needs_keygen
def test_an_update_moves_only_what_changed(registry: str, key: Path, tmp_path: Path) -> None:
    one, two = make_bundle(tmp_path / "one"), make_bundle(tmp_path / "two", tiny_model(seed=4))
    push(one, f"oci://{registry}/tiny:1")
    pull(f"oci://{registry}/tiny:1", tmp_path / "got")
    sent = push(two, f"oci://{registry}/tiny:2")
    changed = {n: d for n, d in contents(two).items() if contents(one).get(n) != d}
    assert 0 < len(changed) < len(contents(two))
    assert sent.sent_bytes == sum(map(len, set(changed.values())))
    got = pull(f"oci://{registry}/tiny:2", tmp_path / "got")
    assert got.received_bytes == sum(map(len, set(changed.values())))
    assert contents(tmp_path / "got") == contents(two)
    with pytest.raises(IntegrityError, match="not signed"):
        pull(f"oci://{registry}/tiny:2", tmp_path / "new", trusted=key.with_suffix(".pub"))
    assert not (tmp_path / "new").exists()


@needs_registry
@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
def test_a_client_that_nobody_here_wrote_pulls_it(registry: str, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    push(bundle, f"oci://{registry}/tiny:skopeo")
    command = ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]
    subprocess.run([*command, f"docker://{registry}/tiny:skopeo", f"dir:{tmp_path / 'out'}"], check=True)
    fetched = {digest(p.read_bytes()) for p in (tmp_path / "out").iterdir()}
    assert {digest(data) for data in contents(bundle).values()} <= fetched
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    titles = [layer["annotations"]["org.opencontainers.image.title"] for layer in manifest["layers"]]
    assert sorted([*titles, "manifest.json"]) == sorted(contents(bundle))


def test_docker_s_own_files_say_who_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("QEDGE_REGISTRY_AUTH", raising=False)
    token = base64.b64encode(b"anna:se:cret").decode()
    helper = tmp_path / "docker-credential-desk"
    helper.write_text(
        '#!/bin/sh\nread host\n[ "$host" = held.example ] || exit 1\n'
        'echo \'{"Username": "ben", "Secret": "kept"}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    document = {
        "auths": {
            "plain.example": {"auth": token},
            "odd.example": {"auth": "%%%"},
            "azure.example": {"auth": token, "identitytoken": "long"},
        },
        "credHelpers": {"held.example": "desk", "gone.example": "absent", "evil.example": "../../bin/sh"},
    }
    (tmp_path / "config.json").write_text(json.dumps(document))
    assert credentials("plain.example") == ("anna", "se:cret")
    assert credentials("held.example") == ("ben", "kept")
    assert credentials("odd.example") is None
    assert credentials("azure.example") == ("<token>", "long")
    assert credentials("other.example") is None
    for host in ("gone.example", "evil.example"):
        with pytest.raises(ToolError):
            credentials(host)
    monkeypatch.setenv("QEDGE_REGISTRY_AUTH", "me:mine")
    assert credentials("plain.example") == ("me", "mine")


@pytest.mark.parametrize(
    "text",
    ["", "oci:/x/y", "http://h/n", "oci://h", "oci://h/UP", "oci://h/n:t@x", "oci://h/../n", "oci://a b/n"],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected oci://"):
        Reference.parse(text)


def test_a_reference_reads_as_it_is_written() -> None:
    for text in (
        "oci://ghcr.io/team/kws:1.2",
        f"oci://h.example:5000/kws@sha256:{'0' * 64}",
        "oci+http://h.example/n:t",
    ):
        assert str(Reference.parse(text)) == text


def bundle_in(liar: Liar, host: str, tmp_path: Path) -> str:
    """Push a bundle whose manifest holds no file, so that each is asked for."""
    push(make_bundle(tmp_path / "bundle"), f"oci://{host}/tiny:1")
    document = manifest_of(liar)
    for entry in (document["config"], *document["layers"]):
        entry.pop("data", None)
    put(liar, document)
    return f"oci://{host}/tiny:1"


def manifest_of(liar: Liar) -> dict:
    return json.loads(liar.manifests["1"])


def put(liar: Liar, document: object) -> None:
    data = json.dumps(document).encode()
    liar.manifests["1"] = liar.manifests[digest(data)] = data


def with_layer(liar: Liar, **fields: object) -> None:
    document = manifest_of(liar)
    document["layers"][0] |= fields
    put(liar, document)


def other_bytes(liar: Liar) -> None:
    name = manifest_of(liar)["layers"][0]["digest"]
    liar.blobs[name] = bytes(len(liar.blobs[name]))


def longer(liar: Liar) -> None:
    name = manifest_of(liar)["layers"][0]["digest"]
    liar.blobs[name] += b"x" * 100_000


def titled(title: object) -> Callable[[Liar], None]:
    return lambda liar: with_layer(liar, annotations={"org.opencontainers.image.title": title})


def redirect(place: str) -> Callable[[Liar], None]:
    def change(liar: Liar) -> None:
        name = manifest_of(liar)["layers"][0]["digest"]
        liar.answers[f"blobs/{name}"] = (307, {"Location": place}, b"")

    return change


REGISTRY_ATTACKS: dict[str, tuple[Callable[[Liar], None], int]] = {
    "other bytes of the same size": (other_bytes, 9),
    "more bytes than said": (longer, 9),
    "a blob that is not there": (lambda r: r.blobs.pop(manifest_of(r)["layers"][0]["digest"]) and None, 9),
    "a manifest of nothing": (lambda r: r.manifests.update({"1": b""}), 9),
    "a manifest of brackets": (lambda r: r.manifests.update({"1": b"[" * 100_000}), 9),
    "a manifest that is a list": (lambda r: put(r, []), 9),
    "a manifest too large": (lambda r: r.manifests.update({"1": b" " * (5 << 20)}), 9),
    "an image of something else": (lambda r: put(r, manifest_of(r) | {"artifactType": "x/y"}), 3),
    "layers of a wrong type": (lambda r: put(r, manifest_of(r) | {"layers": 7}), 9),
    "15,000 files": (
        lambda r: put(
            r,
            manifest_of(r)
            | {
                "layers": [
                    manifest_of(r)["layers"][0] | {"annotations": {"org.opencontainers.image.title": str(k)}}
                    for k in range(15_000)
                ]
            },
        ),
        9,
    ),
    "a size of petabytes": (lambda r: with_layer(r, size=1 << 50), 9),
    "a size below zero": (lambda r: with_layer(r, size=-1), 9),
    "a digest of another kind": (lambda r: with_layer(r, digest="md5:00"), 9),
    "a digest that is a path": (lambda r: with_layer(r, digest="sha256:../../../../etc/passwd"), 9),
    "other bytes inside the manifest": (lambda r: with_layer(r, data="AAAA"), 9),
    "what is no base64 inside the manifest": (lambda r: with_layer(r, data="%%%"), 9),
    "half a character inside the manifest": (lambda r: with_layer(r, data="\ud800"), 9),
    "a number inside the manifest": (lambda r: with_layer(r, data=7), 9),
    "a key twice": (
        lambda r: r.manifests.update({"1": r.manifests["1"].replace(b'"size": ', b'"size": 1, "size": ')}),
        9,
    ),
    "a file outside the bundle": (titled("../../evil"), 9),
    "an absolute file": (titled("/etc/cron.d/evil"), 9),
    "a file without a name": (titled(""), 9),
    "a name that is a number": (titled(7), 9),
    "a file twice": (titled("manifest.json"), 9),
    "a signature as a file": (titled("signature.json"), 9),
    "a file that the bundle does not have": (titled("evil.so"), 9),
    "a file below the manifest": (titled("manifest.json/x"), 9),
    "a manifest where capitals do not count": (titled("Manifest.json"), 9),
    "a redirect to a file": (redirect("file:///etc/passwd"), 9),
    "a redirect to another host": (redirect("https://127.0.0.1:9/v2/x"), 8),
    "a redirect to ftp": (redirect("ftp://example.com/x"), 9),
    "a redirect with a password": (redirect("https://a:b@example.com/x"), 9),
    "redirects that never end": (
        lambda r: r.answers.update({"*": (307, {"Location": "/v2/tiny/blobs/again"}, b"")}),
        8,
    ),
    "a refusal": (lambda r: r.answers.update({"*": (403, {}, b'{"errors": [{"code": "DENIED"}]}')}), 8),
    "an error that is no JSON": (lambda r: r.answers.update({"*": (500, {}, b"\xff\x00")}), 8),
    "a token service in the clear": (
        lambda r: r.answers.update(
            {"*": (401, {"WWW-Authenticate": 'Bearer realm="http://example.com/token"'}, b"")}
        ),
        9,
    ),
    "a config that is a number": (lambda r: put(r, manifest_of(r) | {"config": 7}), 9),
    "a layer that is a number": (lambda r: put(r, manifest_of(r) | {"layers": [7]}), 9),
    "referrers that are a number": (
        lambda r: r.answers.update({f"referrers/{digest(r.manifests['1'])}": (200, {}, b'{"manifests": 7}')}),
        9,
    ),
    "a redirect to half an address": (redirect("https://[::1"), 9),
    "a token service at half an address": (
        lambda r: r.answers.update({"*": (401, {"WWW-Authenticate": 'Bearer realm="https://[::1/t"'}, b"")}),
        9,
    ),
    "a length that is no number": (
        lambda r: r.answers.update({"manifests/1": (200, {"Content-Length": "\xb2"}, b"{}")}),
        9,
    ),
    "an answer cut short": (
        lambda r: r.answers.update({"manifests/1": (200, {"Content-Length": "1000"}, b"{}")}),
        8,
    ),
}


@pytest.mark.parametrize("attack", REGISTRY_ATTACKS)
def test_a_registry_that_lies_installs_nothing(attack: str, tmp_path: Path) -> None:
    change, code = REGISTRY_ATTACKS[attack]
    liar = Liar()
    with liar.serve() as host:
        reference = bundle_in(liar, host, tmp_path)
        old = make_bundle(tmp_path / "got", tiny_model(seed=9))
        before = contents(old)
        change(liar)
        with bounded(), pytest.raises(QedgeError) as caught:
            pull(reference, tmp_path / "got")
    assert caught.value.exit_code == code, caught.value
    assert contents(tmp_path / "got") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "got"]


STREAMS = {
    "a byte now and then": (b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n", b" ", "bytes a second"),
    "a head without an end": (b"HTTP/1.1 200 OK\r\n", b"X: y", "no answer"),
    "100 Continue for ever": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "no answer"),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_registry_that_never_ends_is_given_up(
    stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, again, said = STREAMS[stream]
    monkeypatch.setattr("qedge.ship.connections.TIMEOUT_S", 0.3)
    monkeypatch.setattr("qedge.ship.connections.SLOWEST_BYTES_S", 1 << 30)

    def drip(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        with contextlib.suppress(OSError):
            connection.sendall(begin)
            while True:
                connection.sendall(again)
                time.sleep(0.01)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                drip(connection)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        with pytest.raises(ToolError, match=said):
            pull(f"oci://127.0.0.1:{listener.getsockname()[1]}/tiny:1", tmp_path / "got")
    server.join(10)
    assert not server.is_alive()


def test_a_digest_that_was_asked_for_is_held(tmp_path: Path) -> None:
    liar = Liar()
    with liar.serve() as host:
        reference = bundle_in(liar, host, tmp_path)
        exact = f"{reference.rpartition(':')[0]}@{resolve(reference)}"
        assert pull(exact, tmp_path / "got").files > 2
        liar.manifests[resolve(reference)] = liar.manifests["1"] + b" "
        with pytest.raises(IntegrityError, match="another manifest"):
            pull(exact, tmp_path / "got")


def test_a_token_goes_to_its_registry_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password goes to the token service, the token to the registry, and neither to where it redirects."""
    monkeypatch.setenv("QEDGE_REGISTRY_AUTH", "anna:secret")
    liar, store = Liar(), Liar()
    with liar.serve() as host, store.serve() as elsewhere:
        reference = bundle_in(liar, host, tmp_path)
        layer = manifest_of(liar)["layers"][0]["digest"]
        store.answers["*"] = (200, {}, liar.blobs[layer])
        liar.answers[f"blobs/{layer}"] = (307, {"Location": f"http://{elsewhere}/x"}, b"")
        real = liar.answer

        def guarded(method: str, path: str, full: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
            if path == "/token":
                return 200, {}, b'{"token": "abc"}'
            if liar.authorization != "Bearer abc":
                return (
                    401,
                    {"WWW-Authenticate": f'Bearer realm="http://{host}/token",service="s",scope="p"'},
                    b"",
                )
            return real(method, path, full, body)

        liar.answer = guarded  # type: ignore[method-assign]
        pull(reference, tmp_path / "got")
        asked = [headers for _, path, headers in liar.seen if path.startswith("/token")]
        assert [h["Authorization"] for h in asked] == ["Basic " + base64.b64encode(b"anna:secret").decode()]
        assert any(path == "/token?service=s&scope=p" for _, path, _ in liar.seen)
        assert store.seen
        assert not [h for _, _, h in store.seen if "Authorization" in h]


def test_nobody_there_is_a_tool_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no answer"):
        pull("oci://127.0.0.1:9/tiny:1", tmp_path / "got")
    with Liar().serve() as host, pytest.raises(DataError, match="no such bundle"):
        pull(f"oci://{host}/tiny:1", tmp_path / "got")


def test_the_commands_push_and_pull(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Liar().serve() as host:
        bundle = make_bundle(tmp_path / "bundle")
        assert run(["push", str(bundle), f"oci://{host}/tiny:1", "--json"]) == 0
        json_page.check("push", json.loads(capfd.readouterr().out))
        out = tmp_path / "got"
        assert run(["pull", f"oci://{host}/tiny:1", "--out", str(out), "--json"]) == 0
        json_page.check("pull", json.loads(capfd.readouterr().out))
        assert contents(out) == contents(bundle)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "thesis.txt").write_text("years of work")
        assert run(["pull", f"oci://{host}/tiny:1", "--out", str(tmp_path / "other")]) == 2
        assert run(["pull", f"oci://{host}/tiny:absent", "--out", str(tmp_path / "x")]) == 3
        assert run(["pull", f"oci://{host}/tiny:1", "--least-serial", "3", "--out", str(tmp_path / "x")]) == 2
    with pytest.raises(UsageError, match="needs trusted"):
        pull("oci://127.0.0.1:9/tiny:1", tmp_path / "x", least_serial=3)
