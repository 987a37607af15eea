"""The camera app's page: by plain clients first, then in Chromium."""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from chromium import CHROMIUM, FLAGS, live, near, pixel, says, until
from PIL import Image, ImageColor

pytest.importorskip("websockets", reason="needs websockets, as the camera app does")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from qedge.errors import UsageError

APP = Path(__file__).parents[2] / "sample_apps" / "camera"
sys.path.insert(0, str(APP))

import web  # noqa: E402

ABOUT: dict[str, object] = {
    "model": "colours",
    "target": "rpi",
    "task": "classify",
    "engine": "LiteRT",
    "source": "test",
    "input": [32, 32],
}
Serve = Callable[..., web.Page]


def jpeg(colour: str = "red", size: tuple[int, int] = (640, 480)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG", quality=90)
    return out.getvalue()


def seen(frame: int, **more: object) -> dict[str, object]:
    stages = {"read": 2.0, "pre": 1.0, "invoke": 9.0, "post": 0.5}
    common = {"frame": frame, "seconds": frame / 20, "width": 640, "height": 480, "fps": 20.0, "dropped": 3}
    return {**common, "latency_ms": stages, **(more or {"labels": [{"label": "red", "score": 0.9}]})}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Open pages, each closed when the test ends, with no thread left; a picture stays new however busy the machine."""
    monkeypatch.setattr(web, "_FRESH_S", 600)
    before = set(threading.enumerate())
    pages = []

    def open_page(
        host: str = "127.0.0.1", port: int = 0, token: str | None = None, about: object = None
    ) -> web.Page:
        page = web.Page(host, port, token, about or ABOUT)  # type: ignore[arg-type]
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert until(lambda: not (set(threading.enumerate()) - before)), threading.enumerate()


def port_of(page: web.Page) -> int:
    found = re.search(r":(\d+)/", page.url)
    assert found
    return int(found[1])


def get(page: web.Page, path: str, **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


@contextmanager
def view(page: web.Page, query: str = "", **options: Any) -> Iterator[ClientConnection]:
    """Open the stream as the page does and take the news about the app."""
    with connect(f"ws://127.0.0.1:{port_of(page)}/stream{query}", compression=None, **options) as viewer:
        viewer.recv(timeout=60)
        yield viewer


def refused(page: web.Page, query: str = "", **headers: str) -> int:
    """Open the stream in vain; return the status of the refusal."""
    with pytest.raises(InvalidStatus) as refusal, view(page, query, additional_headers=headers):
        pass
    return int(refusal.value.response.status_code)


def frame(viewer: ClientConnection, timeout: float = 60) -> tuple[dict[str, Any], bytes]:
    """Return the next picture and what was seen in it; words between pictures are skipped."""
    deadline = time.monotonic() + timeout
    while isinstance(data := viewer.recv(timeout=max(0, deadline - time.monotonic())), str):
        pass
    length = int.from_bytes(data[:4], "big")
    return json.loads(data[4 : 4 + length]), data[4 + length :]


# ---- plain clients --------------------------------------------------------------------------------------------


def test_a_viewer_gets_picture_and_sight_together(serve: Serve) -> None:
    page = serve()
    assert not page.watched()
    with connect(f"ws://127.0.0.1:{port_of(page)}/stream") as viewer:
        assert json.loads(viewer.recv(timeout=60)) == ABOUT
        assert page.wait(60)
        assert page.watched()
        for number, colour in enumerate(("red", "green", "blue"), 1):
            page.show(jpeg(colour), seen(number))
            assert frame(viewer) == (seen(number), jpeg(colour))
            viewer.send("ready")
    assert until(lambda: not page.watched(), 3)


def test_a_burst_is_not_queued(serve: Serve) -> None:
    page = serve()
    with view(page) as viewer:
        page.show(jpeg(), seen(1))
        assert frame(viewer)[0]["frame"] == 1
        for number in range(2, 100):
            page.show(jpeg(), seen(number))
        with pytest.raises(TimeoutError):
            frame(viewer, 0.5)
        viewer.send("ready")
        assert frame(viewer)[0]["frame"] == 99


def test_a_slow_viewer_slows_nobody(serve: Serve) -> None:
    page = serve()
    with view(page) as slow, view(page) as fast:
        for number in range(1, 31):
            page.show(jpeg(), seen(number))
            assert frame(fast)[0]["frame"] == number
            fast.send("ready")
            if number == 1:
                assert frame(slow)[0]["frame"] == 1
        slow.send("ready")
        assert frame(slow)[0]["frame"] == 30


def test_a_viewer_who_comes_late_sees_the_present_and_never_an_old_picture(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = serve()
    page.show(jpeg(), seen(1))
    with view(page) as viewer:
        assert frame(viewer)[0]["frame"] == 1
    monkeypatch.setattr(web, "_FRESH_S", 0.1)
    time.sleep(0.2)
    with view(page) as viewer:
        with pytest.raises(TimeoutError):
            frame(viewer, 0.4)
        page.show(jpeg(), seen(2))
        assert frame(viewer)[0]["frame"] == 2


def test_a_camera_that_gives_nothing_is_told_from_a_dead_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert web._NEWS_S < 7  # what the page takes for a dead connection, in seconds
    monkeypatch.setattr(web, "_NEWS_S", 0.2)
    with view(serve()) as viewer:
        assert [json.loads(viewer.recv(timeout=60)) for _ in range(3)] == [ABOUT] * 3


def raw_viewer(page: web.Page) -> socket.socket:
    """A viewer that opens the stream and never says or reads anything again."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port_of(page)))
    sock.sendall(
        f"GET /stream HTTP/1.1\r\nHost: localhost:{port_of(page)}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert sock.recv(12) == b"HTTP/1.1 101"
    return sock


@pytest.mark.parametrize("picture", [b"", bytes(30_000_000)], ids=["idle", "stuck in a write"])
def test_a_viewer_who_vanished_is_dropped(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, picture: bytes
) -> None:
    assert web._PING_S + web._SILENCE_S <= 10
    monkeypatch.setattr(web, "_PING_S", 0.3)
    monkeypatch.setattr(web, "_SILENCE_S", 0.5)
    page = serve()
    with raw_viewer(page):
        assert page.wait(60)
        if picture:
            page.show(picture, seen(1))
        assert until(lambda: not page.watched(), 60)


def test_the_number_of_viewers_is_limited(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MAX_VIEWERS", 2)
    page = serve()
    with view(page) as first, view(page):
        with connect(f"ws://127.0.0.1:{port_of(page)}/stream") as third:
            with pytest.raises(ConnectionClosed) as end:
                third.recv(timeout=60)
            assert end.value.rcvd is not None
            assert (end.value.rcvd.code, end.value.rcvd.reason) == (1013, "2 viewers already")
        first.close()
        assert until(lambda: len(page._viewers) == 1)
        with view(page):
            assert len(page._viewers) == 2


def test_wait_returns_when_somebody_comes_or_time_is_up(serve: Serve) -> None:
    page = serve()
    assert page.wait(0.05) is False
    answer: list[bool] = []
    waiting = threading.Thread(target=lambda: answer.append(page.wait(30)))
    waiting.start()
    with view(page):
        waiting.join(5)
        assert answer == [True]


def test_a_snapshot_wakes_an_app_that_rests(serve: Serve) -> None:
    page = serve()
    page.show(jpeg("red"), seen(1))

    def camera() -> None:
        assert page.wait(10)
        page.show(jpeg("blue"), seen(2))

    app = threading.Thread(target=camera)
    app.start()
    status, body, headers = get(page, "/snapshot.jpg")
    app.join()
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert body == jpeg("blue")
    assert "camera_000002.jpg" in headers["Content-Disposition"]
    assert not page.watched()


def test_without_a_camera_there_is_no_snapshot(serve: Serve) -> None:
    status, body, _ = get(serve(), "/snapshot.jpg")
    assert status == 503
    assert b"no picture" in body


def test_what_plain_requests_get(serve: Serve) -> None:
    page = serve()
    status, body, headers = get(page, "/")
    assert (status, body) == (200, (APP / "page.html").read_bytes())
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not re.findall(rb"""(?:src|href)=["'](?!data:)|url\(|@import|import\(""", body), (
        "an external resource"
    )
    page.show(jpeg(), seen(1))
    assert json.loads(get(page, "/health")[1]) == {"viewers": 0, "frame": 1}
    for path in ("/favicon.ico", "/../web.py", "/page.html", "//", "/%2e%2e/web.py", "*"):
        assert get(page, path)[0] == 404, path
    assert get(page, "/stream")[0] == 426
    for method in ("POST", "PUT", "DELETE"):
        connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=60)
        connection.request(method, "/snapshot.jpg", headers={"Content-Length": "0"})
        with suppress(http.client.RemoteDisconnected):  # websockets before 17
            assert connection.getresponse().status == 405
        connection.close()


def test_another_host_name_is_refused_on_this_computer(serve: Serve) -> None:
    page = serve()
    for host in (
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "192.168.1.7",
        "localhost.evil",
        "[",
    ):
        for path in ("/", "/snapshot.jpg", "/health", "/stream"):
            assert get(page, path, Host=host)[0] == 403, (host, path)
    for host in ("localhost", "localhost:9999", "LOCALHOST", "127.0.0.1:80", "[::1]:8000"):
        assert get(page, "/", Host=host)[0] == 200, host


def test_another_site_may_not_open_the_stream(serve: Serve) -> None:
    page = serve()
    for origin in ("http://evil.example", "null", f"http://localhost:{port_of(page) + 1}", "", "http://["):
        assert refused(page, Origin=origin) == 403, origin
    assert not page.watched()
    with view(page, additional_headers={"Origin": f"http://127.0.0.1:{port_of(page)}"}):
        assert page.watched()
    for site in ("cross-site", "same-site"):  # a picture in another site's page, which would wake the camera
        assert get(page, "/snapshot.jpg", **{"Sec-Fetch-Site": site})[0] == 403
        assert get(page, "/", **{"Sec-Fetch-Site": site})[0] == 200  # a link to the page
    page.show(jpeg(), seen(1))
    for site in ("same-origin", "none"):
        assert get(page, "/snapshot.jpg", **{"Sec-Fetch-Site": site})[0] == 200


def test_the_token_is_asked_for(serve: Serve) -> None:
    page = serve("0.0.0.0", token="sésame+1")
    good = "?token=s%C3%A9same%2B1"
    assert page.url.endswith(f":{port_of(page)}/{good}")
    for path in ("/", "/snapshot.jpg", "/stream", "/anything"):
        for query, expected in (("", 401), ("?token=", 401), ("?token=sesame", 403), ("?token=%FF%00", 403)):
            status, body, _ = get(page, path + query)
            assert (status, b"?token=..." in body) == (expected, True), path + query
            assert len(body.splitlines()) == 1
    assert get(page, "/" + good, Host="camera.local:8000")[0] == 200
    assert get(page, "/anything" + good)[0] == 404
    assert refused(page, "?token=sesame") == 403
    with view(page, good) as viewer:
        page.show(jpeg(), seen(1))
        assert frame(viewer)[0]["frame"] == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.7"])
def test_nothing_is_opened_to_the_network_without_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="needs a token") as problem:
        web.Page(host, 0, None, ABOUT)
    assert problem.value.hint


def test_a_port_that_is_taken_is_named(serve: Serve) -> None:
    page = serve()
    with pytest.raises(UsageError, match=f"port {port_of(page)}") as problem:
        web.Page("127.0.0.1", port_of(page), None, ABOUT)
    assert problem.value.exit_code == 2
    assert "port" in str(problem.value.hint)
    with pytest.raises(UsageError, match="99999"):
        web.Page("127.0.0.1", 99999, None, ABOUT)


def test_closing_ends_every_thread_whatever_the_viewers_do(serve: Serve) -> None:
    before = set(threading.enumerate())
    page = serve()
    port = port_of(page)
    idle = socket.create_connection(("127.0.0.1", port))  # a browser's spare connection, which asks nothing
    with idle, raw_viewer(page), view(page) as polite:
        assert until(lambda: len(page._viewers) == 2)
        page.show(bytes(30_000_000), seen(1))
        page.close()
        page.close()
        ours = [t for t in set(threading.enumerate()) - before if t is not polite.recv_events_thread]
        assert [t for t in ours if t is not getattr(polite, "keepalive_thread", None)] == []
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
    assert not page.watched()


def test_noise_on_the_port_disturbs_nobody(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    page = serve()
    with view(page) as viewer:
        for noise in (
            b"\x16\x03\x01\x02\x00",
            b"POST / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost",
            b"\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port_of(page))) as sock:
                sock.sendall(noise)
        with view(page) as chatty:
            chatty.send("x" * 100_000)
            with pytest.raises(ConnectionClosed):
                chatty.recv(timeout=60)
        page.show(jpeg(), seen(7))
        assert frame(viewer)[0]["frame"] == 7
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


def test_a_number_that_json_has_not_is_refused(serve: Serve) -> None:
    with pytest.raises(ValueError, match="JSON"):
        serve().show(jpeg(), seen(1, labels=[{"label": "red", "score": float("nan")}]))


# ---- Chromium -------------------------------------------------------------------------------------------------


class Camera:
    """Shows twenty frames a second of whatever ``picture`` and ``sight`` are."""

    def __init__(self, page: web.Page) -> None:
        self.page, self.number = page, 0
        self.picture, self.sight = jpeg(), {"labels": [{"label": "red", "score": 0.9}]}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self.number += 1
            self.page.show(self.picture, seen(self.number, **self.sight))

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def labels(*pairs: tuple[str, float]) -> dict[str, Any]:
    return {"labels": [{"label": label, "score": score} for label, score in pairs]}


def test_picture_and_label_follow_the_camera(serve: Serve, look: Callable[..., Any]) -> None:
    page = serve()
    with Camera(page) as camera:
        window = look(page.url)
        live(window)
        for colour, other in (("red", "lime"), ("lime", "blue"), ("blue", "red")):
            camera.sight, camera.picture = labels((colour, 0.83), (other, 0.12)), jpeg(colour)
            says(window, "#best", colour)
            until(lambda: near(pixel(window, 0.5, 0.5), camera_colour(camera)))
            assert near(pixel(window, 0.5, 0.5), colour)
            says(window, "#rows .first span", colour)
            says(window, "#rows .first b", "83 %")
            assert window.inner_text("#rows li:nth-of-type(2)") != ""
        says(window, "#live", "blue")  # what a screen reader says
        says(window, "#fps", "20.0")
        says(window, "#dropped", "3 dropped")
        says(window, "#invoke", "9.0 ms")
        says(window, "#total", "13 ms in all")
        says(window, "#name", "colours")
        text = window.inner_text("#facts")
        assert all(value in text for value in ("rpi", "LiteRT", "test", "640 × 480 → 32 × 32"))
        first = window.evaluate("seen.frame")
        assert until(lambda: window.evaluate("seen.frame") > first)


def camera_colour(camera: Camera) -> str:
    return str(camera.sight["labels"][0]["label"])


def test_two_viewers_of_which_one_is_slow(serve: Serve, look: Callable[..., Any]) -> None:
    page = serve()
    counting = """const decode = createImageBitmap; window.drawn = 0;
        window.createImageBitmap = async (blob) => { window.drawn++; await pause(); return decode(blob) };"""
    at_once = counting + "const pause = async () => {};"
    slowly = counting + "const pause = () => new Promise((done) => setTimeout(done, 400));"
    with Camera(page) as camera:
        fast, slow = look(page.url, at_once), look(page.url, slowly)
        live(fast)
        live(slow)
        assert len(page._viewers) == 2
        before = fast.evaluate("drawn"), slow.evaluate("drawn")
        fast.wait_for_timeout(3000)
        drawn = fast.evaluate("drawn") - before[0], slow.evaluate("drawn") - before[1]
        assert drawn[1] <= 9
        assert drawn[0] > 2 * drawn[1]
        behind = camera.number - slow.evaluate("seen.frame")
        assert behind < 40  # two seconds at the most: the frame on its way, never a queue of them


@pytest.mark.parametrize("task", ["labels", "boxes", "points"])
def test_nothing_sticks_out_of_any_screen(serve: Serve, look: Callable[..., Any], task: str) -> None:
    long = "an uncommonly_long_label_without_any_place_to_break_it_" * 3
    score = {
        "label": long,
        "score": 0.999,
        "name": "left_" + long,
        "x": 1,
        "y": 2,
        "box": [-50, -50, 900, 700],
    }
    page = serve(about={**ABOUT, "model": long, "engine": long, "source": long})
    with Camera(page) as camera:
        camera.sight = {task: [score] * 12 if task != "labels" else [score]}
        window = look(page.url)
        live(window)
        says(window, "#name", long)
        for width, height in ((320, 568), (360, 740), (740, 360), (1280, 720), (3840, 2160)):
            window.set_viewport_size({"width": width, "height": height})
            assert window.evaluate("document.documentElement.scrollWidth") <= width
            sizes = window.evaluate("""[...document.querySelectorAll("button, #frame, aside section")].map((e) =>
                (({left, right, height}) => [left, right, height])(e.getBoundingClientRect()))""")
            assert len(sizes) == 7
            assert all(left >= 0 and right <= width and high >= 40 for left, right, high in sizes), sizes
            button = window.locator("#pause").bounding_box()
            assert button["y"] + button["height"] <= height, "the buttons lie outside the first screen"


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_canvas_has_the_pixels_of_the_screen(serve: Serve, look: Callable[..., Any], scale: int) -> None:
    page = serve()
    with Camera(page):
        window = look(page.url, viewport={"width": 360, "height": 740}, device_scale_factor=scale)
        live(window)
        width, client = window.evaluate("[canvas.width, canvas.clientWidth]")
        assert abs(width - scale * client) <= scale


def test_a_page_that_nobody_sees_is_not_watched(serve: Serve, tmp_path: Path) -> None:
    """In a browser of its own, since playwright keeps every page visible."""
    if not CHROMIUM:
        pytest.skip("needs a browser: apt-get install chromium")
    page = serve()
    command = [
        CHROMIUM,
        "--headless",
        *FLAGS,
        "--remote-debugging-port=0",
        f"--user-data-dir={tmp_path}",
        page.url,
    ]
    tabs = tmp_path / "DevToolsActivePort"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as chromium:
        try:
            assert page.wait(30)
            assert until(lambda: tabs.exists() and tabs.read_text())
            root = f"http://127.0.0.1:{tabs.read_text().split()[0]}/json"

            def ask(path: str, method: str = "GET") -> bytes:
                with urllib.request.urlopen(
                    urllib.request.Request(root + path, method=method), timeout=60
                ) as answer:
                    return bytes(answer.read())

            (tab,) = [t for t in json.loads(ask("")) if t["url"] == page.url]
            ask("/new?about:blank", "PUT")
            assert until(lambda: not page.watched(), 5), "watched behind another tab"
            ask(f"/activate/{tab['id']}")
            assert page.wait(60), "not watched in front again"
            ask(f"/close/{tab['id']}")
            assert until(lambda: not page.watched(), 5), "watched when closed"
        finally:
            chromium.terminate()


def test_words_of_a_model_are_shown_and_never_run(serve: Serve, look: Callable[..., Any]) -> None:
    evil = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    page = serve(about={**ABOUT, "model": evil, "engine": evil, "source": evil})
    with Camera(page) as camera:
        camera.sight = labels((evil, 0.9))
        window = look(page.url)
        says(window, "#best", evil)
        says(window, "#name", evil)
        says(window, "#live", evil)
        assert window.text_content("#facts").count(evil) == 2
        for sight in (
            {"boxes": [{"label": evil, "score": 0.9, "box": [1, 1, 90, 90]}]},
            {"points": [{"name": evil, "x": 1, "y": 1, "score": 0.9}]},
        ):
            camera.sight = sight
            kind = next(iter(sight))
            window.wait_for_function("(kind) => seen[kind]", arg=kind)
            window.wait_for_timeout(400)
            says(window, "#rows li span", evil)
        assert window.evaluate("window.hacked") is None
        assert window.locator("img").count() == 0
        assert window.locator("script").count() == 1


def test_boxes_lie_where_the_model_saw_them(serve: Serve, look: Callable[..., Any]) -> None:
    page = serve()
    with Camera(page) as camera:
        camera.picture = jpeg("#203040")
        mask = [[170, 250, 300, 350]]
        camera.sight = {"boxes": [{"label": "cup", "score": 0.8, "box": [160, 240, 480, 360], "mask": mask}]}
        window = look(page.url)
        live(window)
        tint = window.evaluate("tint('cup')")
        for x, y in ((0.25, 0.6), (0.75, 0.6), (0.5, 0.75), (0.6, 0.5)):
            assert near(pixel(window, x, y), tint), (x, y)
        for x, y in ((0.5, 0.6), (0.1, 0.6), (0.5, 0.9), (0.9, 0.5)):
            assert near(pixel(window, x, y), "#203040"), (x, y)
        covered = pixel(window, 235 / 640, 300 / 480)
        between = [0.6 * a + 0.4 * b for a, b in zip((0x20, 0x30, 0x40), ImageColor.getrgb(tint))]
        assert max(abs(a - b) for a, b in zip(covered, between)) < 12, covered
        says(window, "#rows li span", "cup")
        says(window, "#live", "cup")


def test_points_and_their_skeleton_lie_where_the_model_saw_them(
    serve: Serve, look: Callable[..., Any]
) -> None:
    page = serve(about={**ABOUT, "task": "keypoints", "edges": [[0, 1], [1, 2], [0, 3]], "threshold": 0.2})
    points = [("left_wrist", 160, 120, 0.9), ("left_elbow", 480, 120, 0.9), ("right_hip", 480, 360, 0.9)]
    faint = ("right_knee", 160, 360, 0.1)
    with Camera(page) as camera:
        camera.picture = jpeg("#203040")
        camera.sight = {
            "points": [{"name": n, "x": x, "y": y, "score": s} for n, x, y, s in (*points, faint)]
        }
        window = look(page.url)
        live(window)
        sides = window.evaluate("SIDES")
        assert near(pixel(window, 0.25, 0.25), sides["left"])
        assert near(pixel(window, 0.5, 0.25), sides["left"])  # between wrist and elbow
        assert near(pixel(window, 0.75, 0.75), sides["right"])
        assert near(pixel(window, 0.75, 0.5), sides["middle"])
        assert near(pixel(window, 0.25, 0.75), "#203040")
        assert near(pixel(window, 0.25, 0.5), "#203040")
        says(window, "#sum", "3 of 4 points")


def test_it_finds_an_app_that_was_started_again(serve: Serve, look: Callable[..., Any]) -> None:
    page = serve()
    with Camera(page):
        window = look(page.url, quiet=False)  # Chromium itself logs every connection that fails
        live(window)
    page.close()
    says(window, "#status", "connection lost, trying again")
    window.wait_for_selector("#curtain", state="visible")
    again = serve(port=port_of(page), about={**ABOUT, "model": "another"})
    says(window, "#status", "waiting for the camera")
    with Camera(again):
        live(window)
        says(window, "#name", "another")
        window.wait_for_selector("#curtain", state="hidden")


def test_a_camera_that_is_unplugged_is_waited_for(serve: Serve, look: Callable[..., Any]) -> None:
    page = serve()
    with Camera(page):
        window = look(page.url)
        live(window)
    says(window, "#status", "waiting for the camera")
    assert page.watched()
    with Camera(page):
        live(window)


def test_a_token_in_the_browser(serve: Serve, look: Callable[..., Any]) -> None:
    page = serve(token="opensesame")
    refused = look(page.url.partition("?")[0], quiet=False)
    assert "open the whole address that the app printed" in refused.inner_text("body")
    with Camera(page):
        window = look(page.url, quiet=False)
        live(window)
    page.close()
    serve(port=port_of(page), token="another")
    says(window, "#status", "refused")
    assert "another token" in window.inner_text("#why")


def test_pause_lets_the_app_rest(serve: Serve, look: Callable[..., Any]) -> None:
    page = serve()
    with Camera(page):
        window = look(page.url)
        live(window)
        window.click("#pause")
        says(window, "#status", "paused")
        assert until(lambda: not page.watched(), 3)
        held = window.evaluate("seen.frame")
        window.wait_for_timeout(300)
        assert window.evaluate("seen.frame") == held
        assert near(pixel(window, 0.5, 0.5), "red")
        window.keyboard.press("s")
        window.locator("#pause").blur()
        window.keyboard.press(" ")
        live(window)
        assert page.watched()


def test_full_screen_shows_the_picture_and_its_label_alone(serve: Serve, look: Callable[..., Any]) -> None:
    page = serve()
    with Camera(page):
        window = look(page.url)
        live(window)
        window.click("#full")
        window.wait_for_function("() => document.fullscreenElement?.id === 'stage'")
        opacity = "() => getComputedStyle(document.querySelector('#tools')).opacity"
        window.mouse.move(300, 300)
        window.wait_for_function(f"{opacity} === '1'")
        window.wait_for_function(f"{opacity} === '0'")  # the pointer rests
        box = window.locator("#frame").bounding_box()
        screen = window.evaluate("[innerWidth, innerHeight]")
        assert box["height"] == pytest.approx(screen[1], abs=1)
        assert box["width"] == pytest.approx(screen[1] * 4 / 3, abs=1)
        assert window.is_visible("#best")
        window.locator("#full").blur()
        window.keyboard.press("f")
        window.wait_for_function("() => !document.fullscreenElement")


def test_a_snapshot_keeps_the_whole_picture_with_what_was_seen(
    serve: Serve, look: Callable[..., Any]
) -> None:
    page = serve()
    with Camera(page) as camera:
        camera.picture = jpeg("#203040", (1280, 960))
        camera.sight = {"boxes": [{"label": "cup", "score": 0.8, "box": [160, 120, 480, 360]}]}
        window = look(page.url, viewport={"width": 360, "height": 740})
        live(window)
        with window.expect_download() as download:
            window.click("#snapshot")
        assert re.fullmatch(r"camera_\d{6}\.jpg", download.value.suggested_filename)
        kept = Image.open(download.value.path())
        assert (kept.format, kept.size) == ("JPEG", (1280, 960))
        assert near(kept.getpixel((640, 480)), "#203040")
        edge = kept.getpixel((640, 720))
        assert max(abs(a - b) for a, b in zip(edge, ImageColor.getrgb(window.evaluate("tint('cup')")))) < 40


def test_a_damaged_picture_does_not_end_the_stream(serve: Serve, look: Callable[..., Any]) -> None:
    page = serve()
    with Camera(page) as camera:
        window = look(page.url, quiet=False)
        live(window)
        camera.picture = b"no picture at all"
        window.wait_for_timeout(300)
        camera.picture = jpeg("blue")
        assert until(lambda: near(pixel(window, 0.5, 0.5), "blue"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_is_legible(serve: Serve, look: Callable[..., Any], scheme: str) -> None:
    page = serve()
    words = "h1, h2, dt, dd, button, li span, li b, .soft, #status, #fps"
    script = """(words) => [...document.querySelectorAll(words)].map((word) => {
        let under = word;
        while (getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
        return [word.id || word.tagName, getComputedStyle(word).color, getComputedStyle(under).backgroundColor]})"""
    with Camera(page):
        window = look(page.url, color_scheme=scheme)
        live(window)
        found = window.evaluate(script, words)
    assert len(found) > 20
    worst = {name: contrast(colour, ground) for name, colour, ground in found}
    assert min(worst.values()) >= 4.5, worst  # WCAG 2.2, level AA


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
