"""The camera app as people start it: videos, images, cameras, signals, and what it must refuse."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_models import color_bundle, points_bundle, square_bundle
from PIL import Image

from qedge.bundle import Manifest, write_bundle
from qedge.processing.audio import AudioPreprocess
from qedge.processing.classify import Classify
from qedge.processing.image import ImagePreprocess
from qedge.processing.keypoints import Keypoints
from qedge.processing.segment import Segment
from qedge.runtime.litert import tensor_specs

cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
ROOT = Path(__file__).parents[2]
APP = ROOT / "sample_apps" / "camera"
DOUBLES = Path(__file__).parent / "camera_doubles"
COLORS = {"red": (250, 20, 20), "green": (20, 200, 20), "blue": (30, 30, 250)}


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that says which colour there is most of."""
    return color_bundle(tmp_path_factory.mktemp("bundles") / "colors")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 red, 30 green and 30 blue frames, 30 a second."""
    return write_video(
        tmp_path_factory.mktemp("videos") / "colors.mp4", ["red"] * 30 + ["green"] * 30 + ["blue"] * 30
    )


def write_video(path: Path, names: Sequence[str], size: tuple[int, int] = (320, 240)) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, size)
    assert writer.isOpened()
    for name in names:
        writer.write(np.full((size[1], size[0], 3), COLORS[name][::-1], np.uint8))
    writer.release()
    return path


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """The folder that tells the stand-in of a camera what to show: something green."""
    folder = tmp_path / "camera"
    folder.mkdir()
    show(folder, "green")
    return folder


def show(folder: Path, name: str) -> None:
    Image.new("RGB", (64, 48), COLORS[name]).save(folder / "new.png")
    (folder / "new.png").replace(folder / "picture.png")


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    yield
    while _started:
        with _started.pop() as app:  # closes its pipes
            app.kill()


def start(
    *arguments: object, program: Sequence[object] = (APP,), **environment: object
) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    app = subprocess.Popen(
        [sys.executable, *map(str, program), *map(str, arguments)],
        env={**clean, **{k: str(v) for k, v in environment.items()}},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.append(app)
    return app


def usb(*arguments: object, **environment: object) -> subprocess.Popen[str]:
    return start(*arguments, program=(DOUBLES / "usb.py", APP), **environment)


def frames(app: subprocess.Popen[str], code: int = 0) -> list[dict[str, Any]]:
    """Wait for the app to end and return its lines."""
    output, said = app.communicate(timeout=120)
    assert app.returncode == code, said
    assert "Traceback" not in said
    return [json.loads(line) for line in output.splitlines()]


def read_until(app: subprocess.Popen[str], done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    assert app.stdout is not None
    for line in app.stdout:
        if done(json.loads(line)):
            return dict(json.loads(line))
    raise AssertionError(f"it ended: {app.stderr.read() if app.stderr else ''}")


def stop(app: subprocess.Popen[str], number: int = signal.SIGTERM) -> str:
    """Return what it said on stderr while it was stopped."""
    app.send_signal(number)
    _, said = app.communicate(timeout=120)
    assert app.returncode == 0, said
    assert "Traceback" not in said
    return said


def label(line: dict[str, Any]) -> str:
    return str(line["labels"][0]["label"])


def test_every_frame_of_a_video_is_looked_at(colors: Path, video: Path) -> None:
    lines = frames(start(colors, video, "--json"))
    assert [label(line) for line in lines] == ["red"] * 30 + ["green"] * 30 + ["blue"] * 30
    assert [line["frame"] for line in lines] == list(range(1, 91))
    assert [line["dropped"] for line in lines] == [0] * 90
    np.testing.assert_allclose([line["seconds"] for line in lines], np.arange(90) / 30, atol=1e-3)
    assert {(line["width"], line["height"]) for line in lines} == {(320, 240)}
    for line in lines:
        assert set(line["latency_ms"]) == {"read", "pre", "invoke", "post"}
        assert all(0 <= ms < 60_000 for ms in line["latency_ms"].values())
        assert sum(entry["score"] for entry in line["labels"]) == pytest.approx(1, abs=0.02)
    assert lines[0]["fps"] == 0


def test_a_video_in_real_time_takes_its_time(colors: Path, video: Path) -> None:
    began = time.monotonic()
    lines = frames(start(colors, video, "--json", "--realtime"))
    assert time.monotonic() - began >= 89 / 30
    for number, line in enumerate(lines, 1):
        assert line["frame"] == number + line["dropped"]
    assert lines[-1]["seconds"] >= 2.5
    assert 0 < lines[-1]["fps"] < 60
    assert [name for name in COLORS if name in map(label, lines)] == ["red", "green", "blue"]


def test_a_folder_of_images_is_looked_at_by_name_and_a_broken_one_left_out(
    colors: Path, tmp_path: Path
) -> None:
    for number, name in enumerate(("blue", "red", "green")):
        Image.new("RGB", (50 + number, 40), COLORS[name]).save(tmp_path / f"{number}_{name}.png")
    (tmp_path / "1_broken.jpg").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image either")
    app = start(colors, tmp_path, "--json")
    output, said = app.communicate(timeout=60)
    assert app.returncode == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert [label(line) for line in lines] == ["blue", "red", "green"]
    assert [line["width"] for line in lines] == [50, 51, 52]
    assert [line for line in said.splitlines() if "1_broken.jpg" in line] == [
        f"{tmp_path}/1_broken.jpg: no image that pillow can read, left out"
    ]


def test_files_go_round_until_enough_frames(colors: Path, video: Path, tmp_path: Path) -> None:
    looped = frames(start(colors, video, "--json", "--loop", "--frames", 100))
    assert len(looped) == 100
    assert [label(line) for line in looped[85:]] == ["blue"] * 5 + ["red"] * 10
    Image.new("RGB", (40, 40), COLORS["red"]).save(tmp_path / "one.png")
    assert len(frames(start(colors, tmp_path / "one.png", "--json", "--loop", "--frames", 3))) == 3


def test_the_test_pattern_moves_and_has_the_size_that_is_asked_for(colors: Path, tmp_path: Path) -> None:
    lines = frames(start(colors, "test", "--json", "--size", "320x180", "--frames", 40))
    assert {(line["width"], line["height"]) for line in lines} == {(320, 180)}
    assert len({json.dumps(line["labels"]) for line in lines}) > 1
    frames(start(colors, "test", "--json", "--frames", 40, "--snapshots", tmp_path, "--size", "320x180"))
    with Image.open(next(tmp_path.glob("*.jpg"))) as kept:
        assert kept.size == (320, 180)


def test_top_and_threshold_cut_what_is_shown(colors: Path, video: Path) -> None:
    assert [
        len(line["labels"]) for line in frames(start(colors, video, "--json", "--frames", 2, "--top", 1))
    ] == [1, 1]
    sure = frames(start(colors, video, "--json", "--frames", 2, "--threshold", "0.5"))
    assert [[entry["label"] for entry in line["labels"]] for line in sure] == [["red"]] * 2


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_a_box_follows_the_bright_square(tmp_path: Path, fit: str) -> None:
    bundle = square_bundle(tmp_path / "bundle", preprocess=ImagePreprocess(16, 16, resize="area", fit=fit))
    width, height = (320, 240) if fit == "stretch" else (320, 160)
    cell_width, cell_height = (80, 60) if fit == "stretch" else (80, 80)
    places = [(0, 0), (1, 0), (2, 1), (3, 1)]
    for number, (column, row) in enumerate(places):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[row * cell_height :, column * cell_width :][:cell_height, :cell_width] = 255
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    lines = frames(start(bundle, tmp_path, "--json", "--snapshots", tmp_path / "kept"))
    for (column, row), line in zip(places, lines):
        (found,) = line["boxes"]
        assert found["label"] == "square"
        assert found["score"] > 0.95
        left, top = column * cell_width, row * cell_height
        assert found["box"] == pytest.approx([left, top, left + cell_width, top + cell_height], abs=0.1)
    with Image.open(lines[0]["snapshot"]) as kept:
        picture = np.asarray(kept).astype(int)
    colorful = picture.max(axis=2) - picture.min(axis=2)
    # The right edge of the box is coloured; what is within and beside it as gray as it was.
    edge = cell_width - 1
    assert colorful[30:50, edge - 1 : edge + 2].max(axis=1).min() > 60
    assert colorful[30:50, edge - 30 : edge - 8].max() < 30
    assert colorful[30:50, edge + 8 : edge + 30].max() < 30


def test_points_lie_in_the_picture_and_keep_their_numbers(tmp_path: Path) -> None:
    points = [(0.5, 0.5, 0.75), (0.25, 0.75, 0.125), (0.75, 0.0, 0.5)]
    # The middle of a wide picture: what is left and right of it is not shown to the model.
    crop = points_bundle(
        tmp_path / "crop", points, preprocess=ImagePreprocess(8, 8, fit="crop"), labels=("nose", "ear", "toe")
    )
    line, *_ = frames(
        start(crop, "test", "--json", "--size", "320x160", "--frames", 1, "--snapshots", tmp_path)
    )
    assert [(p["name"], p["x"], p["y"], p["score"]) for p in line["points"]] == [
        ("nose", 160, 80, 0.75),
        ("ear", 200, 40, 0.125),
        ("toe", 80, 120, 0.5),
    ]
    with Image.open(line["snapshot"]) as picture:
        drawn = np.asarray(picture).astype(int)
    assert drawn[80, 160].min() > 180  # a sure point is a white dot on the bars, an unsure one is left out
    assert drawn[40, 200].min() < 100


def test_without_json_there_is_a_line_when_something_else_is_seen(
    colors: Path, video: Path, tmp_path: Path
) -> None:
    app = start(colors, video, "--snapshots", tmp_path)
    output, _ = app.communicate(timeout=60)
    assert app.returncode == 0
    assert [line.split("fps")[1].split()[0] for line in output.splitlines()] == ["red", "green", "blue"]


def test_a_terminal_shows_one_line(colors: Path, video: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    command = [sys.executable, str(APP), str(colors), str(video), "--snapshots", str(tmp_path), "--realtime"]
    app = subprocess.Popen(command, stdout=slave, stderr=subprocess.DEVNULL)
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 4096):
            shown += piece
    except OSError:  # how Linux ends a pseudo-terminal
        pass
    os.close(master)
    assert app.wait(timeout=120) == 0
    text = shown.decode()
    assert text.endswith("\r\n")
    assert text.count("\n") == 1
    assert "fps" in text
    assert "red" in text
    assert "blue" in text


def test_snapshots_are_kept_when_something_else_is_seen_and_only_the_newest(
    colors: Path, tmp_path: Path
) -> None:
    names = ["red", "green", "blue"] * 2
    video = write_video(tmp_path / "long.mp4", [name for name in names for _ in range(31)])
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine.jpg").write_bytes(b"not theirs")
    lines = frames(start(colors, video, "--json", "--snapshots", kept, "--keep", 4))
    named = [line for line in lines if "snapshot" in line]
    assert [label(line) for line in named] == names
    assert np.diff([line["seconds"] for line in named]).min() >= 1
    left = sorted(path.name for path in kept.iterdir())
    assert left == [*sorted(Path(line["snapshot"]).name for line in named[-4:]), "mine.jpg"]
    with Image.open(named[-1]["snapshot"]) as picture:
        assert picture.size == (320, 240)
        middle = np.asarray(picture)[150, 250]
        assert np.abs(middle.astype(int) - COLORS["blue"]).max() < 40
    frames(start(colors, video, "--json", "--snapshots", kept, "--keep", 2))
    assert len(list(kept.glob("2*.jpg"))) == 2


def test_snapshots_at_most_one_a_second(colors: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "flicker.mp4", ["red", "blue"] * 60)
    lines = frames(start(colors, video, "--json", "--snapshots", tmp_path / "kept"))
    taken = [line["seconds"] for line in lines if "snapshot" in line]
    assert len(taken) == 4
    assert np.diff(taken).min() >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(colors: Path, number: int) -> None:
    app = start(colors, "test", "--json")
    read_until(app, lambda line: line["frame"] >= 3)
    stop(app, number)


def test_a_reader_that_leaves_is_no_error(colors: Path) -> None:
    app = start(colors, "test", "--json")
    assert app.stdout is not None
    assert app.stderr is not None
    app.stdout.readline()
    app.stdout.close()
    assert "Traceback" not in app.stderr.read()
    app.stderr.close()
    assert app.wait(timeout=60) == 0


def test_the_pi_camera_is_the_first_choice(colors: Path, camera: Path) -> None:
    app = start(colors, "--json", "--size", "328x240", PYTHONPATH=_path(DOUBLES), CAMERA_DOUBLE=camera)
    line = read_until(app, lambda line: line["frame"] >= 3)
    stop(app)
    assert label(line) == "green"
    assert (line["width"], line["height"]) == (328, 240)


def test_a_pi_camera_that_cannot_be_opened_is_named(colors: Path, tmp_path: Path) -> None:
    (tmp_path / "picamera2.py").write_text(
        "class Picamera2:\n"
        "    global_camera_info = staticmethod(lambda: [{'Model': 'imx708', 'Num': 0}])\n"
        "    def __init__(self):\n        raise RuntimeError('Device or resource busy')\n"
    )
    (tmp_path / "libcamera.py").write_text("ColorSpace = None\n")
    app = start(colors, "--json", PYTHONPATH=_path(tmp_path))
    _, said = app.communicate(timeout=60)
    assert app.returncode == 8
    assert "Device or resource busy" in one_error(said)


def test_a_usb_camera_that_vanishes_is_waited_for(colors: Path, camera: Path) -> None:
    app = usb(colors, "/dev/video7", "--json", CAMERA_DOUBLE=camera)
    assert label(read_until(app, lambda line: line["frame"] >= 5)) == "green"
    (camera / "unplugged").touch()
    assert app.stderr is not None
    lost = app.stderr.readline()
    while "lost" not in lost:
        assert lost, "it ended"
        lost = app.stderr.readline()
    show(camera, "red")
    (camera / "unplugged").unlink()
    assert "back" in app.stderr.readline()
    assert label(read_until(app, lambda line: label(line) == "red")) == "red"
    assert "lost" not in stop(app)
    assert "/dev/video7" in lost


def test_frames_that_the_model_has_no_time_for_are_dropped_and_not_queued(
    camera: Path, tmp_path: Path
) -> None:
    slow = color_bundle(tmp_path / "slow", side=96, work=8)
    app = usb(slow, "0", "--json", "--threads", 1, "--size", "640x480", CAMERA_DOUBLE=camera, CAMERA_RATE=300)
    first = read_until(app, lambda line: line["frame"] > 30)
    before = resident_mb(app.pid)
    last = read_until(app, lambda line: line["frame"] > 900)
    grown = resident_mb(app.pid) - before
    stop(app)
    taken = (last["frame"] - last["dropped"]) - (first["frame"] - first["dropped"])
    assert last["dropped"] > 200
    assert 0 < taken < last["frame"] - first["frame"]
    waiting = (last["frame"] - first["frame"] - taken) * 640 * 480 * 3 / 2**20
    assert grown < min(30, waiting / 4)


def test_without_a_camera_it_says_so_in_one_line(colors: Path) -> None:
    if any(Path("/dev").glob("video*")):
        pytest.skip("there is a camera here")
    app = start(colors, "--json")
    output, said = app.communicate(timeout=60)
    assert app.returncode == 8
    assert output == ""
    assert one_error(said).startswith("error: no camera")
    app = start(colors, "/dev/video63", "--json")
    _, said = app.communicate(timeout=60)
    assert app.returncode == 8
    assert "/dev/video63" in one_error(said)


def page_of(app: subprocess.Popen[str]) -> str:
    """Return the address that the app prints."""
    assert app.stderr is not None
    for line in app.stderr:
        if line.startswith("open "):
            return line.split()[1]
    raise AssertionError("it ended")


def test_the_page_shows_what_the_model_sees_and_rests_while_nobody_looks(colors: Path, video: Path) -> None:
    client = pytest.importorskip("websockets.sync.client", reason="needs websockets")
    app = start(colors, video, "--web", "127.0.0.1:0")
    assert app.stdout is not None
    os.set_blocking(app.stdout.fileno(), False)
    address = page_of(app).removeprefix("http://")

    def lines(seconds: float) -> list[str]:
        """Return the lines of so long: one a second while frames are looked at, as often as the colour changes."""
        time.sleep(seconds)
        return (os.read(app.stdout.fileno(), 65536) if ready(app.stdout) else b"").decode().splitlines()

    assert lines(1.5) == []
    with client.connect(f"ws://{address}stream", compression=None) as viewer:
        about = json.loads(viewer.recv(timeout=60))
        assert (about["model"], about["target"], about["task"]) == ("tiny", "rpi", "classify")
        assert (about["source"], about["input"]) == ("colors.mp4", [8, 8])
        found = set()
        while found != set(COLORS):
            message = viewer.recv(timeout=60)
            if isinstance(message, str):
                continue
            length = int.from_bytes(message[:4], "big")
            name = label(json.loads(message[4 : 4 + length]))
            with Image.open(io.BytesIO(message[4 + length :])) as picture:
                assert np.abs(np.asarray(picture).mean(axis=(0, 1)) - COLORS[name]).max() < 20
            found.add(name)
            viewer.send("ready")
    assert lines(1.5) != []
    lines(0.5)
    assert lines(2.5) == []
    stop(app)


def ready(stream: Any) -> bool:
    import select

    return bool(select.select([stream], [], [], 0)[0])


def test_a_page_for_the_network_asks_for_the_token_that_is_printed(colors: Path) -> None:
    pytest.importorskip("websockets", reason="needs websockets")
    app = start(colors, "test", "--web", "0.0.0.0:0")
    place, _, token = page_of(app).partition("?token=")
    port = place.rstrip("/").rpartition(":")[2]
    assert len(token) >= 12
    answers = []
    for query in ("", f"?token={token}", "?token=wrong"):
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
        connection.request("GET", f"/snapshot.jpg{query}")
        answers.append(connection.getresponse().status)
        connection.close()
    stop(app)
    assert answers[1] == 200
    assert answers[0] in (401, 403)
    assert answers[2] in (401, 403)


def test_a_window_without_a_display_is_one_line(colors: Path) -> None:
    pytest.importorskip("tkinter", reason="needs tkinter: apt-get install python3-tk")
    app = start(colors, "test", "--window")
    _, said = app.communicate(timeout=60)
    assert app.returncode == 8
    assert one_error(said).startswith("error: no window: ")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":8001", "127.0.0.1", 8001),
        ("8001", "127.0.0.1", 8001),
        ("0.0.0.0", "0.0.0.0", 8000),
        ("pi.local:80", "pi.local", 80),
        ("[::1]:8001", "::1", 8001),
    ],
)
def test_an_address_may_lack_host_or_port(text: str, host: str, port: int) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(APP)!r}); from options import address; print(address({text!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str((host, port))


def test_a_port_that_is_taken_is_one_line(colors: Path) -> None:
    pytest.importorskip("websockets", reason="needs websockets")
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        app = start(colors, "test", "--web", f"127.0.0.1:{port}")
        _, said = app.communicate(timeout=60)
    assert app.returncode == 2
    assert str(port) in one_error(said)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["no/such/bundle", "test"], 3, "no/such/bundle"),
        (["no/such/thing"], 3, "no/such/thing"),
        (["@colors", "nothing.mp4"], 3, "nothing.mp4"),
        (["@colors", "nothing.png"], 3, "nothing.png"),
        (["@colors", "@garbage"], 3, "garbage.mp4"),
        (["@colors", "@broken"], 3, "no picture in it can be read"),
        (["@colors", "@empty"], 3, "no image in the folder"),
        (["@sound", "test"], 3, "takes audio, expected one that takes images"),
        (["@raw", "test"], 3, "takes raw numbers, expected one that takes images"),
        (["@mask", "test"], 3, "post-processing is segment, expected one of classify, detect, keypoints"),
        (["@colors", "test", "--size", "640"], 2, "found '640', expected two even numbers such as 640x480"),
        (["@colors", "test", "--size", "641x480"], 2, "found '641x480'"),
        (["@colors", "@empty", "--size", "640x480"], 2, "has a size of its own"),
        (["@colors", "test", "--threshold", "2"], 2, "found '2', expected a number from 0 to 1"),
        (["@colors", "test", "--frames", "0"], 2, "found '0', expected a whole number"),
        (["@colors", "test", "--web", "a/b"], 2, "found 'a/b', expected HOST:PORT"),
        (["@colors", "test", "--snapshots", "@garbage"], 2, "--snapshots"),
    ],
)
def test_bad_input_is_one_clear_error(
    colors: Path, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    app = start(*(_input(tmp_path, colors, name) for name in arguments), "--json")
    output, said = app.communicate(timeout=60)
    assert app.returncode == code, said
    assert output == ""
    assert says in one_error(said)


def _input(place: Path, colors: Path, name: str) -> object:
    """Return the argument that ``@name`` stands for."""
    if not name.startswith("@"):
        return name
    if name == "@colors":
        return colors
    if name == "@garbage":
        (place / "garbage.mp4").write_bytes(bytes(range(256)) * 40)
        return place / "garbage.mp4"
    if name in ("@empty", "@broken"):
        folder = place / name[1:]
        folder.mkdir()
        if name == "@broken":
            (folder / "broken.png").write_bytes(b"no image")
        return folder
    fields: dict[str, Any] = {
        "@sound": {"preprocess": AudioPreprocess(features="waveform", samples=192, channel_axis=False)},
        "@raw": {"preprocess": None},
        "@mask": {"postprocess": Segment()},
    }[name]
    return color_bundle(place / name[1:], **fields)


IMAGENET = {"cat": "Egyptian cat", "bird": "chickadee", "parrot": "macaw", "grace_hopper": "military uniform"}


@pytest.mark.shared
def test_mobilenet_names_real_pictures(shared: Path, tmp_path: Path) -> None:
    images = shared / "data" / "images"
    labels = tuple((images / "imagenet_labels.txt").read_text().splitlines())
    data = (shared / "models" / "coral" / "tf2_mobilenet_v2_1.0_224_ptq.tflite").read_bytes()
    place = write(
        tmp_path / "bundle",
        data,
        ImagePreprocess(224, 224, range=(-1, 1)),
        postprocess=Classify(),
        labels=labels,
    )
    folder = tmp_path / "images"
    folder.mkdir()
    for name in IMAGENET:
        (path,) = images.glob(f"{name}.*")
        (folder / path.name).symlink_to(path)
    lines = frames(start(place, folder, "--json"))
    assert [label(line) for line in lines] == [IMAGENET[name] for name in sorted(IMAGENET)]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("picture", "eyes_and_nose"),
    [
        ("grace_hopper.bmp", {"right_eye": (225, 198), "left_eye": (307, 192), "nose": (266, 233)}),
        ("face.jpg", {"right_eye": (283, 98), "left_eye": (323, 97), "nose": (304, 119)}),
    ],
)
def test_movenet_finds_a_face_in_a_real_picture(
    shared: Path, tmp_path: Path, picture: str, eyes_and_nose: dict[str, tuple[int, int]]
) -> None:
    data = (shared / "models" / "coral" / "movenet_single_pose_lightning_ptq.tflite").read_bytes()
    preprocess = ImagePreprocess(192, 192, fit="letterbox")
    place = write(tmp_path / "bundle", data, preprocess, postprocess=Keypoints(threshold=0.2))
    (line,) = frames(start(place, shared / "data" / "images" / picture, "--json"))
    points = {point["name"]: point for point in line["points"]}
    assert len(points) == 17
    for name, (x, y) in eyes_and_nose.items():  # where they are in the picture, by eye
        assert points[name]["score"] > 0.2
        assert points[name]["x"] == pytest.approx(x, abs=15)
        assert points[name]["y"] == pytest.approx(y, abs=15)
    assert points["left_shoulder"]["x"] > points["nose"]["x"] > points["right_shoulder"]["x"]


def write(place: Path, data: bytes, preprocess: ImagePreprocess, **fields: Any) -> Path:
    inputs, outputs = tensor_specs(data)
    manifest = Manifest("model", "0" * 64, "rpi", inputs, outputs, preprocess=preprocess, **fields)
    write_bundle(place, manifest, {"model.tflite": data})
    return place


def one_error(said: str) -> str:
    """Return the only error line of what was said; a usage error has the usage before it."""
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if "error: " in line]
    assert len(errors) == 1, said
    return errors[0]


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def _path(*folders: Path) -> str:
    return os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
