"""The C front end equals the Python one, byte for byte, on this machine and on emulated cores."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from qedge import quantmath
from qedge.emulate import Machine, compile_c
from qedge.emulate.host import compile_host, run_host
from qedge.processing.audio import AudioPreprocess
from qedge.processing.wav import read_wav, to_int16
from qedge_mcu.frontend import emit_frontend, integer_front_end

CLIPS = sorted((Path(__file__).parents[2] / "examples" / "digits" / "clips").rglob("*.wav"))
DIGITS = AudioPreprocess(features="log_mel_int", mels=32, fmin=60.0, mean=10.0, std=5.0)
OTHERS = (
    AudioPreprocess(features="log_mel_int", window=480, mels=40, fmin=20.0, fmax=7600.0, floor_bits=20),
    AudioPreprocess(features="log_mel_int", window=400, hop=160, n_fft=1024, mels=64, fmax=8000.0),
    AudioPreprocess(features="log_mel_int", window=256, hop=256, n_fft=256, mels=10, samples=4096),
)
SCALE, ZERO_POINT = 0.026, -40

READER = """
#include <stdio.h>
#include "m_frontend.h"

int main(void)
{
    static m_frontend stream;
    static int16_t pcm[@samples@];
    while (fread(pcm, sizeof pcm, 1, stdin) == 1) {
        m_frontend_init(&stream);
        for (size_t at = 0; at < @samples@;) {
            int completed;
            const size_t piece = at % 777 + 1 < @samples@ - at ? at % 777 + 1 : @samples@ - at;
            at += m_frontend_push(&stream, pcm + at, piece, &completed);
        }
        fwrite(stream.features, sizeof stream.features, 1, stdout);
    }
    return 0;
}
"""


def sounds(samples: int) -> list[np.ndarray]:
    """Return what can go wrong: silence, full scale, steps, noise of every loudness."""
    rng = np.random.default_rng(11)
    index = np.arange(samples)
    made = [np.zeros(samples), np.full(samples, -32768), np.where(index % 2, 32767, -32768)]
    made += [np.where(index // 100 % 2, 32767, -32768), 32767 * np.sin(index**2 * 1e-5)]
    made += [rng.normal(0, level, samples) for level in (0.5, 4, 60, 1000, 20_000)]
    return [np.clip(np.rint(m), -32768, 32767).astype(np.int16) for m in made]


def expected(preprocess: AudioPreprocess, pcm: np.ndarray) -> bytes:
    return quantmath.quantize(preprocess.apply(pcm), SCALE, ZERO_POINT).tobytes()


def write_library(folder: Path, preprocess: AudioPreprocess) -> list[Path]:
    for name, data in emit_frontend("m", preprocess, SCALE, ZERO_POINT).items():
        (folder / name).write_bytes(data)
    return [folder / "m_frontend.c", folder / "qe_frontend.c"]


@pytest.mark.parametrize("preprocess", [DIGITS, *OTHERS], ids=["digits", "480 of 512", "400 of 1024", "256"])
def test_c_on_this_machine_equals_python(preprocess: AudioPreprocess, tmp_path: Path) -> None:
    sources = write_library(tmp_path, preprocess)
    reader = tmp_path / "reader.c"
    reader.write_text(READER.replace("@samples@", str(preprocess.samples)))
    program = compile_host([*sources, reader], tmp_path / "reader", includes=[tmp_path])
    heard = sounds(preprocess.samples)
    if preprocess is DIGITS:
        assert len(CLIPS) >= 50
        heard += [to_int16(read_wav(path)[0]) for path in CLIPS]
    output = run_host(program, b"".join(pcm.tobytes() for pcm in heard))
    assert output == b"".join(expected(preprocess, pcm) for pcm in heard)


def test_what_c_cannot_follow_is_left_out() -> None:
    assert integer_front_end(DIGITS) == DIGITS
    assert integer_front_end(None) is None
    floats = AudioPreprocess(mels=32)
    per_mel = AudioPreprocess(features="log_mel_int", mels=2, mean=(1.0, 2.0))
    gaps = AudioPreprocess(features="log_mel_int", hop=640, mels=32)
    for preprocess in (floats, per_mel, gaps):
        assert integer_front_end(preprocess) is None


@pytest.mark.parametrize("cc", [None, "arm-none-eabi-gcc"], ids=["clang", "gcc"])
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m0plus"])
def test_c_on_an_emulated_core_equals_python(core: str, cc: str | None, tmp_path: Path) -> None:
    if cc is not None and shutil.which(cc) is None:
        pytest.skip(f"{cc} is not installed")
    sources = write_library(tmp_path, DIGITS)
    image = compile_c(sources, core, includes=[tmp_path], keep=["m_frontend_frame"], cc=cc)
    machine = Machine(image, core)
    window, mels = DIGITS.window, DIGITS.mels
    pcm, scratch, features = machine.allocate(2 * window), machine.allocate(4 * 512), machine.allocate(mels)
    clips = [to_int16(read_wav(path)[0]) for path in CLIPS[::12]]
    for sound in [*sounds(DIGITS.samples), *clips]:
        rows = np.frombuffer(expected(DIGITS, sound), np.int8).reshape(-1, mels)
        for frame in (0, 17, 40):
            machine.write(pcm, sound[frame * DIGITS.hop :][:window].tobytes())
            run = machine.call("m_frontend_frame", pcm, scratch, features)
            assert machine.read(features, mels) == rows[frame].tobytes()
            assert run.instructions < (42_000 if core == "cortex-m4" else 120_000)
    sizes = image.sizes()
    assert sizes.code < 2600
    assert sizes.rodata + sizes.data < 2800
