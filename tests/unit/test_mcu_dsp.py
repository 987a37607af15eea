"""Constants and arithmetic of the DSP kernels against double rounding, word by word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mcu_models import residual_network

import qedge_mcu
import qedge_mcu.program as program_module
from qedge.emulate import Machine, compile_c, compile_host, run_host
from qedge.graph import Graph
from qedge.oracle.golden import reference_outputs
from qedge.quantmath import multiply_double
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op
from qedge_mcu.cores import core
from qedge_mcu.emit import emit
from qedge_mcu.library import Library, describe
from qedge_mcu.ops import dsp
from qedge_mcu.ops.requantize import Requantize
from qedge_mcu.program import build

KERNELS = Path(qedge_mcu.__file__).parent / "kernels"
FULL = dsp.Output(0, -128, 127)


def high_multiply(doubled: np.ndarray, multiplier: int, offset: int) -> np.ndarray:
    """SMMLAR: add to the top word of the product, rounded to nearest."""
    return ((doubled * multiplier + (offset << 32) + (1 << 31)) >> 32).astype(np.int64)


def output_of_words(sums: np.ndarray, words: np.ndarray, zero_point: int, signed: bool) -> np.ndarray:
    """What the kernels compute from a channel's words, in exact arithmetic."""
    bias_shift, multiplier = (int(w) for w in words.view(np.int32))
    shift = bias_shift & 0xFF
    doubled = 2 * (sums + (bias_shift >> 8))
    offset = (2 * zero_point + 1) << shift
    high = high_multiply(doubled, multiplier, offset)
    if signed:
        high -= doubled < 0
    assert np.all(np.abs(high) < 1 << 31)
    return np.clip(high >> shift >> 1, -128, 127)


def random_channel(rng: np.random.Generator) -> tuple[int, int, int, int, int]:
    """Reach, bias, multiplier, shift to the right and zero point, of every order of magnitude."""
    return (
        int(rng.integers(0, 1 << int(rng.integers(1, 23)))),
        int(rng.integers(-1, 1, endpoint=True)) * int(rng.integers(0, 1 << int(rng.integers(1, 24)))),
        int(rng.choice([1 << 30, (1 << 31) - 1, rng.integers(1 << 30, 1 << 31)])),
        int(rng.integers(1, 22)),
        int(rng.choice([-128, 0, 127, rng.integers(-128, 128)])),
    )


@pytest.mark.parametrize("seed", range(60))
def test_words_give_double_rounding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reach, bias, multiplier, right, zero_point = random_channel(rng)
    requantize = Requantize(np.array([multiplier], np.int32), np.array([-right], np.int8))
    words = dsp.channel_words(
        np.array([reach]), np.array([bias]), requantize, dsp.Output(zero_point, -128, 127)
    )
    assert words is not None
    relu = dsp.channel_words(
        np.array([reach]), np.array([bias]), requantize, dsp.Output(zero_point, zero_point, 127)
    )
    assert relu is not None
    # Sums around every output's rounding boundary in reach, and anywhere.
    step = 2.0 ** (31 + right) / multiplier
    ties = np.round((np.arange(-140, 141) + 0.5) * step).astype(np.int64)[:, None] + np.arange(-2, 3)
    sums = np.concatenate([ties.reshape(-1) - bias, rng.integers(-reach, reach + 1, 50)])
    sums = np.clip(sums, -reach, reach)
    expected = np.clip(multiply_double(sums + bias, multiplier, -right) + zero_point, -128, 127)
    found = output_of_words(sums * ~words.fixed, words.words[0], zero_point, signed=True)
    assert np.array_equal(found, expected)
    found = output_of_words(sums * ~relu.fixed, relu.words[0], zero_point, signed=False)
    assert np.array_equal(np.maximum(found, zero_point), np.maximum(expected, zero_point))


def test_exact_ties_are_rounded_away_from_zero() -> None:
    requantize = Requantize(np.array([1 << 30], np.int32), np.array([-3], np.int8))
    words = dsp.channel_words(np.array([1000]), np.array([0]), requantize, FULL)
    assert words is not None
    sums = np.array([8, -8, 24, -24, 7, -7, -9, 9])
    expected = multiply_double(sums, 1 << 30, -3)
    assert expected.tolist() == [1, -1, 2, -2, 1, 0, -1, 1]
    assert output_of_words(sums, words.words[0], 0, signed=True).tolist() == expected.tolist()
    assert output_of_words(sums, words.words[0], 0, signed=False).tolist() != expected.tolist()


