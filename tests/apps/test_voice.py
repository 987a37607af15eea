"""The voice app as people start it: files, standard input, a terminal, a microphone, an emulated core."""

from __future__ import annotations

import json
import math
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import qedge
from qedge.emulate import check_c
from qedge.processing.wav import read_wav, to_int16

ROOT = Path(__file__).parents[2]
APP = ROOT / "sample_apps" / "voice"
CLIPS = ROOT / "examples" / "digits" / "clips"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

sys.path.insert(0, str(APP))


@pytest.fixture(scope="module")
def bundle(digits_build: Path) -> Path:
    return digits_build / "digits" / "rpi"


def start(bundle: Path, *arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(APP), str(bundle), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def words(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def clip(label: str, index: int = 0) -> Path:
    return sorted((CLIPS / label).glob("*.wav"))[index]


def test_the_app_reports_the_shipped_clips_once_each(bundle: Path) -> None:
    paths = sorted(CLIPS.rglob("*.wav"))
    app = start(bundle, "--json", *paths)
    output, _ = app.communicate(timeout=120)
    assert app.returncode == 0
    right = wrong = 0
    said = words(output)
    for number, path in enumerate(paths):
        # A clip and the pause behind it are two seconds.
        labels = [w["label"] for w in said if 2 * number < float(str(w["seconds"])) <= 2 * number + 2]
        right += path.parent.name in DIGITS and labels == [path.parent.name]
        wrong += path.parent.name not in DIGITS and bool(labels)
    assert right >= 45
    assert wrong <= 1
    # twenty words make a window of the monitor, whose sketch the build stored
    assert ["changed" in word for word in said] == [False] * 19 + [True] * (len(said) - 19)
    assert {one for word in said[19:] for one in word["changed"]} <= {"inputs", "predictions"}


def test_lines_say_what_is_no_longer_as_in_calibration(capsys) -> None:
    from spotter import Heard
    from view import Lines

    for as_json in (True, False):
        view = Lines(as_json, sys.stdout)
        view.heard(Heard("six", 1.0, 0.9), None, None)
        view.heard(Heard("six", 2.0, 0.9), None, [])
        view.heard(Heard("six", 3.0, 0.9), None, ["inputs", "predictions"])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line).get("changed") for line in lines[:3]] == [None, [], ["inputs", "predictions"]]
    assert [line.endswith("(inputs and predictions changed)") for line in lines[3:]] == [False, False, True]


def test_nothing_is_heard_in_noise_from_the_first_sample_on(bundle: Path) -> None:
    from spotter import Spotter

    with qedge.load(bundle) as model:
        for seed in range(40):
            rng = np.random.default_rng(seed)
            noise = to_int16(rng.normal(0, 10 ** rng.uniform(-4, -1.3), 32_000))
            assert Spotter(model).push(noise) == []


@pytest.mark.parametrize("db", [-60, -42])
def test_a_pause_is_told_from_words_in_noise(bundle: Path, db: int) -> None:
    from spotter import Pause

    with qedge.load(bundle) as model:
        stream, feed = model.preprocess.stream(), model.inputs[0]
        pause, told = Pause(), []
        rng = np.random.default_rng(3)
        word = read_wav(clip("six"))[0] * 0.3
        word = word[np.flatnonzero(np.abs(word) > 0.01)[0] : np.flatnonzero(np.abs(word) > 0.01)[-1]]
        # A word of its own from second 3 on, one in noise of three times the amplitude from second 9 on.
        sound = rng.normal(0, 10 ** (db / 20), 16_000 * 12)
        sound[6 * 16_000 :] *= 3
        for second in (3, 9):
            sound[second * 16_000 :][: word.size] += word
        for start in range(0, sound.size, 320):
            frames = stream.push(to_int16(sound[start : start + 320]))
            window = stream.encode(feed.scale, feed.zero_point, feed.dtype)
            for features in window[0, window.shape[1] - frames :]:
                pause.push(features.ravel())
                told.append(pause.frames)
    heard = np.array(told)
    for second in (3, 9):
        # Sound while the word is said, and its pause of 220 ms is told that long after it and a few frames.
        begin, end = 50 * second, 50 * second + word.size // 320
        assert heard[begin:end].min() == 0
        assert heard[end + 16] >= 11
    # Background counts as sound in one of 45 frames at most, and what is louder is background two seconds later.
    for first in (50, 400):
        assert (heard[first : first + 45] == 0).mean() <= 0.03


