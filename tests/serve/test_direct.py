"""The direct way of inferences beside uvicorn's own: the same answers, in order, in whatever pieces a client sends."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit"))

from tiny_bundles import make_bundle

from qedge.serve.app import Server
from qedge.serve.models import Models, parse_places
from qedge.serve.streams import Streams

uvicorn = pytest.importorskip("uvicorn", reason="needs qedge[serve]")
pytest.importorskip("httptools", reason="needs qedge[serve]")

BODY = json.dumps(
    {"inputs": [{"name": "image", "shape": [1, 8, 8, 3], "datatype": "INT8", "data": [3] * 192}]}
).encode()
PATH = "/v2/models/tiny/infer"


def post(
    *lines: str, body: bytes = BODY, length: bool = True, version: str = "1.1", path: str = PATH
) -> bytes:
    stated = [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([f"POST {path} HTTP/{version}", "Host: x", *stated, *lines, "", ""]).encode() + body


def get(path: str = "/v2", *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


# what ``curl --http2`` says with its first request
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")


@pytest.fixture(params=[True, False], ids=["inline", "by a stream"])
def application(request, tmp_path):
    models = Models(parse_places([str(make_bundle(tmp_path / "b"))]))
    server = Server(models)
    server.start()
    for served in models:
        served.inline = request.param
    yield server
    models.close()


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[tuple[int, set]]:
    """Yield a port where the protocol answers for ``server``, and its connections; no process of its own."""
    from uvicorn.server import ServerState

    from qedge.serve.protocol import Protocol, Turn

    config = uvicorn.Config(server, access_log=False, ws="none", log_level="error")
    config.load()
    state = ServerState()
    make = functools.partial(
        Protocol, server, Turn(server), 60.0, config=config, server_state=state, app_state={}
    )
    listener = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1], state.connections
    finally:
        listener.close()


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Return status, head and body of the next answer."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(head.split()[1]), head.lower(), await reader.readexactly(int(length.split()[1]))


async def exchange(port: int, data: bytes, count: int) -> list[tuple[int, bytes, bytes]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    found = [await answer_of(reader) for _ in range(count)]
    writer.close()
    return found


def test_every_way_of_sending_a_request_has_the_same_answer(application) -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    # what is on no direct way: a body of no stated length, an older HTTP, a path spelt otherwise, another URL
    others = [
        post("Transfer-Encoding: chunked", body=chunked, length=False),
        post(version="1.0"),
        post(path="/v2/models/tin%79/infer"),
        post(path=PATH + "?a=b"),
    ]

    async def ask() -> list:
        async with listening(application) as (port, _):
            return [(await exchange(port, data, 1))[0] for data in [post(), *others]]

    found = asyncio.run(ask())
    assert {status for status, _, _ in found} == {200}
    assert {body for _, _, body in found} == {found[0][2]}
    assert b"connection: close" not in found[0][1]


def test_a_client_that_waits_for_100_continue_gets_it(application) -> None:
    async def ask() -> tuple[bytes, int]:
        async with listening(application) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                post("Expect: 100-continue", body=b"").replace(b"Length: 0", b"Length: %d" % len(BODY))
            )
            told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            writer.write(BODY)
            status = (await answer_of(reader))[0]
            writer.close()
            return told, status

    told, status = asyncio.run(ask())
    assert (told.split()[1], status) == (b"100", 200)


def test_pipelined_requests_of_both_ways_are_answered_in_order(application) -> None:
    wrong = post(body=b"{}")
    sent = [post(), get(), post(), post(), wrong, get(), get("/none"), post(), wrong, post()]
    wanted = [200, 200, 200, 200, 400, 200, 404, 200, 400, 200]

    async def ask(piece: int | None) -> list[tuple[int, bytes, bytes]]:
        async with listening(application) as (port, _):
            if piece is None:
                return await exchange(port, b"".join(sent), len(sent))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            data = b"".join(sent)
            for at in range(0, len(data), piece):
                writer.write(data[at : at + piece])
                await asyncio.sleep(0)
            found = [await answer_of(reader) for _ in sent]
            writer.close()
            return found

    for piece in (None, 700, 63):
        found = asyncio.run(ask(piece))
        assert [status for status, _, _ in found] == wanted
        assert [b"extensions" in body for _, _, body in found] == [data == get() for data in sent]


def test_a_client_that_offers_another_protocol_is_answered_in_this_one(application) -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    offers = [
        post(*H2C),
        get("/v2", *H2C),
        post(*H2C, "Transfer-Encoding: chunked", body=chunked, length=False),
        get("/v2", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: eA=="),
        post("Connection: keep-alive, upgrade", "Upgrade: h2c", body=b"{}"),
        post(*H2C, path=PATH + "?a=b"),
    ]
    sent = [*offers, post(), get(), *offers, post(*H2C).replace(b"Upgrade, ", b"Upgrade, close, ")]
    wanted = [200, 200, 200, 200, 400, 200]

    async def ask(piece: int) -> list[tuple[int, bytes, bytes]]:
        async with listening(application) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            data = b"".join(sent)
            for at in range(0, len(data), piece):
                writer.write(data[at : at + piece])
                await asyncio.sleep(0)
            found = [await answer_of(reader) for _ in sent]
            assert await asyncio.wait_for(reader.read(), 60) == b""  # "close" among its words is heard
            writer.close()
            return found

    for piece in (1 << 20, 700, 61):
        found = asyncio.run(ask(piece))
        assert [status for status, _, _ in found] == [*wanted, 200, 200, *wanted, 200]
        assert [b"outputs" in body for _, _, body in found[:6]] == [True, False, True, False, False, True]
        assert not any(b"upgrade" in head for _, head, _ in found)


def test_a_thousand_offers_at_once_are_a_thousand_answers(application) -> None:
    async def ask() -> list[tuple[int, bytes, bytes]]:
        async with listening(application) as (port, _):
            return await exchange(port, get("/v2", *H2C) * 1000, 1000)

    assert {status for status, _, _ in asyncio.run(ask())} == {200}


def test_a_tunnel_is_refused_and_so_is_a_wrong_request_with_an_offer(application) -> None:
    async def ask() -> list[int]:
        async with listening(application) as (port, _):
            wrong = post(*H2C, "Content-Length: 1")  # two lengths
            sent = [b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", wrong, get()]
            return [(await exchange(port, data, 1))[0][0] for data in sent]

    connect, wrong, after = asyncio.run(ask())
    assert (400 <= connect < 500, wrong, after) == (True, 400, 200)


def test_a_head_is_a_get_without_its_body_and_other_methods_are_told_what_is_there(application) -> None:
    async def ask() -> tuple[list[bytes], list]:
        async with listening(application) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            paths = ["/v2/health/ready", "/v2/models/tiny", "/v2", "/metrics"]
            heads = []
            for path in paths:
                writer.write(get(path).replace(b"GET", b"HEAD"))
                heads.append(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60))
            writer.write(get())
            after = await answer_of(reader)
            refused = []
            for wrong in (get(PATH), get().replace(b"GET", b"DELETE")):
                writer.write(wrong)
                refused.append(await answer_of(reader))
            writer.close()
            return heads, [after, *refused]

    heads, (after, post_only, get_only) = asyncio.run(ask())
    assert {head.split()[1] for head in heads} == {b"200"}
    assert (after[0], json.loads(after[2])["name"]) == (200, "qedge")
    assert (post_only[0], b"allow: post\r\n" in post_only[1]) == (405, True)
    assert (get_only[0], b"allow: get, head\r\n" in get_only[1]) == (405, True)


def test_a_connection_closes_where_the_client_says_so(application) -> None:
    async def ask() -> tuple[bytes, bytes]:
        async with listening(application) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("Connection: close") + post())
            head = (await answer_of(reader))[1]
            rest = await asyncio.wait_for(reader.read(), 60)
            writer.close()
            return head, rest

    head, rest = asyncio.run(ask())
    assert (b"connection: close" in head, rest) == (True, b"")


def test_a_fault_of_ours_is_a_500_and_the_connection_lives(application, capfd) -> None:
    served = next(iter(application.models))
    run = served.model._run
    served.model._run = lambda inputs: 1 // 0

    async def ask() -> list:
        async with listening(application) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post())
            first = (await answer_of(reader))[0]
            served.model._run = run
            writer.write(post())
            second = (await answer_of(reader))[0]
            writer.close()
            return [first, second]

    assert asyncio.run(ask()) == [500, 200]
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_client_that_never_reads_does_not_fill_the_memory(application) -> None:
    count = 6000

    async def ask() -> tuple[int, int]:
        async with listening(application) as (port, connections):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post() * count)
            most = last = 0
            while True:  # until the server takes no more
                await asyncio.sleep(0.05)
                (connection,) = connections
                most = max(most, connection.transport.get_write_buffer_size())
                done = application.models.find("tiny").tally.statuses.get(200, 0)
                if done == last and done:
                    break
                last = done
            for _ in range(count):
                status, _, _ = await answer_of(reader)
                assert status == 200
            writer.close()
            return most, last

    most, _ = asyncio.run(ask())
    assert most < 1 << 20


def test_an_inference_that_takes_too_long_is_a_504(tmp_path) -> None:
    models = Models(parse_places([str(make_bundle(tmp_path / "b"))]))
    server = Server(models, timeout_s=0.05)
    server.start()
    served = next(iter(models))
    served.inline = False
    run, late = served.model._run, asyncio.run

    async def ask() -> int:
        go = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(inputs):
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result(60)
            return run(inputs)

        served.model._run = slow
        async with listening(server) as (port, _):
            status = (await exchange(port, post(), 1))[0][0]
            go.set()
        return status

    assert late(ask()) == 504
    models.close()


def test_streams_make_what_was_submitted_and_not_what_was_cancelled() -> None:
    made: list[int] = []

    def run(value: int) -> int:
        made.append(value)
        if value == 3:
            raise ValueError("three")
        return value * 2

    async def use() -> list:
        streams = Streams(run, 1, "test")
        before = [streams.submit(k) for k in (1, 2, 3)]
        gone = streams.submit(4)
        gone.cancel()
        await asyncio.get_running_loop().run_in_executor(None, streams.close)
        found = await asyncio.gather(*before, return_exceptions=True)
        assert streams.waiting == 0
        return found

    first, second, third = asyncio.run(use())
    assert (first, second, str(third)) == (2, 4, "three")
    assert made == [1, 2, 3]