@pytest.mark.parametrize(
    ("bias", "shift", "reach"), [(1 << 30, -30, 0), (-(1 << 30), 2, 0), (99_151_776, -22, 64), (5, -31, 99)]
)
def test_channels_that_never_change_become_constants(bias: int, shift: int, reach: int) -> None:
    requantize = Requantize(np.array([1_600_000_000], np.int32), np.array([shift], np.int8))
    words = dsp.channel_words(np.array([reach]), np.array([bias]), requantize, dsp.Output(-100, -128, 127))
    assert words is not None
    assert words.fixed.all()
    expected = np.clip(multiply_double(bias, 1_600_000_000, shift) - 100, -128, 127)
    assert output_of_words(np.array([0]), words.words[0], -100, signed=True).tolist() == [expected]


@pytest.mark.parametrize(
    ("reach", "bias", "shift"),
    [(1 << 30, 0, -9), (1 << 20, 1 << 23, -16), (1 << 20, 0, 0), (1 << 29, 0, -24), (1 << 20, 0, 3)],
)
def test_channels_that_do_not_fit_are_left_to_the_general_kernel(reach: int, bias: int, shift: int) -> None:
    requantize = Requantize(np.array([1_600_000_000], np.int32), np.array([shift], np.int8))
    assert dsp.channel_words(np.array([reach]), np.array([bias]), requantize, FULL) is None


def test_pairs_of_channels_can_be_taken_apart() -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(-127, 128, (6, 12)).astype(np.int8)
    words = rng.integers(0, 1 << 32, (6, 2)).astype(np.uint32)
    stream = dsp.pair_stream(weights, words)
    assert stream is not None
    rows = stream.reshape(3, -1)
    assert np.array_equal(rows[:, -4:], words.reshape(3, 4))
    lanes = rows[:, :-4].copy().view(np.int16).astype(np.int64)
    order = [0, 2, 1, 3]
    for pair in range(3):
        found = lanes[pair].reshape(3, 4)
        for quad in range(3):
            for lane, k in enumerate(order):
                a, b = weights[2 * pair, 4 * quad + k], weights[2 * pair + 1, 4 * quad + k]
                assert found[quad, lane] == 256 * int(b) + int(a)


def test_sums_that_leave_24_bits_are_refused() -> None:
    words = np.zeros((2, 2), np.uint32)
    weights = np.zeros((2, 520), np.int8)
    weights[0] = 127
    assert dsp.pair_stream(weights, words) is not None
    weights[1] = 127
    assert dsp.pair_stream(weights, words) is None


PROBE = r"""
#include "qe_dsp.h"
void probe(const int32_t *sums, int8_t *out, int32_t n, const int32_t *channel);
void probe(const int32_t *sums, int8_t *out, int32_t n, const int32_t *channel)
{
    const uint32_t words[2] = {(uint32_t)channel[0], (uint32_t)channel[1]};
    for (int32_t i = 0; i < n; ++i) {
        out[i] = qe_dsp_output((uint32_t)sums[i], words, channel[2]);
    }
}
"""
MAIN = r"""
#include <stdio.h>
int main(void)
{
    int32_t channel[3], sums[1000];
    int8_t out[1000];
    if (fread(channel, 4, 3, stdin) != 3 || fread(sums, 4, 1000, stdin) != 1000) return 1;
    probe(sums, out, 1000, channel);
    return fwrite(out, 1, 1000, stdout) == 1000 ? 0 : 1;
}
"""