def test_raw_samples_on_standard_input_give_what_the_file_gives(bundle: Path) -> None:
    path = clip("six")
    from_file, _ = start(bundle, "--json", path).communicate(timeout=60)
    pcm = np.concatenate([to_int16(read_wav(path)[0]), np.zeros(16_000, np.int16)]).tobytes()
    command = [sys.executable, str(APP), str(bundle), "-", "--json"]
    from_pipe = subprocess.run(command, input=pcm, capture_output=True, timeout=60, check=True).stdout
    assert words(from_pipe.decode()) == words(from_file)
    assert [w["label"] for w in words(from_file)] == ["six"]


@pytest.mark.long
def test_a_bundle_with_float_inputs_hears_the_same(bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qedge", "build", "--target", "rpi", "--io", "float32", "-q"]
    subprocess.run([*command, "--out", str(tmp_path)], cwd=CLIPS.parent, check=True, timeout=300)
    sounds = [clip("six"), clip("three")]
    heard = [
        start(b, "--json", *sounds).communicate(timeout=60)[0] for b in (bundle, tmp_path / "digits/rpi")
    ]
    assert [w["label"] for w in words(heard[0])] == ["six", "three"]
    assert [w["label"] for w in words(heard[1])] == ["six", "three"]


def test_what_triggered_is_kept(bundle: Path, tmp_path: Path) -> None:
    path = clip("six")
    output, _ = start(bundle, path, "--json", "--record", tmp_path / "kept").communicate(timeout=60)
    kept = words(output)[0]["recording"]
    samples, rate = read_wav(str(kept))
    assert (samples.size, rate) == (24_000, 16_000)
    original = read_wav(path)[0]
    heard = samples[-int(float(str(words(output)[0]["seconds"])) * 16_000) :][: original.size]
    np.testing.assert_array_equal(heard, original[: heard.size])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(bundle: Path, number: int) -> None:
    app = start(bundle, "-", "--json", stdin=subprocess.PIPE)
    assert app.stdin is not None
    assert app.stdout is not None
    pcm = np.concatenate([to_int16(read_wav(clip("six"))[0]), np.zeros(16_000, np.int16)])
    app.stdin.buffer.write(pcm.tobytes())  # type: ignore[attr-defined]
    app.stdin.flush()
    assert json.loads(app.stdout.readline())["label"] == "six"
    app.send_signal(number)
    with app:
        _, said = app.communicate(timeout=120)
    assert app.returncode == 0
    assert "Traceback" not in said


def test_a_reader_that_leaves_is_no_error(bundle: Path) -> None:
    app = start(bundle, "--json", *[clip("six")] * 30)
    assert app.stdout is not None
    assert app.stderr is not None
    app.stdout.readline()
    app.stdout.close()
    assert "Traceback" not in app.stderr.read()
    app.stderr.close()
    assert app.wait(timeout=60) == 0


def test_without_a_microphone_it_says_so_in_one_line(bundle: Path) -> None:
    app = start(bundle, "--device", "no such microphone")
    output, said = app.communicate(timeout=60)
    assert app.returncode == 8
    assert output == ""
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [(["no/such/bundle"], 3, "no/such/bundle"), (["@", "nothing.wav"], 3, "nothing.wav")],
)
def test_what_cannot_be_read_is_named(bundle: Path, arguments: list[str], code: int, says: str) -> None:
    command = [sys.executable, str(APP), *(str(bundle) if a == "@" else a for a in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_shows_level_scores_and_words(bundle: Path) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, str(APP), str(bundle), str(clip("six")), str(clip("three"))]
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
    assert "level █" in text
    assert "silence" in text
    assert "heard \x1b[1msix\x1b[0m  \x1b[1mthree\x1b[0m" in text
    assert text.endswith("\x1b[?25h\r\n")


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """A PulseAudio server whose microphone is a pipe: its environment and the pipe."""
    if not shutil.which("pulseaudio"):
        pytest.skip("needs PulseAudio: apt-get install pulseaudio libasound2-plugins libportaudio2")
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError) as problem:
        pytest.skip(f"needs sounddevice and PortAudio: {problem}")
    fifo, socket = tmp_path / "microphone", tmp_path / "socket"
    alsa = tmp_path / "asound.conf"
    alsa.write_text("<confdir:pcm/default.conf>\npcm.!default { type pulse }\nctl.!default { type pulse }\n")
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    server = subprocess.Popen(
        [
            *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm"),
            f"--load=module-native-protocol-unix socket={socket} auth-anonymous=1",
            f"--load=module-pipe-source source_name=microphone file={fifo} format=s16le rate=16000 channels=1",
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not (fifo.exists() and socket.exists()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert socket.exists(), "PulseAudio did not start"
        yield (
            {**environment, "PULSE_SERVER": f"unix:{socket}", "ALSA_CONFIG_PATH": _alsa_config(tmp_path)},
            fifo,
        )
    finally:
        server.terminate()
        server.wait(timeout=120)


def _alsa_config(folder: Path) -> str:
    path = folder / "alsa.conf"
    path.write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
    return str(path)


def test_a_microphone_of_pulseaudio_is_heard(bundle: Path, pulse: tuple[dict[str, str], Path]) -> None:
    environment, fifo = pulse
    sounds = [to_int16(read_wav(clip(label))[0]) for label in ("six", "three")]
    pause = np.zeros(16_000, np.int16)
    pcm = np.concatenate([pause, sounds[0], pause, sounds[1], pause, pause]).tobytes()
    app = start(bundle, "--json", env=environment)
    assert app.stderr is not None
    while not app.stderr.readline().startswith("listening"):
        assert app.poll() is None
    with fifo.open("wb", buffering=0) as microphone:
        for at in range(0, len(pcm), 3200):
            microphone.write(pcm[at : at + 3200])
            time.sleep(0.1)
        app.send_signal(signal.SIGTERM)
        output, said = app.communicate(timeout=120)
    assert app.returncode == 0, said
    assert [w["label"] for w in words(output)] == ["six", "three"]


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m33"])
def test_the_firmware_compiles_without_a_warning(digits_build: Path, core: str) -> None:
    library = digits_build / "digits" / "mcu" / "c" / "src"
    check_c([APP / "mcu" / "main.c", APP / "mcu" / "keyword.c"], core, includes=[library, APP / "mcu"])
    names = re.findall(r'"([a-z]+)"', (APP / "mcu" / "keyword.c").read_text())
    assert tuple(names) == (*DIGITS, "unknown", "silence")


def test_the_firmware_decides_by_the_settings_of_the_app(bundle: Path) -> None:
    from spotter import Pause, Settings

    header = (APP / "mcu" / "keyword.h").read_text()
    found = {name: int(value) for name, value in re.findall(r"#define KEYWORD_(\w+) (\d+) ", header)}
    settings = Settings()
    with qedge.load(bundle) as model:
        window_ms = 1000 * model.preprocess.samples / model.preprocess.sample_rate
        hop_ms = 1000 * model.preprocess.hop / model.preprocess.sample_rate
    assert f"SAMPLE_RATE * {settings.step_ms} / 1000" in header
    assert found == {
        "FULL_RUNS": math.ceil(window_ms / settings.step_ms),
        "SMOOTH": settings.smooth,
        "THRESHOLD_PERCENT": round(100 * settings.threshold),
        "PAUSE_FRAMES": math.ceil(settings.pause_ms / hop_ms),
        "SHORTEST_RUNS": settings.shortest_ms // settings.step_ms,
        "LONGEST_RUNS": math.ceil(settings.longest_ms / settings.step_ms),
        "SURE_PERCENT": round(100 * settings.sure),
        "RELEASE_PERCENT": round(100 * settings.release),
        "PATIENCE_RUNS": settings.patience_ms // settings.step_ms,
        "REFRACTORY_RUNS": settings.refractory_ms // settings.step_ms,
        "LEARN_FRAMES": Pause.LEARN,
        "COUNT": len(DIGITS),
    }


def test_the_emulated_firmware_hears_what_the_app_hears(digits_build: Path, bundle: Path) -> None:
    pytest.importorskip("unicorn")
    sys.path.insert(0, str(APP / "mcu"))
    from emulate import EmulatedSpotter
    from spotter import Spotter

    pcm = np.concatenate(
        [np.append(np.zeros(8000, np.int16), to_int16(read_wav(clip(w))[0])) for w in DIGITS[::3]]
        + [np.zeros(8000, np.int16)]
    )
    firmware = EmulatedSpotter(digits_build / "digits" / "mcu", count=False)
    on_core = list(firmware.push(pcm))
    with qedge.load(bundle) as model:
        in_app = [(heard.label, heard.seconds) for heard in Spotter(model).push(pcm)]
    assert on_core == in_app
    assert [label for label, _ in in_app] == list(DIGITS[::3])
