/* SOFTMAX int16: exponential and reciprocal from tables of 513 entries, interpolated. */
#include "qe_softmax_s16.h"

static int32_t lookup(const int16_t *table, int32_t x)
{
    const int32_t index = 256 + (x >> 7);
    const int32_t offset = x & 127;
    return table[index] + ((offset * (table[index + 1] - table[index]) + 64) >> 7);
}

void qe_softmax_s16(const qe_softmax_s16_params *p, const int16_t *input, int16_t *output)
{
    for (int32_t row = 0; row < p->rows; ++row) {
        int32_t largest = INT16_MIN;
        for (int32_t i = 0; i < p->depth; ++i) {
            largest = input[i] > largest ? input[i] : largest;
        }
        int32_t sum = 0;
        for (int32_t i = 0; i < p->depth; ++i) {
            const int32_t scaled = qe_requantize(input[i] - largest, p->multiplier, p->shift);
            const int32_t y = lookup(p->exponential, qe_clamp(scaled + 32767, INT16_MIN, INT16_MAX));
            output[i] = (int16_t)y;
            sum += y;
        }
        int32_t headroom = 0; /* leading zeros of sum, which is positive */
        while (headroom < 31 && (((uint32_t)sum << headroom) & 0x80000000u) == 0u) {
            ++headroom;
        }
        const int32_t shifted = (int32_t)((((int64_t)sum * ((int64_t)1 << (headroom - 1))) + (1 << 13)) >> 14);
        const int32_t x = qe_clamp(shifted - ((1 << 15) + (1 << 16)), INT16_MIN, INT16_MAX);
        const int32_t reciprocal = lookup(p->reciprocal, x);
        const int32_t right = 31 - headroom;
        const int64_t round = (int64_t)1 << (right - 1);
        for (int32_t i = 0; i < p->depth; ++i) {
            const int32_t y = (int32_t)(((int64_t)output[i] * reciprocal + round) >> right);
            output[i] = (int16_t)qe_clamp(y, 0, INT16_MAX);
        }
        input += p->depth;
        output += p->depth;
    }
}
