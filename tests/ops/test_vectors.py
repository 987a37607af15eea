"""Kernels with vectors, SSE4.1 and NEON: what TFLite Micro gives, byte for byte, and plain C for any number."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from qedge.oracle import tflm
from qedge.testing.cases import Merged, merge
from tests.ops.executors import VECTORS, Executor, run_c
from tests.ops.vector_cases import CASES

WITH_VECTORS = (
    Executor("host", "host", on_host=True, flags=VECTORS),
    Executor("aarch64", "host", linux="aarch64"),
    pytest.param(Executor("armhf", "host", linux="armhf"), marks=pytest.mark.long),
)
PORTABLE = (
    pytest.param(Executor("host-portable", "host", on_host=True), marks=pytest.mark.long),
    pytest.param(Executor("armv6", "host", linux="armv6"), marks=pytest.mark.long),
)
ARITHMETIC = """
#include "qe_vectors.h"

#if !QE_VECTORS
#error "no vectors"
#endif

static uint32_t state = 1;

/* A number that is small, near a power of two or anything. */
static int32_t number(void)
{
    state = state * 1664525u + 1013904223u;
    const uint32_t x = state >> 8, bits = state >> 27;
    state = state * 1664525u + 1013904223u;
    const uint32_t any = (x << 16) ^ (state >> 8);
    const uint32_t near = ((uint32_t)1 << bits) + (any & 3u) - 2u;
    return (int32_t)((x & 3u) == 0 ? near : (x & 3u) == 1 ? 0u - near : (x & 3u) == 2 ? any >> bits : any);
}

int main(void)
{
    for (int round = 0; round < 200000; ++round) {
        int32_t sums[8], multiplier[8];
        int8_t shift[8], wanted[8], found[8];
        const int32_t zero_point = number() & 255, low = -128 + (number() & 127), high = low + (number() & 127);
        for (int i = 0; i < 8; ++i) {
            sums[i] = number();
            multiplier[i] = (number() & 0x3fffffff) | 0x40000000;
            if ((round & 15) == i) {
                multiplier[i] = (round & 16) == 0 ? 0 : 0x40000000;
            }
            shift[i] = (int8_t)-(number() & 31);
            const int32_t y = qe_clamp(qe_requantize(sums[i], multiplier[i], shift[i]), -1000000, 1000000);
            wanted[i] = qe_clamp_s8(y + zero_point - 128, low, high);
        }
        const qe_scale a = qe_scale_load(multiplier, shift), b = qe_scale_load(multiplier + 4, shift + 4);
        const qe_v4 ya = qe_v4_requantize(qe_v4_load(sums), &a), yb = qe_v4_requantize(qe_v4_load(sums + 4), &b);
        const qe_range range = qe_range_of(zero_point - 128, low, high);
        int32_t scaled[8];
        qe_v4_store(scaled, ya);
        qe_v4_store(scaled + 4, yb);
        for (int i = 0; i < 8; ++i) {
            if (scaled[i] != qe_requantize(sums[i], multiplier[i], shift[i])) {
                return 1;
            }
        }
        qe_outputs_store(found, found + 4, ya, yb, &range);
        for (int i = 0; i < 8; ++i) {
            if (found[i] != wanted[i]) {
                return 2;
            }
        }
    }
    return 0;
}
"""


@cache
def model(for_oracle: bool = False) -> Merged:
    return merge(CASES, for_oracle=for_oracle)


@cache
def expected() -> list[tflm.Run]:
    oracle = model(for_oracle=True)
    (found,) = tflm.run_many([tflm.Job(oracle.data, oracle.samples())])
    assert not isinstance(found, Exception), str(found)
    return found


@pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")
@pytest.mark.parametrize("place", [*WITH_VECTORS, *PORTABLE], ids=lambda e: e.name)
def test_kernels_are_bit_exact(place: Executor, tmp_path: Path, project: Path) -> None:
    if place.missing:
        pytest.skip(place.missing)
    found = place.run(model().data, model().samples(), tmp_path)
    differing = {
        case
        for row, answer in zip(found, expected(), strict=True)
        for case, got, want in zip(model().case_of, row, answer.outputs, strict=True)
        if got.tobytes() != want.tobytes()
    }
    assert not differing
    kernels = project / "targets" / "qedge_mcu" / "kernels"
    assert {k.name for k in (tmp_path / "src").glob("*_vec.c")} == {k.name for k in kernels.glob("*_vec.c")}


@pytest.mark.parametrize("place", WITH_VECTORS, ids=lambda e: e.name)
def test_requantising_is_that_of_plain_c(place: Executor, tmp_path: Path, project: Path) -> None:
    if place.missing:
        pytest.skip(place.missing)
    (tmp_path / "main.c").write_text(ARITHMETIC)
    (tmp_path / "qe_config.h").write_text("")
    kernels = project / "targets" / "qedge_mcu" / "kernels" / "include"
    run_c(place, [tmp_path / "main.c"], [tmp_path, kernels])