def test_requantisation_in_c_is_double_rounding(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    sums = rng.integers(-400_000, 400_000, 1000).astype(np.int32)
    requantize = Requantize(np.array([1_234_567_891], np.int32), np.array([-11], np.int8))
    bias, zero_point = -12_345, 17
    words = dsp.channel_words(np.array([400_000]), np.array([bias]), requantize, dsp.Output(17, -128, 127))
    assert words is not None
    channel = np.array([*words.words.view(np.int32)[0], 2 * zero_point + 1], np.int32).tobytes()
    expected = np.clip(multiply_double(sums + bias, 1_234_567_891, -11) + zero_point, -128, 127)
    (tmp_path / "qe_config.h").write_text("")
    (tmp_path / "probe.c").write_text(PROBE)
    (tmp_path / "main.c").write_text(PROBE + MAIN)
    includes = [tmp_path, KERNELS / "include"]
    host = compile_host([tmp_path / "main.c"], tmp_path / "main", includes=includes)
    said = np.frombuffer(run_host(host, channel + sums.tobytes()), np.int8)
    assert np.array_equal(said, expected)
    machine = Machine(compile_c([tmp_path / "probe.c"], includes=includes, keep=["probe"]))
    at = [machine.allocate(size) for size in (4000, 1000, 12)]
    machine.write(at[0], sums.tobytes())
    machine.write(at[2], channel)
    machine.call("probe", at[0], at[1], 1000, at[2])
    assert np.array_equal(np.frombuffer(machine.read(at[1], 1000), np.int8), expected)


@pytest.mark.parametrize("other", ["cortex-m4", "cortex-m3"])
def test_a_step_keeps_its_name_on_a_core_without_the_extension(tmp_path: Path, other: str) -> None:
    shape = (1, 4, 9)
    scales = [Spec(shape, scale=s, zero_point=z) for s, z in ((0.05, 3), (0.02, -9), (0.06, 1))]
    graph = Graph.from_bytes(single_op("ADD", scales[:2], scales[2:]))
    program = build(graph, core("cortex-m4"), "sum")
    generated = emit(program)
    generated.write(tmp_path)
    library = Library(tmp_path, describe(program, generated.sources), core=other)
    rng = np.random.default_rng(3)
    samples = [[rng.integers(-128, 128, shape).astype(np.int8) for _ in range(2)] for _ in range(2)]
    expected = reference_outputs(graph.data, samples)
    found = np.asarray(library.run(samples)).reshape(np.shape(expected))
    assert np.abs(np.subtract(found, expected, dtype=np.int32)).max() <= 1  # LiteRT rounds once
    (step,) = library.description.steps
    assert library.image.symbol(step.function).is_function


def convolutions(depth: int, pixels: tuple[int, int]) -> bytes:
    """Return a model of three 1x1 convolutions, the middle one with RELU, of a few pixels of many channels."""
    rng = np.random.default_rng(4)
    b = ModelBuilder()
    g = b.subgraph()
    last = g.input(Spec((1, *pixels, depth), "int8", 0.05, 3))
    for i, activation in enumerate(("NONE", "RELU", "NONE")):
        filters = rng.integers(-127, 128, (depth, 1, 1, depth))
        weights = g.tensor(constant(filters, "int8", [0.002] * depth, 0, 0))
        options = {"stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
        options |= {"padding": "SAME", "fused_activation_function": activation}
        out = g.tensor(Spec((1, *pixels, depth), "int8", 0.3, -128 if i == 1 else -5))
        g.operator(
            "CONV_2D",
            [last, weights, g.tensor(constant(rng.integers(-999, 999, depth), "int32"))],
            [out],
            options,
        )
        last = out
    g.output(last)
    return b.pack()


def arena(data: bytes, room: float, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(program_module, "ROOM", room)
    return build(Graph.from_bytes(data), core("cortex-m4"), "net").arena_bytes


def test_memory_goes_before_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pixels at a time take more working memory than two: only where the arena hardly grows."""
    few, many = convolutions(160, (1, 4)), convolutions(8, (30, 30))
    for data in (few, many):
        least, fast = arena(data, 0, monkeypatch), arena(data, 9, monkeypatch)
        chosen = arena(data, 1.02, monkeypatch)
        assert least < fast
        assert chosen <= 1.02 * least
        assert (chosen == fast) == (data is many)


@pytest.mark.parametrize("core_name", ["cortex-m4", "cortex-m3"])
def test_two_pixels_at_a_time_give_the_bytes_of_three(
    core_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = Graph.from_bytes(residual_network())
    rng = np.random.default_rng(3)
    samples = [[rng.integers(-128, 128, (1, 9, 7, 3)).astype(np.int8)] for _ in range(2)]
    found = []
    for room in (0, 9):
        monkeypatch.setattr(program_module, "ROOM", room)
        program = build(graph, core("cortex-m4"), "net")
        assert any("two pixels" in s.emitted.note for s in program.steps) == (room == 0)
        assert any("three pixels" in s.emitted.note for s in program.steps) == (room == 9)
        generated = emit(program)
        generated.write(tmp_path / str(room))
        library = Library(tmp_path / str(room), describe(program, generated.sources), core=core_name)
        (first, second) = library.trace(samples)
        found.append([np.concatenate([run[t] for t in sorted(run)]) for run in (first, second)])
    assert all(np.array_equal(a, b) for a, b in zip(*found))
