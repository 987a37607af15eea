"""The Open Inference Protocol: a client that nobody here wrote, requests that are wrong, limits, a graceful stop."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit"))

from serving import raw_request, serving
from tiny_bundles import make_bundle, tiny_images, tiny_model

import qedge
from qedge.bundle import read_bundle, write_bundle
from qedge.bundle.manifest import TensorSpec
from qedge.drift.sketch import DRIFT, make_sketch
from qedge.errors import DataError, UsageError
from qedge.serve.app import Server
from qedge.serve.models import Models, parse_places
from qedge.serve.wire import Wire, body_limit
from tests import json_page

http = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")


def pictures(count: int = 6) -> list[np.ndarray]:
    return [(image ^ 0x80).view(np.int8)[None] for image in tiny_images(count)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("served")
    return make_bundle(folder / "one"), make_bundle(folder / "two", tiny_model(seed=4), golden=pictures())


@pytest.fixture(scope="module")
def server(bundles):
    with serving(f"tiny={bundles[0]}", f"tiny={bundles[1]}", f"other:7={bundles[1]}") as process:
        yield process


def infer(client, x: np.ndarray, model: str = "tiny", binary: bool = True, **options) -> np.ndarray:
    tensor = http.InferInput("image", list(x.shape), "INT8")
    tensor.set_data_from_numpy(x, binary_data=binary)
    outputs = [http.InferRequestedOutput("scores", binary_data=binary)]
    return client.infer(model, [tensor], outputs=outputs, **options).as_numpy("scores")


def test_tritons_client_lists_loads_and_infers_the_same_bytes(server, bundles) -> None:
    client = http.InferenceServerClient(server.address)
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert "model_repository" in client.get_server_metadata()["extensions"]
        found = {(m["name"], m["version"], m["state"]) for m in client.get_model_repository_index()}
        assert found == {("tiny", "1", "READY"), ("tiny", "2", "READY"), ("other", "7", "READY")}
        metadata = client.get_model_metadata("tiny")
        assert metadata["versions"] == ["1", "2"]
        assert metadata["inputs"][0]["shape"] == [1, 8, 8, 3]
        for version, bundle in (("1", bundles[0]), ("2", bundles[1]), ("", bundles[1])):
            with qedge.load(bundle) as model:
                for x in pictures():
                    wanted = model.run(x)
                    for binary in (True, False):
                        got = infer(client, x, binary=binary, model_version=version, request_id="a")
                        assert got.dtype == wanted.dtype
                        assert np.array_equal(got, wanted)
        client.unload_model("other")
        assert not client.is_model_ready("other")
        assert not client.is_server_ready()
        client.load_model("other")
        assert client.is_model_ready("other")
    finally:
        client.close()


def test_figures_are_prometheus_and_count_what_came(server) -> None:
    client = http.InferenceServerClient(server.address)
    infer(client, pictures()[0])
    client.close()
    with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    line = next(
        row
        for row in text.splitlines()
        if 'qedge_requests_total{model="tiny",status="200",version="2"}' in row
    )
    assert float(line.split()[-1]) >= 1
    assert "qedge_request_seconds_bucket" in text


def ask(server: Server, method: str, path: str, body: bytes = b"", headers=()) -> tuple[int, bytes]:
    """Return status and body of one request to the application, no socket between."""
    return asyncio.run(asked_of(server, method, path, body, headers))


async def asked_of(server: Server, method: str, path: str, body: bytes, headers=()) -> tuple[int, bytes]:
    sent: list = []
    pieces = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return pieces.pop(0) if pieces else {"type": "http.disconnect"}

    async def send(message) -> None:
        sent.append(message)

    given = [(b"content-length", b"%d" % len(body)), *headers]
    scope = {"type": "http", "method": method, "path": path, "headers": given}
    await server(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.fixture(scope="module")
def application(bundles):
    models = Models(parse_places([f"tiny={bundles[0]}"]))
    server = Server(models, timeout_s=60)
    server.start()
    yield server
    models.close()


GOOD = {
    "inputs": [
        {"name": "image", "shape": [1, 8, 8, 3], "datatype": "INT8", "data": [0] * 192},
    ]
}
VALUES = [None, True, -1, 1.5, 1e308, "", "x" * 5000, [], [[]], {}, {"a": 1}, [None], 10**30]


def changed(path: tuple, value: object) -> dict:
    document = json.loads(json.dumps(GOOD))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


def damaged() -> list[tuple[str, str, bytes, list]]:
    """Return requests, each wrong in one way: method, path, body, headers."""
    infer_path = "/v2/models/tiny/infer"
    found: list = []
    paths = [("inputs",), ("inputs", 0), ("id",), ("outputs",), ("inputs", 0, "parameters")]
    paths += [("inputs", 0, key) for key in ("name", "shape", "datatype", "data")]
    for path in paths:
        for value in VALUES:
            body = json.dumps(changed(path, value)).encode()
            found.append(("POST", infer_path, body, []))
    texts = [b"", b"{", b"[" * 60_000, b"null", b"[]", b"\xff\xfe", b'{"inputs": 1e400}', b'{"inputs": NaN}']
    texts.append(b"0" * 9000)
    found += [("POST", infer_path, text, []) for text in texts]
    good = json.dumps(GOOD).encode()
    for length in (b"-1", b"x", b"99999999999999", b"1e3", b"", b"5"):
        found.append(("POST", infer_path, good, [(b"inference-header-content-length", length)]))
    for size in (-1, 0, 191, 193, 1 << 62, "192", None, 1.5):
        entry = {**GOOD["inputs"][0], "parameters": {"binary_data_size": size}}
        entry.pop("data")
        head = json.dumps({"inputs": [entry]}).encode()
        for tail in (b"", b"\0" * 192, b"\0" * 400):
            header = [(b"inference-header-content-length", b"%d" % len(head))]
            found.append(("POST", infer_path, head + tail, header))
    found.append(("POST", infer_path, good, [(b"content-encoding", b"gzip")]))
    for method in ("GET", "PUT", "DELETE", "X" * 300):
        found.append((method, infer_path, b"", []))
    for path in (
        "/",
        "/v2/",
        "/v2/models",
        "/v2/models/none/infer",
        "/v2/models/tiny/versions/9/infer",
        "/v2/../x",
    ):
        found.append(("POST", path, good, []))
    for body in (b"{", b"[]", b'{"ready": 1, "x": ' + b"[" * 20_000):
        found.append(("POST", "/v2/repository/index", body, []))
    found.append(("POST", "/v2/repository/models/none/load", b"", []))
    found.append(("POST", "/v2/repository/models/tiny/load", b'{"parameters": {"config": "{}"}}', []))
    return found


HARMLESS = {(("id",), None), (("outputs",), None), (("id",), "")}


def test_a_request_that_is_wrong_gets_a_4xx_and_says_why(application) -> None:
    assert ask(application, "POST", "/v2/models/tiny/infer", json.dumps(GOOD).encode())[0] == 200
    wrong = damaged()
    assert len(wrong) > 140
    answers = [ask(application, *request) for request in wrong]
    accepted = [r for r, (status, _) in zip(wrong, answers) if status == 200]
    for (
        _,
        _,
        body,
        _,
    ) in accepted:  # what the protocol allows: an id that is empty, parameters that mean nothing
        entry = json.loads(body)["inputs"][0]
        assert entry["data"] == [0] * 192
        assert entry["shape"] == [1, 8, 8, 3]
    assert len(accepted) < 30
    for request, (status, body) in zip(wrong, answers):
        assert status == 200 or 400 <= status < 500, request[:2]
        if status != 200:
            assert json.loads(body)["error"]


def test_bodies_beyond_what_a_model_can_need_are_not_read(application) -> None:
    limit = next(iter(application.models)).body_limit
    assert ask(application, "POST", "/v2/models/tiny/infer", b" " * (limit + 1))[0] == 413
    status, _ = ask(
        application, "POST", "/v2/models/tiny/infer", b"{}", [(b"content-length", b"999999999999999999999")]
    )
    assert status == 413


def test_a_request_that_does_not_come_whole_in_time_ends_its_connection(bundles) -> None:
    head = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\n"
    with serving(bundles[0], "--timeout", 0.3) as process:
        for data in (head, head + b"Content-Length: 100\r\n\r\n{"):
            with socket.create_connection(("127.0.0.1", process.port), timeout=60) as connection:
                connection.sendall(data)
                assert connection.recv(1 << 16) == b""


def test_a_full_queue_is_a_503_and_drains(bundles) -> None:
    models = Models(parse_places([str(bundles[0])]), streams=1, queue=2)
    server = Server(models)
    server.start()
    served = next(iter(models))
    served.inline = False
    assert served.model is not None
    run, go = served.model._run, threading.Event()

    def slow(inputs):
        go.wait(60)
        return run(inputs)

    served.model._run = slow
    body = json.dumps(GOOD).encode()
    statuses: list[int] = []

    async def one() -> None:
        sent: list = []

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message) -> None:
            sent.append(message)

        headers = [(b"content-length", b"%d" % len(body))]
        scope = {"type": "http", "method": "POST", "path": "/v2/models/tiny/infer", "headers": headers}
        await server(scope, receive, send)
        statuses.append(sent[0]["status"])
        if sent[0]["status"] == 503:
            assert (b"retry-after", b"1") in sent[0]["headers"]
        if len([s for s in statuses if s == 503]) == 5:
            go.set()

    async def all_at_once() -> None:
        await asyncio.gather(*(one() for _ in range(8)))

    asyncio.run(all_at_once())
    assert sorted(statuses) == [200] * 3 + [503] * 5
    assert served.waiting == 0
    models.close()


def test_connections_that_send_nothing_do_not_stop_others(server) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    try:
        for connection in idle[::2]:
            connection.sendall(b"POST /v2/models/tiny/infer HTTP/1.1\r\nContent-Le")
        with urllib.request.urlopen(f"http://{server.address}/v2/health/ready", timeout=60) as answer:
            assert answer.status == 200
    finally:
        for connection in idle:
            connection.close()


def test_what_is_no_http_closes_the_connection_and_nothing_else(server) -> None:
    head = b"POST / HTTP/1.1\r\n"
    wrong = [
        b"\0" * 500,
        b"GET\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\0",
        head + b"A: \0\r\n\r\n",
    ]
    for data in wrong:
        assert b" 200 " not in raw_request(server.port, data).partition(b"\r\n")[0]
    done = raw_request(server.port, b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert done.startswith(b"HTTP/1.1 200")


PIECE = 1 << 20
HEAD = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "headers": (HEAD, b"a:b\r\n" * (PIECE // 5)),
    "one header": (HEAD + b"X: ", b"y" * PIECE),
    "an address": (b"GET /", b"y" * PIECE),
    "the name of a chunk": (CHUNKED + b"5;", b"y" * PIECE),
    "trailers": (CHUNKED + b"0\r\n", b"a:b\r\n" * (PIECE // 5)),
    "chunks": (CHUNKED, b"100000\r\n" + b"y" * PIECE + b"\r\n"),
}


def sending(connection: socket.socket, begin: bytes, again: bytes) -> int:
    """Return how many pieces went out of 64 before the other side ended the connection."""
    connection.sendall(begin)
    for k in range(64):
        try:
            connection.sendall(again)
        except OSError:
            return k
    return 64


def test_what_never_ends_is_ended_before_it_takes_memory(server) -> None:
    raw_request(server.port, b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    before = server.rss_kb()
    for begin, again in ENDLESS.values():
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            sent = sending(connection, begin, again)
        assert sent < 64
    assert server.rss_kb() - before < 30_000


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Content-Length: +2\r\n\r\n{}",
        b"Content-Length : 2\r\n\r\n{}",
        b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_request_that_two_servers_may_read_in_two_ways_is_refused(server, lines) -> None:
    assert raw_request(server.port, HEAD + lines).startswith(b"HTTP/1.1 400")


def test_a_stop_answers_what_is_at_work_and_exits_with_0(bundles) -> None:
    with serving(bundles[0]) as process:
        body = json.dumps(GOOD).encode()
        head = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_connection(("127.0.0.1", process.port), timeout=60) as connection:
            connection.sendall(head + body[:10])
            raw_request(process.port, b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            process.process.send_signal(signal.SIGTERM)
            connection.sendall(body[10:])
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert process.process.wait(60) in (0, -signal.SIGTERM)


def test_the_command_says_where_it_serves_and_what(cli, bundles, tmp_path) -> None:
    with (
        serving(bundles[0], "--drift") as process,
        urllib.request.urlopen(f"http://{process.address}/v2") as answer,
    ):
        assert json.loads(answer.read())["name"] == "qedge"
    assert cli("serve", f"a b={bundles[0]}").returncode == 2
    assert cli("serve", f"a:1={bundles[0]}", f"a:1={bundles[0]}").returncode == 2
    assert cli("serve", tmp_path).returncode == 3
    assert cli("serve", bundles[0], "--timeout", "nan").returncode == 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = cli("serve", bundles[0], "--port", taken.getsockname()[1])
        assert (done.returncode, "Traceback" in done.stderr) == (8, False)
    document = {"host": "x", "port": 1, "models": Models(parse_places([str(bundles[0])])).index()}
    json_page.check("serve", document)


def test_drift_of_a_served_model_is_among_the_figures(bundles, tmp_path) -> None:
    plain = read_bundle(bundles[0])
    images = pictures(30)
    with qedge.load(bundles[0]) as model:
        outputs = [[model.run(x)] for x in images]
    sketch = make_sketch([[x] for x in images], outputs, classes=True)
    assert sketch is not None
    files = {name: plain.read(name) for name in plain.manifest.files}
    write_bundle(tmp_path / "b", plain.manifest, {**files, DRIFT: sketch.encoded()})
    models = Models(parse_places([str(tmp_path / "b")]))
    server = Server(models, drift=True)
    server.start()
    for _ in range(50):
        assert ask(server, "POST", "/v2/models/tiny/infer", json.dumps(GOOD).encode())[0] == 200
    text = ask(server, "GET", "/metrics")[1].decode()
    assert 'qedge_drift_windows{model="tiny",version="1"} 1.0' in text
    assert 'qedge_drift_changed{model="tiny",version="1",what="inputs"} 1.0' in text
    models.close()


def test_numbers_that_do_not_fit_are_refused_not_wrapped(bundles) -> None:
    with qedge.load(bundles[0]) as model:
        wire = Wire("m", "1", model.inputs, model.outputs)
        for value in (128, -129, 0.5, True, "1"):
            document = changed(("inputs", 0, "data"), [value] + [0] * 191)
            with pytest.raises(DataError):
                wire.read(json.dumps(document).encode())
        nested = np.zeros((1, 8, 8, 3), int).tolist()
        _, (array,) = wire.read(json.dumps(changed(("inputs", 0, "data"), nested)).encode())
        assert array.shape == (1, 8, 8, 3)
        assert body_limit(model.inputs) > len(json.dumps(nested, indent=1))


@pytest.mark.parametrize("value", ["1e400", "1e300", "NaN", "-Infinity", "1" + "0" * 400])
def test_floats_that_are_none_are_refused(value) -> None:
    spec = TensorSpec("x", (1, 2), "float32")
    body = f'{{"inputs": [{{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.5, {value}]}}]}}'
    with pytest.raises(DataError, match="data"):
        Wire("m", "1", [spec], [spec]).read(body.encode())


def test_loads_and_unloads_at_once_leave_one_model_and_every_request_an_answer(bundles, monkeypatch) -> None:
    models = Models(parse_places([str(bundles[0])]))
    server = Server(models)
    server.start()
    served = next(iter(models))
    open_now = 0

    def counted(*arguments, **options):
        nonlocal open_now
        open_now += 1
        model = qedge.load(*arguments, **options)
        close = model.close

        def closed() -> None:
            nonlocal open_now
            open_now -= 1
            close()

        model.close = closed
        served.inline = False
        return model

    monkeypatch.setattr("qedge.serve.models.load", counted)
    good = json.dumps(GOOD).encode()
    act, infer_path = "/v2/repository/models/tiny/{}".format, "/v2/models/tiny/infer"
    asked = [
        act("unload"),
        *[infer_path] * 5,
        act("load"),
        act("load"),
        *[infer_path] * 5,
        act("unload"),
        act("load"),
    ]

    async def storm() -> list[int]:
        answers = []
        for _ in range(8):
            served.inline = False
            bodies = [good if path == infer_path else b"{}" for path in asked]
            done = await asyncio.gather(*(asked_of(server, "POST", *of) for of in zip(asked, bodies)))
            answers += [status for status, _ in done]
        await asked_of(server, "POST", act("unload"), b"{}")
        return answers

    statuses = asyncio.run(storm())
    assert set(statuses) <= {200, 404}
    assert statuses.count(200) >= 8 * 5  # the loads and unloads
    assert open_now == 0


def test_versions_are_given_in_order_and_the_newest_answers(bundles) -> None:
    places = parse_places([str(bundles[0]), str(bundles[1]), f"x:10={bundles[0]}", f"x:9={bundles[1]}"])
    assert [p[:2] for p in places] == [("tiny", "1"), ("tiny", "2"), ("x", "10"), ("x", "9")]
    models = Models(places)
    assert models.find("x") is None
    models.load()
    found = models.find("x")
    assert found is not None
    assert found.place.version == "10"
    models.close()
    with pytest.raises(UsageError):
        Models([places[0], places[0]])
